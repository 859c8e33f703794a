// Partition, part 2: emits the graph of one rank. Nodes are emitted in order with local dimensions; operands
// are converted where the layout of a value differs from the one the node needs. A value is converted once
// per layout. Results of reductions are reused in later phases, and so are exchanged rows of experts: the
// backward reads both forms, and storing one is no cheaper than the other. Gathers are repeated in each
// phase, so that unsplit copies need not be stored from forward to backward.
#include <string.h>

#include "compiler/pass/partition_priv.h"

typedef struct converted {
  xlm_layout layout;
  xlm_phase phase;
  bool stays;  // for readers in later phases, too
  xlm_val val; // in the new graph
  struct converted *next;
} converted;

typedef struct parts {
  xlm_val *at;
  int n;
} parts;

typedef struct emit {
  const xlm_partitioning *p;
  const int32_t *coord;
  xlm_graph *out;
  xlm_arena *a; // scratch
  xlm_build b;
  xlm_val *map;              // old value -> new, in layout have[old]
  converted **ready;         // old value -> other layouts of it
  const xlm_update **update; // by old value: the update of the state
  xlm_val *stored;           // by old value of a state: its new value, in the state's layout
  parts *parts;              // by old value: partial results of an additive operation
  struct pieces **pieces;    // by dim
} emit;

// ---- local dimensions ----

static xlm_dim local_dim(emit *e, xlm_dim d, uint32_t axes) {
  const xlm_dim_info *info = &e->p->g->dims[d];
  if (!axes) return d;
  xlm_dim have = xlm_graph_dim_find(e->out, info->name, axes);
  if (have) return have;
  return xlm_graph_dim_add(e->out, xlm_partition_split(e->p, d, axes, e->coord));
}

// A ragged dimension split over `axes`: sized for every row that may arrive, whatever the routing.
static xlm_dim ragged_dim(emit *e, xlm_dim d, uint32_t axes) {
  const xlm_dim_info *info = &e->p->g->dims[d];
  int64_t ranks = xlm_mesh_group(&e->p->o.mesh, axes), rows = (info->full + ranks - 1) / ranks;
  for (int i = 0;; i++) {
    const char *name =
        xlm_arena_printf(e->out->arena, i ? "%s.%lld.%d" : "%s.%lld", info->name, (long long)rows, i);
    xlm_dim have = xlm_graph_dim_find(e->out, name, 0);
    if (!have)
      return xlm_graph_dim_add(
          e->out, (xlm_dim_info){.name = name, .size = rows, .full = info->full, .ragged = true});
    if (e->out->dims[have].size == rows && e->out->dims[have].full == info->full) return have;
  }
}

static xlm_dim split_dim(emit *e, xlm_dim d, uint32_t axes) {
  return e->p->g->dims[d].ragged ? ragged_dim(e, d, axes) : local_dim(e, d, axes);
}

// ---- conversions ----

typedef struct conversion {
  emit *e;
  xlm_val old;     // logical value
  xlm_val now;     // in the new graph
  xlm_layout have; // of now
  bool moved_rows; // to or from the ranks of the experts
} conversion;

static const xlm_type *logical(const conversion *c) {
  return xlm_val_type(c->e->p->g, c->old);
}

typedef struct pieces { // a list of sizes of pieces, for reuse
  uint32_t whole, axes;
  xlm_ints sizes;
  struct pieces *next;
} pieces;

static xlm_ints make_sizes(const emit *e, xlm_dim d, uint32_t whole, uint32_t axes) {
  const xlm_mesh *m = &e->p->o.mesh;
  int64_t n = xlm_mesh_group(m, axes);
  int64_t *size = XLM_NEW_N(e->out->arena, int64_t, n);
  for (int64_t k = 0; k < n; k++) {
    int32_t at[XLM_MAX_AXES];
    xlm_mesh_coord(m, xlm_mesh_member_rank(m, axes, e->coord, k), at);
    size[k] = xlm_partition_split(e->p, d, whole | axes, at).size;
  }
  return (xlm_ints){(uint32_t)n, size};
}

