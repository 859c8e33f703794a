// contract: every matrix product. The roles of dimensions (rows, columns, summed, batch) follow from their
// names, so one rule serves x @ w, attention written by hand, expert products and, with `dims` and `dtype`,
// all gradients. contract_acc adds the product to an accumulator; the fuse pass makes it from accumulate(acc,
// contract(x, y)). contract_bias adds a bias, a residual or both to the product; the bias and residual passes make
// it from contract(x, y) + b.
#include <string.h>

#include "compiler/ir/op.h"

typedef struct groups { // b, m, n, k of the product
  xlm_dim batch[XLM_MAX_RANK], m[XLM_MAX_RANK], n[XLM_MAX_RANK], k[XLM_MAX_RANK];
  int n_batch, n_m, n_n, n_k;
} groups;

enum { GROUP_MAX = 6 }; // maximum number of dims per group in kernels (XLM_GEMM_DIMS)

static bool has(const xlm_dim *dims, int n, xlm_dim d) {
  for (int i = 0; i < n; i++)
    if (dims[i] == d) return true;
  return false;
}

static groups group_dims(const xlm_type *x, const xlm_type *y, const xlm_dim *over, int n_over) {
  groups r = {0};
  for (int i = 0; i < x->rank; i++) {
    xlm_dim d = x->dim[i];
    if (has(over, n_over, d))
      r.k[r.n_k++] = d;
    else if (xlm_type_find(y, d) >= 0)
      r.batch[r.n_batch++] = d;
    else
      r.m[r.n_m++] = d;
  }
  for (int i = 0; i < y->rank; i++)
    if (xlm_type_find(x, y->dim[i]) < 0) r.n[r.n_n++] = y->dim[i];
  return r;
}

static groups node_groups(const xlm_graph *g, xlm_val x, xlm_val y, const xlm_attrs *attrs) {
  xlm_dim over[XLM_MAX_RANK];
  int n = xlm_attr_dims(attrs, XLM_A_over, over);
  return group_dims(xlm_val_type(g, x), xlm_val_type(g, y), over, n);
}

static bool infer_over(xlm_infer *x, int at, xlm_dim *over, int *n_over) {
  const xlm_type *a = xlm_infer_type(x, at), *b = xlm_infer_type(x, at + 1);
  if (xlm_attr_find(&x->attrs, XLM_A_over)) { // `over` without dims is an outer product: gradients of vectors
    *n_over = xlm_attr_dims(&x->attrs, XLM_A_over, over);
    for (int i = 0; i < *n_over; i++)
      if (!xlm_infer_has(x, at, over[i], "which is summed over") ||
          !xlm_infer_has(x, at + 1, over[i], "which is summed over"))
        return false;
    return true;
  }
  *n_over = 0;
  for (int i = 0; i < a->rank; i++)
    if (xlm_type_find(b, a->dim[i]) >= 0) over[(*n_over)++] = a->dim[i];
  if (*n_over) return true;
  xlm_infer_fail(x, XLM_FAULT_NO_SHARED_DIM, -1, "%s and %s share no dimension to sum over",
                 xlm_infer_dims_text(x, a), xlm_infer_dims_text(x, b));
  for (int i = a->rank - 1; i >= 0; i--)
    for (int j = 0; j < b->rank; j++) {
      const xlm_dim_info *p = &x->g->dims[a->dim[i]], *q = &x->g->dims[b->dim[j]];
      if (p->size == q->size && p->size > 1)
        return xlm_infer_help(x, "if `%s` of the one is `%s` of the other, write rename(.., %s -> %s)",
                              p->name, q->name, q->name, p->name);
    }
  return xlm_infer_help(x, "a product sums over the dimensions that both operands have");
}

static bool one_ragged(xlm_infer *x, int operand, const groups *r, const xlm_type *t, int i) {
  const char *name = x->g->dims[t->dim[i]].name;
  if (i == 0)
    return xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, operand,
                          "`%s` is ragged, and the dimension it has rows for does not stand before it in %s",
                          name, xlm_infer_dims_text(x, t));
  const char *rows_of = x->g->dims[t->dim[i - 1]].name;
  if (!has(r->batch, r->n_batch, t->dim[i - 1]) || r->n_batch != 1) {
    xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, operand,
                   "`%s` is ragged: in a product both operands must have `%s`, it must stay, and be the only "
                   "one that does",
                   name, rows_of);
    return xlm_infer_help(x, "name the summed dimensions: contract(x, w, over ..), with a `%s` in w",
                          rows_of);
  }
  const xlm_dim *group = has(r->m, r->n_m, t->dim[i]) ? r->m : has(r->n, r->n_n, t->dim[i]) ? r->n : r->k;
  int n = group == r->m ? r->n_m : group == r->n ? r->n_n : r->n_k;
  if (n != 1 || group[0] != t->dim[i]) {
    xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, operand,
                   "`%s` is ragged and cannot be summed or kept together with others", name);
    return xlm_infer_help(x, "merge the other dimensions of %s first", xlm_infer_dims_text(x, t));
  }
  return true;
}

