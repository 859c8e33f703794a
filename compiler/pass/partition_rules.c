// Partition and the shard rules: which axes they assign to each dimension, the size constraints that follow,
// and every value's layout by the names of its dimensions.
//
// canon[v]: an unconditional rule applies wherever the dimension occurs, unless the dimension was introduced
// unsplit (`over none` at a parameter) and no operand has it split. A `where free` rule uses the axes that no
// other dimension of the tensor uses.
#include <string.h>

#include "compiler/pass/partition_priv.h"

static const xlm_type *type_of(const xlm_partitioning *p, xlm_val v) {
  return xlm_val_type(p->g, v);
}

static bool fail(xlm_partitioning *p, bool conflict, xlm_span span, const char *text, const char *help) {
  if (!p->fault->text) *p->fault = (xlm_partition_fault){conflict, text, help, span, {0, 0}};
  return false;
}

// ---- rules by name ----

static uint32_t axes_of_rule(const xlm_partitioning *p, const xlm_shard_rule *r) {
  uint32_t axes = 0;
  for (int i = 0; i < r->n_axes; i++) {
    int a = xlm_mesh_axis(&p->o.mesh, r->axis[i]);
    if (a >= 0 && p->o.mesh.size[a] > 1) axes |= 1u << a;
  }
  return axes;
}

static void read_axes(xlm_partitioning *p) {
  const xlm_graph *g = p->g;
  p->rule = XLM_NEW_N(p->a, uint32_t, g->n_dims);
  p->rule_text = XLM_NEW_N(p->a, const xlm_shard_rule *, g->n_dims);
  p->free_rule = XLM_NEW_N(p->a, bool, g->n_dims);
  p->grain = XLM_NEW_N(p->a, int64_t, g->n_dims);
  for (xlm_dim d = 1; d < g->n_dims; d++) {
    p->grain[d] = 1;
    for (uint32_t i = 0; i < g->n_rules; i++) {
      if (strcmp(g->rules[i].dim, g->dims[d].name)) continue;
      p->rule[d] = axes_of_rule(p, &g->rules[i]);
      p->rule_text[d] = &g->rules[i];
      p->free_rule[d] = g->rules[i].where_free;
    }
  }
}

// Grouped attention: query heads are split in whole groups, one per key/value head.
static bool read_grains(xlm_partitioning *p) {
  for (xlm_node n = 1; n < p->g->n_nodes; n++) {
    xlm_dim heads[XLM_MAX_RANK], kv[XLM_MAX_RANK];
    const xlm_attrs *as = &p->g->nodes[n].attrs;
    if (!xlm_attr_dims(as, XLM_A_heads, heads) || !xlm_attr_dims(as, XLM_A_kv_heads, kv) || heads[0] == kv[0])
      continue;
    int64_t q = p->g->dims[heads[0]].full, k = p->g->dims[kv[0]].full;
    if (p->rule[heads[0]] == p->rule[kv[0]])
      p->grain[heads[0]] = q / k;
    else if (p->rule[heads[0]] || p->rule[kv[0]])
      return fail(p, false, p->g->nodes[n].span,
                  xlm_arena_printf(p->a, "`%s` and `%s` of one attention must be split over the same axes",
                                   p->g->dims[heads[0]].name, p->g->dims[kv[0]].name),
                  "write both in one rule: `shard heads, kv_heads over tp`");
  }
  return true;
}

static const char *sizes_that_work(const xlm_partitioning *p, int64_t units, bool exact) {
  xlm_text t = xlm_text_new(p->a);
  int listed = 0;
  for (int64_t n = 1; n <= units && listed < 12; n++)
    if (!exact || units % n == 0) xlm_text_printf(&t, "%s%lld", listed++ ? ", " : "", (long long)n);
  return t.data;
}

