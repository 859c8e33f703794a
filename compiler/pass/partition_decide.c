// Partition, part 1: decides the layout that every value has and every use needs.
//
// A node computes with its dimensions split as the shard rules say (canon, partition_rules.c), unless its own
// layout rule demands otherwise. have[v] is canon[v], or what the op produces: partial sums, and dimensions
// left whole. For states and the ops that update them see partition_zero.c.
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

// A dimension that also occurs in the node under a key that may be split (attend: seq = kv_seq) stays split
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

static bool is_whole_key(const xlm_layout_rule *r, const xlm_node_info *n, xlm_dim d, bool result,
                         int index) {
  const xlm_attrs *as = &n->attrs;
  if (!result) index = xlm_layout_list(xlm_op_at(n->op), as, n->n_in, index);
  for (int k = 0; k < r->n_keys; k++)
    if (r->key[k].rule == XLM_SPLIT_WHOLE && xlm_attr_has_dim(as, r->key[k].key, d) &&
        xlm_layout_mentions(r, result, index, r->key[k].key))
      return true;
  return false;
}

// Does the node use packed rows, and (d != 0) does one of its packed tensors have dimension d?
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

// Does the node rename one to the other?
static bool is_renamed(const xlm_node_info *n, xlm_dim a, xlm_dim b) {
  xlm_dim from[XLM_MAX_RANK], to[XLM_MAX_RANK];
  int count = xlm_op_facts_of(n->op)->renames ? xlm_attr_dims(&n->attrs, XLM_A_from, from) : 0;
  xlm_attr_dims(&n->attrs, XLM_A_to, to);
  for (int i = 0; i < count; i++)
    if ((from[i] == a && to[i] == b) || (from[i] == b && to[i] == a)) return true;
  return false;
}

// Two names of one dimension that no tensor here has both of: they may use the same axis.
static bool share_place(const xlm_partitioning *p, const xlm_node_info *n, xlm_dim a, xlm_dim b) {
  const xlm_type *t = n->n_in ? type_of(p, n->in[0]) : NULL;
  return t && is_renamed(n, a, b) && (xlm_type_find(t, a) < 0 || xlm_type_find(t, b) < 0);
}

// `where free` dimensions get the axes that remain. Tokens on their way to experts and back are not split by
// such a rule.
static void give_free(xlm_partitioning *p, const xlm_node_info *n, const xlm_layout_rule *r, assign *s) {
  bool ragged = touches_ragged(p, n, 0);
  for (int i = 0; i < s->n; i++) {
    xlm_dim d = s->at[i].dim;
    if (!s->at[i].is_free || is_whole_dim(r, &n->attrs, d) || (ragged && !touches_ragged(p, n, d))) continue;
    uint32_t used = 0; // packed rows are split as their tokens are: only other dimensions count
    for (int j = 0; j < s->n; j++)
      if (j != i && !share_place(p, n, d, s->at[j].dim) &&
          (!p->g->dims[d].ragged || touches_ragged(p, n, s->at[j].dim)))
        used |= s->at[j].axes;
    s->at[i].axes = p->rule[d] & ~used;
  }
}

// A dimension and its new name are split alike: over the axes that both rules allow.
static void match_names(const xlm_node_info *n, assign *s) {
  for (int i = 0; i < s->n; i++)
    for (int j = 0; j < i; j++)
      if (is_renamed(n, s->at[i].dim, s->at[j].dim)) s->at[i].axes = s->at[j].axes &= s->at[i].axes;
}

// Query heads and their key/value heads are split together, in whole groups (read_grains); packed rows as
// their tokens; a dimension as its new name.
static bool split_together(const xlm_partitioning *p, const xlm_node_info *n, xlm_dim a, xlm_dim b) {
  const xlm_attrs *as = &n->attrs;
  if (share_place(p, n, a, b)) return true;
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
  match_names(n, s);
  for (int i = 0; i < s->n; i++)
    for (int j = 0; j < i; j++)
      if (s->at[i].axes & s->at[j].axes && !split_together(p, n, s->at[i].dim, s->at[j].dim))
        return xlm_partition_conflict(p, n, &(xlm_type){.rank = 2, .dim = {s->at[j].dim, s->at[i].dim}},
                                      s->at[j].dim, s->at[i].dim);
  return true;
}

