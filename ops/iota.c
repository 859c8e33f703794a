// iota: the indices along a dimension. Every rank computes those of its own part.
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

static const xlm_param params[] = {{"dim", XLM_P_DIM, XLM_A_dims, true}, {0}};

const xlm_op xlm_op_iota = {
    .name = "iota",
    .n_out = 1,
    .facts = {.indices = true},
    .params = params,
    XLM_TAKES({XLM_A_dims, XLM_OUT(0), 1, 1}),
    .layout = "-> [*]",
    .infer = infer,
    .no_grad = "indices do not depend on anything",
    .doc =
        "`iota(d)`: 0, 1, 2, .. along dimension `d`, as integers. Where `d` is split, every rank has the "
        "indices of "
        "its part of the whole. `iota(seq) >= iota(kv_seq)` is the causal mask; `where(iota(d) == 3, x, 0)` "
        "keeps one element.",
};
