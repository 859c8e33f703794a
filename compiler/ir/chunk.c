// See chunk.h.
#include "compiler/ir/chunk.h"

#include <string.h>

static bool in_attrs(const xlm_attrs *as, xlm_dim d) {
  for (int i = 0; i < as->n; i++)
    if (xlm_attr_kind_of(as->at[i].key) == XLM_ATTR_DIMS && xlm_attr_has_dim(as, as->at[i].key, d))
      return true;
  return false;
}

xlm_reach xlm_node_reach(const xlm_graph *g, xlm_node n, const bool *sequence) {
  const xlm_node_info *info = xlm_node_at(g, n);
  const xlm_op *op = xlm_op_at(info->op);
  if (op->reach) return op->reach(g, n, sequence);
  for (xlm_dim d = 1; d < g->n_dims; d++)
    if (sequence[d] && in_attrs(&info->attrs, d) && !xlm_op_is_local(info->op, &info->attrs, d))
      return (xlm_reach){.along = XLM_ALONG_AHEAD};
  return (xlm_reach){.along = XLM_ALONG_LOCAL};
}

const xlm_node_info *xlm_chunk_node(const xlm_chunk *c) {
  return xlm_node_at(c->all->g, c->node);
}

void xlm_chunk_emit(xlm_chunk *c, xlm_op_id op, const xlm_val *in, int n_in, const xlm_attr_list *l) {
  xlm_infer fault;
  xlm_val first = xlm_emit_checked(c->b, op, in, n_in, l, &fault);
  const xlm_node_info *n = xlm_chunk_node(c);
  if (!first && n->n_out) {
    c->wrong = xlm_arena_printf(c->b->g->arena, "cannot be computed for some places of the sequence: %s",
                                fault.fault_text ? fault.fault_text : "it is refused");
    return;
  }
  for (int i = 0; i < n->n_out; i++) c->out[i] = first + (xlm_val)i;
}

static xlm_val indices(xlm_build *b, xlm_dim d) {
  xlm_attr_list l = xlm_attr_list_new(b->g->arena);
  xlm_attr_put_dims(&l, XLM_A_dims, &d, 1);
  return xlm_emit(b, XLM_OP_IOTA, NULL, 0, &l);
}

// The model's dimension that is d here.
static xlm_dim model_dim(const xlm_chunks *all, xlm_dim d) {
  xlm_dim of = all->seq;
  for (xlm_dim k = 1; k < all->g->n_dims && all->dim[of] != d; k++)
    if (all->dim[k] == d) of = k;
  return of;
}

static bool has_prefix(const xlm_chunks *all, xlm_dim d) {
  return all->before[model_dim(all, d)] > 0;
}

xlm_dim xlm_chunk_along(const xlm_chunks *all, xlm_dim d) {
  return has_prefix(all, d) ? all->dim[all->joined] : all->chunk;
}

xlm_val xlm_chunk_start(const xlm_chunks *all, xlm_dim d) {
  return all->start[has_prefix(all, d)];
}

xlm_val xlm_chunk_count(const xlm_chunks *all, xlm_dim d) {
  return all->count[has_prefix(all, d)];
}

// They belong to no node of the model, also where one is the first that needs them.
xlm_val xlm_chunk_positions(xlm_chunks *all, xlm_dim d) {
  xlm_val *v = &all->positions[model_dim(all, d)];
  if (*v) return *v;
  xlm_build b = all->b;
  xlm_type like = {.rank = 2, .dim = {all->batch, d}};
  all->b = xlm_build_new(b.g);
  xlm_val places = xlm_op2(&all->b, XLM_OP_ADD, xlm_chunk_start(all, d), indices(&all->b, d));
  *v = xlm_order_to(&all->b, places, &like);
  all->b = b;
  return *v;
}

xlm_val xlm_chunk_renamed(xlm_chunks *all, xlm_val v, xlm_dim from, xlm_dim to) {
  xlm_attr_list l = xlm_attr_list_new(all->b.g->arena);
  if (from == to || xlm_type_find(xlm_val_type(all->b.g, v), from) < 0) return v;
  xlm_attr_put_dims(&l, XLM_A_from, &from, 1);
  xlm_attr_put_dims(&l, XLM_A_to, &to, 1);
  return xlm_emit(&all->b, XLM_OP_RENAME, &v, 1, &l);
}

