// Decoding, derived from the model; see incremental.h.
//
// Every value that lies along the sequence is computed for a chunk of it: the dimension `seq`, and all that
// are derived from it by views, are replaced by smaller ones, and types are inferred again by the builder.
// What an operation is along the sequence stands in its own file: `reach` (local, placed, back or ahead) and
// `chunk`, which emits it for a chunk where that is not the operation itself (compiler/ir/chunk.h). This pass
// finds what is needed, makes the caches of the values that operations read of earlier places, one per value
// however many read it, and stores the chunk's rows in them after the last reader.
//
// Tensors of parameters that lie along `seq`, as learned positions, are read at the chunk's places. A table
// in which places are looked up is whole.
#include <string.h>

#include "compiler/pass/incremental_priv.h"

// ---- caches

// For operand i of node `reader`, the first that reads v of earlier places.
static void make_cache(xlm_step *s, xlm_val v, xlm_node reader, int i) {
  xlm_cached *c = &s->caches[v];
  const char *what = xlm_step_operand_name(&s->g->nodes[reader], i);
  xlm_dim own = s->all.dim[xlm_step_places(s, xlm_val_type(s->g, v))];
  c->along = xlm_chunk_along(&s->all, own);
  c->x = xlm_chunk_rows(&s->all, xlm_chunk_renamed(&s->all, s->map[v], own, c->along), c->along);
  xlm_type t = *xlm_val_type(s->out, c->x);
  c->cache = xlm_chunk_ring(&s->all, reader, what, &t, c->along, c->places);
}

// ---- operands

// v at all places, which depends on no data: tables of parameters.
static xlm_val emit_whole(xlm_step *s, xlm_val v) {
  if (s->whole[v]) return s->whole[v];
  xlm_node id = xlm_val_at(s->g, v)->def;
  const xlm_node_info *n = &s->g->nodes[id];
  for (int i = 0; i < n->n_in; i++) (void)emit_whole(s, n->in[i]);
  xlm_copy_node(s->out, s->g, id, s->whole, s->whole);
  return s->whole[v];
}

// A leaf along dimension d of places, at those of the chunk.
static xlm_val at_places(xlm_step *s, xlm_val leaf, xlm_dim d) {
  xlm_attr_list l = xlm_attr_list_new(s->out->arena);
  double last = (double)s->g->dims[d].size - 1; // padding may lie behind it
  xlm_build *b = &s->all.b;
  xlm_val place = xlm_chunk_positions(&s->all, s->all.dim[d]), end = xlm_scalar(b, last);
  place = xlm_op2(b, XLM_OP_MIN, place, end);
  xlm_attr_put_dims(&l, XLM_A_vocab, &d, 1);
  return xlm_emit(b, XLM_OP_LOOKUP, (xlm_val[]){leaf, place}, 2, &l);
}

// ---- attributes

static bool has(const xlm_step *s, const xlm_val *in, int n_in, xlm_dim d) {
  for (int i = 0; i < n_in; i++)
    if (xlm_type_find(xlm_val_type(s->out, in[i]), d) >= 0) return true;
  return false;
}

static xlm_dim dim_here(const xlm_step *s, const xlm_val *in, int n_in, xlm_dim d) {
  xlm_dim here = s->sequence[d] ? s->all.dim[d] : 0;
  if (!here || has(s, in, n_in, here)) return here ? here : d;
  return has(s, in, n_in, d) ? d : here;
}

// A result with given dimensions has those that its operands have got here, too: the batch, where they depend
// on the place.
static void add_batch(const xlm_step *s, const xlm_val *in, int n_in, const xlm_attrs *as, xlm_dim *dims,
                      int *n) {
  bool missing = has(s, in, n_in, s->all.batch) && !xlm_attr_has_dim(as, XLM_A_over, s->all.batch);
  for (int i = 0; i < *n; i++) missing &= dims[i] != s->all.batch;
  if (!missing || *n == XLM_MAX_RANK) return;
  memmove(dims + 1, dims, (size_t)*n * sizeof *dims);
  dims[0] = s->all.batch;
  ++*n;
}

