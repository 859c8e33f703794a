// iota: the indices along a dimension. Every rank computes those of its own part.
#include "compiler/ir/chunk.h"
#include "ops/shape_priv.h"

static bool infer(xlm_infer *x) {
  xlm_dim d = shape_attr_dim(x, XLM_A_dims);
  if (!d || !shape_single(x, XLM_A_dims)) return false;
  if (x->g->dims[d].ragged)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`%s` has a different number of rows per expert",
                          shape_name(x, d));
  x->out[0] = (xlm_type){.dtype = XLM_I32, .rank = 1, .dim = {d}};
  return true;
}

// Along the sequence under its own name: another name of it numbers all places, as of the keys of a bias.
static xlm_reach reach(const xlm_graph *g, xlm_node n, const bool *sequence) {
  bool placed = sequence[xlm_val_type(g, xlm_node_at(g, n)->out)->dim[0]];
  return (xlm_reach){.along = placed ? XLM_ALONG_PLACED : XLM_ALONG_LOCAL};
}

static void chunk(xlm_chunk *c) {
  const xlm_node_info *n = xlm_chunk_node(c);
  xlm_dim d = xlm_val_type(c->all->g, n->out)->dim[0];
  if (c->all->numbers[d])
    c->out[0] = xlm_chunk_positions(c->all, c->all->dim[d]);
  else
    xlm_chunk_emit(c, XLM_OP_IOTA, NULL, 0, &c->attrs);
}

static const xlm_param params[] = {{"dim", XLM_P_DIM, XLM_A_dims, true}, {0}};

const xlm_op xlm_op_iota = {
    .name = "iota",
    .n_out = 1,
    .facts = {.indices = true},
    .params = params,
    XLM_TAKES({XLM_A_dims, XLM_OUT(0), 1, 1}),
    .layout = "-> [*]",
    .infer = infer,
    .reach = reach,
    .chunk = chunk,
    .no_grad = "indices do not depend on anything",
    .doc =
        "`iota(d)`: 0, 1, 2, .. along dimension `d`, as integers. Where `d` is split, every rank has the "
        "indices of "
        "its part of the whole. `iota(seq) >= iota(kv_seq)` is the causal mask; `where(iota(d) == 3, x, 0)` "
        "keeps one element.",
};
