// The invariants of nodes: operands and results, attributes, types that follow from inference, phases, and
// memory that is updated in place.
#include <string.h>

#include "compiler/ir/verify_priv.h"

static const char *node_text(verifier *v, xlm_node n) {
  const xlm_node_info *node = &v->g->nodes[n];
  return xlm_arena_printf(v->arena, "node %u (%%%u = %.64s%s%.200s)", n, node->out, xlm_op_at(node->op)->name,
                          *node->scope ? " in " : "", node->scope);
}

static const char *type_text(verifier *v, const xlm_type *t) {
  xlm_text s = xlm_text_new(v->arena);
  xlm_text_printf(&s, "%s[", xlm_dtype_name(t->dtype));
  for (int i = 0; i < t->rank; i++)
    xlm_text_printf(&s, "%s%.64s", i ? ", " : "", v->scratch.dims[t->dim[i]].name);
  xlm_text_add(&s, "]");
  return s.data;
}

static bool same_type(const xlm_type *a, const xlm_type *b) {
  return a->dtype == b->dtype && a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim);
}

static bool operands_are_defined(verifier *v, xlm_node n) {
  const xlm_node_info *node = &v->g->nodes[n];
  const xlm_op *op = xlm_op_at(node->op);
  for (int i = 0; i < node->n_in; i++)
    if (node->in[i] == 0 || node->in[i] >= v->defined)
      return xlm_graph_broken(v, "%s reads %%%u, which is not defined before it", node_text(v, n),
                              node->in[i]);
  int offsets = (op->flags & XLM_OPF_OFFSETS) != 0;
  if (node->n_in < op->min_in || (op->max_in >= 0 && node->n_in > op->max_in + offsets))
    return xlm_graph_broken(v, "%s has %d operands", node_text(v, n), node->n_in);
  if (node->n_out > op->n_out || node->n_out < op->n_alias)
    return xlm_graph_broken(v, "%s has %d results", node_text(v, n), node->n_out);
  return true;
}

static bool type_is_sound(verifier *v, xlm_val val) {
  const xlm_type *t = &v->g->values[val].type;
  if ((unsigned)t->dtype >= XLM_DTYPE_COUNT || t->rank > XLM_MAX_RANK)
    return xlm_graph_broken(v, "%%%u has no type", val);
  bool ragged = false;
  for (int i = 0; i < t->rank; i++) {
    if (!t->dim[i] || t->dim[i] >= v->g->n_dims)
      return xlm_graph_broken(v, "dimension %d of %%%u does not exist", i, val);
    for (int j = 0; j < i; j++)
      if (t->dim[j] == t->dim[i])
        return xlm_graph_broken(v, "%%%u has the dimension %.200s twice", val, v->g->dims[t->dim[i]].name);
    ragged |= v->g->dims[t->dim[i]].ragged;
  }
  xlm_val by = v->g->values[val].ragged_by;
  if (ragged != (by != 0))
    return xlm_graph_broken(v, "%%%u is %s", val,
                            ragged ? "ragged without offsets" : "not ragged but has offsets");
  return true;
}

// Offsets may be a later result of the same node (dispatch), so this runs after all its results are defined.
static bool offsets_are_sound(verifier *v, xlm_val val) {
  xlm_val by = v->g->values[val].ragged_by;
  if (!by) return true;
  if (by >= v->defined) return xlm_graph_broken(v, "%%%u is ragged by %%%u, which comes later", val, by);
  const xlm_type *t = &v->g->values[by].type;
  if (t->dtype != XLM_I32 || t->rank != 1)
    return xlm_graph_broken(v, "%%%u is ragged by %%%u, which is %s", val, by, type_text(v, t));
  return true;
}

static bool results_are_sound(verifier *v, xlm_node n) {
  const xlm_node_info *node = &v->g->nodes[n];
  if (node->n_out && (node->out != v->defined || node->out + node->n_out > v->g->n_values))
    return xlm_graph_broken(v, "node %u should define %%%u next, not %%%u", n, v->defined, node->out);
  for (xlm_val val = node->out; val < node->out + node->n_out; val++) {
    if (v->g->values[val].def != n)
      return xlm_graph_broken(v, "%%%u does not know that node %u defines it", val, n);
    if (!type_is_sound(v, val)) return false;
  }
  v->defined += node->n_out;
  for (xlm_val val = node->out; val < node->out + node->n_out; val++)
    if (!offsets_are_sound(v, val)) return false;
  return true;
}

