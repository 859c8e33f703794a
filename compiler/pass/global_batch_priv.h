// The parts of the pass global_batch.
#ifndef XLM_PASS_GLOBAL_BATCH_PRIV_H
#define XLM_PASS_GLOBAL_BATCH_PRIV_H

#include "compiler/pass/global_batch.h"
#include "compiler/pass/layout.h"
#include "compiler/pass/pass_priv.h"

// What a value depends on; OTHERS: parameters, states, random numbers.
enum { XLM_OF_INPUTS = 1, XLM_OF_OTHERS = 2 };

typedef struct xlm_target_count { // of cross_entropy; shared by all that count the same targets
  xlm_val targets, count;         // in g; in out
  int64_t ignore, vocab;
  struct xlm_target_count *next;
} xlm_target_count;

typedef struct xlm_batch {
  const xlm_graph *g;
  xlm_arena *a;
  int64_t microbatches;
  xlm_graph *out;
  xlm_build b;
  xlm_layout_rule *rules;
  bool *rows;           // by dim: numbers samples
  xlm_batch_kind *kind; // by value
  uint8_t *of;          // by value
  bool *early;          // by value: computed in the prologue
  bool *whole;          // by value: replaced by the prologue's result
  xlm_val *map;         // value -> out's
  xlm_val *before;      // value -> out's value in the prologue
  xlm_dim microbatch;
  xlm_target_count *counts;
  xlm_batch_fault *fault;
} xlm_batch;

// ---- global_batch_kinds.c ----

// Fills rules, rows, kind, of and whole.
void xlm_batch_classify(xlm_batch *w);
// Is n, computed from samples, their sum?
bool xlm_batch_sums_samples(const xlm_batch *w, const xlm_node_info *n);

// ---- global_batch_counts.c ----

// Is n a mean over targets that needs a count, because some of its targets may not count?
bool xlm_batch_needs_count(const xlm_batch *w, const xlm_node_info *n);
xlm_val xlm_batch_targets(const xlm_node_info *n); // in g
// The count that n divides by; NULL: not emitted yet.
xlm_target_count *xlm_batch_find_count(const xlm_batch *w, const xlm_node_info *n);
// Emits it. targets: those of n, in out.
xlm_target_count *xlm_batch_new_count(xlm_batch *w, const xlm_node_info *n, xlm_val targets);

// ---- global_batch_prologue.c ----

// Emits what is computed once per step, into before and map. false: *fault is filled.
bool xlm_batch_prologue(xlm_batch *w);

#endif
