// cache_put: stores what decoding needs of the places it has seen.
//
// A cache is a ring of rows along the dimension `past`, of R elements: the row of place p of the sequence is
// at index p mod R, so it holds the last R places. `start` is the place of row 0 of x, for every sequence of
// the batch.
#include "ops/cache_priv.h"

enum { CACHE, X, START, COUNT };

// The dimension of the cache that x lacks.
static xlm_dim only_past(const xlm_type *cache, const xlm_type *x, xlm_dim seq) {
  for (int i = 0; i < x->rank && x->rank == cache->rank; i++)
    if (x->dim[i] == seq && xlm_type_find(x, cache->dim[i]) < 0) return cache->dim[i];
  return 0;
}

bool cache_check(xlm_infer *x, int cache, const xlm_type *rows, xlm_dim seq, xlm_dim *past) {
  const xlm_type *c = xlm_infer_type(x, cache);
  *past = only_past(c, rows, seq);
  bool same = *past && c->dtype == rows->dtype;
  for (int i = 0; i < rows->rank && same; i++)
    same = c->dim[i] == (rows->dim[i] == seq ? *past : rows->dim[i]);
  return same ||
         xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, cache,
                        "the cache %s is not as its rows %s with another dimension in the place of `%s`",
                        xlm_infer_dims_text(x, c), xlm_infer_dims_text(x, rows), shape_name(x, seq));
}

bool cache_infer(xlm_infer *x, int cache, int like) {
  xlm_dim seq, past;
  if (!shape_single(x, XLM_A_seq) || !xlm_infer_dim_attr(x, XLM_A_seq, like, "seq", false, &seq) ||
      !shape_not_packed(x, like, seq) || !cache_check(x, cache, xlm_infer_type(x, like), seq, &past))
    return false;
  xlm_infer_set_dims(x, XLM_A_seq, &seq, 1);
  xlm_infer_set_dims(x, XLM_A_past, &past, 1);
  return true;
}

bool cache_infer_places(xlm_infer *x, int i, int like, const char *what) {
  const xlm_type *t = xlm_infer_type(x, like), *p = xlm_infer_type(x, i);
  int end = xlm_type_find(t, shape_attr_dim(x, XLM_A_seq));
  if (!shape_is_index(x, i, what)) return false;
  for (int k = 0; k < p->rank; k++) {
    int at = xlm_type_find(t, p->dim[k]);
    if (at < 0 || at > end)
      return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, i,
                            "%s %s may have the dimensions of %s before the sequence", what,
                            xlm_infer_dims_text(x, p), xlm_infer_dims_text(x, t));
  }
  return true;
}

static bool infer(xlm_infer *x) {
  if (!cache_infer(x, CACHE, X) || !cache_infer_places(x, START, X, "the places") ||
      !cache_infer_places(x, COUNT, X, "the counts"))
    return false;
  x->out[0] = *xlm_infer_type(x, CACHE);
  return true;
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) { // rows are read and written, the rest stays
  out->bytes = 2.0 * (double)xlm_type_bytes(xlm_val_type(g, xlm_node_at(g, n)->in[X]), g->dims);
}

const xlm_op xlm_op_cache_put = {
    .name = "cache_put",
    .facts = {.mixes = XLM_KEY(seq) | XLM_KEY(past)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 4,
    .max_in = 4,
    .n_out = 1,
    .n_alias = 1,
    XLM_TAKES({XLM_A_seq, XLM_IN(1), 1, 1}, {XLM_A_past, XLM_IN(0), 1, 1}),
    .layout = "[* past], [* seq], [*], [*] -> [* past] | seq: whole, past: whole",
    .infer = infer,
    .no_grad = "decoding is not differentiated",
    .cost = cost,
    .doc =
        "`cache_put(cache, x, start, count)`: x[.., seq, ..] holds rows of a sequence from place `start` on, "
        "and its "
        "first `count` "
        "rows are stored in the cache [.., past, ..]: that of place p at index p mod the size of `past`, in "
        "place. Of "
        "more rows than that the last ones stay. `start` and `count` are whole numbers, for every sequence."};
