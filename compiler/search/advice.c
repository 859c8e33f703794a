// Finds the cheapest change that makes a plan fit. Each is compiled and placed, so that the advice is
// correct.
#include <string.h>

#include "compiler/search/search.h"

typedef bool change(xlm_compile_options *o); // false: no effect

static int32_t *axis_of(xlm_mesh *m, const char *name) {
  int i = xlm_mesh_axis(m, name);
  return i < 0 ? NULL : &m->size[i];
}

static bool raise_zero(xlm_compile_options *o, int level) {
  int32_t *dp = axis_of(&o->mesh, "dp");
  if (!dp || *dp < 2 || o->zero >= level) return false;
  o->zero = level;
  return true;
}

// Sums of gradients over several microbatches can be split if every microbatch reduces its own.
static bool reduce_each(xlm_compile_options *o) {
  int32_t *dp = axis_of(&o->mesh, "dp");
  if (!dp || *dp < 2 || o->zero < 2 || o->reduce_each || o->train.microbatches == 1) return false;
  o->reduce_each = true;
  return true;
}

static bool zero1(xlm_compile_options *o) {
  return raise_zero(o, 1);
}
static bool zero2(xlm_compile_options *o) { // with unsplit sums of gradients, or none, it equals zero1
  return o->train.microbatches > 1 && raise_zero(o, 2) && (o->reduce_each || reduce_each(o));
}
static bool zero3(xlm_compile_options *o) {
  return raise_zero(o, 3);
}
static bool zero3_each(xlm_compile_options *o) {
  return zero3(o) && reduce_each(o);
}

static bool recompute(xlm_compile_options *o) {
  if (o->recompute == XLM_RECOMPUTE_FULL) return false;
  o->recompute = XLM_RECOMPUTE_FULL;
  return true;
}

static int64_t data_ranks(const xlm_compile_options *o) {
  xlm_mesh m = o->mesh;
  int32_t *dp = axis_of(&m, "dp"), *ep = axis_of(&m, "ep");
  return (int64_t)(dp ? *dp : 1) * (ep ? *ep : 1);
}

static bool smaller_batch(xlm_compile_options *o, int64_t by) {
  int64_t each = o->settings.batch / data_ranks(o);
  if (each % by) return false;
  o->settings.batch /= by;
  o->train.microbatches *= by;
  return true;
}

static bool half_batch(xlm_compile_options *o) {
  return smaller_batch(o, 2);
}
static bool single_samples(xlm_compile_options *o) {
  int64_t each = o->settings.batch / data_ranks(o);
  return each > 2 && smaller_batch(o, each);
}

// More tensor parallelism on the same devices: half the data-parallel ranks, each with twice the samples, so
// twice the microbatches.
static bool more_tp(xlm_compile_options *o) {
  int32_t *dp = axis_of(&o->mesh, "dp"), *tp = axis_of(&o->mesh, "tp");
  if (!dp || *dp % 2) return false;
  *dp /= 2;
  if (tp)
    *tp *= 2;
  else if (o->mesh.n < XLM_MAX_AXES)
    o->mesh.axis[o->mesh.n] = "tp", o->mesh.size[o->mesh.n++] = 2;
  else
    return false;
  if (o->settings.batch % 2) return false;
  o->settings.batch /= 2;
  o->train.microbatches *= 2;
  return true;
}

// More devices, if nothing else helps.
static bool double_tp(xlm_compile_options *o) {
  int32_t *tp = axis_of(&o->mesh, "tp");
  if (tp)
    *tp *= 2;
  else if (o->mesh.n < XLM_MAX_AXES)
    o->mesh.axis[o->mesh.n] = "tp", o->mesh.size[o->mesh.n++] = 2;
  else
    return false;
  return true;
}

static change *const changes[] = {zero1,     reduce_each, zero2,      half_batch, single_samples,
                                  recompute, zero3,       zero3_each, more_tp,    double_tp};
enum { CHANGES = sizeof changes / sizeof *changes };

typedef struct advice {
  xlm_arena *scratch;
  const xlm_source *source;
  uint64_t limit;
  bool shared; // the limit is for all ranks together
  const xlm_cluster *cluster;
  xlm_candidate best;
  bool found;
} advice;

static bool weigh(advice *w, const xlm_compile_options *o) {
  xlm_candidate c;
  uint64_t together = w->shared ? (uint64_t)xlm_mesh_ranks(&o->mesh) : 1;
  if (!xlm_search_try(w->scratch, w->source, o, w->cluster, &c) || c.arena_bytes > w->limit / together)
    return false;
  if (w->found && !(w->cluster && c.tokens_per_second > w->best.tokens_per_second)) return true;
  w->best = c;
  w->found = true;
  return true;
}

static void try_one(advice *w, const xlm_compile_options *base) {
  for (int i = 0; i < CHANGES - 1; i++) {
    xlm_compile_options o = *base;
    if (changes[i](&o)) weigh(w, &o);
  }
}

// Accumulates changes until the plan fits.
static void try_all(advice *w, const xlm_compile_options *base) {
  xlm_compile_options o = *base;
  static change *const order[] = {zero1,       zero2,     single_samples, half_batch, zero2,
                                  reduce_each, recompute, zero3,          more_tp,    more_tp,
                                  double_tp,   double_tp, double_tp};
  for (size_t i = 0; i < sizeof order / sizeof *order && !w->found; i++) {
    xlm_compile_options next = o;
    if (!order[i](&next)) continue;
    o = next;
    weigh(w, &o);
  }
}

const char *xlm_search_advice(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o,
                              uint64_t memory_limit, bool shared, const xlm_cluster *cluster) {
  advice w = {.source = source, .limit = memory_limit, .shared = shared, .cluster = cluster};
  w.scratch = xlm_search_scratch();
  if (!w.scratch) return "there is no memory to look for a change that fits";
  xlm_compile_options base = *o;
  if (xlm_compile_makes(&base, XLM_PROGRAM_TRAIN)) base.programs = XLM_WITH_TRAIN; // the others store less
  try_one(&w, &base);
  if (!w.found) try_all(&w, &base);
  xlm_arena_free(w.scratch);
  if (!w.found && shared)
    return "nothing tried fits this machine, whose memory its ranks share: a shorter --seq-length or a "
           "smaller "
           "model would; `--cluster h100 --auto --devices N` looks for a layout of N other devices";
  if (!w.found)
    return "nothing tried fits: more ranks (--tp, --pp), a shorter --seq-length or a smaller model would";
  const char *bytes = xlm_text_bytes(a, w.best.arena_bytes);
  int64_t ranks = xlm_mesh_ranks(&w.best.o.mesh);
  if (!cluster)
    return xlm_arena_printf(a, "this fits, with %s%s: %s", bytes, ranks > 1 ? " of each rank" : "",
                            xlm_search_flags(&w.best.o, a));
  return xlm_arena_printf(a, "the fastest change that fits, %s and %.1f %% MFU: %s", bytes, 100 * w.best.mfu,
                          xlm_search_flags(&w.best.o, a));
}
