// The tensors of a plan that take part where a text is read; see text_part.h.
#include "runtime/exec/text_part.h"

#include <string.h>

#include "runtime/base/text.h"

xlm_filling xlm_filling_of(const xlm_plan_input *in) {
  if (in->role == XLM_INPUT_START) return XLM_FILL_STARTS;
  if (in->role == XLM_INPUT_COUNT) return XLM_FILL_COUNTS;
  if (!xlm_input_is_data(in->role) || in->shift) return XLM_FILL_NOTHING;
  if (in->role == XLM_INPUT_TOKENS) return XLM_FILL_TOKENS;
  if (!strcmp(in->source, "positions")) return XLM_FILL_POSITIONS;
  return !strcmp(in->source, "documents") ? XLM_FILL_ZEROS : XLM_FILL_NOTHING;
}

bool xlm_text_part_of(const xlm_rank_plan *rp, const xlm_type *t, xlm_text_part *out) {
  int64_t stride = 1;
  out->type = t;
  out->bytes = xlm_dtype_bytes(t->dtype);
  for (int k = t->rank - 1; k >= 0; k--) {
    const xlm_dim_info *d = &rp->dims[t->dim[k]];
    if (!strcmp(d->name, "seq") || !strcmp(d->name, "chunk") || !strcmp(d->name, "chunk.last"))
      out->seq = d, out->seq_stride = stride;
    else if (!strcmp(d->name, "batch"))
      out->batch = d, out->batch_stride = stride;
    else
      out->vocab = d, out->vocab_stride = stride;
    stride *= d->size;
  }
  return stride > 0;
}

bool xlm_is_logits(const xlm_rank_plan *rp, const xlm_plan_output *o, xlm_program_id id) {
  xlm_text_part whole = {0};
  const xlm_type *t = &rp->tensors[o->tensor].type;
  if (o->program != id || o->role != XLM_OUTPUT_OUTPUT || t->rank != 3) return false;
  (void)xlm_text_part_of(rp, t, &whole);
  return whole.batch && whole.seq && whole.vocab;
}

const char *xlm_find_logits(const xlm_plan *p, xlm_program_id id, xlm_text_part *out) {
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_outputs; i++) {
      const xlm_rank_plan *rp = p->rank_plans[c];
      if (!xlm_is_logits(rp, &rp->outputs[i], id)) continue;
      *out = (xlm_text_part){0};
      (void)xlm_text_part_of(rp, &rp->tensors[rp->outputs[i].tensor].type, out);
      return rp->outputs[i].name;
    }
  return NULL;
}

const char *xlm_other_output(const xlm_plan *p, xlm_program_id id, xlm_arena *a) {
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_outputs; i++) {
      const xlm_rank_plan *rp = p->rank_plans[c];
      const xlm_plan_output *o = &rp->outputs[i];
      const xlm_type *type = &rp->tensors[o->tensor].type;
      if (o->program != id || o->role != XLM_OUTPUT_OUTPUT) continue;
      xlm_text t = xlm_text_new(a);
      xlm_text_printf(&t, "`%s` is [", o->name);
      for (int k = 0; k < type->rank; k++)
        xlm_text_printf(&t, "%s%s", k ? ", " : "", rp->dims[type->dim[k]].name);
      xlm_text_add(&t, "]");
      return t.data;
    }
  return NULL;
}
