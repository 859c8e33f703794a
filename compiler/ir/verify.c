// The invariants of every graph between passes. A violation is a bug of the compiler, so the result is one
// sentence for its developers.
//
// The checks run on a scratch copy of the tables, to which inference may append; the graph itself is not
// modified. They run in one sweep over the nodes (verify_node.c), each in a function that returns false after
// `xlm_graph_broken`.
#include <stdio.h>
#include <string.h>

#include "compiler/ir/verify_priv.h"
#include "runtime/base/philox.h"

bool xlm_graph_broken(verifier *v, const char *fmt, ...) {
  char buf[768];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(buf, sizeof buf, fmt, ap);
  va_end(ap);
  v->text = xlm_arena_strdup(v->arena, buf);
  return false;
}

static bool run_fits(int64_t offset, int64_t size, int64_t full) {
  return offset >= 0 && offset <= full && size <= full - offset;
}

static bool dim_is_sound(verifier *v, xlm_dim d) {
  const xlm_dim_info *i = &v->g->dims[d];
  if (!i->name || !*i->name) return xlm_graph_broken(v, "dim %u has no name", d);
  int64_t first = i->size - i->tail;
  if (i->size < 0 || i->tail < 0 || i->tail > i->size || !run_fits(i->offset, first, i->full))
    return xlm_graph_broken(v, "dim %.200s holds [%lld, %lld) of %lld", i->name, (long long)i->offset,
                            (long long)(i->offset + (first > 0 ? first : 0)), (long long)i->full);
  if (i->tail &&
      (!first || i->tail_offset <= i->offset + first || !run_fits(i->tail_offset, i->tail, i->full)))
    return xlm_graph_broken(v, "dim %.200s holds [%lld, %lld) and then %lld from %lld of %lld", i->name,
                            (long long)i->offset, (long long)(i->offset + first), (long long)i->tail,
                            (long long)i->tail_offset, (long long)i->full);
  if (i->mirrored & ~i->axes)
    return xlm_graph_broken(v, "dim %.200s is split from both ends over axes that do not split it", i->name);
  if (!i->axes && i->full != i->size && !i->ragged)
    return xlm_graph_broken(v, "dim %.200s is not split, but not whole", i->name);
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
        return xlm_graph_broken(v, "dims %u and %u are both %.200s", table[at], d, i->name);
    table[at] = d;
  }
  return true;
}

static bool list_is_sound(verifier *v, const char *what, const xlm_vals *l) {
  for (uint32_t i = 0; i < l->n; i++) {
    if (!l->at[i].val || l->at[i].val >= v->g->n_values)
      return xlm_graph_broken(v, "%s %u is %%%u, which does not exist", what, i + 1, l->at[i].val);
    if (xlm_graph_is_stale(v, l->at[i].val))
      return xlm_graph_broken(v, "%s %u is %%%u, which was updated in place", what, i + 1, l->at[i].val);
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
      return xlm_graph_broken(v, "update %%%u -> %%%u of what does not exist", u.state, u.val);
    if (!xlm_op_is_state(xlm_val_node(g, u.state)->op))
      return xlm_graph_broken(v, "update of %%%u, which is no state", u.state);
    if (trains && (u.val == u.state || chain_begin(g, u.val) != u.state))
      return xlm_graph_broken(v, "update %%%u -> %%%u does not begin at the state", u.state, u.val);
    if (trains && xlm_graph_is_stale(v, u.val))
      return xlm_graph_broken(v, "update %%%u -> %%%u is not the last", u.state, u.val);
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
    if (!known)
      return xlm_graph_broken(v, "the weight of %.200s names a dimension that does not exist", w->param);
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
        return xlm_graph_broken(v, "the graph is `%s`, but node %u (%s) is not",
                                xlm_property_name(visible[i].property), n, xlm_op_at(g->nodes[n].op)->name);
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
  if (!dims_are_sound(&v) || !xlm_graph_verify_nodes(&v)) return v.text;
  if (!list_is_sound(&v, "output", &g->outputs) || !list_is_sound(&v, "metric", &g->metrics)) return v.text;
  if (!list_is_sound(&v, "loss", &g->losses) || !updates_are_sound(&v) || !weights_are_sound(&v))
    return v.text;
  return properties_hold(&v) ? NULL : v.text;
}
