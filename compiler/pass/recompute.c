// Recompute: forward values of chosen regions are not stored for the backward pass but computed again just
// before it.
//
// A region is one round (FULL): of the pipeline or, outside of it, of a repeat whose rounds have parameters
// of their own; or one run of marked nodes of one instance (MARKED). A value that leaves its region, to any
// forward node outside, is stored, since the next region needs it. Of the others, those that the backward
// pass reads, and their inputs within the region, are cloned before the region's first backward use. Clones
// are the same ops on the same operands, and random ops draw by name, so a step gives the same bits with and
// without recomputation.
//
// In every mode, values made from parameters alone (casts to the compute type) are recomputed: stored, they
// would be a second copy of the weights per microbatch in flight, and of the unsplit weights under ZeRO 3.
#include <string.h>

#include "compiler/pass/pass_priv.h"

enum { ALL_ROUNDS = INT32_MAX, NO_ROUND = -1 };

typedef struct recomputer {
  const xlm_graph *g;
  xlm_graph *out;
  int32_t rounds;   // FULL: the first so many, or ALL_ROUNDS
  int32_t *round;   // by node: of the pipeline, then of other repeats; NO_ROUND: in none
  uint32_t *region; // by node; 0 = none
  uint32_t n_regions;
  xlm_node *begin, *end; // by region: its nodes are in [begin, end)
  bool *of_weights;      // by node: depends only on parameters and constants; a region by itself
  bool *leaves;          // by value: read by a forward node outside its region
  bool *needed;          // by value: recomputed for the backward pass
  bool *emitted;         // by region
  xlm_val *forward;      // old values -> new
  xlm_val *backward;     // the same, for the backward pass
} recomputer;

// Length of the prefix of a scope that names a round of its outermost repeat ("layers.3"); 0: it is in none.
static size_t round_length(const char *scope) {
  for (const char *s = scope; *s;) {
    size_t n = strcspn(s, ".");
    if (n && strspn(s, "0123456789") == n) return (size_t)(s - scope) + n;
    s += n + (s[n] == '.');
  }
  return 0;
}

static bool may(const xlm_node_info *n) {
  return n->phase == XLM_PHASE_FWD && !xlm_is_leaf(n) && !xlm_op_at(n->op)->n_alias;
}

static bool eligible(const recomputer *r, xlm_node id, xlm_recompute mode) {
  const xlm_node_info *n = &r->g->nodes[id];
  if (!may(n)) return false;
  return mode == XLM_RECOMPUTE_FULL ? r->round[id] != NO_ROUND && r->round[id] < r->rounds
                                    : mode == XLM_RECOMPUTE_MARKED && n->recompute;
}

// Length of the prefix of the scope that names the instance: a round, or the first word.
static size_t instance_length(const char *scope) {
  size_t n = round_length(scope);
  return n ? n : strcspn(scope, ".");
}

static bool same_instance(const xlm_node_info *a, const xlm_node_info *b) {
  size_t n = instance_length(a->scope);
  return a->round == b->round && n == instance_length(b->scope) && !strncmp(a->scope, b->scope, n);
}

static bool same_round(const xlm_node_info *a, const xlm_node_info *b) {
  return a->round == b->round && (a->round >= 0 || same_instance(a, b));
}

static int32_t rounds_of_pipeline(const xlm_graph *g) {
  int32_t rounds = 0;
  for (xlm_node n = 1; n < g->n_nodes; n++)
    if (g->nodes[n].round >= rounds) rounds = g->nodes[n].round + 1;
  return rounds;
}

// Numbers the rounds: those of the pipeline, then those of other repeats, in their order. Returns how many;
// `of` (or NULL): the round of each node.
static int32_t number_rounds(const xlm_graph *g, int32_t *of) {
  const xlm_node_info *last = NULL;
  int32_t rounds = rounds_of_pipeline(g);
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    bool other = n->round < 0 && may(n) && round_length(n->scope);
    if (other && !(last && same_instance(last, n))) rounds++;
    if (other) last = n;
    if (of) of[id] = other ? rounds - 1 : n->round;
  }
  return rounds;
}