static bool check_ragged(xlm_infer *x, int at, const groups *r) {
  for (int o = at; o < at + 2; o++) {
    const xlm_type *t = xlm_infer_type(x, o);
    for (int i = 0; i < t->rank; i++)
      if (x->g->dims[t->dim[i]].ragged && !one_ragged(x, o, r, t, i)) return false;
  }
  return true;
}

// The dtype of the result: the attribute if set; else bf16 for bf16 operands, f64 only in the reference,
// otherwise f32.
static bool result_dtype(xlm_infer *x, int at, xlm_dtype *out) {
  if (!xlm_infer_is_float(x, at) || !xlm_infer_is_float(x, at + 1)) return false;
  xlm_dtype a = xlm_infer_type(x, at)->dtype, b = xlm_infer_type(x, at + 1)->dtype;
  *out = a == XLM_F64 || b == XLM_F64 ? XLM_F64 : a == b ? a : XLM_F32;
  if (*out != XLM_F64) *out = (xlm_dtype)xlm_attr_enum(&x->attrs, XLM_A_dtype, *out);
  return xlm_dtype_is_float(*out) ||
         xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "a product has no elements of %s", xlm_dtype_name(*out));
}

// The result has x's remaining dims, then y's; `dims` may give another order of them.
static bool result_dims(xlm_infer *x, int at, const groups *r, xlm_type *out) {
  const xlm_type *a = xlm_infer_type(x, at);
  if (r->n_batch + r->n_m + r->n_n > XLM_MAX_RANK || r->n_m > GROUP_MAX || r->n_n > GROUP_MAX ||
      r->n_k > GROUP_MAX || r->n_batch > GROUP_MAX)
    return xlm_infer_fail(
        x, XLM_FAULT_RANK, -1, "the product of %s and %s has too many dimensions (at most %d)",
        xlm_infer_dims_text(x, a), xlm_infer_dims_text(x, xlm_infer_type(x, at + 1)), XLM_MAX_RANK);
  xlm_dim natural[XLM_MAX_RANK], wanted[XLM_MAX_RANK];
  int n = 0;
  for (int i = 0; i < a->rank; i++)
    if (!has(r->k, r->n_k, a->dim[i])) natural[n++] = a->dim[i];
  for (int i = 0; i < r->n_n; i++) natural[n++] = r->n[i];
  out->rank = (uint8_t)n;
  memcpy(out->dim, natural, sizeof natural);
  if (!xlm_attr_find(&x->attrs, XLM_A_dims)) return true;
  int n_wanted = xlm_attr_dims(&x->attrs, XLM_A_dims, wanted);
  bool same = n_wanted == n;
  for (int i = 0; i < n && same; i++) same = has(wanted, n, natural[i]);
  if (!same)
    return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, -1,
                          "the product has the dimensions %s, not those that `dims` names",
                          xlm_infer_dims_text(x, out));
  memcpy(out->dim, wanted, sizeof wanted);
  return true;
}

static bool ragged_in_place(xlm_infer *x, const xlm_type *out, const groups *r) {
  for (int i = 0; i < out->rank; i++)
    if (x->g->dims[out->dim[i]].ragged && (i == 0 || out->dim[i - 1] != r->batch[0]))
      return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, -1,
                            "`%s` is ragged and must stand just after `%s` in the result",
                            x->g->dims[out->dim[i]].name, x->g->dims[r->batch[0]].name);
  return true;
}

static bool infer_at(xlm_infer *x, int at, xlm_type *out) {
  xlm_dim over[XLM_MAX_RANK];
  int n_over;
  if (!result_dtype(x, at, &out->dtype) || !infer_over(x, at, over, &n_over)) return false;
  groups r = group_dims(xlm_infer_type(x, at), xlm_infer_type(x, at + 1), over, n_over);
  if (!check_ragged(x, at, &r) || !result_dims(x, at, &r, out) || !ragged_in_place(x, out, &r)) return false;
  xlm_infer_set_dims(x, XLM_A_over, r.k, r.n_k);
  xlm_infer_set_dims(x, XLM_A_batch, r.batch, r.n_batch);
  return true;
}

static bool infer(xlm_infer *x) {
  return infer_at(x, 0, &x->out[0]);
}