static xlm_attr_list attrs_here(const xlm_step *s, const xlm_node_info *n, const xlm_val *in) {
  xlm_attr_list l = xlm_attr_list_from(s->out->arena, &n->attrs);
  for (int i = 0; i < n->attrs.n && n->n_in; i++) {
    const xlm_attr *at = &n->attrs.at[i];
    xlm_dim dims[XLM_MAX_RANK + 1];
    if (xlm_attr_kind_of(at->key) != XLM_ATTR_DIMS) continue;
    int count = xlm_attr_dims(&n->attrs, at->key, dims);
    for (int k = 0; k < count; k++) dims[k] = dim_here(s, in, n->n_in, dims[k]);
    if (at->key == XLM_A_dims) add_batch(s, in, n->n_in, &n->attrs, dims, &count);
    xlm_attr_put_dims(&l, at->key, dims, count);
  }
  return l;
}

// ---- nodes

static bool emit_leaf(xlm_step *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  xlm_build_context(&s->all.b, n);
  if (xlm_node_is(n, XLM_LEAF_INPUT)) return xlm_step_emit_input(s, id);
  xlm_copy_node(s->out, s->g, id, s->whole, s->whole);
  const xlm_type *t = xlm_val_type(s->g, n->out);
  s->map[n->out] = s->whole[n->out];
  for (int i = 0; i < t->rank; i++)
    if (s->numbers[t->dim[i]]) s->map[n->out] = at_places(s, s->map[n->out], t->dim[i]);
  return true;
}

static void read_operands(xlm_step *s, xlm_node id, const xlm_reach *r, xlm_val *in, xlm_val *caches) {
  const xlm_node_info *n = &s->g->nodes[id];
  for (int i = 0; i < n->n_in; i++) {
    bool keeps = r->along == XLM_ALONG_BACK && r->cached >> i & 1;
    xlm_val root = keeps ? xlm_step_root(s, n->in[i]) : 0;
    if (keeps && !s->caches[root].cache) make_cache(s, root, id, i);
    in[i] = keeps                        ? s->caches[root].x
            : xlm_step_is_table(s, n, i) ? emit_whole(s, n->in[i])
                                         : s->map[n->in[i]];
    caches[i] = keeps ? s->caches[root].cache : 0;
  }
}

// The caches that have been read for the last time take in the chunk.
static void release(xlm_step *s, const xlm_node_info *n, const xlm_reach *r) {
  for (int i = 0; r->along == XLM_ALONG_BACK && i < n->n_in; i++) {
    if (!(r->cached >> i & 1)) continue;
    xlm_cached *c = &s->caches[xlm_step_root(s, n->in[i])];
    if (!--c->readers) xlm_chunk_store(&s->all, c->cache, c->x, c->along);
  }
}

static bool emit_node(xlm_step *s, xlm_node id) {
  const xlm_node_info *n = &s->g->nodes[id];
  const xlm_op *op = xlm_op_at(n->op);
  xlm_val *in = XLM_NEW_N(s->a, xlm_val, n->n_in), *caches = XLM_NEW_N(s->a, xlm_val, n->n_in);
  xlm_reach r = xlm_step_reach(s, id);
  xlm_build_context(&s->all.b, n);
  read_operands(s, id, &r, in, caches);
  xlm_chunk c = {.all = &s->all,
                 .b = &s->all.b,
                 .node = id,
                 .n_in = n->n_in,
                 .in = in,
                 .cache = caches,
                 .late = n->n_in && s->late[n->in[0]],
                 .attrs = attrs_here(s, n, in),
                 .out = &s->map[n->out]};
  if (op->chunk)
    op->chunk(&c);
  else
    xlm_chunk_emit(&c, n->op, in, n->n_in, &c.attrs);
  if (c.wrong)
    return xlm_step_refuse(
        s, n->span, xlm_arena_printf(s->out->arena, "`%s` %s", op->name, c.wrong),
        c.help ? c.help : "tokens are given some at a time: write it without the sequence as a whole");
  xlm_dim rows[XLM_MAX_RANK];
  if (op->facts.makes_rows && xlm_attr_dims(&n->attrs, XLM_A_routed, rows))
    xlm_attr_dims(&xlm_val_node(s->out, c.out[0])->attrs, XLM_A_routed, &s->all.dim[rows[0]]);
  for (int i = 0; i < n->n_out; i++)
    if (!xlm_val_at(s->out, c.out[i])->name)
      xlm_val_at(s->out, c.out[i])->name = xlm_val_at(s->g, n->out + (xlm_val)i)->name;
  release(s, n, &r);
  return true;
}

// ---- the graph