xlm_val xlm_chunk_rows(xlm_chunks *all, xlm_val v, xlm_dim d) {
  xlm_build *b = &all->b;
  xlm_type t = *xlm_val_type(b->g, v), like = {.dtype = t.dtype};
  int batch = xlm_type_find(&t, all->batch);
  if (batch >= 0 && batch < xlm_type_find(&t, d)) return v;
  like.dim[like.rank++] = all->batch;
  for (int i = 0; i < t.rank; i++)
    if (t.dim[i] != all->batch) like.dim[like.rank++] = t.dim[i];
  if (batch >= 0) return xlm_order_to(b, v, &like);
  xlm_attr_list l = xlm_attr_list_new(b->g->arena); // the same for all sequences
  xlm_attr_put_dims(&l, XLM_A_dims, like.dim, like.rank);
  return xlm_emit(b, XLM_OP_BROADCAST, &v, 1, &l);
}

xlm_dim xlm_chunk_dim(xlm_chunks *all, xlm_dim d, int64_t size) {
  if (all->dim[d]) return all->dim[d];
  xlm_graph *g = all->b.g;
  const char *name = xlm_arena_printf(g->arena, "%s.%s", g->dims[all->chunk].name, g->dims[d].name);
  for (int i = 2; xlm_graph_dim_find(g, name, 0); i++)
    name = xlm_arena_printf(g->arena, "%s.%s.%d", g->dims[all->chunk].name, g->dims[d].name, i);
  return all->dim[d] = xlm_graph_dim(g, name, size);
}

static bool is_state(const xlm_graph *g, const char *name) {
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (xlm_node_is(&g->nodes[n], XLM_LEAF_STATE) &&
        !strcmp(xlm_attr_text(&g->nodes[n].attrs, XLM_A_name, ""), name))
      return true;
  return false;
}

const char *xlm_chunk_name(const xlm_chunks *all, xlm_node n, const char *what) {
  const xlm_node_info *info = xlm_node_at(all->g, n);
  xlm_arena *a = all->b.g->arena;
  const char *base = xlm_arena_printf(a, "cache/%s%s%s", info->scope, *info->scope ? "." : "",
                                      what ? what : xlm_op_name(info->op));
  const char *name = base;
  for (int i = 2; is_state(all->b.g, name); i++) name = xlm_arena_printf(a, "%s.%d", base, i);
  return name;
}

xlm_dim xlm_chunk_past(const xlm_chunk *c, int operand) {
  const xlm_type *rows = xlm_val_type(c->b->g, c->in[operand]), *cache = xlm_val_type(c->b->g, c->cache[operand]);
  int i = 0;
  while (rows->dim[i] == cache->dim[i]) i++;
  return cache->dim[i];
}

xlm_val xlm_chunk_state(xlm_chunks *all, xlm_node n, const char *what, const xlm_type *type) {
  xlm_attr_list l = xlm_attr_list_new(all->b.g->arena);
  const char *name = xlm_chunk_name(all, n, what);
  xlm_attr_put_text(&l, XLM_A_name, name);
  xlm_attr_put_enum(&l, XLM_A_role, XLM_ROLE_CACHE);
  xlm_attr_put_init(&l, XLM_A_init, XLM_INIT_ZEROS, 0, 0);
  xlm_attr_put_enum(&l, XLM_A_dtype, type->dtype);
  xlm_attr_put_dims(&l, XLM_A_dims, type->dim, type->rank);
  xlm_val state = xlm_emit(&all->b, XLM_OP_STATE, NULL, 0, &l);
  xlm_val_at(all->b.g, state)->name = name;
  return state;
}

static xlm_dim ring_dim(xlm_chunks *all, int64_t places) {
  xlm_arena *a = all->b.g->arena;
  const char *name = xlm_arena_printf(a, "past.%lld", (long long)places);
  for (int i = 2; xlm_graph_dim_find(all->g, name, 0); i++) // of the model
    name = xlm_arena_printf(a, "past.%lld.%d", (long long)places, i);
  return xlm_graph_dim(all->b.g, name, places);
}

xlm_val xlm_chunk_ring(xlm_chunks *all, xlm_node n, const char *what, const xlm_type *rows, xlm_dim d,
                       int64_t places) {
  xlm_type t = *rows;
  t.dim[xlm_type_find(&t, d)] = ring_dim(all, places);
  return xlm_chunk_state(all, n, what, &t);
}

void xlm_chunk_store(xlm_chunks *all, xlm_val ring, xlm_val rows, xlm_dim d) {
  xlm_graph *g = all->b.g;
  xlm_attr_list l = xlm_attr_list_new(g->arena);
  xlm_attr_put_dims(&l, XLM_A_seq, &d, 1);
  xlm_val in[] = {ring, rows, xlm_chunk_start(all, d), xlm_chunk_count(all, d)};
  xlm_graph_update(g, ring, xlm_emit(&all->b, XLM_OP_CACHE_PUT, in, 4, &l));
}
