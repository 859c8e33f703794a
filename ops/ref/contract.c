// contract, the reference: visits every combination of indices once.
#include "ops/ref/ref_priv.h"
#include "runtime/device/matmul.h"

static bool packs_rows(const xlm_call *c, const xlm_type *t) {
  for (int i = 0; i < t->rank; i++)
    if (c->dims[t->dim[i]].ragged) return true;
  return false;
}

// Element offset; rows of a ragged tensor are counted from its start, so the expert's index does not change
// it.
static int64_t at(const xlm_call *c, const xlm_type *t, const ref_walk *w, xlm_dim experts) {
  if (!packs_rows(c, t)) return ref_at(c, t, w);
  ref_walk rows = *w;
  ref_walk_set(&rows, experts, 0);
  return ref_at(c, t, &rows);
}

static void find_ragged(const xlm_call *c, const xlm_type *t, xlm_dim *ragged, xlm_dim *experts) {
  for (int i = 1; i < t->rank; i++)
    if (c->dims[t->dim[i]].ragged) *ragged = t->dim[i], *experts = t->dim[i - 1];
}

static bool owns_row(const xlm_call *c, const ref_walk *w, xlm_dim ragged, xlm_dim experts) {
  if (!ragged) return true;
  const int32_t *offsets = c->in[c->instr->n_in - 1];
  int64_t e = ref_walk_index(w, experts), row = ref_walk_index(w, ragged);
  return row >= offsets[e] && row < offsets[e + 1];
}

static void product(const xlm_call *c, int first, bool keep) {
  const xlm_type *x = c->in_type[first], *y = c->in_type[first + 1], *out = c->out_type[0];
  xlm_dim ragged = 0, experts = 0;
  find_ragged(c, x, &ragged, &experts);
  find_ragged(c, y, &ragged, &experts);
  if (!keep)
    for (int64_t i = 0; i < xlm_call_elements(c, out); i++) ref_out(c, 0)[i] = 0;
  ref_walk w = ref_walk_union(c, (const xlm_type *[]){x, y}, 2);
  while (ref_walk_next(&w))
    if (owns_row(c, &w, ragged, experts))
      ref_out(c, 0)[at(c, out, &w, experts)] +=
          ref_in(c, first)[at(c, x, &w, experts)] * ref_in(c, first + 1)[at(c, y, &w, experts)];
}

static xlm_status run(const xlm_call *c) {
  product(c, 0, false);
  return XLM_OK;
}
static xlm_status run_acc(const xlm_call *c) {
  product(c, 1, !xlm_attr_int(&c->instr->attrs, XLM_A_store, 0));
  return XLM_OK;
}

static xlm_status run_bias(const xlm_call *c) {
  int add = xlm_matmul_add_operand(c), bias = xlm_matmul_bias_operand(c);
  int64_t n = xlm_call_elements(c, c->out_type[0]), row = bias ? xlm_call_elements(c, c->in_type[bias]) : 1;
  for (int64_t i = 0; add && i < n; i++) ref_out(c, 0)[i] = ref_in(c, add)[i]; // may be its memory
  product(c, 0, add > 0);
  for (int64_t i = 0; bias && i < n; i++) ref_out(c, 0)[i] += ref_in(c, bias)[i % row];
  return XLM_OK;
}

const xlm_kernel xlm_ref_contract = {.op = XLM_OP_CONTRACT, .run = run};
const xlm_kernel xlm_ref_contract_acc = {.op = XLM_OP_CONTRACT_ACC, .run = run_acc};
const xlm_kernel xlm_ref_contract_bias = {.op = XLM_OP_CONTRACT_BIAS, .run = run_bias};
