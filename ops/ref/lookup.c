// lookup in float64: for every element of the result, the table's element of the token's row.
#include <string.h>

#include "ops/ref/ref_priv.h"

static xlm_dim vocab_of(const xlm_call *c) {
  xlm_dim d[XLM_MAX_RANK];
  xlm_attr_dims(&c->instr->attrs, XLM_A_vocab, d);
  return d[0];
}

// The local row of the token at this position of the walk; false: not in this part of the table.
static bool row_of(const xlm_call *c, int tokens, const ref_walk *w, int64_t *row) {
  const xlm_dim_info *v = &c->dims[vocab_of(c)];
  *row = ((const int32_t *)c->in[tokens])[ref_at(c, c->in_type[tokens], w)] - v->offset;
  return *row >= 0 && *row < v->size;
}

static xlm_status run(const xlm_call *c) {
  const xlm_type *both[] = {c->out_type[0], c->in_type[0]};
  ref_walk w = ref_walk_type(c, c->out_type[0]),
           at = ref_walk_union(c, both, 2); // `at` includes the vocabulary
  while (ref_walk_next(&w)) {
    int64_t row;
    bool inside = row_of(c, 1, &w, &row);
    for (int i = 0; i < w.n; i++) ref_walk_set(&at, w.dim[i], w.index[i]);
    ref_walk_set(&at, vocab_of(c), inside ? row : 0);
    ref_out(c, 0)[ref_at(c, c->out_type[0], &w)] = inside ? ref_in(c, 0)[ref_at(c, c->in_type[0], &at)] : 0;
  }
  return XLM_OK;
}

const xlm_kernel xlm_ref_lookup = {.op = XLM_OP_LOOKUP, .run = run};

// dy is operand `first`, the tokens follow.
static void add_gradient(const xlm_call *c, int first) {
  const xlm_type *both[] = {c->in_type[first], c->out_type[0]};
  ref_walk w = ref_walk_type(c, c->in_type[first]), at = ref_walk_union(c, both, 2);
  while (ref_walk_next(&w)) {
    int64_t row;
    if (!row_of(c, first + 1, &w, &row)) continue;
    for (int i = 0; i < w.n; i++) ref_walk_set(&at, w.dim[i], w.index[i]);
    ref_walk_set(&at, vocab_of(c), row);
    ref_out(c, 0)[ref_at(c, c->out_type[0], &at)] += ref_in(c, first)[ref_at(c, c->in_type[first], &w)];
  }
}

static xlm_status run_bwd(const xlm_call *c) {
  memset(c->out[0], 0, (size_t)xlm_call_elements(c, c->out_type[0]) * sizeof(double));
  add_gradient(c, 0);
  return XLM_OK;
}

const xlm_kernel xlm_ref_lookup_bwd = {.op = XLM_OP_LOOKUP_BWD, .run = run_bwd};

static xlm_status run_bwd_acc(const xlm_call *c) {
  bool store = xlm_attr_int(&c->instr->attrs, XLM_A_store, 0);
  for (int64_t i = 0; i < xlm_call_elements(c, c->out_type[0]); i++)
    ref_out(c, 0)[i] = store ? 0 : ref_in(c, 0)[i];
  add_gradient(c, 1);
  return XLM_OK;
}

const xlm_kernel xlm_ref_lookup_bwd_acc = {.op = XLM_OP_LOOKUP_BWD_ACC, .run = run_bwd_acc};
