// Chunk loss: the product that makes the logits, the loss and its gradients run for a part of the rows
// (tokens) at a time, so that the logits of all rows are never stored. With a vocabulary of 128 thousand they
// would take more memory than all other activations of a layer.
//
// The members of a head (head.h) are emitted once per chunk, chunk after chunk, where the last of them stood.
// Operands with rows are sliced, results with rows joined, sums over rows added in the order of the chunks:
// products in place, straight into the sum over the microbatches where there is one. What reads a result
// follows after the last chunk. The number of chunks depends on the sizes of a rank's logits alone, so that
// pipeline, ZeRO and recompute change no bit.
#include <string.h>

#include "compiler/pass/head.h"

enum { CHUNKS_MOST = XLM_MAX_RANK }; // `concat` joins as many tensors
static const int64_t AUTO_BYTES = (int64_t)256 << 20;

typedef xlm_val chunk_values[CHUNKS_MOST];

typedef struct division { // of one head
  const xlm_head *head;
  xlm_dim d;
  int n;
  xlm_dim part[CHUNKS_MOST]; // the dimension of each chunk
} division;

typedef struct chunker {
  const xlm_graph *g;
  xlm_graph *out;
  xlm_arena *a;
  const xlm_mesh *mesh;
  xlm_build b;
  xlm_val *map;         // g's values -> out's; 0: not emitted yet
  const division **of;  // by node: of the head whose member it is
  const division **end; // by node: of the head whose last member it is
  xlm_node *sum;        // by value: the `accumulate` of which it is the only addend; 0: none
  bool *absorbed;       // by node: an `accumulate` that the product does itself
  bool *read;           // by value: not only by members of its head
  // of the head that is being emitted:
  xlm_val count;       // of its targets; 0: not needed so far
  xlm_val *now;        // by value: in this chunk
  xlm_val *total;      // by value: sums over the rows so far
  chunk_values *parts; // by value: of all chunks
} chunker;

// ---- how many chunks ----

// The size of a dimension on the rank that has the largest piece: the same on all ranks.
static int64_t largest(const chunker *c, xlm_dim d) {
  const xlm_dim_info *i = &c->g->dims[d];
  int64_t ways = xlm_mesh_group(c->mesh, i->axes);
  return (i->full + ways - 1) / ways;
}

// The gradient of the logits takes their memory, so that they alone count.
static int wanted_chunks(const chunker *c, const xlm_head *h, int chunks) {
  const xlm_type *t = xlm_val_type(c->g, h->logits);
  if (chunks) return chunks;
  double bytes = (double)xlm_dtype_bytes(t->dtype);
  for (int i = 0; i < t->rank; i++) bytes *= (double)largest(c, t->dim[i]);
  double n = (bytes + (double)AUTO_BYTES - 1) / (double)AUTO_BYTES;
  return n < CHUNKS_MOST ? (int)n : CHUNKS_MOST;
}

// If chunks of equal size are possible with more of them, these: they share the choice of a kernel.
static int64_t even(int64_t n, int64_t rows) {
  for (int64_t k = n; k <= CHUNKS_MOST; k++)
    if (rows % k == 0) return k;
  return n;
}

// The outermost dimension that has enough rows on every rank, else the one with the most.
static division divide(const chunker *c, const xlm_head *h, int chunks) {
  division v = {.head = h};
  int64_t most = 0, wanted = wanted_chunks(c, h, chunks);
  for (int i = 0; i < h->n_rows && most < wanted; i++) {
    int64_t least = c->g->dims[h->rows[i]].full / xlm_mesh_group(c->mesh, c->g->dims[h->rows[i]].axes);
    if (least > most) most = least, v.d = h->rows[i];
  }
  v.n = (int)(wanted < most ? chunks ? wanted : even(wanted, most) : most);
  if (v.n > CHUNKS_MOST) v.n = CHUNKS_MOST;
  return v;
}

