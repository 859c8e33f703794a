// The invariants of every graph between passes. A violation is a bug of the compiler, so the result is one
// sentence for its developers.
//
// The checks run on a scratch copy of the tables, to which inference may append; the graph itself is not
// modified. They run in one sweep over the nodes, each in a function that returns false after `broken`.
#include <stdio.h>
#include <string.h>

#include "compiler/ir/op.h"
#include "runtime/base/philox.h"
#include "runtime/base/text.h"
#include "runtime/plan/code.h"

typedef struct verifier {
  const xlm_graph *g;
  xlm_arena *arena;
  xlm_graph scratch; // the copy that inference runs on
  xlm_val defined;   // values below are defined
  xlm_val *memory;   // the value whose memory this value uses (views); itself otherwise
  xlm_node *gone;    // by memory: the node that updated it in place
  const char *text;  // the result
} verifier;

static bool broken(verifier *v, const char *fmt, ...) XLM_PRINTF(2, 3);
static bool broken(verifier *v, const char *fmt, ...) {
  char buf[768];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(buf, sizeof buf, fmt, ap);
  va_end(ap);
  v->text = xlm_arena_strdup(v->arena, buf);
  return false;
}

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

static bool run_fits(int64_t offset, int64_t size, int64_t full) {
  return offset >= 0 && offset <= full && size <= full - offset;
}

static bool dim_is_sound(verifier *v, xlm_dim d) {
  const xlm_dim_info *i = &v->g->dims[d];
  if (!i->name || !*i->name) return broken(v, "dim %u has no name", d);
  int64_t first = i->size - i->tail;
  if (i->size < 0 || i->tail < 0 || i->tail > i->size || !run_fits(i->offset, first, i->full))
    return broken(v, "dim %.200s holds [%lld, %lld) of %lld", i->name, (long long)i->offset,
                  (long long)(i->offset + (first > 0 ? first : 0)), (long long)i->full);
  if (i->tail &&
      (!first || i->tail_offset <= i->offset + first || !run_fits(i->tail_offset, i->tail, i->full)))
    return broken(v, "dim %.200s holds [%lld, %lld) and then %lld from %lld of %lld", i->name,
                  (long long)i->offset, (long long)(i->offset + first), (long long)i->tail,
                  (long long)i->tail_offset, (long long)i->full);
  if (i->mirrored & ~i->axes)
    return broken(v, "dim %.200s is split from both ends over axes that do not split it", i->name);
  if (!i->axes && i->full != i->size && !i->ragged)
    return broken(v, "dim %.200s is not split, but not whole", i->name);
  return true;
}

static bool dims_are_sound(verifier *v) {
  const xlm_graph *g = v->g;
  uint32_t n_buckets = 16;
  while (n_buckets < 2 * g->n_dims) n_buckets *= 2;
  xlm_dim *table = XLM_NEW_N(v->arena, xlm_dim, n_buckets);
  for (xlm_dim d = 1; d < g->n_dims; d++) {
    if (!dim_is_sound(v, d)) return false;
    const xlm_dim_info *i = &g->dims[d];
    uint32_t at = (uint32_t)xlm_hash_mix(xlm_hash_text(i->name) + i->axes) & (n_buckets - 1);
    for (; table[at]; at = (at + 1) & (n_buckets - 1))
      if (g->dims[table[at]].axes == i->axes && !strcmp(g->dims[table[at]].name, i->name))
        return broken(v, "dims %u and %u are both %.200s", table[at], d, i->name);
    table[at] = d;
  }
  return true;
}

static bool operands_are_defined(verifier *v, xlm_node n) {
  const xlm_node_info *node = &v->g->nodes[n];
  const xlm_op *op = xlm_op_at(node->op);
  for (int i = 0; i < node->n_in; i++)
    if (node->in[i] == 0 || node->in[i] >= v->defined)
      return broken(v, "%s reads %%%u, which is not defined before it", node_text(v, n), node->in[i]);
  int offsets = (op->flags & XLM_OPF_OFFSETS) != 0;
  if (node->n_in < op->min_in || (op->max_in >= 0 && node->n_in > op->max_in + offsets))
    return broken(v, "%s has %d operands", node_text(v, n), node->n_in);
  if (node->n_out > op->n_out || node->n_out < op->n_alias)
    return broken(v, "%s has %d results", node_text(v, n), node->n_out);
  return true;
}