static bool infer_acc(xlm_infer *x) {
  const xlm_type *acc = xlm_infer_type(x, 0);
  xlm_type product;
  xlm_infer_set_dims(x, XLM_A_dims, acc->dim, acc->rank);
  if (!infer_at(x, 1, &product)) return false;
  if (acc->dtype != XLM_F32 && acc->dtype != XLM_F64)
    return xlm_infer_fail(x, XLM_FAULT_DTYPE, 0, "sums are kept in f32, not in %s",
                          xlm_dtype_name(acc->dtype));
  x->out[0] = *acc;
  return true;
}

static bool is_packed(const xlm_infer *x, int operand) {
  const xlm_type *t = xlm_infer_type(x, operand);
  for (int i = 0; i < t->rank; i++)
    if (x->g->dims[t->dim[i]].ragged) return true;
  return false;
}

static bool is_of_result(const xlm_type *t, const xlm_type *out) {
  return t->rank == out->rank && !memcmp(t->dim, out->dim, out->rank * sizeof *t->dim);
}

// A bias is one row of the result, or an end of one: kernels add it column by column.
static bool is_bias(const xlm_type *t, const xlm_type *out, const xlm_type *x) {
  int first = out->rank - t->rank;
  bool ends = first >= 0;
  for (int i = 0; i < t->rank && ends; i++)
    ends = t->dim[i] == out->dim[first + i] && xlm_type_find(x, t->dim[i]) < 0;
  return ends;
}

// A bias, a tensor of the result's type, or both in this order.
static bool infer_bias(xlm_infer *x) {
  if (!infer_at(x, 0, &x->out[0])) return false;
  const xlm_type *out = &x->out[0];
  if (is_packed(x, 0) || is_packed(x, 1))
    return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, 2, "nothing is added to the rows of experts");
  for (int i = 2; i < x->n_in; i++) {
    const xlm_type *t = xlm_infer_type(x, i);
    bool last = i == x->n_in - 1, whole = last && is_of_result(t, out);
    if (t->dtype != out->dtype)
      return xlm_infer_fail(x, XLM_FAULT_DTYPE, i, "what is added is of the result's type, %s",
                            xlm_dtype_name(out->dtype));
    if (!whole && (i > 2 || !is_bias(t, out, xlm_infer_type(x, 0))))
      return xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, i,
                            "%s must have the last dimensions of the product %s, and x none of them, or all of them",
                            xlm_infer_dims_text(x, t), xlm_infer_dims_text(x, out));
  }
  return true;
}

// A gradient of a parameter is summed over microbatches and ranks, so it is f32 even if the product's
// operands are bf16.
static bool is_weight(const xlm_graph *g, xlm_val v) {
  for (;;) {
    const xlm_node_info *n = &g->nodes[xlm_val_at(g, v)->def];
    if (xlm_node_is(n, XLM_LEAF_PARAMETER)) return true;
    if (!xlm_op_casts(n->op) && !(xlm_op_at(n->op)->flags & XLM_OPF_VIEW)) return false;
    v = n->in[0];
  }
}

static xlm_val product_like(xlm_grad *d, xlm_val dy, xlm_val other, const xlm_dim *over, int n_over,
                            xlm_val like) {
  xlm_type t = *xlm_val_type(d->b->g, like);
  xlm_attr_list l = xlm_attr_list_new(d->b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_over, over, n_over);
  xlm_attr_put_dims(&l, XLM_A_dims, t.dim, t.rank);
  if (is_weight(d->b->g, like)) xlm_attr_put_enum(&l, XLM_A_dtype, XLM_F32);
  return xlm_emit(d->b, XLM_OP_CONTRACT, (xlm_val[]){dy, other}, 2, &l);
}

static void grad(xlm_grad *d) {
  groups r = node_groups(d->b->g, d->in[0], d->in[1], &xlm_node_at(d->b->g, d->node)->attrs);
  if (!d->dout[0]) return;
  if (d->need[0]) d->din[0] = product_like(d, d->dout[0], d->in[1], r.n, r.n_n, d->in[0]);
  if (d->need[1]) d->din[1] = product_like(d, d->in[0], d->dout[0], r.m, r.n_m, d->in[1]);
}

static double product_of(const xlm_graph *g, const xlm_dim *dims, int n, bool *ragged) {
  double size = 1;
  for (int i = 0; i < n; i++) {
    size *= (double)g->dims[dims[i]].size;
    *ragged |= g->dims[dims[i]].ragged;
  }
  return size;
}

