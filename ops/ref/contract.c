// contract, the reference: visits every combination of indices once.
#include "ops/ref/ref_priv.h"
#include "runtime/device/matmul.h"

static bool packs_rows(const xlm_call *c, const xlm_type *t) {
  for (int i = 0; i < t->rank; i++)
    if (c->dims[t->dim[i]].ragged) return true;
  return false;
}

// Elements between neighbours along each dim of w. Rows of a ragged tensor are counted from its start, so the
// expert's index does not change the place.
typedef struct steps {
  int64_t along[REF_MAX];
} steps;

static steps steps_of(const xlm_call *c, const xlm_type *t, const ref_walk *w, xlm_dim experts) {
  steps s;
  bool packs = packs_rows(c, t);
  for (int i = 0; i < w->n; i++)
    s.along[i] = packs && w->dim[i] == experts ? 0 : xlm_call_stride(c, t, w->dim[i]);
  return s;
}

static int64_t at(const steps *s, const ref_walk *w) {
  int64_t at = 0;
  for (int i = 0; i < w->n; i++) at += w->index[i] * s->along[i];
  return at;
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
  steps of_x = steps_of(c, x, &w, experts), of_y = steps_of(c, y, &w, experts),
        of_out = steps_of(c, out, &w, experts);
  while (ref_walk_next(&w))
    if (owns_row(c, &w, ragged, experts))
      ref_out(c, 0)[at(&of_out, &w)] += ref_in(c, first)[at(&of_x, &w)] * ref_in(c, first + 1)[at(&of_y, &w)];
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
