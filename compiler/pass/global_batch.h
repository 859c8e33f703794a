// Global batch: makes losses and metrics independent of how a step's samples are divided into microbatches.
//
// A training step averages its losses over microbatches. That average is the loss of the global batch if the
// loss is a mean over equally weighted samples. It is not if the loss divides by a count that differs between
// microbatches, if it is a sum, or if it combines samples in another way. This pass rewrites the first two so
// that the average is right, and rejects the third.
#ifndef XLM_PASS_GLOBAL_BATCH_H
#define XLM_PASS_GLOBAL_BATCH_H

#include "compiler/ir/graph.h"

// How a value per microbatch relates to the value of the whole step.
typedef enum xlm_batch_kind {
  XLM_BATCH_FIXED,  // the same in every microbatch
  XLM_BATCH_SAMPLE, // a value per sample
  XLM_BATCH_SUM,    // the step's value is the sum over the microbatches
  XLM_BATCH_MEAN,   // the step's value is the average over the microbatches
  XLM_BATCH_MIXED,  // none of these: a product of two sums, a maximum over the batch
} xlm_batch_kind;
// [n_values], allocated in a; for forward and prologue values.
const xlm_batch_kind *xlm_batch_kinds(const xlm_graph *g, xlm_arena *a);

typedef struct xlm_batch_fault { // a loss or metric that cannot be computed by microbatches
  xlm_span loss, culprit;        // culprit: the operation that mixes samples
  const char *text, *help;
} xlm_batch_fault;

// Model graph -> model graph. microbatches: per step; 1 for evaluation. NULL with *fault filled when a loss
// is not a mean over the samples of the step. gives: every cross_entropy with targets that may not count has
// its third operand, `valid`; nodes of phase PROLOGUE; no `per_microbatch`.
xlm_graph *xlm_pass_global_batch(const xlm_graph *g, xlm_arena *a, int64_t microbatches,
                                 xlm_batch_fault *fault);

// Model graph for evaluation, after the pass above -> the same with each loss split into parts, and the
// weights of the parts that are means over a count; see eval_weights.c.
xlm_graph *xlm_pass_eval_weights(const xlm_graph *g, xlm_arena *a);

#endif