// Sizes of all members' pieces of dimension position i when it goes from `whole` axes to `whole | axes`.
static xlm_ints piece_sizes(const conversion *c, int i, uint32_t whole, uint32_t axes) {
  xlm_dim d = logical(c)->dim[i];
  pieces **known = &c->e->pieces[d], *p = *known;
  while (p && (p->whole != whole || p->axes != axes)) p = p->next;
  if (p) return p->sizes;
  p = XLM_NEW(c->e->a, pieces);
  *p = (pieces){whole, axes, make_sizes(c->e, d, whole, axes), *known};
  return (*known = p)->sizes;
}

static xlm_ints joined(const conversion *c, xlm_ints a, xlm_ints b) {
  int64_t *both = XLM_NEW_N(c->e->out->arena, int64_t, a.n + b.n);
  memcpy(both, a.at, a.n * sizeof *both);
  memcpy(both + a.n, b.at, b.n * sizeof *both);
  return (xlm_ints){a.n + b.n, both};
}

static const xlm_ints no_sizes;

static void collective(conversion *c, xlm_op_id op, uint32_t axes, const int *at, const uint32_t *to_axes,
                       int n, xlm_ints sizes, const xlm_val *more, int n_more) {
  emit *e = c->e;
  xlm_dim from[2], to[2];
  xlm_attr_list l = xlm_attr_list_new(e->out->arena);
  for (int i = 0; i < n; i++) {
    from[i] = xlm_val_type(e->out, c->now)->dim[at[i]];
    to[i] = split_dim(e, logical(c)->dim[at[i]], to_axes[i]);
    c->have.axes[at[i]] = to_axes[i];
  }
  if (n) xlm_attr_put_dims(&l, XLM_A_from, from, n);
  if (n) xlm_attr_put_dims(&l, XLM_A_to, to, n);
  if (sizes.n) xlm_attr_put(&l, (xlm_attr){.key = XLM_A_sizes, .n = sizes.n, .ints = sizes.at});
  xlm_attr_put_int(&l, XLM_A_axes, axes);
  xlm_val in[3] = {c->now};
  for (int i = 0; i < n_more; i++) in[i + 1] = more[i];
  uint32_t partial = xlm_val_at(e->out, c->now)->partial;
  const char *name = xlm_val_at(e->out, c->now)->name;
  c->now = xlm_emit(&e->b, op, in, 1 + n_more, &l);
  const xlm_comm_info *comm = xlm_comm_of(op);
  bool reduces = comm && comm->reduces;
  xlm_val_at(e->out, c->now)->partial = reduces ? partial & ~axes : partial;
  xlm_val_at(e->out, c->now)->name = name;
  if (reduces) c->have.partial &= ~axes;
}

// Local slices first, since they make the later steps smaller.
static void slice(conversion *c, const xlm_layout *want) {
  for (int i = 0; i < logical(c)->rank; i++) {
    uint32_t add =
        want->axes[i] & ~c->have.axes[i] & ~xlm_layout_axes(&c->have, logical(c)->rank) & ~c->have.partial;
    if (c->have.axes[i] && add && add < c->have.axes[i])
      continue; // an outer axis cannot be appended inside an inner split
    if (add)
      collective(c, XLM_OP_LOCAL_SLICE, add, &i, (uint32_t[]){c->have.axes[i] | add}, 1, no_sizes, NULL, 0);
  }
}

// Innermost axis first, so `dp` is last; hence adding over it without scattering (reduce) is also last.
static void scatter(conversion *c, const xlm_layout *want) {
  for (int outermost = c->e->p->o.mesh.n; outermost-- > 0;)
    for (int i = 0; i < logical(c)->rank; i++) {
      uint32_t axes = want->axes[i] & ~c->have.axes[i] & c->have.partial & ~want->partial;
      if (axes & ((1u << outermost) - 1) || !(axes >> outermost & 1)) continue;
      collective(c, XLM_OP_REDUCE_SCATTER, axes, &i, (uint32_t[]){c->have.axes[i] | axes}, 1,
                 piece_sizes(c, i, c->have.axes[i], axes), NULL, 0);
    }
}

// The offsets of a packed tensor after its experts were exchanged.
static xlm_val ragged_offsets(conversion *c) {
  return xlm_val_at(c->e->out, c->now)->ragged_by;
}

static bool is_ragged(const conversion *c, int i) {
  return c->e->p->g->dims[logical(c)->dim[i]].ragged;
}

