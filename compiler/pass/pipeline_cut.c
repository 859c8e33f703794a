// Cuts the pipeline: contiguous rounds, minimising the cost of the most expensive part. Nodes outside the
// rounds (embedding, head, loss) count towards the first or last part, depending on whether they come before
// or after the rounds.
#include <string.h>

#include "compiler/pass/pass_priv.h"
#include "compiler/pass/pipeline.h"

static double cost_of(const xlm_graph *g,
                      xlm_node id) { // FLOPs, and bytes at about the rate a matrix unit outruns memory
  xlm_cost c;
  xlm_op_cost(g, id, &c);
  return c.flops + 10 * c.bytes;
}

xlm_round_costs xlm_pipeline_costs(const xlm_graph *g, xlm_arena *a) {
  xlm_round_costs c = {0};
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (g->nodes[id].round >= c.rounds) c.rounds = g->nodes[id].round + 1;
  c.loops = xlm_pipeline_loops(g, a);
  c.round = XLM_NEW_N(a, double, c.rounds + 1);
  bool inside = false;
  for (xlm_node id = 1; id < g->n_nodes; id++) {
    const xlm_node_info *n = &g->nodes[id];
    if (xlm_is_leaf(n) || xlm_phase_is_once(n->phase)) continue;
    if (n->round >= 0)
      inside = true, c.round[n->round] += cost_of(g, id);
    else if (n->phase == XLM_PHASE_FWD)
      *(inside ? &c.after : &c.before) += 3 * cost_of(g, id); // including its backward
  }
  return c;
}

// Number of parts needed if none may cost more than `most`; first[] receives the cuts.
static int fill(const xlm_round_costs *c, int parts, double most, int32_t *first) {
  int k = 0;
  double used = c->before;
  first[0] = 0;
  for (int32_t r = 0; r < c->rounds; r++) {
    bool last_part = k == parts - 1;
    bool must_leave = c->rounds - r <= parts - 1 - k && r > first[k]; // every part needs a round
    double rest = last_part ? c->after : 0;
    if (k < parts && (used + c->round[r] + rest > most || must_leave) && r > first[k]) {
      first[++k] = r;
      used = 0;
      if (k >= parts) return k + 1;
    }
    used += c->round[r];
  }
  return used + (k == parts - 1 ? c->after : 0) > most ? parts + 1 : k + 1;
}

static void balance(const xlm_round_costs *c, int parts, int32_t *first) {
  double low = 0, high = c->before + c->after;
  int32_t *trial = first;
  for (int32_t r = 0; r < c->rounds; r++) high += c->round[r];
  for (int i = 0; i < 60; i++) {
    double middle = (low + high) / 2;
    *(fill(c, parts, middle, trial) <= parts ? &high : &low) = middle;
  }
  (void)fill(c, parts, high * (1 + 1e-9), first);
}

// Empty parts take a round from the part before them.
static void fill_empty(int32_t rounds, int parts, int32_t *first, int filled) {
  for (int k = filled; k < parts; k++) first[k] = rounds;
  for (int k = parts - 1; k > 0; k--)
    if (first[k] > rounds - (parts - k)) first[k] = rounds - (parts - k);
}

static xlm_status read_list(const xlm_round_costs *c, int parts, const int32_t *list, int n, int32_t *first,
                            xlm_error *err) {
  int64_t sum = 0;
  if (n != parts)
    return xlm_fail(err, XLM_USER, "the list of stage sizes has %d entries; this pipeline has %d parts", n,
                    parts);
  for (int k = 0; k < parts; k++) {
    first[k] = (int32_t)sum;
    sum += list[k];
    if (list[k] < 1)
      return xlm_fail(err, XLM_USER, "part %d of the pipeline has %d rounds; every part needs at least one",
                      k, list[k]);
  }
  if (sum != c->rounds)
    return xlm_fail(err, XLM_USER,
                    "the stage sizes add up to %lld; the model has %d rounds of `repeat .. over pp`",
                    (long long)sum, c->rounds);
  return XLM_OK;
}

// first: [parts + 1]
static xlm_status cut_all(const xlm_round_costs *c, int parts, const int32_t *list, int n_list,
                          int32_t *first, xlm_error *err) {
  first[parts] = c->rounds;
  if (list) return read_list(c, parts, list, n_list, first, err);
  balance(c, parts, first);
  int filled = 1;
  while (filled < parts && first[filled] > first[filled - 1]) filled++;
  fill_empty(c->rounds, parts, first, filled);
  first[parts] = c->rounds;
  return XLM_OK;
}

// ---- loops ----

// Parts of each loop if all are cut alike; 0: they are not.
static int parts_alike(const xlm_round_costs *c, int stages, int chunks) {
  if (c->loops.n < 2 || chunks % c->loops.n) return 0;
  int parts = stages * (chunks / c->loops.n);
  return c->loops.rounds < parts ? 0 : parts;
}

// The loops as one, whose rounds cost what they do in all: what is cut is a layer. Layers before the loops
// belong to the first part, those after them to the last.
static xlm_status cut_alike(const xlm_round_costs *c, xlm_arena *a, int parts, const int32_t *list,
                            int32_t *first, xlm_error *err) {
  const xlm_loops *l = &c->loops;
  int32_t end = l->first + l->n * l->rounds, *cut = XLM_NEW_N(a, int32_t, parts + 2);
  xlm_round_costs one = {.rounds = l->rounds, .before = c->before, .after = c->after};
  one.round = XLM_NEW_N(a, double, one.rounds + 1);
  for (int32_t r = 0; r < c->rounds; r++)
    *(r < l->first ? &one.before
      : r < end    ? &one.round[(r - l->first) % l->rounds]
                   : &one.after) += c->round[r];
  XLM_TRY(cut_all(&one, parts, list, parts, cut, err));
  for (int32_t i = 0; i < l->n; i++)
    for (int k = 0; k < parts; k++) first[i * parts + k] = l->first + i * l->rounds + cut[k];
  first[0] = 0;
  first[l->n * parts] = c->rounds;
  return XLM_OK;
}

xlm_status xlm_pipeline_cut(const xlm_round_costs *c, xlm_arena *a, int stages, int chunks,
                            const int32_t *list, int n_list, xlm_pipeline *out, xlm_error *err) {
  int parts = stages * chunks;
  if (c->rounds < parts)
    return xlm_fail(err, XLM_USER,
                    c->rounds ? "the model has %d rounds of `repeat .. over pp`, too few for %d parts (%d "
                                "stages x %d); at most %d "
                                "parts work"
                              : "the model has %d rounds of `repeat .. over pp`: write `over pp` behind the "
                                "repeat whose rounds may "
                                "be cut (%d parts were asked for: %d stages x %d; without it at most %d)",
                    c->rounds, parts, stages, chunks, c->rounds ? c->rounds : 1);
  int32_t *first = XLM_NEW_N(a, int32_t, parts + 2);
  int n_alike = parts_alike(c, stages, chunks);
  if (n_alike && (!list || n_list == n_alike))
    XLM_TRY(cut_alike(c, a, n_alike, list, first, err));
  else
    XLM_TRY(cut_all(c, parts, list, n_list, first, err));
  *out = (xlm_pipeline){.stages = stages, .chunks = chunks, .rounds = c->rounds, .first = first};
  return XLM_OK;
}