static void name_parts(const chunker *c, division *v) {
  const xlm_dim_info *d = &c->g->dims[v->d];
  for (int i = 0; i < v->n; i++) {
    int64_t size = d->size / v->n + (i < d->size % v->n);
    const char *name = xlm_arena_printf(c->a, "%s.chunk%lld", d->name, (long long)size);
    v->part[i] = xlm_graph_dim(c->out, name, size);
  }
}

static bool one_phase(const chunker *c, const xlm_head *h) {
  for (xlm_node id = h->first; id <= h->last; id++)
    if (h->member[id] && (c->g->nodes[id].phase != c->g->nodes[h->first].phase ||
                          c->g->nodes[id].stage != c->g->nodes[h->first].stage))
      return false;
  return true;
}

// Does a member of one head that comes before the end of the other depend on that one?
static bool waits_for(const chunker *c, const xlm_head *one, const xlm_head *other) {
  bool *after = XLM_NEW_N(c->a, bool, c->g->n_nodes);
  for (xlm_node id = other->first; id <= other->last; id++) {
    const xlm_node_info *n = &c->g->nodes[id];
    for (int i = 0; i < n->n_in; i++) after[id] |= after[c->g->values[n->in[i]].def];
    if (after[id] && one->member[id]) return true;
    after[id] |= other->member[id];
  }
  return false;
}

static bool is_apart(const chunker *c, const xlm_head *h) {
  for (xlm_node id = 1; id < c->g->n_nodes; id++)
    if (c->end[id] && (waits_for(c, h, c->end[id]->head) || waits_for(c, c->end[id]->head, h))) return false;
  return true;
}

static void find_divisions(chunker *c, int chunks) {
  for (const xlm_head *h = xlm_heads_find(c->g, c->a); h; h = h->next) {
    division *v = XLM_NEW(c->a, division);
    *v = divide(c, h, chunks);
    if (v->n < 2 || !one_phase(c, h) || !is_apart(c, h)) continue;
    name_parts(c, v);
    for (xlm_node id = h->first; id <= h->last; id++)
      if (h->member[id]) c->of[id] = v;
    c->end[h->last] = v;
  }
}

// ---- what is read outside ----

static void find_readers(chunker *c) {
  uint32_t *uses = xlm_graph_uses(c->g, c->a);
  for (xlm_node id = 1; id < c->g->n_nodes; id++) {
    const xlm_node_info *n = &c->g->nodes[id];
    int addend = xlm_op_facts_of(n->op)->addend;
    for (int i = 0; i < n->n_in; i++) {
      const division *v = c->of[c->g->values[n->in[i]].def];
      if (v == c->of[id]) continue;
      c->read[n->in[i]] = true;
      if (v && i == addend - 1 && uses[n->in[i]] == 1) c->sum[n->in[i]] = id;
    }
  }
  const xlm_vals *lists[] = {&c->g->outputs, &c->g->metrics, &c->g->losses};
  for (int k = 0; k < 3; k++)
    for (uint32_t i = 0; i < lists[k]->n; i++) c->read[lists[k]->at[i].val] = true;
  for (uint32_t i = 0; i < c->g->n_updates; i++) c->read[c->g->updates[i].val] = true;
}

// accumulate(state, product): every chunk adds its product to the state.
static void find_absorbed(chunker *c) {
  for (xlm_val v = 1; v < c->g->n_values; v++) {
    const division *d = c->of[c->g->values[v].def];
    if (!c->sum[v]) continue;
    const xlm_node_info *n = &c->g->nodes[c->sum[v]];
    bool adds = xlm_op_facts_of(xlm_val_node(c->g, v)->op)->accumulating && xlm_head_sums(c->g, v, d->d) &&
                xlm_same_type(xlm_val_type(c->g, n->in[0]), xlm_val_type(c->g, v));
    if (!adds || n->stage != xlm_val_node(c->g, v)->stage || xlm_phase_is_once(n->phase))
      c->sum[v] = 0;
    else
      c->absorbed[c->sum[v]] = true;
  }
}

// ---- one chunk ----