static void exchange(conversion *c, const xlm_layout *want) {
  int rank = logical(c)->rank;
  for (int i = 0; i < rank; i++)
    for (int j = 0; j < rank; j++) {
      uint32_t move = c->have.axes[i] & ~want->axes[i] & want->axes[j] & ~c->have.axes[j];
      if (i == j || !move) continue;
      int at[] = {i, j};
      uint32_t to[] = {c->have.axes[i] & ~move, c->have.axes[j] | move};
      if (is_ragged(c, i) || is_ragged(c, j)) {
        c->moved_rows = true;
        int experts = is_ragged(c, i) ? j : i;
        xlm_ints sizes = piece_sizes(c, experts, 0, move);
        // Back to the tokens: rows return to the rank that sent them.
        bool back = !is_ragged(c, i);
        xlm_val home = c->e->map[c->e->p->g->values[c->old].ragged_by];
        collective(c, back ? XLM_OP_COLLECT_ROWS : XLM_OP_SEND_ROWS, move, at, to, 2, sizes,
                   back ? (xlm_val[]){ragged_offsets(c), home} : (xlm_val[]){ragged_offsets(c)},
                   back ? 2 : 1);
      } else {
        xlm_ints sizes = joined(c, piece_sizes(c, i, c->have.axes[i] & ~move, move),
                                piece_sizes(c, j, c->have.axes[j], move));
        collective(c, XLM_OP_ALL_TO_ALL, move, at, to, 2, sizes, NULL, 0);
      }
    }
}

static void gather(conversion *c, const xlm_layout *want) {
  for (int i = 0; i < logical(c)->rank; i++) {
    uint32_t axes = c->have.axes[i] & ~want->axes[i];
    if (axes && axes < c->have.axes[i] && (c->have.axes[i] & ~axes) > axes)
      axes = c->have.axes[i]; // the split is outermost: gather all of it
    if (axes)
      collective(c, XLM_OP_ALL_GATHER, axes, &i, (uint32_t[]){c->have.axes[i] & ~axes}, 1,
                 piece_sizes(c, i, c->have.axes[i] & ~axes, axes), NULL, 0);
  }
}

static void reduce(conversion *c, const xlm_layout *want) {
  uint32_t axes = c->have.partial & ~want->partial;
  if (axes) collective(c, XLM_OP_ALL_REDUCE, axes, NULL, NULL, 0, no_sizes, NULL, 0);
}

static const char *layout_text(const emit *e, xlm_val v, const xlm_layout *l) {
  xlm_text t = xlm_text_new(e->out->arena);
  for (int i = 0; i < xlm_val_rank(e->p, v); i++)
    xlm_text_printf(&t, "%s%s/%x", i ? ", " : "[", e->p->g->dims[xlm_val_type(e->p->g, v)->dim[i]].name,
                    l->axes[i]);
  xlm_text_printf(&t, "] partial %x", l->partial);
  return t.data;
}

// The phase of a conversion: that of its reader; for gradients of weights, the backward if it reads the same.
static xlm_phase conversion_phase(const emit *e, xlm_val old) {
  xlm_phase made = xlm_val_node(e->p->g, old)->phase;
  if (made == XLM_PHASE_PROLOGUE) return e->b.phase; // other phases read a state instead
  xlm_phase phase = e->b.phase == XLM_PHASE_WGT ? XLM_PHASE_BWD : e->b.phase;
  return made > phase ? made : phase;
}

static xlm_val convert_now(emit *e, xlm_val old, const xlm_layout *want) {
  int rank = xlm_val_rank(e->p, old);
  conversion c = {.e = e, .old = old, .now = e->map[old], .have = e->p->have[old]};
  if (xlm_layout_equal(&c.have, want, rank)) return c.now;
  bool reduces = c.have.partial & ~want->partial;
  for (converted *k = e->ready[old]; k; k = k->next)
    if (xlm_layout_equal(&k->layout, want, rank) && (k->stays || k->phase == e->b.phase)) return k->val;
  slice(&c, want);
  scatter(&c, want);
  exchange(&c, want);
  gather(&c, want);
  slice(&c, want);
  reduce(&c, want);
  XLM_ASSERT(xlm_layout_equal(&c.have, want, rank), "layout of value %u (%s) was not reached: from %s to %s",
             old, xlm_op_at(xlm_val_node(e->p->g, old)->op)->name, layout_text(e, old, &e->p->have[old]),
             layout_text(e, old, want));
  converted *k = XLM_NEW(e->a, converted);
  *k = (converted){*want, e->b.phase, reduces || c.moved_rows, c.now, e->ready[old]};
  e->ready[old] = k;
  return c.now;
}

