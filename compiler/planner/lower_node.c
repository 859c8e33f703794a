// A node becomes an instruction and its results tensors. Views have the memory of their operand; other
// results the memory of an operand that is not read again, or of the state to which they are assigned.
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/planner/lower_priv.h"
#include "runtime/plan/streams.h"

// ---- results ----

static xlm_category category_of_value(const xlm_lower_context *w, const xlm_node_info *n, xlm_val v) {
  if (xlm_op_facts_of(n->op)->converts_layout) return XLM_CATEGORY_COMM;
  bool backward = n->phase == XLM_PHASE_BWD || n->phase == XLM_PHASE_WGT;
  bool gradient = backward && w->last_use[v] < w->g->n_nodes && w->last_use[v] &&
                  xlm_phase_is_once(w->g->nodes[w->last_use[v]].phase);
  return gradient ? XLM_CATEGORY_GRADIENT : XLM_CATEGORY_ACTIVATION;
}

static bool same_storage(const xlm_type *a, const xlm_type *b) {
  return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

// A sum over the microbatches of a step, which starts again in the next step.
static bool is_summed_up(const xlm_lower_context *w, const xlm_node_info *n, uint32_t tensor) {
  return xlm_phase_is_once(n->phase) && w->l.tensors[tensor].category == XLM_CATEGORY_GRADIENT &&
         w->l.tensors[tensor].area == XLM_AREA_STATE;
}

// Result k of a program is summed while its operands are still being read.
static bool is_summed(const xlm_node_info *n, int k) {
  const xlm_attr *code = xlm_attr_find(&n->attrs, XLM_A_code);
  return code && k >= n->n_out - code->code->n_summed;
}

// The operand whose memory result k reuses; 0 = none. The operand must not be used afterwards, nor be read
// twice through views.
static uint32_t in_place_operand(xlm_lower_context *w, const xlm_node_info *n, xlm_node id, int k) {
  xlm_lowering *l = &w->l;
  const xlm_op *op = xlm_op_at(n->op);
  if (is_summed(n, k)) return 0;
  for (int i = 0; i < n->n_in && i < 32 && !l->options.wide; i++) { // reference kernels do not work in place
    if (!(op->in_place >> i & 1)) continue;
    uint32_t t = w->tensor[n->in[i]], r = xlm_lower_root(l, t);
    bool mine = l->life[r].placed ? l->life[r].program == w->program : is_summed_up(w, n, r);
    if (!mine || w->last_use[w->view_root[n->in[i]]] != id) continue;
    if (!same_storage(xlm_val_type(w->g, n->in[i]), xlm_val_type(w->g, n->out + (xlm_val)k))) continue;
    bool taken = false; // reused by an earlier result of this node, or read through another view
    for (int j = 0; j < k; j++) taken |= xlm_lower_root(l, w->tensor[n->out + (xlm_val)j]) == r;
    for (int j = 0; j < n->n_in; j++)
      taken |= j != i && n->in[j] != n->in[i] && xlm_lower_root(l, w->tensor[n->in[j]]) == r;
    if (!taken) return t;
  }
  return 0;
}

// The state to which result k of n is only assigned, if n can compute it there; 0 = none. An operand in the
// same memory must be the state itself, read element by element.
static uint32_t assigned_state(xlm_lower_context *w, const xlm_node_info *n, int k) {
  xlm_val v = n->out + (xlm_val)k;
  xlm_val s = w->assigned[v];
  if (!s) return 0;
  if (!w->tensor[s]) xlm_lower_state(w, xlm_val_node(w->g, s));
  uint32_t t = w->tensor[s], r = xlm_lower_root(&w->l, t);
  bool in_place =
      !w->l.options.wide && !is_summed(n, k) && same_storage(xlm_val_type(w->g, s), xlm_val_type(w->g, v));
  for (int j = 0; j < n->n_in; j++) {
    if (xlm_lower_root(&w->l, w->tensor[n->in[j]]) != r) continue;
    if (!in_place || n->in[j] != s || j >= 32 || !(xlm_op_at(n->op)->in_place >> j & 1)) return 0;
  }
  return t;
}

static bool is_in_its_state(const xlm_lower_context *w, const xlm_node_info *n) {
  int stored = xlm_op_facts_of(n->op)->stored;
  return stored &&
         xlm_lower_root(&w->l, w->tensor[n->in[stored - 1]]) == xlm_lower_root(&w->l, w->tensor[n->in[0]]);
}

static void lower_results(xlm_lower_context *w, const xlm_node_info *n, xlm_node id, uint32_t position) {
  const xlm_op *op = xlm_op_at(n->op);
  for (int k = 0; k < n->n_out; k++) {
    xlm_val v = n->out + (xlm_val)k;
    uint32_t shares = 0;
    if (k < op->n_alias && is_in_its_state(w, n)) // an assignment that is left out: what was made there
      shares = w->tensor[n->in[xlm_op_facts_of(n->op)->stored - 1]];
    else if (k < op->n_alias || (op->flags & XLM_OPF_VIEW))
      shares = w->tensor[n->in[k]];
    else if (!(shares = assigned_state(w, n, k)))
      shares = in_place_operand(w, n, id, k);
    xlm_tensor t = {.name = w->g->values[v].name,
                    .type = xlm_lower_type(w, &w->g->values[v].type),
                    .view_of = shares,
                    .area = XLM_AREA_TEMP,
                    .partial = w->g->values[v].partial,
                    .line = xlm_lower_line(w, n->span)};
    t.category = shares ? w->l.tensors[xlm_lower_root(&w->l, shares)].category : category_of_value(w, n, v);
    w->tensor[v] = xlm_lower_tensor(w, t, (xlm_lifetime){position, position, (uint8_t)w->program, !shares});
  }
}

// ---- the instruction ----

static void extend_life(xlm_lower_context *w, xlm_val v, uint32_t position) {
  xlm_lifetime *life = &w->l.life[xlm_lower_root(&w->l, w->tensor[v])];
  if (life->end < position) life->end = position;
}

static const uint32_t *tensor_list(xlm_lower_context *w, const xlm_val *vals, xlm_val first, int n) {
  uint32_t *list = XLM_NEW_N(w->l.arena, uint32_t, n);
  for (int i = 0; i < n; i++) list[i] = w->tensor[vals ? vals[i] : first + (xlm_val)i];
  return list;
}

static xlm_status ask(const xlm_lowering *l, const xlm_instr *in, xlm_kernel_choice *out, xlm_error *err) {
  const xlm_backend_info *b = l->options.backend;
  xlm_planned p = b->plan(in, l->tensors, l->dims, l->options.mesh, &l->options.target, out);
  if (p == XLM_NO_MEMORY) return xlm_fail(err, XLM_ENV, "no memory to plan `%s`", xlm_op_name(in->op));
  if (p == XLM_NO_KERNEL)
    return xlm_fail(err, XLM_USER, "the %s backend has no kernel for `%s`", b->name, xlm_op_name(in->op));
  return XLM_OK;
}

// The overwriting and the adding form of a sum share one workspace.
xlm_status xlm_lower_choose(const xlm_lowering *l, xlm_instr *in, bool sums, xlm_error *err) {
  xlm_kernel_choice choice, of_store = {0};
  XLM_TRY(ask(l, in, &choice, err));
  if (sums) {
    xlm_instr store = xlm_lower_stored(l, *in);
    XLM_TRY(ask(l, &store, &of_store, err));
  }
  in->variant = choice.variant;
  in->workspace = choice.workspace > of_store.workspace ? choice.workspace : of_store.workspace;
  return XLM_OK;
}

static xlm_status lower_kernel(xlm_lower_context *w, xlm_node id, xlm_error *err) {
  xlm_lowering *l = &w->l;
  const xlm_node_info *n = &w->g->nodes[id];
  xlm_cost cost;
  xlm_op_cost(w->g, id, &cost);
  xlm_instr in = {.op = n->op,
                  .stream = xlm_stream_of(n->op),
                  .n_in = n->n_in,
                  .n_out = n->n_out,
                  .in = tensor_list(w, n->in, 0, n->n_in),
                  .out = tensor_list(w, NULL, n->out, n->n_out),
                  .attrs = xlm_lower_attrs(w, &n->attrs),
                  .flops = cost.flops,
                  .model_flops = cost.model_flops,
                  .bytes = cost.bytes,
                  .line = xlm_lower_line(w, n->span),
                  .scope = n->scope};
  bool sums = xlm_op_facts_of(n->op)->sums && xlm_op_is_leaf(xlm_val_node(w->g, n->in[0])->op);
  XLM_TRY(xlm_lower_choose(l, &in, sums, err));
  XLM_PUSH(l->scratch, l->instrs, l->n_instrs, l->cap_instrs, in);
  XLM_PUSH(l->scratch, l->once, l->n_once, l->cap_once, n->phase == XLM_PHASE_LAST);
  XLM_PUSH(l->scratch, l->sums, l->n_sums, l->cap_sums, sums);
  XLM_PUSH(l->scratch, l->scratch_end, l->n_scratch, l->cap_scratch, l->n_instrs - 1 - w->first_instr);
  return XLM_OK;
}

xlm_status xlm_lower_node(xlm_lower_context *w, xlm_node id, xlm_error *err) {
  const xlm_node_info *n = &w->g->nodes[id];
  const xlm_op *op = xlm_op_at(n->op);
  uint32_t position = w->l.n_instrs - w->first_instr;
  w->at = n->span;
  xlm_lower_leaves(w, n);
  lower_results(w, n, id, position);
  if ((op->flags & XLM_OPF_VIEW) || is_in_its_state(w, n)) return XLM_OK;
  for (int i = 0; i < n->n_in; i++) extend_life(w, n->in[i], position);
  for (int i = 0; i < n->n_out; i++) extend_life(w, n->out + (xlm_val)i, position);
  return lower_kernel(w, id, err);
}