// Every split dimension needs at least one unit per rank; the batch must divide evenly.
static bool check_sizes(xlm_partitioning *p) {
  for (xlm_dim d = 1; d < p->g->n_dims; d++) {
    const xlm_dim_info *info = &p->g->dims[d];
    int64_t parts = xlm_mesh_group(&p->o.mesh, p->rule[d]), units = info->full / p->grain[d];
    if (!p->rule[d] || info->ragged) continue;
    bool even = !strcmp(info->name, "batch");
    if (units >= parts && !(even && units % parts)) continue;
    return fail(p, false, p->rule_text[d]->span,
                xlm_arena_printf(p->a, "`%s` has %lld%s and cannot be split over %lld ranks", info->name,
                                 (long long)units, p->grain[d] > 1 ? " groups" : "", (long long)parts),
                xlm_arena_printf(p->a, "sizes that work: %s", sizes_that_work(p, units, even)));
  }
  return true;
}

// ---- canonical layouts ----

// `over` at a parameter's dimension.
static bool override_of(const xlm_partitioning *p, const xlm_node_info *n, xlm_dim d, uint32_t *axes) {
  const xlm_override *s = xlm_override_of(&n->attrs, p->g->dims[d].name);
  if (!s) return false;
  *axes = 0;
  for (int i = 0; i < s->n_axes; i++) {
    int a = xlm_mesh_axis(&p->o.mesh, s->axis[i]);
    if (a >= 0 && p->o.mesh.size[a] > 1) *axes |= 1u << a;
  }
  return true;
}

// Axes of an unconditional dimension in a result: its rule, unless it is unsplit in all operands that have
// it.
static uint32_t inherited(const xlm_partitioning *p, const xlm_node_info *n, xlm_dim d) {
  bool seen = false;
  uint32_t axes = 0;
  for (int i = 0; i < n->n_in; i++) {
    int at = xlm_type_find(type_of(p, n->in[i]), d);
    if (at < 0) continue;
    seen = true;
    axes |= p->canon[n->in[i]].axes[at];
  }
  return seen ? axes & p->rule[d] : p->rule[d];
}

bool xlm_partition_conflict(xlm_partitioning *p, const xlm_node_info *n, const xlm_type *t, xlm_dim a,
                            xlm_dim b) {
  xlm_text s = xlm_text_new(p->a);
  for (int i = 0; i < t->rank; i++) xlm_text_printf(&s, "%s%s", i ? ", " : "[", p->g->dims[t->dim[i]].name);
  xlm_text_add(&s, "]");
  const char *na = p->g->dims[a].name, *nb = p->g->dims[b].name;
  fail(p, true, n->span,
       xlm_arena_printf(p->a, "`%s` and `%s` of %s are both split over one mesh axis", na, nb, s.data),
       xlm_arena_printf(p->a, "split `%s` over another axis, or write `where free` after one of the rules",
                        nb));
  if (p->rule_text[b]) p->fault->other = p->rule_text[b]->span;
  return false;
}

bool xlm_partition_canonical(xlm_partitioning *p, const xlm_node_info *n, xlm_val v) {
  const xlm_type *t = type_of(p, v);
  xlm_layout *l = &p->canon[v];
  uint32_t used = 0;
  for (int i = 0; i < t->rank; i++) {
    xlm_dim d = t->dim[i];
    if (!override_of(p, n, d, &l->axes[i])) l->axes[i] = p->free_rule[d] ? 0 : inherited(p, n, d);
    if (p->g->dims[d].ragged) l->axes[i] = 0; // decided below
    for (int j = 0; j < i; j++)
      if (l->axes[i] & l->axes[j]) return xlm_partition_conflict(p, n, t, t->dim[j], d);
    used |= l->axes[i];
  }
  for (int i = 0; i < t->rank; i++) {
    xlm_dim d = t->dim[i];
    uint32_t unused;
    if (!p->g->dims[d].ragged && (!p->free_rule[d] || override_of(p, n, d, &unused))) continue;
    l->axes[i] = p->rule[d] & ~used;
    used |= l->axes[i];
  }
  return true;
}

bool xlm_partition_read_rules(xlm_partitioning *p) {
  read_axes(p);
  return read_grains(p) && check_sizes(p);
}