// Leaves between two nodes do not end a region. FULL: nothing does before the next round.
static uint32_t region_of(const recomputer *r, const xlm_node_info *n, xlm_recompute mode, xlm_node last,
                          bool adjacent) {
  const xlm_node_info *before = &r->g->nodes[last];
  bool same =
      last && (mode == XLM_RECOMPUTE_FULL ? same_round(before, n) : adjacent && same_instance(before, n));
  return same ? r->region[last] : 0;
}

// Elementwise and made only from parameters and constants, at least one step away from both.
static bool of_weights(const recomputer *r, const xlm_node_info *n) {
  uint32_t flags = xlm_op_at(n->op)->flags;
  bool cheap = flags & (XLM_OPF_ELEMENTWISE | XLM_OPF_VIEW), weights = false;
  if (n->phase != XLM_PHASE_FWD || !cheap || flags & XLM_OPF_RANDOM) return false;
  for (int i = 0; i < n->n_in; i++) {
    const xlm_node_info *def = xlm_val_node(r->g, n->in[i]);
    bool made = r->of_weights[r->g->values[n->in[i]].def];
    if (!xlm_node_is(def, XLM_LEAF_PARAMETER) && !xlm_node_is(def, XLM_LEAF_CONSTANT) && !made) return false;
    weights |= made || xlm_node_is(def, XLM_LEAF_PARAMETER);
  }
  return weights;
}

static void find_regions(recomputer *r, xlm_arena *a, xlm_recompute mode) {
  uint32_t cap_begin = 0, n_begin = 0;
  xlm_node last = 0;
  bool adjacent = true;
  XLM_PUSH(a, r->begin, n_begin, cap_begin, 0);
  for (xlm_node id = 1; id < r->g->n_nodes; id++) {
    const xlm_node_info *n = &r->g->nodes[id];
    r->of_weights[id] = of_weights(r, n);
    if (r->of_weights[id]) {
      r->region[id] = n_begin;
      XLM_PUSH(a, r->begin, n_begin, cap_begin, id);
      continue;
    }
    if (!eligible(r, id, mode)) {
      adjacent &= xlm_is_leaf(n);
      continue;
    }
    r->region[id] = region_of(r, n, mode, last, adjacent);
    if (!r->region[id]) {
      r->region[id] = n_begin;
      XLM_PUSH(a, r->begin, n_begin, cap_begin, id);
    }
    last = id;
    adjacent = true;
  }
  r->n_regions = n_begin;
  r->end = XLM_NEW_N(a, xlm_node, n_begin);
  for (xlm_node id = 1; id < r->g->n_nodes; id++)
    if (r->region[id]) r->end[r->region[id]] = id + 1;
}

static uint32_t value_region(const recomputer *r, xlm_val v) {
  return r->region[r->g->values[v].def];
}

static bool is_backward(const xlm_node_info *n) {
  return n->phase == XLM_PHASE_BWD || n->phase == XLM_PHASE_WGT;
}

static void find_leaving(recomputer *r) {
  for (xlm_node id = 1; id < r->g->n_nodes; id++) {
    const xlm_node_info *n = &r->g->nodes[id];
    for (int i = 0; n->phase == XLM_PHASE_FWD && i < n->n_in; i++)
      if (r->region[id] != value_region(r, n->in[i]) && !r->of_weights[r->g->values[n->in[i]].def])
        r->leaves[n->in[i]] = true;
  }
}

static void need(recomputer *r, xlm_val v) {
  r->needed[v] |= v && value_region(r, v) && !r->leaves[v];
}

static void need_operands(recomputer *r, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++) need(r, n->in[i]);
  for (xlm_val v = n->out; v < n->out + n->n_out; v++) need(r, r->g->values[v].ragged_by);
}

static bool is_needed(const recomputer *r, const xlm_node_info *n) {
  for (xlm_val v = n->out; v < n->out + n->n_out; v++)
    if (r->needed[v]) return true;
  return false;
}

static void
find_needed(recomputer *r) { // users come after definitions, so one sweep from the end computes the closure
  for (xlm_node id = r->g->n_nodes; id-- > 1;) {
    const xlm_node_info *n = &r->g->nodes[id];
    if (is_backward(n) || (r->region[id] && is_needed(r, n))) need_operands(r, n);
  }
}