// A gather is in its reader's context; a reduction in that of the value it completes, so that a pipeline
// sends the small, reduced value.
static xlm_val convert(emit *e, xlm_val old, const xlm_layout *want) {
  xlm_build reader = e->b;
  if (e->p->have[old].partial & ~want->partial) xlm_build_context(&e->b, xlm_val_node(e->p->g, old));
  e->b.phase = conversion_phase(e, old);
  xlm_val now = convert_now(e, old, want);
  e->b = reader;
  return now;
}

// ---- nodes ----

static int list_of(const xlm_node_info *n, int operand) {
  return xlm_layout_list(xlm_op_at(n->op), &n->attrs, n->n_in, operand);
}

// The local dimension for logical dimension d in this node: that of the operands to which the key refers.
static xlm_dim map_dim(emit *e, const xlm_node_info *n, const xlm_val *in, const xlm_node_layouts *l,
                       xlm_attr_key key, xlm_dim d) {
  const xlm_layout_rule *r = &e->p->op_rules[n->op];
  for (int pass = 0; pass < 2; pass++) // operands whose rule names the key first
    for (int i = 0; i < n->n_in; i++) {
      int at = xlm_type_find(xlm_val_type(e->p->g, n->in[i]), d);
      if (at >= 0 && (pass == 1 || xlm_layout_mentions(r, false, list_of(n, i), key)))
        return xlm_val_type(e->out, in[i])->dim[at];
    }
  for (int i = 0; i < n->n_out; i++) {
    int at = xlm_type_find(xlm_val_type(e->p->g, n->out + (xlm_val)i), d);
    if (at >= 0) return e->p->g->dims[d].ragged ? 0 : local_dim(e, d, l->out[i].axes[at]);
  }
  return e->p->g->dims[d].ragged ? 0 : d;
}

static xlm_attr_list map_attrs(emit *e, xlm_node id, const xlm_val *in) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  xlm_attr_list l = xlm_attr_list_from(e->out->arena, &n->attrs);
  for (int i = 0; i < l.n; i++) {
    xlm_attr *a = &l.at[i];
    if (xlm_attr_kind_of(a->key) != XLM_ATTR_DIMS) continue;
    bool known = true;
    for (uint32_t k = 0; k < a->n; k++)
      known &= (a->dims[k] = map_dim(e, n, in, &e->p->nodes[id], a->key, a->dims[k])) != 0;
    if (!known) xlm_attr_drop(&l, l.at[i--].key); // a ragged dimension that the op creates
  }
  return l;
}

static void bind_results(emit *e, xlm_node id, xlm_val first) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  for (int i = 0; i < n->n_out; i++) {
    e->map[n->out + (xlm_val)i] = first + (xlm_val)i;
    xlm_value *v = xlm_val_at(e->out, first + (xlm_val)i);
    v->name = e->p->g->values[n->out + (xlm_val)i].name;
    v->partial = e->p->have[n->out + (xlm_val)i].partial;
  }
}

static void context(emit *e, const xlm_node_info *n) {
  xlm_build_context(&e->b, n);
  e->b.phase = n->phase;
}

static void emit_leaf(emit *e, xlm_node id) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  const xlm_type *t = xlm_val_type(e->p->g, n->out);
  xlm_attr_list l = xlm_attr_list_from(e->out->arena, &n->attrs);
  xlm_dim dims[XLM_MAX_RANK];
  for (int i = 0; i < t->rank; i++) dims[i] = local_dim(e, t->dim[i], e->p->have[n->out].axes[i]);
  if (xlm_attr_find(&n->attrs, XLM_A_dims)) xlm_attr_put_dims(&l, XLM_A_dims, dims, t->rank);
  context(e, n);
  bind_results(e, id, xlm_emit(&e->b, n->op, NULL, 0, &l));
}

