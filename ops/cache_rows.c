// cache_rows: rows some places back, from a cache (cache_put.c) where they lie before those that are given:
// what `shift` is in decoding.
#include "ops/cache_priv.h"

enum { CACHE, START, X };

// Without x: the cache's type, with the given dimension in the place of `past`.
static bool infer_earlier(xlm_infer *x, int64_t by) {
  const xlm_type *c = xlm_infer_type(x, CACHE);
  xlm_dim seq = shape_attr_dim(x, XLM_A_seq), past = shape_attr_dim(x, XLM_A_past);
  if (!seq || !past || by < shape_size(x, seq))
    return xlm_infer_fail(x, XLM_FAULT_ATTR, CACHE, "rows that are not in the cache are an operand");
  x->out[0] = *c;
  for (int i = 0; i < c->rank; i++)
    if (c->dim[i] == past) x->out[0].dim[i] = seq;
  return true;
}

static bool infer(xlm_infer *x) {
  int64_t by = xlm_attr_int(&x->attrs, XLM_A_start, 1);
  bool given = x->n_in > X;
  if (given && (!cache_infer(x, CACHE, X) || !cache_infer_places(x, START, X, "the places"))) return false;
  if (!given && !infer_earlier(x, by)) return false;
  xlm_dim past = shape_attr_dim(x, XLM_A_past);
  if (by < 0 || by > shape_size(x, past))
    return xlm_infer_fail(x, XLM_FAULT_ATTR, CACHE, "a cache of %lld places has none %lld back",
                          (long long)shape_size(x, past), (long long)by);
  xlm_infer_set_int(x, XLM_A_start, by);
  if (given) x->out[0] = *xlm_infer_type(x, X);
  return true;
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  out->bytes = 2.0 * (double)xlm_type_bytes(xlm_val_type(g, xlm_node_at(g, n)->out), g->dims);
}

const xlm_op xlm_op_cache_rows = {.name = "cache_rows",
                                  .facts = {.mixes = XLM_KEY(seq) | XLM_KEY(past)},
                                  .flags = XLM_OPF_INTERNAL,
                                  .min_in = 2,
                                  .max_in = 3,
                                  .n_out = 1,
                                  XLM_TAKES({XLM_A_seq, XLM_OUT(0), 1, 1}, {XLM_A_past, XLM_IN(0), 1, 1},
                                            {XLM_A_start, .low = 0, .high = XLM_ATTR_MOST}),
                                  .layout = "[* past], [*], [* seq] -> [* seq] | seq: whole, past: whole",
                                  .infer = infer,
                                  .no_grad = "decoding is not differentiated",
                                  .cost = cost,
                                  .doc = "`cache_rows(cache, start, x; by)`: row i of the result is that of "
                                         "place start + i - by: of x[.., seq, ..], whose "
                                         "row 0 is that of place `start`, or of the cache, as `cache_put` "
                                         "left it, which has at least `by` places; 0 "
                                         "before the beginning of the sequence. Where all rows are in the "
                                         "cache, there is no x, which may then be computed "
                                         "later."};
