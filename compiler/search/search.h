// Search: layouts that fit, fastest first. Every layout shown was compiled, placed and estimated like any
// other plan; a rough formula only decides which of the many are compiled (search_rough.c). Deterministic:
// nothing depends on time.
#ifndef XLM_SEARCH_SEARCH_H
#define XLM_SEARCH_SEARCH_H

#include "compiler/cost/cluster.h"
#include "compiler/driver/compile.h"

typedef struct xlm_search_request {
  const xlm_source *source;
  const xlm_compile_options *base; // everything but mesh, batch, microbatches, schedule, chunks, zero,
                                   // recompute; no training: no search
  int64_t devices, global_batch;
  uint64_t memory_limit; // bytes per rank
  const xlm_cluster *cluster;
} xlm_search_request;

typedef struct xlm_candidate {
  xlm_compile_options o;
  uint64_t arena_bytes; // of the fullest rank
  double step, tokens_per_second, mfu, bubble;
  double compute, idle,
      exposed; // the step of the busiest rank: kernels, waiting for other stages, for communication
} xlm_candidate;

typedef struct xlm_search_result {
  int64_t possible;     // legal combinations
  int64_t small_enough; // of these by the rough memory estimate
  int64_t planned, fitting;
  xlm_candidate *at; // those that fit, most tokens per second first
  int n;
  uint64_t least_bytes; // of the planned, when none fits
  bool only_cp;         // what fits has its sequence split, and nothing else can fit
} xlm_search_result;

xlm_status xlm_search(xlm_arena *a, const xlm_search_request *r, xlm_search_result *out,
                      xlm_error *err) XLM_MUST_CHECK;

// "--tp 8 --pp 2 --dp 4 --micro-batch-size 1 ..."
const char *xlm_search_flags(const xlm_compile_options *o, xlm_arena *a);
// One sentence: what the first spends less time on than the second.
const char *xlm_search_reason(const xlm_search_result *r, xlm_arena *a);

// The change of one setting (or of a few, if one is not enough) with which a plan fits that does not, at the
// least loss of speed; without a cluster the first of a fixed order. A sentence for people. shared: the limit is
// that of all ranks together, as on one machine; else of each.
const char *xlm_search_advice(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o,
                              uint64_t memory_limit, bool shared, const xlm_cluster *cluster);

// Compiles, places and (with a cluster) estimates; `scratch` is cleared for it. false: not legal.
bool xlm_search_try(xlm_arena *scratch, const xlm_source *source, const xlm_compile_options *o,
                    const xlm_cluster *cluster, xlm_candidate *out);
xlm_arena *xlm_search_scratch(void); // one for many tries; NULL: no memory

#endif