static void clone_node(recomputer *r, xlm_node id) {
  const xlm_node_info *old = &r->g->nodes[id];
  xlm_val stored[8];
  for (xlm_val i = 0; i < old->n_out; i++) stored[i] = r->backward[old->out + i];
  xlm_node made = xlm_copy_node(r->out, r->g, id, r->backward, r->backward); // may reallocate the table
  xlm_node_info *n = &r->out->nodes[made];
  n->phase = XLM_PHASE_BWD;
  n->recompute = true;
  for (xlm_val i = 0; i < old->n_out; i++)
    if (r->leaves[old->out + i]) r->backward[old->out + i] = stored[i];
}

static void clone_region(recomputer *r, uint32_t region);

static void clone_operands(recomputer *r, const xlm_node_info *n) {
  for (int i = 0; i < n->n_in; i++)
    if (r->needed[n->in[i]]) clone_region(r, value_region(r, n->in[i]));
  for (xlm_val v = n->out; v < n->out + n->n_out; v++)
    if (r->needed[r->g->values[v].ragged_by]) clone_region(r, value_region(r, r->g->values[v].ragged_by));
}

static void clone_region(recomputer *r, uint32_t region) {
  if (r->emitted[region]) return;
  r->emitted[region] = true;
  for (xlm_node id = r->begin[region]; id < r->end[region]; id++) {
    if (r->region[id] != region || !is_needed(r, &r->g->nodes[id])) continue;
    clone_operands(r, &r->g->nodes[id]); // casts of weights are in regions of their own
    clone_node(r, id);
  }
}

static void copy_node(recomputer *r, xlm_node id) {
  const xlm_node_info *n = &r->g->nodes[id];
  if (is_backward(n)) clone_operands(r, n);
  xlm_copy_node(r->out, r->g, id, is_backward(n) ? r->backward : r->forward, r->forward);
  for (xlm_val v = n->out; v < n->out + n->n_out; v++) r->backward[v] = r->forward[v];
}

// Upper bound of the number of cloned nodes; *values: of their results.
static uint32_t count_clones(const recomputer *r, uint32_t *values) {
  uint32_t nodes = 0;
  *values = 0;
  for (xlm_node id = 1; id < r->g->n_nodes; id++) {
    if (!r->region[id] || !is_needed(r, &r->g->nodes[id])) continue;
    nodes++;
    *values += r->g->nodes[id].n_out;
  }
  return nodes;
}

static xlm_graph *recompute(const xlm_graph *g, xlm_arena *a, xlm_recompute mode, int32_t rounds) {
  recomputer r = {.g = g, .out = xlm_graph_like(g), .rounds = rounds};
  r.region = XLM_NEW_N(a, uint32_t, g->n_nodes);
  r.round = XLM_NEW_N(a, int32_t, g->n_nodes);
  r.of_weights = XLM_NEW_N(a, bool, g->n_nodes);
  r.leaves = XLM_NEW_N(a, bool, g->n_values);
  r.needed = XLM_NEW_N(a, bool, g->n_values);
  r.forward = XLM_NEW_N(a, xlm_val, g->n_values);
  r.backward = XLM_NEW_N(a, xlm_val, g->n_values);
  number_rounds(g, r.round);
  find_regions(&r, a, mode);
  r.emitted = XLM_NEW_N(a, bool, r.n_regions);
  find_leaving(&r);
  find_needed(&r);
  uint32_t more_values, more = count_clones(&r, &more_values);
  xlm_graph_reserve(r.out, g->n_nodes + more, g->n_values + more_values);
  for (xlm_node id = 1; id < g->n_nodes; id++) copy_node(&r, id);
  xlm_copy_ends(r.out, g, r.forward);
  return r.out;
}

xlm_graph *xlm_pass_recompute(const xlm_graph *g, xlm_arena *a, xlm_recompute mode) {
  return recompute(g, a, mode, ALL_ROUNDS);
}

int32_t xlm_pass_rounds(const xlm_graph *g, int32_t *of_pipeline) {
  *of_pipeline = rounds_of_pipeline(g);
  return number_rounds(g, NULL);
}

xlm_graph *xlm_pass_recompute_rounds(const xlm_graph *g, xlm_arena *a, int32_t rounds) {
  return recompute(g, a, XLM_RECOMPUTE_FULL, rounds);
}
