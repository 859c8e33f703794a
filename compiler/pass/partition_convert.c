// Partition: converts values where the layout that a node needs differs from the one a value has. A value is
// converted once per layout. Results of reductions are reused in later phases, and so are exchanged rows of
// experts: the backward reads both forms, and storing one is no cheaper than the other. Gathers are repeated
// in each phase, so that unsplit copies need not be stored from forward to backward.
#include <string.h>

#include "compiler/pass/partition_emit_priv.h"

// ---- local dimensions ----

xlm_dim xlm_partition_dim(xlm_emitter *e, xlm_dim d, uint32_t axes) {
  const xlm_dim_info *info = &e->p->g->dims[d];
  if (!axes) return d;
  xlm_dim have = xlm_graph_dim_find(e->out, info->name, axes);
  if (have) return have;
  return xlm_graph_dim_add(e->out, xlm_partition_split(e->p, d, axes, e->coord));
}

// A ragged dimension split over `axes`: sized for every row that may arrive, whatever the routing.
static xlm_dim ragged_dim(xlm_emitter *e, xlm_dim d, uint32_t axes) {
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

static xlm_dim split_dim(xlm_emitter *e, xlm_dim d, uint32_t axes) {
  return e->p->g->dims[d].ragged ? ragged_dim(e, d, axes) : xlm_partition_dim(e, d, axes);
}

xlm_ints xlm_partition_sizes(const xlm_emitter *e, xlm_dim d, uint32_t whole, uint32_t axes) {
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

// ---- the steps of a conversion ----

typedef struct conversion {
  xlm_emitter *e;
  xlm_val old;     // logical value
  xlm_val now;     // in the new graph
  xlm_layout have; // of now
  bool moved_rows; // to or from the ranks of the experts
} conversion;

static const xlm_type *logical(const conversion *c) {
  return xlm_val_type(c->e->p->g, c->old);
}

// Sizes of all members' pieces of dimension position i when it goes from `whole` axes to `whole | axes`.
static xlm_ints piece_sizes(const conversion *c, int i, uint32_t whole, uint32_t axes) {
  xlm_dim d = logical(c)->dim[i];
  xlm_pieces **known = &c->e->pieces[d], *p = *known;
  while (p && (p->whole != whole || p->axes != axes)) p = p->next;
  if (p) return p->sizes;
  p = XLM_NEW(c->e->a, xlm_pieces);
  *p = (xlm_pieces){whole, axes, xlm_partition_sizes(c->e, d, whole, axes), *known};
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
  xlm_emitter *e = c->e;
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

// ---- converting ----

static const char *layout_text(const xlm_emitter *e, xlm_val v, const xlm_layout *l) {
  xlm_text t = xlm_text_new(e->out->arena);
  for (int i = 0; i < xlm_val_rank(e->p, v); i++)
    xlm_text_printf(&t, "%s%s/%x", i ? ", " : "[", e->p->g->dims[xlm_val_type(e->p->g, v)->dim[i]].name,
                    l->axes[i]);
  xlm_text_printf(&t, "] partial %x", l->partial);
  return t.data;
}

// The phase of a conversion: that of its reader; for gradients of weights, the backward if it reads the same.
static xlm_phase conversion_phase(const xlm_emitter *e, xlm_val old) {
  xlm_phase made = xlm_val_node(e->p->g, old)->phase;
  if (made == XLM_PHASE_PROLOGUE) return e->b.phase; // other phases read a state instead
  xlm_phase phase = e->b.phase == XLM_PHASE_WGT ? XLM_PHASE_BWD : e->b.phase;
  return made > phase ? made : phase;
}

static xlm_val convert_now(xlm_emitter *e, xlm_val old, const xlm_layout *want) {
  int rank = xlm_val_rank(e->p, old);
  conversion c = {.e = e, .old = old, .now = e->map[old], .have = e->p->have[old]};
  if (xlm_layout_equal(&c.have, want, rank)) return c.now;
  bool reduces = c.have.partial & ~want->partial;
  for (xlm_converted *k = e->ready[old]; k; k = k->next)
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
  xlm_converted *k = XLM_NEW(e->a, xlm_converted);
  *k = (xlm_converted){*want, e->b.phase, reduces || c.moved_rows, c.now, e->ready[old]};
  e->ready[old] = k;
  return c.now;
}

xlm_val xlm_partition_complete(xlm_emitter *e, xlm_val old, xlm_val sum, uint32_t axes) {
  conversion c = {.e = e, .old = old, .now = sum, .have = {.partial = axes}};
  reduce(&c, &(xlm_layout){0});
  return c.now;
}

// A gather is in its reader's context; a reduction in that of the value it completes, so that a pipeline
// sends the small, reduced value.
xlm_val xlm_partition_convert(xlm_emitter *e, xlm_val old, const xlm_layout *want) {
  xlm_build reader = e->b;
  if (e->p->have[old].partial & ~want->partial) xlm_build_context(&e->b, xlm_val_node(e->p->g, old));
  e->b.phase = conversion_phase(e, old);
  xlm_val now = convert_now(e, old, want);
  e->b = reader;
  return now;
}