// An additive operation (norm_sq): one result per distinct split, each reduced over its own axes; its reader
// adds them up.
static void emit_parts(emit *e, xlm_node id) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  const xlm_node_layouts *l = &e->p->nodes[id];
  bool *done = XLM_NEW_N(e->a, bool, n->n_in);
  xlm_val *in = XLM_NEW_N(e->a, xlm_val, n->n_in);
  parts *p = &e->parts[n->out];
  p->at = XLM_NEW_N(e->a, xlm_val, n->n_in);
  context(e, n);
  for (int i = 0; i < n->n_in; i++) in[i] = convert(e, n->in[i], &l->in[i]);
  for (int i = 0; i < n->n_in; i++) {
    if (done[i]) continue;
    uint32_t axes = xlm_layout_axes(&l->in[i], xlm_val_rank(e->p, n->in[i]));
    xlm_val *group = XLM_NEW_N(e->a, xlm_val, n->n_in);
    int count = 0;
    for (int j = i; j < n->n_in; j++) {
      if (xlm_layout_axes(&l->in[j], xlm_val_rank(e->p, n->in[j])) != axes) continue;
      group[count++] = in[j];
      done[j] = true;
    }
    xlm_val sum = xlm_emit(&e->b, n->op, group, count, NULL);
    xlm_val_at(e->out, sum)->partial = axes;
    conversion c = {.e = e, .old = n->out, .now = sum, .have = {.partial = axes}};
    reduce(&c, &(xlm_layout){0});
    p->at[p->n++] = c.now;
  }
  e->map[n->out] = p->at[0];
}

static void emit_sum_of_parts(emit *e, xlm_node id) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  context(e, n);
  xlm_val *in = NULL;
  uint32_t n_in = 0, cap = 0;
  for (int i = 0; i < n->n_in; i++) {
    const parts *p = &e->parts[n->in[i]];
    for (int k = 0; k < p->n; k++) XLM_PUSH(e->a, in, n_in, cap, p->at[k]);
    if (!p->n) XLM_PUSH(e->a, in, n_in, cap, convert(e, n->in[i], &e->p->nodes[id].in[i]));
  }
  xlm_attr_list l = xlm_attr_list_from(e->out->arena, &n->attrs);
  bind_results(e, id, xlm_emit(&e->b, n->op, in, (int)n_in, &l));
}

// A gradient summed over microbatches is complete in the last one.
static void reduce_early(emit *e, const xlm_node_info *n, xlm_val v) {
  if (!e->p->early[v]) return;
  context(e, n);
  if (xlm_op_facts_of(n->op)->sums) e->b.phase = XLM_PHASE_LAST;
  convert(e, v, e->p->early[v]);
}

// A state keeps its own layout: the result of an op in another layout is stored back at once.
static void store(emit *e, const xlm_node_info *n, xlm_val v) {
  const xlm_update *u = e->update[v];
  if (!u || xlm_layout_equal(&e->p->have[u->state], &e->p->have[v], xlm_val_rank(e->p, u->state))) return;
  context(e, n);
  xlm_val now = convert(e, v, &e->p->have[u->state]);
  e->stored[u->state] = xlm_op2(&e->b, XLM_OP_ASSIGN, e->map[u->state], now);
}

static const char *group_name(const emit *e, uint32_t axes) {
  xlm_text name = xlm_text_new(e->out->arena);
  for (int a = 0; a < e->p->o.mesh.n; a++)
    if (axes >> a & 1) xlm_text_printf(&name, "%s%s", name.n ? "." : "", e->p->o.mesh.axis[a]);
  return name.data;
}

static void bind_cut(emit *e, xlm_node id, const xlm_val *out) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  for (int i = 0; i < n->n_out; i++) {
    xlm_val old = n->out + (xlm_val)i;
    e->map[old] = out[i];
    if (!out[i]) continue; // unused
    xlm_val_at(e->out, out[i])->partial = e->p->have[old].partial;
    xlm_val_at(e->out, out[i])->name = e->p->g->values[old].name;
    reduce_early(e, n, old);
    store(e, n, old);
  }
}

static void emit_cut(emit *e, xlm_node id, xlm_dim along, uint32_t axes) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  xlm_val *in = XLM_NEW_N(e->a, xlm_val, n->n_in), out[8] = {0};
  context(e, n);
  for (int i = 0; i < n->n_in; i++) in[i] = convert(e, n->in[i], &e->p->nodes[id].in[i]);
  xlm_attr_list l = map_attrs(e, id, in);
  xlm_attrs attrs = xlm_attr_freeze(&l);
  xlm_cut cut = {.b = &e->b,
                 .in = in,
                 .n_in = n->n_in,
                 .attrs = &attrs,
                 .axes = axes,
                 .full = e->p->g->dims[along].full,
                 .sizes = make_sizes(e, along, 0, axes),
                 .group = group_name(e, axes),
                 .member = xlm_mesh_member(&e->p->o.mesh, axes, e->coord),
                 .out = out};
  xlm_op_at(n->op)->cut(&cut);
  bind_cut(e, id, out);
}