static bool attrs_are_sound(verifier *v, xlm_node n) {
  const xlm_node_info *node = &v->g->nodes[n];
  xlm_val out[XLM_CODE_MAX_OUT];
  for (int i = 0; i < node->n_out && i < XLM_CODE_MAX_OUT; i++) out[i] = node->out + (xlm_val)i;
  const char *wrong = xlm_op_attrs_wrong(xlm_op_at(node->op), v->g, &node->attrs, node->n_in, node->in,
                                         node->n_out, out, v->arena);
  return !wrong || xlm_graph_broken(v, "%s: %s", node_text(v, n), wrong);
}

// Inference is pure: on the stored operands and attributes it must yield the stored types. This holds for
// partitioned graphs too, with local types and partial values.
static bool types_infer(verifier *v, xlm_node n) {
  const xlm_node_info *node = &v->g->nodes[n];
  const xlm_op *op = xlm_op_at(node->op);
  if (!op->infer) return true;
  xlm_infer x = {.g = &v->scratch,
                 .op = op,
                 .n_in = node->n_in,
                 .in = node->in,
                 .attrs = node->attrs,
                 .n_out = op->n_out,
                 .fault_operand = -1};
  if (!op->infer(&x))
    return xlm_graph_broken(v, "%s: %.300s", node_text(v, n), x.fault_text ? x.fault_text : "refused");
  int other = xlm_attrs_differ(&node->attrs, &x.attrs);
  if (other >= 0)
    return xlm_graph_broken(v, "%s: the attribute `%s` does not follow from its operands", node_text(v, n),
                            xlm_attr_name((xlm_attr_key)other));
  if (x.n_out != node->n_out)
    return xlm_graph_broken(v, "%s should have %d results", node_text(v, n), x.n_out);
  for (int i = 0; i < node->n_out; i++) {
    const xlm_type *t = &v->g->values[node->out + (xlm_val)i].type;
    if (!same_type(t, &x.out[i]))
      return xlm_graph_broken(v, "%s: %%%u is %s but should be %s", node_text(v, n), node->out + (xlm_val)i,
                              type_text(v, t), type_text(v, &x.out[i]));
  }
  return true;
}

static bool is_leaf(verifier *v, xlm_val val) {
  return xlm_op_is_leaf(xlm_val_node(v->g, val)->op);
}

// The phases a node may read from: [reader] = set of phases. Weight gradients are read only by
// weight-gradient nodes of the same microbatch, because schedules move them.
static const unsigned phase_reads[XLM_PHASES] = {
    [XLM_PHASE_PROLOGUE] = 1 << XLM_PHASE_PROLOGUE,
    [XLM_PHASE_FWD] = 1 << XLM_PHASE_PROLOGUE | 1 << XLM_PHASE_FWD,
    [XLM_PHASE_BWD] = 1 << XLM_PHASE_PROLOGUE | 1 << XLM_PHASE_FWD | 1 << XLM_PHASE_BWD,
    [XLM_PHASE_WGT] = 1 << XLM_PHASE_PROLOGUE | 1 << XLM_PHASE_FWD | 1 << XLM_PHASE_BWD | 1 << XLM_PHASE_WGT,
    [XLM_PHASE_LAST] = 1 << XLM_PHASE_BWD | 1 << XLM_PHASE_WGT | 1 << XLM_PHASE_LAST,
    [XLM_PHASE_STEP] = (1 << XLM_PHASES) - 1,
};
static const int phase_order[XLM_PHASES] = {
    [XLM_PHASE_PROLOGUE] = 0, [XLM_PHASE_FWD] = 1,  [XLM_PHASE_BWD] = 2,
    [XLM_PHASE_WGT] = 2,      [XLM_PHASE_LAST] = 2, [XLM_PHASE_STEP] = 3};