static xlm_layout restricted(const xlm_partitioning *p, const xlm_node_info *n, const xlm_layout_rule *r,
                             const assign *s, bool result, int index) {
  xlm_layout l = {0};
  const xlm_type *t = type_of(p, result ? n->out + (xlm_val)index : n->in[index]);
  for (int i = 0; i < t->rank; i++)
    l.axes[i] = is_whole_key(r, n, t->dim[i], result, index) ? 0 : assigned(s, t->dim[i]);
  return l;
}

// Axes over which a result is a partial sum: those of summed and indexed dimensions that it lacks.
static uint32_t partial_of(const xlm_partitioning *p, const xlm_node_info *n, const xlm_layout_rule *r,
                           const assign *s, int index) {
  uint32_t partial = 0;
  const xlm_type *t = type_of(p, n->out + (xlm_val)index);
  if (r->sum_all) {
    xlm_layout own = restricted(p, n, r, s, true, index);
    for (int i = 0; i < s->n; i++) partial |= s->at[i].axes;
    return partial & ~xlm_layout_axes(&own, t->rank);
  }
  for (int k = 0; k < r->n_keys; k++) {
    if (r->key[k].rule != XLM_SPLIT_SUM && r->key[k].rule != XLM_SPLIT_INDEX) continue;
    xlm_dim dims[XLM_MAX_RANK];
    int count = xlm_attr_dims(&n->attrs, r->key[k].key, dims);
    for (int i = 0; i < count; i++) {
      bool keeps = xlm_type_find(t, dims[i]) >= 0;
      bool named = xlm_layout_mentions(r, true, index, r->key[k].key);
      bool as_other =
          keeps && !named && split_elsewhere(r, &n->attrs, XLM_A_kv_seq, dims[i]); // the feature dim of keys
                                                                                   // in attention
      if (!keeps || as_other) partial |= assigned(s, dims[i]);
    }
  }
  return partial;
}

// ---- partial sums through linear ops ----

// The axes over which all non-constant operands are partial; 0 when they differ or the op is not linear. A
// value that several nodes of the step read (a matrix and its square, say) is reduced once, before them.
static uint32_t common_partial(const xlm_partitioning *p, const xlm_node_info *n) {
  const xlm_layout_rule *r = &p->op_rules[n->op];
  if (!r->linear && !r->scaling) return 0;
  uint32_t partial = 0;
  int counted = 0;
  for (int i = 0; i < n->n_in; i++) {
    const xlm_node_info *def = xlm_val_node(p->g, n->in[i]);
    bool index = type_of(p, n->in[i])->dtype == XLM_I32;
    if (index && !(xlm_op_at(n->op)->flags & XLM_OPF_ELEMENTWISE)) continue;
    if (n->phase == XLM_PHASE_STEP && p->uses[n->in[i]] > 1 && p->have[n->in[i]].partial) return 0;
    if (r->scaling) { // x * c, x / c: c must be a constant
      if (i == 1 && !xlm_node_is(def, XLM_LEAF_CONSTANT)) return 0;
      if (i == 1) continue;
    }
    if (counted++ && p->have[n->in[i]].partial != partial) return 0;
    partial = p->have[n->in[i]].partial;
  }
  return partial;
}

// Where the rule marks an operand and a result, the result has the operand's partial sums, except over axes
// that split dimensions here.
static void carry_partial(const xlm_partitioning *p, const xlm_node_info *n, const xlm_layout_rule *r,
                          const assign *s, xlm_node_layouts *l) {
  if (r->carry_in < 0 || r->carry_in >= n->n_in || r->carry_out >= n->n_out) return;
  uint32_t partial = p->have[n->in[r->carry_in]].partial;
  for (int i = 0; i < s->n; i++) partial &= ~s->at[i].axes;
  l->in[r->carry_in].partial |= partial;
  l->out[r->carry_out].partial |= partial;
}

// Dimensions that are split only because an axis was free yield to partial sums that have no other reader:
// these are added first and reduced once.
static void make_way(const xlm_partitioning *p, const xlm_node_info *n, assign *s, uint32_t through) {
  for (int i = 0; i < n->n_in; i++)
    if (p->have[n->in[i]].partial && p->uses[n->in[i]] > 1) return;
  for (int i = 0; i < s->n; i++)
    if (s->at[i].is_free) s->at[i].axes &= ~through;
}