static void cost_at(const xlm_graph *g, xlm_node node, int at, xlm_cost *out) {
  const xlm_node_info *n = &g->nodes[node];
  groups r = node_groups(g, n->in[at], n->in[at + 1], &n->attrs);
  bool ragged = false;
  double mnk = product_of(g, r.m, r.n_m, &ragged) * product_of(g, r.n, r.n_n, &ragged) *
               product_of(g, r.k, r.n_k, &ragged);
  if (!ragged) mnk *= product_of(g, r.batch, r.n_batch, &ragged); // ragged rows are counted over all experts
  out->flops = out->model_flops = 2 * mnk;
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_at(g, n, 0, out);
}
static void cost_acc(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_at(g, n, 1, out);
}
static void cost_bias(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  cost_at(g, n, 0, out);
  out->flops += (g->nodes[n].n_in - 2) * (double)xlm_type_elements(xlm_val_type(g, g->nodes[n].out), g->dims);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"y", XLM_P_TENSOR, 0, true},
                                   {"over", XLM_P_OVER, XLM_A_over, false},
                                   {NULL}};

#define RESULT_DTYPE                                                                                         \
  { XLM_A_dtype, .may = true, .among = XLM_FLOATS, .without = "as the operands are: f32 where they differ" }

const xlm_op xlm_op_contract = {.name = "contract",
                                .facts = {.reduces = XLM_REDUCTION_SUM,
                                          .product = XLM_PRODUCT_MATRIX,
                                          .accumulating = XLM_OP_CONTRACT_ACC,
                                          .biased = XLM_OP_CONTRACT_BIAS,
                                          .linear = 3,
                                          .mixes = XLM_KEY(over)},
                                .flags = XLM_OPF_OFFSETS,
                                .min_in = 2,
                                .max_in = 2,
                                .n_out = 1,
                                .params = params,
                                XLM_TAKES({XLM_A_over, XLM_IN(0), 0, 8}, {XLM_A_batch, XLM_IN(0), 0, 8},
                                          {XLM_A_dims, XLM_OUT(0), 0, 8, .may = true}, RESULT_DTYPE),
                                .layout = "[* over], [* over] -> [*] | over: sum",
                                .infer = infer,
                                .grad = grad,
                                .cost = cost,
                                .doc = "The product of x and y summed over the dimensions named by `over`, "
                                       "or over every dimension they share; "
                                       "`x @ y` is contract(x, y). Shared dimensions that are not summed "
                                       "stay as batch dimensions. The result has "
                                       "x's remaining dimensions in x's order, then those that only y has. "
                                       "Two bf16 operands give bf16, any other "
                                       "pair f32; the sum itself is f32 always. With a ragged dimension "
                                       "(`routed`) each expert's rows meet that "
                                       "expert's matrix."};

const xlm_op xlm_op_contract_acc = {
    .name = "contract_acc",
    .facts = {.product = XLM_PRODUCT_MATRIX, .sums = true, .mixes = XLM_KEY(over)},
    .flags = XLM_OPF_OFFSETS | XLM_OPF_INTERNAL,
    .min_in = 3,
    .max_in = 3,
    .n_out = 1,
    .n_alias = 1,
    XLM_TAKES({XLM_A_store, .low = 0, .high = 1, .may = true}, {XLM_A_over, XLM_IN(1), 0, 8},
              {XLM_A_dims, XLM_OUT(0), 0, 8}, {XLM_A_batch, XLM_IN(1), 0, 8}, RESULT_DTYPE),
    .layout = "[*], [* over], [* over] -> [*] | over: sum",
    .infer = infer_acc,
    .no_grad = "made after differentiation, from accumulate and contract",
    .cost = cost_acc,
    .doc = "acc + contract(x, y) in acc's memory and order of dimensions, in "
           "f32; with `store`, as in the first microbatch of a step, acc "
           "counts as zero."};

const xlm_op xlm_op_contract_bias = {
    .name = "contract_bias",
    .facts = {.product = XLM_PRODUCT_MATRIX, .biased = XLM_OP_CONTRACT_BIAS, .mixes = XLM_KEY(over)},
    .flags = XLM_OPF_INTERNAL,
    .min_in = 3,
    .max_in = 4,
    .n_out = 1,
    .in_place = 1 << 2 | 1 << 3,
    XLM_TAKES({XLM_A_over, XLM_IN(0), 0, 8}, {XLM_A_batch, XLM_IN(0), 0, 8},
              {XLM_A_dims, XLM_OUT(0), 0, 8, .may = true}, RESULT_DTYPE),
    .layout = "[* over], [* over], [*].. -> [*] | over: whole",
    .infer = infer_bias,
    .no_grad = "made after differentiation, from contract and add",
    .cost = cost_bias,
    .doc = "contract(x, y) + bias, contract(x, y) + r or contract(x, y) + bias + r: a bias has the last dimensions of "
           "the result, which x lacks, and r all of them, as a residual. They are added in f32 to the whole sum, "
           "which is then rounded to the result's type.",
};