static bool phases_agree(verifier *v, xlm_node n, int *latest) {
  const xlm_node_info *node = &v->g->nodes[n];
  if (xlm_op_is_leaf(node->op)) return true;
  if (phase_order[node->phase] < *latest)
    return xlm_graph_broken(v, "%s is %s but comes after a later phase", node_text(v, n),
                            xlm_phase_name(node->phase));
  *latest = phase_order[node->phase];
  for (int i = 0; i < node->n_in; i++) {
    xlm_phase of = xlm_val_node(v->g, node->in[i])->phase;
    if (!is_leaf(v, node->in[i]) && !(phase_reads[node->phase] >> of & 1))
      return xlm_graph_broken(v, "%s is %s and reads %%%u, which is %s", node_text(v, n),
                              xlm_phase_name(node->phase), node->in[i], xlm_phase_name(of));
  }
  return true;
}

bool xlm_graph_is_stale(verifier *v, xlm_val val) {
  return v->gone[v->memory[val]] != 0;
}

static bool memory_is_current(verifier *v, xlm_node n) {
  const xlm_node_info *node = &v->g->nodes[n];
  const xlm_op *op = xlm_op_at(node->op);
  for (int i = 0; i < node->n_in; i++)
    if (xlm_graph_is_stale(v, node->in[i]))
      return xlm_graph_broken(v, "%s reads %%%u, which node %u has updated in place", node_text(v, n),
                              node->in[i], v->gone[v->memory[node->in[i]]]);
  for (int i = 0; i < node->n_out; i++) v->memory[node->out + (xlm_val)i] = node->out + (xlm_val)i;
  if (op->flags & XLM_OPF_VIEW) v->memory[node->out] = v->memory[node->in[0]];
  for (int i = 0; i < op->n_alias; i++) {
    xlm_val out = node->out + (xlm_val)i;
    if (!same_type(xlm_val_type(v->g, out), xlm_val_type(v->g, node->in[i])))
      return xlm_graph_broken(v, "%s: %%%u takes the place of %%%u but has another type", node_text(v, n),
                              out, node->in[i]);
    v->gone[v->memory[node->in[i]]] = n;
  }
  return true;
}

// An in-place update must begin at a state: at a `state` or `param`, at another in-place update, or at a
// rank's own copy of a piece of one (`local_slice`). A sum may begin at its first addend, if that could also
// be added to one.
static bool alias_begins_at_state(verifier *v, xlm_node n) {
  const xlm_node_info *node = &v->g->nodes[n];
  for (int i = 0; i < xlm_op_at(node->op)->n_alias; i++) {
    const xlm_node_info *def = xlm_val_node(v->g, node->in[i]);
    const xlm_op_facts *f = xlm_op_facts_of(def->op);
    bool state = xlm_op_is_state(def->op) || (f->converts_layout && !f->comm);
    bool updated = node->in[i] - def->out < (xlm_val)xlm_op_at(def->op)->n_alias;
    bool first_of_sum = f->accumulating;
    if (!state && !updated && !first_of_sum)
      return xlm_graph_broken(v, "%s updates %%%u, which is no state", node_text(v, n), node->in[i]);
  }
  return true;
}

bool xlm_graph_verify_nodes(verifier *v) {
  int latest = 0;
  for (xlm_node n = 1; n < v->g->n_nodes; n++) {
    const xlm_node_info *node = &v->g->nodes[n];
    if (node->op <= XLM_OP_NONE || node->op >= XLM_OP_COUNT)
      return xlm_graph_broken(v, "node %u has no op", n);
    if ((unsigned)node->phase >= XLM_PHASES || !node->scope)
      return xlm_graph_broken(v, "node %u has no phase or scope", n);
    if (!operands_are_defined(v, n) || !results_are_sound(v, n) || !attrs_are_sound(v, n) ||
        !phases_agree(v, n, &latest))
      return false;
    if (!types_infer(v, n) || !memory_is_current(v, n) || !alias_begins_at_state(v, n)) return false;
  }
  if (v->defined != v->g->n_values) return xlm_graph_broken(v, "%%%u has no node", v->defined);
  return true;
}
