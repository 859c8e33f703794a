// Loops: rounds that run the same layers again, as those of `repeat n shared { repeat layers over pp { } }`.
//
// They are found by what makes them worth having on one stage, the parameters that they read. A round is
// linked to the last one before it that reads the same parameter, the one that the fewest rounds read, if it
// shares most of its parameters with that round. What two neighbours read says nothing: however a pipeline is
// cut, it is on several stages. Loops are rounds linked in the order of the text, one loop after the other,
// all of one length.
#include "compiler/pass/pass_priv.h"
#include "compiler/pass/pipeline_priv.h"

typedef struct readers { // of a parameter: rounds
  int32_t n, last;       // last: so far; -1
} readers;

typedef struct link { // of a round
  xlm_val by;         // the parameter; 0: there is none
  int32_t with;
  int64_t elements,
      shared; // of what it reads and its neighbour does not; of these what the linked round reads
} link;

typedef struct links {
  const xlm_graph *g;
  xlm_val *parameter; // by value: that it is, or a cast of it; 0
  readers *readers;   // by parameter
  link *of;           // by round
} links;

static int64_t elements(const links *l, xlm_val parameter) {
  return xlm_type_elements(xlm_val_type(l->g, parameter), l->g->dims);
}

static bool says_more(const links *l, xlm_val a, xlm_val b) {
  if (!b || l->readers[a].n != l->readers[b].n) return !b || l->readers[a].n < l->readers[b].n;
  return elements(l, a) > elements(l, b);
}

// ---- what is done for each parameter that a round reads, once; last: the round that read it before ----

static void count(links *l, int32_t round, xlm_val parameter, int32_t last) {
  (void)round, (void)last;
  l->readers[parameter].n++;
}

static void choose(links *l, int32_t round, xlm_val parameter, int32_t last) {
  link *at = &l->of[round];
  if (last >= 0 && last < round - 1 && says_more(l, parameter, at->by)) at->by = parameter, at->with = last;
}

static void weigh(links *l, int32_t round, xlm_val parameter, int32_t last) {
  link *at = &l->of[round];
  if (last == round - 1 && round > 0) return;
  at->elements += elements(l, parameter);
  if (at->by && last == at->with) at->shared += elements(l, parameter);
}

// In the forward, directly or cast.
static void each_read(links *l, void take(links *, int32_t round, xlm_val parameter, int32_t last)) {
  for (xlm_val v = 0; v < l->g->n_values; v++) l->readers[v].last = -1;
  for (xlm_node id = 1; id < l->g->n_nodes; id++) {
    const xlm_node_info *n = &l->g->nodes[id];
    if (xlm_node_is(n, XLM_LEAF_PARAMETER)) l->parameter[n->out] = n->out;
    if (xlm_casts_parameter(l->g, n)) l->parameter[n->out] = n->in[0];
    for (int i = 0; n->phase == XLM_PHASE_FWD && n->round >= 0 && i < n->n_in; i++) {
      xlm_val parameter = l->parameter[n->in[i]];
      readers *r = &l->readers[parameter];
      if (!parameter || r->last == n->round) continue;
      take(l, n->round, parameter, r->last);
      r->last = n->round;
    }
  }
}

// By round: the first round that runs its layer.
static int32_t *layers_of(const xlm_graph *g, xlm_arena *a, int32_t rounds) {
  links l = {.g = g};
  l.parameter = XLM_NEW_N(a, xlm_val, g->n_values);
  l.readers = XLM_NEW_N(a, readers, g->n_values);
  l.of = XLM_NEW_N(a, link, rounds + 1);
  each_read(&l, count);
  each_read(&l, choose);
  each_read(&l, weigh);
  int32_t *layer = XLM_NEW_N(a, int32_t, rounds + 1);
  for (int32_t r = 0; r < rounds; r++) {
    const link *at = &l.of[r];
    layer[r] = at->by && 2 * at->shared >= at->elements ? layer[at->with] : r;
  }
  return layer;
}

static bool runs_again(const int32_t *layer, int32_t rounds, int32_t from, const xlm_loops *l) {
  for (int32_t i = 0; i < l->rounds; i++)
    if (from + i >= rounds || layer[from + i] != l->first + i) return false;
  return true;
}

xlm_loops xlm_pipeline_loops(const xlm_graph *g, xlm_arena *a) {
  const xlm_loops none = {.n = 1};
  int32_t rounds = 0, again = 0;
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (g->nodes[id].round >= rounds) rounds = g->nodes[id].round + 1;
  xlm_arena *scratch = xlm_arena_child(a);
  int32_t *layer = layers_of(g, scratch, rounds);
  while (again < rounds && layer[again] == again) again++;
  xlm_loops l = none;
  if (again < rounds) l = (xlm_loops){.n = 1, .first = layer[again], .rounds = again - layer[again]};
  for (; l.rounds && runs_again(layer, rounds, again, &l); again += l.rounds) l.n++;
  while (again < rounds && layer[again] == again) again++; // layers after the loops
  xlm_arena_free(scratch);
  return l.n > 1 && again == rounds ? l : none;
}