static void context(chunker *c, xlm_node id) {
  xlm_build_context(&c->b, &c->g->nodes[id]);
  c->b.phase = c->g->nodes[id].phase;
}

static xlm_val slice(chunker *c, const division *v, int chunk, xlm_val whole) {
  int64_t start = 0;
  for (int i = 0; i < chunk; i++) start += c->out->dims[v->part[i]].size;
  xlm_val part = xlm_slice_to(&c->b, whole, v->d, start, v->part[chunk]);
  xlm_val_at(c->out, part)->partial = xlm_val_at(c->out, whole)->partial;
  return part;
}

static xlm_val operand(chunker *c, const division *v, int chunk, xlm_val old) {
  if (c->now[old]) return c->now[old];
  XLM_ASSERT(c->map[old], "a chunk reads %%%u before it is there", old);
  bool has_rows = !xlm_head_sums(c->g, old, v->d);
  return c->now[old] = has_rows ? slice(c, v, chunk, c->map[old]) : c->map[old];
}

// A mean whose count is not given is one over the targets of all ranks, each of which counts.
static xlm_val count_of_targets(chunker *c, const xlm_head *h) {
  const xlm_type *t = xlm_val_type(c->g, h->logits);
  double n = 1;
  for (int i = 0; i < t->rank; i++)
    if (t->dim[i] != h->vocab) n *= (double)c->g->dims[t->dim[i]].full;
  if (!c->count) c->count = xlm_scalar(&c->b, n);
  return c->count;
}

// Emits the product of this chunk as an addition to those before. Returns false if it must be added
// otherwise.
static bool add_product(chunker *c, const xlm_node_info *n, const xlm_val *in, const xlm_attr_list *l) {
  xlm_op_id op = xlm_op_facts_of(n->op)->accumulating;
  xlm_node sum = c->sum[n->out];
  xlm_val acc = c->total[n->out], all[XLM_MAX_RANK];
  if (sum && !acc) acc = c->map[c->g->nodes[sum].in[0]];
  if (!op || !acc || xlm_val_type(c->g, n->out)->dtype == XLM_BF16) return false;
  all[0] = acc;
  memcpy(all + 1, in, n->n_in * sizeof *in);
  c->total[n->out] = xlm_emit(&c->b, op, all, n->n_in + 1, l);
  return true;
}

static void emit_member(chunker *c, const division *v, int chunk, xlm_node id) {
  const xlm_node_info *n = &c->g->nodes[id];
  xlm_val in[XLM_MAX_RANK];
  int n_in = n->n_in, valid = xlm_op_facts_of(n->op)->valid;
  context(c, id);
  for (int i = 0; i < n->n_in; i++) in[i] = operand(c, v, chunk, n->in[i]);
  if (n_in < valid) in[n_in++] = count_of_targets(c, v->head);
  xlm_attr_list l = xlm_attrs_with(c->out->arena, &n->attrs, v->d, v->part[chunk]);
  bool sums = xlm_head_sums(c->g, n->out, v->d);
  if (sums && add_product(c, n, in, &l)) return;
  xlm_val first = xlm_emit(&c->b, n->op, in, n_in, &l);
  for (int i = 0; i < n->n_out; i++) {
    xlm_val old = n->out + (xlm_val)i, made = first + (xlm_val)i;
    xlm_val_at(c->out, made)->partial = c->g->values[old].partial;
    xlm_val_at(c->out, made)->name = c->g->values[old].name;
    if (xlm_head_sums(c->g, old, v->d) && c->read[old])
      c->total[old] = xlm_add_to(&c->b, c->total[old], made);
    else
      c->now[old] = c->parts[old][chunk] = made;
  }
}

// ---- a head ----