static bool type_is_sound(verifier *v, xlm_val val) {
  const xlm_type *t = &v->g->values[val].type;
  if ((unsigned)t->dtype >= XLM_DTYPE_COUNT || t->rank > XLM_MAX_RANK)
    return broken(v, "%%%u has no type", val);
  bool ragged = false;
  for (int i = 0; i < t->rank; i++) {
    if (!t->dim[i] || t->dim[i] >= v->g->n_dims)
      return broken(v, "dimension %d of %%%u does not exist", i, val);
    for (int j = 0; j < i; j++)
      if (t->dim[j] == t->dim[i])
        return broken(v, "%%%u has the dimension %.200s twice", val, v->g->dims[t->dim[i]].name);
    ragged |= v->g->dims[t->dim[i]].ragged;
  }
  xlm_val by = v->g->values[val].ragged_by;
  if (ragged != (by != 0))
    return broken(v, "%%%u is %s", val, ragged ? "ragged without offsets" : "not ragged but has offsets");
  return true;
}

// Offsets may be a later result of the same node (dispatch), so this runs after all its results are defined.
static bool offsets_are_sound(verifier *v, xlm_val val) {
  xlm_val by = v->g->values[val].ragged_by;
  if (!by) return true;
  if (by >= v->defined) return broken(v, "%%%u is ragged by %%%u, which comes later", val, by);
  const xlm_type *t = &v->g->values[by].type;
  if (t->dtype != XLM_I32 || t->rank != 1)
    return broken(v, "%%%u is ragged by %%%u, which is %s", val, by, type_text(v, t));
  return true;
}

