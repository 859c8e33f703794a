// A tensor of parameters as a stream of numbers, for exports.
#include <stdlib.h>

#include "runtime/interchange/weights_priv.h"
#include "runtime/plan/code.h"

enum { CHUNK = 4 << 20 };

bool xlm_weights_computed(const xlm_weights *w, xlm_weights_part part, int i) {
  const xlm_weights_item *x = &w->lists[part].at[i];
  bool any = false;
  for (uint32_t k = 0; k < x->n_pieces; k++) any |= x->pieces[k].code != NULL;
  return any;
}

bool xlm_weights_is_trained(const xlm_weights *w, int tensor) {
  return xlm_weights_is_parameter(w->lists[XLM_WEIGHTS_MODEL].at[tensor].pieces->state);
}

static void compute(const xlm_weights_step *s, float *box) {
  int64_t n = xlm_box_elements(s->state, &s->box);
  for (int64_t i = 0; s->piece->code && i < n; i++)
    box[i] = (float)xlm_code_number(s->piece->code, &(double){box[i]});
}

static xlm_status stream(xlm_weights_cursor *c, float *box, float *chunk, xlm_weights_sink *sink, void *arg,
                         xlm_error *err) {
  xlm_weights_step s;
  while (xlm_weights_next(c, &s)) {
    XLM_TRY(xlm_store_get(c->w->store, s.state, &s.box, box, err));
    compute(&s, box);
    xlm_weights_place(&s, box, chunk);
    if (s.last) XLM_TRY(sink(arg, chunk, (int64_t)(s.chunk_bytes / sizeof *chunk), err));
  }
  return XLM_OK;
}

xlm_status xlm_weights_stream(const xlm_weights *w, int tensor, xlm_weights_sink *sink, void *arg,
                              xlm_error *err) {
  xlm_weights_cursor c = {
      .w = w, .chunk_bytes = CHUNK, .part = XLM_WEIGHTS_MODEL, .tensors = &tensor, .n = 1};
  size_t most = xlm_weights_most(&c);
  float *box = malloc(most + 1), *chunk = malloc(most + 1);
  xlm_status status = box && chunk ? stream(&c, box, chunk, sink, arg, err)
                                   : xlm_fail(err, XLM_ENV, "no memory for '%s'",
                                              xlm_weights_at(w, XLM_WEIGHTS_MODEL, tensor)->name);
  free(box), free(chunk);
  return status;
}