static void emit_results(chunker *c, const division *v, xlm_node id) {
  const xlm_node_info *n = &c->g->nodes[id];
  context(c, id);
  for (xlm_val old = n->out; old < n->out + n->n_out; old++) {
    if (!c->read[old]) continue;
    xlm_val now = xlm_head_sums(c->g, old, v->d) ? c->total[old]
                                                 : xlm_join_to(&c->b, c->parts[old], v->part, v->n, v->d);
    xlm_val sum = c->sum[old] ? c->g->nodes[c->sum[old]].out : 0, like = sum ? sum : old;
    xlm_val_at(c->out, now)->partial = c->g->values[like].partial;
    xlm_val_at(c->out, now)->name = c->g->values[like].name;
    c->map[like] = now;
  }
}

static void emit_states(chunker *c, const division *v) {
  for (xlm_node id = v->head->first; id <= v->head->last; id++) {
    xlm_node sum = v->head->member[id] ? c->sum[c->g->nodes[id].out] : 0;
    if (!sum) continue;
    xlm_val state = c->g->nodes[sum].in[0];
    if (!c->map[state]) xlm_copy_node(c->out, c->g, c->g->values[state].def, c->map, c->map);
  }
}

static void emit_head(chunker *c, const division *v) {
  const xlm_head *h = v->head;
  emit_states(c, v);
  c->count = 0;
  for (int chunk = 0; chunk < v->n; chunk++) {
    memset(c->now, 0, c->g->n_values * sizeof *c->now);
    for (xlm_node id = h->first; id <= h->last; id++)
      if (h->member[id]) emit_member(c, v, chunk, id);
  }
  for (xlm_node id = h->first; id <= h->last; id++)
    if (h->member[id]) emit_results(c, v, id);
}

// ---- the graph ----

static bool is_ready(const chunker *c, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++)
    if (!c->map[n->in[i]]) return false;
  return true;
}

// Nodes that read results of a head wait for its end; all others stay where they are.
static void emit_all(chunker *c) {
  xlm_node *waiting = XLM_NEW_N(c->a, xlm_node, c->g->n_nodes);
  uint32_t n_waiting = 0;
  for (xlm_node id = 1; id < c->g->n_nodes; id++) {
    const xlm_node_info *n = &c->g->nodes[id];
    if (c->end[id]) {
      emit_head(c, c->end[id]);
      uint32_t still = 0;
      for (uint32_t i = 0; i < n_waiting; i++)
        if (is_ready(c, &c->g->nodes[waiting[i]]))
          xlm_copy_node(c->out, c->g, waiting[i], c->map, c->map);
        else
          waiting[still++] = waiting[i];
      n_waiting = still;
    } else if (c->of[id] || c->absorbed[id] || (xlm_is_leaf(n) && c->map[n->out]))
      continue;
    else if (is_ready(c, n))
      xlm_copy_node(c->out, c->g, id, c->map, c->map);
    else
      waiting[n_waiting++] = id;
  }
  XLM_ASSERT(!n_waiting, "node %u waits for a head that never ends", n_waiting ? waiting[0] : 0);
}

xlm_graph *xlm_pass_chunk_loss(const xlm_graph *g, xlm_arena *a, const xlm_mesh *mesh, int chunks) {
  chunker c = {.g = g, .out = xlm_graph_like(g), .a = a, .mesh = mesh};
  c.b = xlm_build_new(c.out);
  c.map = XLM_NEW_N(a, xlm_val, g->n_values);
  c.now = XLM_NEW_N(a, xlm_val, g->n_values);
  c.total = XLM_NEW_N(a, xlm_val, g->n_values);
  c.parts = XLM_NEW_N(a, chunk_values, g->n_values);
  c.of = XLM_NEW_N(a, const division *, g->n_nodes);
  c.end = XLM_NEW_N(a, const division *, g->n_nodes);
  c.sum = XLM_NEW_N(a, xlm_node, g->n_values);
  c.absorbed = XLM_NEW_N(a, bool, g->n_nodes);
  c.read = XLM_NEW_N(a, bool, g->n_values);
  xlm_graph_reserve(c.out, g->n_nodes, g->n_values);
  find_divisions(&c, chunks);
  find_readers(&c);
  find_absorbed(&c);
  emit_all(&c);
  xlm_copy_ends(c.out, g, c.map);
  return c.out;
}