static bool results_are_sound(verifier *v, xlm_node n) {
  const xlm_node_info *node = &v->g->nodes[n];
  if (node->n_out && (node->out != v->defined || node->out + node->n_out > v->g->n_values))
    return broken(v, "node %u should define %%%u next, not %%%u", n, v->defined, node->out);
  for (xlm_val val = node->out; val < node->out + node->n_out; val++) {
    if (v->g->values[val].def != n) return broken(v, "%%%u does not know that node %u defines it", val, n);
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
  return !wrong || broken(v, "%s: %s", node_text(v, n), wrong);
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
    return broken(v, "%s: %.300s", node_text(v, n), x.fault_text ? x.fault_text : "refused");
  int other = xlm_attrs_differ(&node->attrs, &x.attrs);
  if (other >= 0)
    return broken(v, "%s: the attribute `%s` does not follow from its operands", node_text(v, n),
                  xlm_attr_name((xlm_attr_key)other));
  if (x.n_out != node->n_out) return broken(v, "%s should have %d results", node_text(v, n), x.n_out);
  for (int i = 0; i < node->n_out; i++) {
    const xlm_type *t = &v->g->values[node->out + (xlm_val)i].type;
    if (!same_type(t, &x.out[i]))
      return broken(v, "%s: %%%u is %s but should be %s", node_text(v, n), node->out + (xlm_val)i,
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
    [XLM_PHASE_WGT] =
        1 << XLM_PHASE_PROLOGUE | 1 << XLM_PHASE_FWD | 1 << XLM_PHASE_BWD | 1 << XLM_PHASE_WGT,
    [XLM_PHASE_LAST] = 1 << XLM_PHASE_BWD | 1 << XLM_PHASE_WGT | 1 << XLM_PHASE_LAST,
    [XLM_PHASE_STEP] = (1 << XLM_PHASES) - 1,
};
static const int phase_order[XLM_PHASES] = {[XLM_PHASE_PROLOGUE] = 0, [XLM_PHASE_FWD] = 1,
                                            [XLM_PHASE_BWD] = 2,      [XLM_PHASE_WGT] = 2,
                                            [XLM_PHASE_LAST] = 2,     [XLM_PHASE_STEP] = 3};

static bool phases_agree(verifier *v, xlm_node n, int *latest) {
  const xlm_node_info *node = &v->g->nodes[n];
  if (xlm_op_is_leaf(node->op)) return true;
  if (phase_order[node->phase] < *latest)
    return broken(v, "%s is %s but comes after a later phase", node_text(v, n),
                  xlm_phase_name(node->phase));
  *latest = phase_order[node->phase];
  for (int i = 0; i < node->n_in; i++) {
    xlm_phase of = xlm_val_node(v->g, node->in[i])->phase;
    if (!is_leaf(v, node->in[i]) && !(phase_reads[node->phase] >> of & 1))
      return broken(v, "%s is %s and reads %%%u, which is %s", node_text(v, n), xlm_phase_name(node->phase),
                    node->in[i], xlm_phase_name(of));
  }
  return true;
}

static bool is_stale(verifier *v, xlm_val val) {
  return v->gone[v->memory[val]] != 0;
}

static bool memory_is_current(verifier *v, xlm_node n) {
  const xlm_node_info *node = &v->g->nodes[n];
  const xlm_op *op = xlm_op_at(node->op);
  for (int i = 0; i < node->n_in; i++)
    if (is_stale(v, node->in[i]))
      return broken(v, "%s reads %%%u, which node %u has updated in place", node_text(v, n), node->in[i],
                    v->gone[v->memory[node->in[i]]]);
  for (int i = 0; i < node->n_out; i++) v->memory[node->out + (xlm_val)i] = node->out + (xlm_val)i;
  if (op->flags & XLM_OPF_VIEW) v->memory[node->out] = v->memory[node->in[0]];
  for (int i = 0; i < op->n_alias; i++) {
    xlm_val out = node->out + (xlm_val)i;
    if (!same_type(xlm_val_type(v->g, out), xlm_val_type(v->g, node->in[i])))
      return broken(v, "%s: %%%u takes the place of %%%u but has another type", node_text(v, n), out,
                    node->in[i]);
    v->gone[v->memory[node->in[i]]] = n;
  }
  return true;
}

// An in-place update must begin at a state: at a `state` or `param`, at another in-place update, or at a
// rank's own copy of a piece of one (`local_slice`). A sum may begin at its first addend, if that could also be
// added to one.
static bool alias_begins_at_state(verifier *v, xlm_node n) {
  const xlm_node_info *node = &v->g->nodes[n];
  for (int i = 0; i < xlm_op_at(node->op)->n_alias; i++) {
    const xlm_node_info *def = xlm_val_node(v->g, node->in[i]);
    const xlm_op_facts *f = xlm_op_facts_of(def->op);
    bool state = xlm_op_is_state(def->op) || (f->converts_layout && !f->comm);
    bool updated = node->in[i] - def->out < (xlm_val)xlm_op_at(def->op)->n_alias;
    bool first_of_sum = f->accumulating;
    if (!state && !updated && !first_of_sum)
      return broken(v, "%s updates %%%u, which is no state", node_text(v, n), node->in[i]);
  }
  return true;
}

static bool nodes_are_sound(verifier *v) {
  int latest = 0;
  for (xlm_node n = 1; n < v->g->n_nodes; n++) {
    const xlm_node_info *node = &v->g->nodes[n];
    if (node->op <= XLM_OP_NONE || node->op >= XLM_OP_COUNT) return broken(v, "node %u has no op", n);
    if ((unsigned)node->phase >= XLM_PHASES || !node->scope)
      return broken(v, "node %u has no phase or scope", n);
    if (!operands_are_defined(v, n) || !results_are_sound(v, n) || !attrs_are_sound(v, n) ||
        !phases_agree(v, n, &latest))
      return false;
    if (!types_infer(v, n) || !memory_is_current(v, n) || !alias_begins_at_state(v, n)) return false;
  }
  if (v->defined != v->g->n_values) return broken(v, "%%%u has no node", v->defined);
  return true;
}

static bool list_is_sound(verifier *v, const char *what, const xlm_vals *l) {
  for (uint32_t i = 0; i < l->n; i++) {
    if (!l->at[i].val || l->at[i].val >= v->g->n_values)
      return broken(v, "%s %u is %%%u, which does not exist", what, i + 1, l->at[i].val);
    if (is_stale(v, l->at[i].val))
      return broken(v, "%s %u is %%%u, which was updated in place", what, i + 1, l->at[i].val);
  }
  return true;
}

// The state at the start of val's chain of in-place updates; 0 when val is not the end of one.
static xlm_val chain_begin(const xlm_graph *g, xlm_val val) {
  for (;;) {
    const xlm_node_info *def = xlm_val_node(g, val);
    xlm_val i = val - def->out;
    if (i >= (xlm_val)xlm_op_at(def->op)->n_alias) return val;
    val = def->in[i];
  }
}

// A model graph (forward only) lists the new value of a state; differentiate turns it into in-place updates.
static bool updates_are_sound(verifier *v) {
  const xlm_graph *g = v->g;
  bool trains = false;
  for (xlm_node n = 1; n < g->n_nodes; n++) {
    xlm_phase p = g->nodes[n].phase;
    trains |= p != XLM_PHASE_FWD && p != XLM_PHASE_PROLOGUE;
  }
  for (uint32_t i = 0; i < g->n_updates; i++) {
    xlm_update u = g->updates[i];
    if (!u.state || !u.val || u.state >= g->n_values || u.val >= g->n_values)
      return broken(v, "update %%%u -> %%%u of what does not exist", u.state, u.val);
    if (!xlm_op_is_state(xlm_val_node(g, u.state)->op))
      return broken(v, "update of %%%u, which is no state", u.state);
    if (trains && (u.val == u.state || chain_begin(g, u.val) != u.state))
      return broken(v, "update %%%u -> %%%u does not begin at the state", u.state, u.val);
    if (trains && is_stale(v, u.val)) return broken(v, "update %%%u -> %%%u is not the last", u.state, u.val);
  }
  return true;
}

static bool weights_are_sound(verifier *v) {
  const xlm_graph *g = v->g;
  for (uint32_t i = 0; i < g->n_weights; i++) {
    const xlm_plan_weight *w = &g->weights[i];
    bool known = w->each < g->n_dims && w->n_groups <= XLM_MAX_RANK;
    for (int j = 0; known && j < w->n_factors; j++)
      known &= w->factors[j].dim < g->n_dims && w->factors[j].group < w->n_groups;
    if (!known) return broken(v, "the weight of %.200s names a dimension that does not exist", w->param);
  }
  return true;
}

// ---- properties that can be checked on the nodes ----

static bool is_fused(const xlm_node_info *n) {
  return !(xlm_op_at(n->op)->flags & XLM_OPF_ELEMENTWISE);
}

static bool is_staged(const xlm_node_info *n) {
  return n->stage >= 0 || xlm_op_is_leaf(n->op);
}

static const struct {
  xlm_property_id property;
  bool (*holds)(const xlm_node_info *); // for every node
} visible[] = {{XLM_IS_FUSED, is_fused}, {XLM_IS_STAGED, is_staged}};

static bool properties_hold(verifier *v) {
  const xlm_graph *g = v->g;
  for (size_t i = 0; i < sizeof visible / sizeof *visible; i++)
    for (xlm_node n = 1; g->properties >> visible[i].property & 1 && n < g->n_nodes; n++)
      if (!visible[i].holds(&g->nodes[n]))
        return broken(v, "the graph is `%s`, but node %u (%s) is not", xlm_property_name(visible[i].property), n,
                      xlm_op_at(g->nodes[n].op)->name);
  return true;
}

// Inference may create dims, and allocates faults and attributes in the graph's arena.
static void copy_for_inference(verifier *v) {
  v->scratch = *v->g;
  v->scratch.arena = v->scratch.tables = v->arena;
  v->scratch.cap_dims = v->g->n_dims + 8;
  v->scratch.dims =
      xlm_arena_grow(v->arena, v->g->dims, v->g->n_dims, v->scratch.cap_dims, sizeof *v->g->dims);
}

const char *xlm_graph_verify(const xlm_graph *g, xlm_arena *a) {
  verifier v = {.g = g, .arena = a, .defined = 1};
  v.memory = XLM_NEW_N(a, xlm_val, g->n_values);
  v.gone = XLM_NEW_N(a, xlm_node, g->n_values);
  copy_for_inference(&v);
  if (!dims_are_sound(&v) || !nodes_are_sound(&v)) return v.text;
  if (!list_is_sound(&v, "output", &g->outputs) || !list_is_sound(&v, "metric", &g->metrics)) return v.text;
  if (!list_is_sound(&v, "loss", &g->losses) || !updates_are_sound(&v) || !weights_are_sound(&v))
    return v.text;
  return properties_hold(&v) ? NULL : v.text;
}
