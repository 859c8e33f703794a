// Search for layouts that fit, fastest first. Every result was compiled, placed and estimated like any other
// plan; a rough formula (rough.c) only decides which candidates are compiled. Deterministic: nothing depends
// on time.
#ifndef XLM_SEARCH_SEARCH_H
#define XLM_SEARCH_SEARCH_H

#include "compiler/cost/cluster.h"
#include "compiler/driver/compile.h"

typedef struct xlm_search_request {
  const xlm_source *source;
  const xlm_compile_options *base; // everything but mesh, batch, microbatches, schedule, chunks, zero,
                                   // recompute; must include training
  int64_t devices, global_batch;
  uint64_t memory_limit; // bytes per rank
  const xlm_cluster *cluster;
} xlm_search_request;

typedef struct xlm_candidate {
  xlm_compile_options o;
  uint64_t arena_bytes; // of the fullest rank
  double step, tokens_per_second, mfu, bubble;
  double compute, idle,
      exposed; // of the busiest rank's step: kernels, waiting for other stages, waiting for communication
} xlm_candidate;

typedef struct xlm_search_result {
  int64_t possible;     // number of legal combinations
  int64_t small_enough; // of these, by the rough memory estimate
  int64_t planned, fitting;
  xlm_candidate *at; // those that fit, in order of tokens per second
  int n;
  uint64_t least_bytes; // of those planned, if none fits
  bool only_cp;         // all that fit split the sequence, and nothing else can fit
} xlm_search_result;

xlm_status xlm_search(xlm_arena *a, const xlm_search_request *r, xlm_search_result *out,
                      xlm_error *err) XLM_MUST_CHECK;

// "--tp 8 --pp 2 --dp 4 --micro-batch-size 1 ..."
const char *xlm_search_flags(const xlm_compile_options *o, xlm_arena *a);
// One sentence: where the first saves time compared to the second.
const char *xlm_search_reason(const xlm_search_result *r, xlm_arena *a);

// The change of one setting (or of a few, if one is not enough) that makes a plan fit with the least loss of
// speed; without a cluster, the first of a fixed order. A sentence for messages. shared: the limit applies to
// all ranks together, as on one machine; else to each.
const char *xlm_search_advice(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o,
                              uint64_t memory_limit, bool shared, const xlm_cluster *cluster);

// Compiles, places and (with a cluster) estimates; clears `scratch` first. false: not legal.
bool xlm_search_try(xlm_arena *scratch, const xlm_source *source, const xlm_compile_options *o,
                    const xlm_cluster *cluster, xlm_candidate *out);
xlm_arena *xlm_search_scratch(void); // for use in many tries; NULL: out of memory

#endif
