// Partition, part 1: which layout every value has and every use needs.
//
// canon[v]: by the names of v's dimensions. An unconditional rule applies wherever the dimension occurs,
// unless it came in unsplit (an `over none` at a parameter) and no operand has it split; a `where free` rule
// takes what no other dimension of the tensor uses. have[v]: canon, or what the producing op gives (partial
// sums; dimensions it keeps whole).
#include <string.h>

#include "compiler/pass/partition_priv.h"

typedef struct assign { // the layout a node computes in: axes per dimension
  int n;
  struct {
    xlm_dim dim;
    uint32_t axes;
    bool is_free;
  } at[3 * XLM_MAX_RANK];
} assign;

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

static void read_rules(xlm_partitioning *p) {
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

// Every split dimension must have at least one unit for every rank; the batch must divide.
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

static bool has_axis(const char *list, size_t n, const char *axis) { // list: "dp,tp"
  for (const char *p = list; p < list + n; p += strcspn(p, ", "), p += *p == ',')
    if (strcspn(p, ", ") == strlen(axis) && !strncmp(p, axis, strlen(axis))) return true;
  return false;
}

// `over` written at a parameter's dimension: attribute "ffn=none heads=dp,tp".
static bool override_of(const xlm_partitioning *p, const xlm_node_info *n, xlm_dim d, uint32_t *axes) {
  const char *name = p->g->dims[d].name;
  size_t len = strlen(name);
  for (const char *s = xlm_attr_text(&n->attrs, XLM_A_split, ""); *s; s += strcspn(s, " "), s += *s == ' ') {
    if (strncmp(s, name, len) || s[len] != '=') continue;
    const char *list = s + len + 1;
    *axes = 0;
    for (int a = 0; a < p->o.mesh.n; a++)
      if (p->o.mesh.size[a] > 1 && has_axis(list, strcspn(list, " "), p->o.mesh.axis[a])) *axes |= 1u << a;
    return true;
  }
  return false;
}

// Axes of an unconditional dimension in a result: its rule, unless every operand that has it has it unsplit.
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

static bool report_conflict(xlm_partitioning *p, const xlm_node_info *n, const xlm_type *t, xlm_dim a,
                            xlm_dim b) {
  xlm_text s = xlm_text_new(p->a);
  for (int i = 0; i < t->rank; i++) xlm_text_printf(&s, "%s%s", i ? ", " : "[", p->g->dims[t->dim[i]].name);
  xlm_text_add(&s, "]");
  const char *na = p->g->dims[a].name, *nb = p->g->dims[b].name;
  fail(p, true, n->span,
       xlm_arena_printf(p->a, "`%s` and `%s` of %s are both split over one mesh axis", na, nb, s.data),
       xlm_arena_printf(p->a, "split `%s` over another axis, or write `where free` behind one of the rules",
                        nb));
  if (p->rule_text[b]) p->fault->other = p->rule_text[b]->span;
  return false;
}

static bool canonical(xlm_partitioning *p, const xlm_node_info *n, xlm_val v) {
  const xlm_type *t = type_of(p, v);
  xlm_layout *l = &p->canon[v];
  uint32_t used = 0;
  for (int i = 0; i < t->rank; i++) {
    xlm_dim d = t->dim[i];
    if (!override_of(p, n, d, &l->axes[i])) l->axes[i] = p->free_rule[d] ? 0 : inherited(p, n, d);
    if (p->g->dims[d].ragged) l->axes[i] = 0; // follows below
    for (int j = 0; j < i; j++)
      if (l->axes[i] & l->axes[j]) return report_conflict(p, n, t, t->dim[j], d);
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

// ---- ZeRO ----

static int zero_level(const char *role) { // from which --zero on a state of this role is split
  return !strcmp(role, "optimizer") ? 1 : !strcmp(role, "gradient") ? 2 : !strcmp(role, "parameter") ? 3 : 4;
}

static void decide_leaf(xlm_partitioning *p, const xlm_node_info *n) {
  const char *role = n->op == XLM_OP_PARAM ? "parameter" : xlm_attr_text(&n->attrs, XLM_A_role, "state");
  bool split = n->op != XLM_OP_INPUT && p->o.zero >= zero_level(role);
  p->have[n->out] = split ? xlm_partition_zero_layout(p, n->out) : p->canon[n->out];
}

// ---- the layout a node computes in ----

static void note(const xlm_partitioning *p, assign *s, xlm_dim d, uint32_t axes) {
  for (int i = 0; i < s->n; i++)
    if (s->at[i].dim == d) {
      s->at[i].axes |= axes;
      return;
    }
  XLM_ASSERT(s->n < 3 * XLM_MAX_RANK, "a node with more than %d dimensions", 3 * XLM_MAX_RANK);
  bool is_free = p->free_rule[d] || p->g->dims[d].ragged;
  s->at[s->n].dim = d;
  s->at[s->n].axes = axes;
  s->at[s->n++].is_free = is_free;
}

static void note_value(const xlm_partitioning *p, assign *s, xlm_val v) {
  const xlm_type *t = type_of(p, v);
  for (int i = 0; i < t->rank; i++) {
    bool is_free = p->free_rule[t->dim[i]] || p->g->dims[t->dim[i]].ragged;
    note(p, s, t->dim[i], is_free ? 0 : p->canon[v].axes[i]);
  }
}

static uint32_t assigned(const assign *s, xlm_dim d) {
  for (int i = 0; i < s->n; i++)
    if (s->at[i].dim == d) return s->at[i].axes;
  return 0;
}

static void clear(assign *s, xlm_dim d) {
  for (int i = 0; i < s->n; i++)
    if (s->at[i].dim == d) s->at[i].axes = 0;
}

// A dimension that stands in the same node under a key that may be split (attend: seq = kv_seq) stays split
// there.
static bool split_elsewhere(const xlm_layout_rule *r, const xlm_attrs *as, xlm_attr_key whole, xlm_dim d) {
  static const xlm_attr_key pairs[][2] = {{XLM_A_kv_seq, XLM_A_seq}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    if (pairs[i][0] == whole && xlm_attr_has_dim(as, pairs[i][1], d) &&
        xlm_layout_rule_of(r, pairs[i][1]) != XLM_SPLIT_WHOLE)
      return true;
  return false;
}

static void keep_whole(const xlm_layout_rule *r, const xlm_attrs *as, assign *s) {
  for (int k = 0; k < r->n_keys; k++) {
    xlm_dim dims[XLM_MAX_RANK];
    int n = xlm_attr_dims(as, r->key[k].key, dims);
    for (int i = 0; r->key[k].rule == XLM_SPLIT_WHOLE && i < n; i++)
      if (!split_elsewhere(r, as, r->key[k].key, dims[i])) clear(s, dims[i]);
  }
}

static bool is_whole_key(const xlm_layout_rule *r, const xlm_attrs *as, xlm_dim d, bool result, int index) {
  for (int k = 0; k < r->n_keys; k++)
    if (r->key[k].rule == XLM_SPLIT_WHOLE && xlm_attr_has_dim(as, r->key[k].key, d) &&
        xlm_layout_mentions(r, result, index, r->key[k].key))
      return true;
  return false;
}

// Does the node touch packed rows, and (d != 0) does one of its packed tensors have dimension d?
static bool touches_ragged(const xlm_partitioning *p, const xlm_node_info *n, xlm_dim d) {
  for (int i = 0; i < n->n_in + n->n_out; i++) {
    const xlm_type *t = type_of(p, i < n->n_in ? n->in[i] : n->out + (xlm_val)(i - n->n_in));
    for (int k = 0; k < t->rank; k++)
      if (p->g->dims[t->dim[k]].ragged && (!d || xlm_type_find(t, d) >= 0)) return true;
  }
  return false;
}

static bool is_whole_dim(const xlm_layout_rule *r, const xlm_attrs *as, xlm_dim d) {
  for (int k = 0; k < r->n_keys; k++)
    if (r->key[k].rule == XLM_SPLIT_WHOLE && xlm_attr_has_dim(as, r->key[k].key, d) &&
        !split_elsewhere(r, as, r->key[k].key, d))
      return true;
  return false;
}

// `where free` dimensions take what the others leave. Tokens on their way to experts and back are not split
// by such a rule.
static void give_free(xlm_partitioning *p, const xlm_node_info *n, const xlm_layout_rule *r, assign *s) {
  bool ragged = touches_ragged(p, n, 0);
  for (int i = 0; i < s->n; i++) {
    xlm_dim d = s->at[i].dim;
    if (!s->at[i].is_free || is_whole_dim(r, &n->attrs, d) || (ragged && !touches_ragged(p, n, d))) continue;
    uint32_t used = 0; // packed rows are split as their tokens are: only what stands beside them counts
    for (int j = 0; j < s->n; j++)
      if (j != i && (!p->g->dims[d].ragged || touches_ragged(p, n, s->at[j].dim))) used |= s->at[j].axes;
    s->at[i].axes = p->rule[d] & ~used;
  }
}

// Query heads and their key/value heads are split together, in whole groups (read_grains); packed rows as
// their tokens.
static bool split_together(const xlm_partitioning *p, const xlm_node_info *n, xlm_dim a, xlm_dim b) {
  const xlm_attrs *as = &n->attrs;
  if (p->g->dims[a].ragged && !touches_ragged(p, n, b)) return true;
  if (p->g->dims[b].ragged && !touches_ragged(p, n, a)) return true;
  return (xlm_attr_has_dim(as, XLM_A_heads, a) && xlm_attr_has_dim(as, XLM_A_kv_heads, b)) ||
         (xlm_attr_has_dim(as, XLM_A_heads, b) && xlm_attr_has_dim(as, XLM_A_kv_heads, a));
}

static bool compute_layout(xlm_partitioning *p, const xlm_node_info *n, const xlm_layout_rule *r, assign *s) {
  for (int i = 0; i < n->n_in; i++) note_value(p, s, n->in[i]);
  for (int i = 0; i < n->n_out; i++) note_value(p, s, n->out + (xlm_val)i);
  keep_whole(r, &n->attrs, s);
  give_free(p, n, r, s);
  for (int i = 0; i < s->n; i++)
    for (int j = 0; j < i; j++)
      if (s->at[i].axes & s->at[j].axes && !split_together(p, n, s->at[i].dim, s->at[j].dim))
        return report_conflict(p, n, &(xlm_type){.rank = 2, .dim = {s->at[j].dim, s->at[i].dim}},
                               s->at[j].dim, s->at[i].dim);
  return true;
}

static xlm_layout restricted(const xlm_partitioning *p, const xlm_node_info *n, const xlm_layout_rule *r,
                             const assign *s, bool result, int index) {
  xlm_layout l = {0};
  const xlm_type *t = type_of(p, result ? n->out + (xlm_val)index : n->in[index]);
  for (int i = 0; i < t->rank; i++)
    l.axes[i] = is_whole_key(r, &n->attrs, t->dim[i], result, index) ? 0 : assigned(s, t->dim[i]);
  return l;
}

// Axes over which a result is a partial sum: those of summed and indexed dimensions that it does not have.
static uint32_t partial_of(const xlm_partitioning *p, const xlm_node_info *n, const xlm_layout_rule *r,
                           const assign *s, int index) {
  uint32_t partial = 0;
  const xlm_type *t = type_of(p, n->out + (xlm_val)index);
  for (int i = 0; r->sum_all && i < s->n; i++)
    if (xlm_type_find(t, s->at[i].dim) < 0) partial |= s->at[i].axes;
  for (int k = 0; k < r->n_keys; k++) {
    if (r->key[k].rule != XLM_SPLIT_SUM && r->key[k].rule != XLM_SPLIT_INDEX) continue;
    xlm_dim dims[XLM_MAX_RANK];
    int count = xlm_attr_dims(&n->attrs, r->key[k].key, dims);
    for (int i = 0; i < count; i++) {
      bool keeps = xlm_type_find(t, dims[i]) >= 0;
      bool named = xlm_layout_mentions(r, true, index, r->key[k].key);
      bool as_other =
          keeps && !named && split_elsewhere(r, &n->attrs, XLM_A_kv_seq, dims[i]); // dk of attention
      if (!keeps || as_other) partial |= assigned(s, dims[i]);
    }
  }
  return partial;
}

// ---- partial sums pass through linear ops ----

// The axes all real operands are partial over; 0 when they differ or the op is not linear.
static uint32_t common_partial(const xlm_partitioning *p, const xlm_node_info *n) {
  const xlm_layout_rule *r = &p->op_rules[n->op];
  if (!r->linear && !r->scaling) return 0;
  uint32_t partial = 0;
  int counted = 0;
  for (int i = 0; i < n->n_in; i++) {
    const xlm_node_info *def = xlm_val_node(p->g, n->in[i]);
    if (type_of(p, n->in[i])->dtype == XLM_I32) continue;
    if (r->scaling) { // x * c, x / c: c must be a constant
      if (i == 1 && def->op != XLM_OP_CONST) return 0;
      if (i == 1) continue;
    }
    if (counted++ && p->have[n->in[i]].partial != partial) return 0;
    partial = p->have[n->in[i]].partial;
  }
  return partial;
}

// Where the rule marks one operand and one result: the operand's partial sums, except over axes that split
// dimensions here.
static void carry_partial(const xlm_partitioning *p, const xlm_node_info *n, const xlm_layout_rule *r,
                          const assign *s, xlm_node_layouts *l) {
  if (r->carry_in < 0 || r->carry_in >= n->n_in || r->carry_out >= n->n_out) return;
  uint32_t partial = p->have[n->in[r->carry_in]].partial;
  for (int i = 0; i < s->n; i++) partial &= ~s->at[i].axes;
  l->in[r->carry_in].partial |= partial;
  l->out[r->carry_out].partial |= partial;
}

// What is split only because an axis was free gives way to partial sums that nobody else reads: they are
// added first and reduced once.
static void make_way(const xlm_partitioning *p, const xlm_node_info *n, assign *s, uint32_t through) {
  for (int i = 0; i < n->n_in; i++)
    if (p->have[n->in[i]].partial && p->uses[n->in[i]] > 1) return;
  for (int i = 0; i < s->n; i++)
    if (s->at[i].is_free) s->at[i].axes &= ~through;
}

// A parameter that ZeRO split is cast where it lies and gathered then: half the bytes.
static bool casts_split_parameter(const xlm_partitioning *p, const xlm_node_info *n) {
  return n->op == XLM_OP_CAST && xlm_val_node(p->g, n->in[0])->op == XLM_OP_PARAM &&
         !xlm_layout_equal(&p->have[n->in[0]], &p->canon[n->in[0]], xlm_val_rank(p, n->in[0]));
}

static void decide_general(xlm_partitioning *p, xlm_node id, const xlm_layout_rule *r, assign *s) {
  const xlm_node_info *n = &p->g->nodes[id];
  xlm_node_layouts *l = &p->nodes[id];
  uint32_t through = common_partial(p, n);
  if (casts_split_parameter(p, n)) {
    l->in[0] = l->out[0] = p->have[n->in[0]];
    return;
  }
  make_way(p, n, s, through);
  for (int i = 0; i < s->n; i++) through = s->at[i].axes & through ? 0 : through; // an axis cannot do both
  for (int i = 0; i < n->n_in; i++) {
    l->in[i] = restricted(p, n, r, s, false, i);
    if (through && p->have[n->in[i]].partial == through) l->in[i].partial = through;
  }
  for (int i = 0; i < n->n_out; i++) {
    l->out[i] = restricted(p, n, r, s, true, i);
    l->out[i].partial = partial_of(p, n, r, s, i) | through;
  }
  carry_partial(p, n, r, s, l);
}

// ---- ops that update states ----

// Everything an in-place op touches has the layout of its most split state; scalars are whole.
static void decide_update(xlm_partitioning *p, xlm_node id) {
  const xlm_node_info *n = &p->g->nodes[id];
  const xlm_op *op = xlm_op_at(n->op);
  xlm_node_layouts *l = &p->nodes[id];
  xlm_val most = n->in[0];
  for (int i = 1; i < op->n_alias; i++)
    if (xlm_layout_axes(&p->have[n->in[i]], XLM_MAX_RANK) & ~xlm_layout_axes(&p->have[most], XLM_MAX_RANK))
      most = n->in[i];
  for (int i = 0; i < n->n_in; i++)
    l->in[i] = xlm_same_type(type_of(p, n->in[i]), type_of(p, most)) ||
                       xlm_val_rank(p, n->in[i]) == xlm_val_rank(p, most)
                   ? p->have[most]
                   : (xlm_layout){0};
  for (int i = 0; i < n->n_in; i++)
    if (xlm_val_rank(p, n->in[i]) == 0) l->in[i] = (xlm_layout){0};
  for (int i = 0; i < n->n_out; i++) l->out[i] = p->have[most];
}

// An accumulator is as its summand comes: partial sums stay partial until the step, except where ZeRO splits
// gradients.
static void decide_accumulate(xlm_partitioning *p, xlm_node id) {
  const xlm_node_info *n = &p->g->nodes[id];
  const char *role = xlm_attr_text(&xlm_val_node(p->g, n->in[0])->attrs, XLM_A_role, "state");
  bool split = !strcmp(role, "gradient") && p->o.zero >= 2;
  if (!split) p->have[n->in[0]] = p->have[n->in[1]];
  p->nodes[id].in[0] = p->nodes[id].in[1] = p->nodes[id].out[0] = p->have[n->in[0]];
}

// The global norm reads gradients in the layout their update wants, so that they are reduced once.
static void decide_norm(xlm_partitioning *p, xlm_node id, const xlm_layout *wanted) {
  const xlm_node_info *n = &p->g->nodes[id];
  for (int i = 0; i < n->n_in; i++) {
    p->nodes[id].in[i] = wanted[n->in[i]];
    p->nodes[id].out[0].partial |= xlm_layout_axes(&wanted[n->in[i]], xlm_val_rank(p, n->in[i]));
  }
}

static void token_axes(xlm_partitioning *p, const xlm_node_info *n, const assign *s) {
  xlm_dim over[XLM_MAX_RANK], routed[XLM_MAX_RANK];
  int count = xlm_attr_dims(&n->attrs, XLM_A_over, over);
  if (!xlm_attr_dims(&n->attrs, XLM_A_routed, routed)) return;
  p->rule[routed[0]] = 0;
  for (int i = 0; i < count; i++) p->rule[routed[0]] |= assigned(s, over[i]);
}

static bool decide_node(xlm_partitioning *p, xlm_node id, const xlm_layout *wanted) {
  const xlm_node_info *n = &p->g->nodes[id];
  const xlm_layout_rule *r = &p->op_rules[n->op];
  p->nodes[id].in = XLM_NEW_N(p->a, xlm_layout, n->n_in);
  p->nodes[id].out = XLM_NEW_N(p->a, xlm_layout, n->n_out);
  if (n->op == XLM_OP_DISPATCH) { // the rows are split like the tokens they came from
    assign tokens = {0};
    for (int i = 0; i < n->n_in; i++) note_value(p, &tokens, n->in[i]);
    token_axes(p, n, &tokens);
  }
  for (int i = 0; i < n->n_out; i++)
    if (!canonical(p, n, n->out + (xlm_val)i)) return false;
  if (xlm_is_leaf(n)) {
    decide_leaf(p, n);
    return true;
  }
  if (n->op == XLM_OP_ACCUMULATE)
    decide_accumulate(p, id);
  else if (xlm_op_at(n->op)->n_alias)
    decide_update(p, id);
  else if (n->op == XLM_OP_NORM_SQ)
    decide_norm(p, id, wanted);
  else {
    assign s = {0};
    if (!compute_layout(p, n, r, &s)) return false;
    decide_general(p, id, r, &s);
  }
  for (int i = 0; i < n->n_out; i++) p->have[n->out + (xlm_val)i] = p->nodes[id].out[i];
  return true;
}

static bool decide_all(xlm_partitioning *p) {
  xlm_layout *wanted = NULL;
  for (xlm_node id = 1; id < p->g->n_nodes; id++) {
    if (p->g->nodes[id].op == XLM_OP_NORM_SQ && !wanted) {
      for (xlm_node later = id; later < p->g->n_nodes; later++) // states of the optimizer may stand behind
        for (int i = 0; i < p->g->nodes[later].n_out; i++)
          if (xlm_is_leaf(&p->g->nodes[later]) && !canonical(p, &p->g->nodes[later], p->g->nodes[later].out))
            return false;
      wanted = xlm_partition_wanted_gradients(p);
    }
    if (!decide_node(p, id, wanted)) return false;
  }
  return true;
}

xlm_partitioning *xlm_partition_decide(const xlm_graph *g, xlm_arena *a, const xlm_partition_options *o,
                                       xlm_partition_fault *fault) {
  xlm_partitioning *p = XLM_NEW(a, xlm_partitioning);
  *p = (xlm_partitioning){.g = g, .a = a, .o = *o, .fault = fault};
  *fault = (xlm_partition_fault){0};
  p->canon = XLM_NEW_N(a, xlm_layout, g->n_values);
  p->have = XLM_NEW_N(a, xlm_layout, g->n_values);
  p->nodes = XLM_NEW_N(a, xlm_node_layouts, g->n_nodes);
  p->uses = xlm_graph_uses(g, a);
  p->op_rules = XLM_NEW_N(a, xlm_layout_rule, XLM_OP_COUNT);
  for (int op = 1; op < XLM_OP_COUNT; op++) p->op_rules[op] = xlm_layout_parse(xlm_op_at((xlm_op_id)op));
  read_rules(p);
  if (!read_grains(p) || !check_sizes(p) || !decide_all(p)) return NULL;
  xlm_partition_find_early(p);
  xlm_partition_find_splits(p);
  return p;
}