static void begin(xlm_step *s, int64_t places) {
  const char *name = "chunk";
  s->out = xlm_graph_like(s->g);
  for (int i = 2; xlm_graph_dim_find(s->g, name, 0); i++)
    name = xlm_arena_printf(s->out->arena, "chunk.%d", i);
  s->all.g = s->g, s->all.arena = s->a, s->all.b = xlm_build_new(s->out);
  if (places) s->all.chunk = xlm_graph_dim(s->out, name, places);
  s->all.dim = XLM_NEW_N(s->a, xlm_dim, s->g->n_dims);
  s->sequence = XLM_NEW_N(s->a, bool, s->g->n_dims);
  s->numbers = XLM_NEW_N(s->a, bool, s->g->n_dims);
  s->before = XLM_NEW_N(s->a, int64_t, s->g->n_dims);
  s->all.positions = XLM_NEW_N(s->a, xlm_val, s->g->n_dims);
  s->all.sequence = s->sequence, s->all.numbers = s->numbers, s->all.before = s->before;
  s->live = XLM_NEW_N(s->a, bool, s->g->n_nodes);
  s->data = XLM_NEW_N(s->a, bool, s->g->n_values);
  s->along = XLM_NEW_N(s->a, bool, s->g->n_values);
  s->late = XLM_NEW_N(s->a, bool, s->g->n_values);
  s->once = XLM_NEW_N(s->a, xlm_once, s->g->n_values);
  s->map = XLM_NEW_N(s->a, xlm_val, s->g->n_values);
  s->whole = XLM_NEW_N(s->a, xlm_val, s->g->n_values);
  s->caches = XLM_NEW_N(s->a, xlm_cached, s->g->n_values);
}

// In the order of the model's dimensions.
static xlm_val ordered(xlm_step *s, xlm_val v) {
  xlm_type t = *xlm_val_type(s->g, v), like = t;
  for (int i = 0; i < t.rank; i++)
    if (s->sequence[t.dim[i]] && s->all.dim[t.dim[i]]) like.dim[i] = s->all.dim[t.dim[i]];
  if (xlm_val_type(s->out, s->map[v])->rank != t.rank) return s->map[v];
  return xlm_order_to(&s->all.b, s->map[v], &like);
}

static bool emit_all(xlm_step *s) {
  const xlm_graph *g = s->g;
  xlm_step_make_places(s);
  xlm_step_make_once(s);
  for (xlm_val v = 1; v < g->n_values; v++)
    if (s->once[v].reader) s->map[v] = s->once[v].state;
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (s->live[id] && !(xlm_is_leaf(&g->nodes[id]) ? emit_leaf(s, id) : emit_node(s, id))) return false;
  for (uint32_t i = 0; i < g->outputs.n; i++)
    if (s->map[g->outputs.at[i].val] && xlm_step_lies_along(s, xlm_val_type(g, g->outputs.at[i].val)))
      xlm_vals_add(s->out, &s->out->outputs, g->outputs.at[i].name, ordered(s, g->outputs.at[i].val),
                   g->outputs.at[i].span);
  return true;
}

xlm_graph *xlm_pass_incremental(const xlm_graph *g, xlm_arena *a, const xlm_incremental_options *o,
                                xlm_incremental_fault *f) {
  xlm_step s = {.g = g, .a = a, .fault = f};
  *f = (xlm_incremental_fault){0};
  begin(&s, o->places);
  if (!xlm_step_find(&s, !o->places)) return NULL;
  if (!o->places) {
    if (!xlm_step_emit_once(&s)) return NULL;
    xlm_drop_dead(s.out, a);
    return s.out;
  }
  if (!emit_all(&s)) return NULL;
  if (!s.out->outputs.n) {
    xlm_step_refuse(&s, (xlm_span){0, 0}, "the model has no output along `seq`",
                    "declare one: `output logits`");
    return NULL;
  }
  if (o->last && o->places > 1) {
    xlm_graph *every = s.out;
    s.out = xlm_step_at_last(&s);
    xlm_graph_free(every);
  }
  xlm_drop_dead(s.out, a);
  return s.out;
}

bool xlm_incremental_encodes(const xlm_graph *g, xlm_arena *scratch) {
  xlm_incremental_fault f = {0};
  xlm_step s = {.g = g, .a = scratch, .fault = &f};
  begin(&s, 0);
  bool found = xlm_step_find(&s, true) && s.any_once;
  xlm_graph_free(s.out);
  return found;
}

int64_t xlm_incremental_prefix(const xlm_graph *g, xlm_arena *scratch) {
  xlm_incremental_fault f = {0};
  xlm_step s = {.g = g, .a = scratch, .fault = &f};
  begin(&s, 0);
  bool found = xlm_step_find(&s, false) && s.all.joined;
  xlm_graph_free(s.out);
  return found ? s.before[s.all.joined] : 0;
}