static void emit_node(emit *e, xlm_node id) {
  const xlm_node_info *n = &e->p->g->nodes[id];
  xlm_val *in = XLM_NEW_N(e->a, xlm_val, n->n_in);
  context(e, n);
  for (int i = 0; i < n->n_in; i++) in[i] = convert(e, n->in[i], &e->p->nodes[id].in[i]);
  xlm_attr_list l = map_attrs(e, id, in);
  int n_in = n->n_in;
  if ((xlm_op_at(n->op)->flags & XLM_OPF_OFFSETS) &&
      n_in > 1) { // the layout may have changed the offsets: derive them again
    xlm_val last = n->in[n_in - 1];
    for (int i = 0; i < n->n_in - 1; i++)
      if (e->p->g->values[n->in[i]].ragged_by == last) {
        n_in--;
        break;
      }
  }
  bind_results(e, id, xlm_emit(&e->b, n->op, in, n_in, &l));
  for (int i = 0; i < n->n_out; i++) reduce_early(e, n, n->out + (xlm_val)i);
  for (int i = 0; i < n->n_out; i++) store(e, n, n->out + (xlm_val)i);
}

static void emit_one(emit *e, xlm_node id) {
  xlm_dim along;
  uint32_t axes = xlm_partition_cut_axes(e->p, id, &along);
  if (axes)
    emit_cut(e, id, along, axes);
  else
    emit_node(e, id);
}

// The context for nodes at the end of the graph: its last phase.
static void context_at_end(emit *e, const xlm_node_info *n) {
  context(e, n);
  e->b.phase = e->out->nodes[e->out->n_nodes - 1].phase;
}

static void emit_updates(emit *e) {
  const xlm_graph *g = e->p->g;
  for (uint32_t i = 0; i < g->n_updates; i++) {
    xlm_val state = g->updates[i].state;
    xlm_graph_update(e->out, e->map[state], e->stored[state] ? e->stored[state] : e->map[g->updates[i].val]);
  }
}

static void emit_list(emit *e, const xlm_vals *from, xlm_vals *to) {
  for (uint32_t i = 0; i < from->n; i++) {
    context_at_end(e, xlm_val_node(e->p->g, from->at[i].val));
    xlm_vals_add(e->out, to, from->at[i].name, convert(e, from->at[i].val, &(xlm_layout){0}),
                 from->at[i].span);
  }
}

xlm_graph *xlm_partition_emit(const xlm_partitioning *p, xlm_arena *a, const int32_t coord[XLM_MAX_AXES]) {
  emit e = {.p = p, .coord = coord, .out = xlm_graph_like(p->g), .a = a};
  e.b = xlm_build_new(e.out);
  xlm_graph_reserve(e.out, p->g->n_nodes, p->g->n_values);
  e.pieces = XLM_NEW_N(a, pieces *, p->g->n_dims);
  e.map = XLM_NEW_N(a, xlm_val, p->g->n_values);
  e.parts = XLM_NEW_N(a, parts, p->g->n_values);
  e.ready = XLM_NEW_N(a, converted *, p->g->n_values);
  e.stored = XLM_NEW_N(a, xlm_val, p->g->n_values);
  e.update = XLM_NEW_N(a, const xlm_update *, p->g->n_values);
  for (uint32_t i = 0; i < p->g->n_updates; i++) e.update[p->g->updates[i].val] = &p->g->updates[i];
  for (xlm_node id = 1; id < p->g->n_nodes; id++) {
    const xlm_node_info *n = &p->g->nodes[id];
    if (xlm_is_leaf(n))
      emit_leaf(&e, id);
    else if (xlm_op_facts_of(n->op)->additive)
      emit_parts(&e, id);
    else if (xlm_op_facts_of(n->op)->adds_operands)
      emit_sum_of_parts(&e, id);
    else
      emit_one(&e, id);
  }
  emit_updates(&e);
  emit_list(&e, &p->g->outputs, &e.out->outputs);
  emit_list(&e, &p->g->metrics, &e.out->metrics);
  emit_list(&e, &p->g->losses, &e.out->losses);
  return e.out;
}
