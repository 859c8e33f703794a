// Tensors of files that are no parameter of the model.
#include <stdlib.h>
#include <string.h>

#include "runtime/interchange/mxfp4.h"
#include "runtime/interchange/weights_priv.h"

enum { CHUNK = 4 << 20 };

typedef struct rest {
  const xlm_weights *w;
  const xlm_safetensors *from;
  int n;
  bool *used; // by index in `from`
  char *a, *b;
} rest;

static const xlm_st_tensor *tensor_of(const rest *r, const xlm_weights_item *x) {
  const xlm_st_tensor *t = xlm_weights_find(r->from, x->tensor.name);
  return t ? t : xlm_weights_find_own(r->from, x);
}

static void mark(rest *r, const xlm_st_tensor *t) {
  if (t) r->used[t - xlm_safetensors_at(r->from, 0)] = true;
}

static xlm_status mark_used(rest *r, xlm_error *err) {
  const xlm_weights_list *l = &r->w->lists[XLM_WEIGHTS_MODEL];
  for (uint32_t i = 0; i < l->n && r->n; i++) {
    const xlm_st_tensor *t = tensor_of(r, &l->at[i]);
    xlm_mxfp4 packed = {0};
    if (!t) XLM_TRY(xlm_mxfp4_find(r->from, l->at[i].tensor.name, &packed, err));
    mark(r, t), mark(r, packed.blocks), mark(r, packed.scales);
  }
  return XLM_OK;
}

// What tools compute anew when they load a model, and older versions of them have stored.
static bool is_buffer(const xlm_st_tensor *t) {
  static const char *const ends[] = {".inv_freq", ".masked_bias", ".position_ids"};
  size_t n = strlen(t->name);
  for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
    if (n > strlen(ends[i]) && !strcmp(t->name + n - strlen(ends[i]), ends[i])) return true;
  // the causal mask of GPT-2 and NeoX, [1, 1, positions, positions]
  return n > 5 && !strcmp(t->name + n - 5, ".bias") && t->rank == 4 && t->shape[0] == 1 && t->shape[1] == 1;
}

static bool same_form(const xlm_st_tensor *a, const xlm_st_tensor *b) {
  return a->dtype == b->dtype && a->rank == b->rank &&
         !memcmp(a->shape, b->shape, sizeof *a->shape * (size_t)a->rank);
}

static xlm_status compare(rest *r, const xlm_st_tensor *x, const xlm_st_tensor *y, bool *same,
                          xlm_error *err) {
  int64_t bytes = (int64_t)xlm_st_dtype_bytes(x->dtype), most = CHUNK / bytes;
  *same = true;
  for (int64_t at = 0, n; at < x->n && *same; at += n) {
    n = most < x->n - at ? most : x->n - at;
    XLM_TRY(xlm_safetensors_read(r->from, x, at, n, r->a, err));
    XLM_TRY(xlm_safetensors_read(r->from, y, at, n, r->b, err));
    *same = !memcmp(r->a, r->b, (size_t)(n * bytes));
  }
  return XLM_OK;
}

static xlm_status find_copy(rest *r, const xlm_st_tensor *x, bool *found, xlm_error *err) {
  *found = false;
  for (int i = 0; i < r->n && !*found; i++) {
    const xlm_st_tensor *y = xlm_safetensors_at(r->from, i);
    if (r->used[i] && same_form(x, y)) XLM_TRY(compare(r, x, y, found, err));
  }
  return XLM_OK;
}

static xlm_status find_left(rest *r, xlm_weights_left *out, xlm_error *err) {
  XLM_TRY(mark_used(r, err));
  for (int i = 0; i < r->n; i++) {
    const xlm_st_tensor *t = xlm_safetensors_at(r->from, i);
    bool copy = false;
    if (r->used[i] || is_buffer(t)) continue;
    XLM_TRY(find_copy(r, t, &copy, err));
    if (!copy && !out->n++) out->first = t->name;
  }
  return XLM_OK;
}

xlm_status xlm_weights_find_left(const xlm_weights *w, const xlm_safetensors *from, xlm_weights_left *out,
                                 xlm_error *err) {
  rest r = {.w = w, .from = from, .n = xlm_safetensors_count(from)};
  r.used = calloc((size_t)r.n + 1, sizeof *r.used), r.a = malloc(CHUNK), r.b = malloc(CHUNK);
  *out = (xlm_weights_left){.of = r.n};
  xlm_status status = r.used && r.a && r.b ? find_left(&r, out, err)
                                           : xlm_fail(err, XLM_ENV, "no memory to compare names of weights");
  free(r.used), free(r.a), free(r.b);
  return status;
}