// A parameter split by ZeRO is cast before it is gathered, which halves the bytes.
static bool casts_split_parameter(const xlm_partitioning *p, const xlm_node_info *n) {
  return xlm_casts_parameter(p->g, n) &&
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
  for (int i = 0; i < s->n; i++) through = s->at[i].axes & through ? 0 : through; // an axis cannot be both
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

static void token_axes(xlm_partitioning *p, const xlm_node_info *n, const assign *s) {
  xlm_dim over[XLM_MAX_RANK], routed[XLM_MAX_RANK];
  int count = xlm_attr_dims(&n->attrs, XLM_A_over, over);
  if (!xlm_attr_dims(&n->attrs, XLM_A_routed, routed)) return;
  p->rule[routed[0]] = 0;
  for (int i = 0; i < count; i++) p->rule[routed[0]] |= assigned(s, over[i]);
}

static bool decide_node(xlm_partitioning *p, xlm_node id) {
  const xlm_node_info *n = &p->g->nodes[id];
  const xlm_layout_rule *r = &p->op_rules[n->op];
  p->nodes[id].in = XLM_NEW_N(p->a, xlm_layout, n->n_in);
  p->nodes[id].out = XLM_NEW_N(p->a, xlm_layout, n->n_out);
  if (xlm_op_facts_of(n->op)->makes_rows) { // the rows are split as the tokens they are made from
    assign tokens = {0};
    for (int i = 0; i < n->n_in; i++) note_value(p, &tokens, n->in[i]);
    token_axes(p, n, &tokens);
  }
  for (int i = 0; i < n->n_out; i++)
    if (!xlm_partition_canonical(p, n, n->out + (xlm_val)i)) return false;
  if (xlm_is_leaf(n)) {
    xlm_partition_decide_leaf(p, n);
    return true;
  }
  if (xlm_op_facts_of(n->op)->addend)
    xlm_partition_decide_accumulate(p, id);
  else if (xlm_op_at(n->op)->n_alias)
    xlm_partition_decide_update(p, id, r);
  else if (xlm_op_facts_of(n->op)->additive)
    xlm_partition_decide_norm(p, id);
  else if (xlm_partition_is_in_pieces(p, n))
    xlm_partition_decide_pieces(p, id);
  else {
    assign s = {0};
    if (!compute_layout(p, n, r, &s)) return false;
    decide_general(p, id, r, &s);
  }
  for (int i = 0; i < n->n_out; i++) p->have[n->out + (xlm_val)i] = p->nodes[id].out[i];
  return true;
}

static bool decide_all(xlm_partitioning *p) {
  xlm_partition_begin_step(p);
  for (xlm_node id = 1; id < p->g->n_nodes; id++)
    if (!decide_node(p, id)) return false;
  return true;
}

xlm_partitioning *xlm_partition_decide(const xlm_graph *g, xlm_arena *a, const xlm_partition_options *o,
                                       xlm_partition_fault *fault) {
  a = xlm_arena_child(a);
  xlm_partitioning *p = XLM_NEW(a, xlm_partitioning);
  *p = (xlm_partitioning){.g = g, .a = a, .o = *o, .fault = fault};
  *fault = (xlm_partition_fault){0};
  p->canon = XLM_NEW_N(a, xlm_layout, g->n_values);
  p->have = XLM_NEW_N(a, xlm_layout, g->n_values);
  p->nodes = XLM_NEW_N(a, xlm_node_layouts, g->n_nodes);
  p->uses = xlm_graph_uses(g, a);
  p->op_rules = XLM_NEW_N(a, xlm_layout_rule, XLM_OP_COUNT);
  for (int op = 1; op < XLM_OP_COUNT; op++) p->op_rules[op] = xlm_layout_parse(xlm_op_at((xlm_op_id)op));
  if (!xlm_partition_read_rules(p) || !decide_all(p)) return NULL;
  xlm_partition_balance(p);
  xlm_partition_find_early(p);
  xlm_partition_find_splits(p);
  return p;
}

void xlm_partition_free(xlm_partitioning *p) {
  xlm_arena_free(p->a);
}
