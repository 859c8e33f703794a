// Global batch: what a model computes from all samples of a step, whatever microbatches they come in.
//
// A training step averages losses over its microbatches. That average is the loss of the global batch when
// the loss is a mean over samples of equal weight; it is not when it divides by a count that differs between
// microbatches, when it is a sum, or when samples meet in some other way. This pass rewrites the first two so
// that the average is right, and refuses the third.
#ifndef XLM_PASS_GLOBAL_BATCH_H
#define XLM_PASS_GLOBAL_BATCH_H

#include "compiler/ir/graph.h"

// What the values of the microbatches say of that of the step.
typedef enum xlm_batch_kind {
  XLM_BATCH_FIXED,  // the same in every microbatch
  XLM_BATCH_SAMPLE, // a value per sample
  XLM_BATCH_SUM,    // adds up over the microbatches
  XLM_BATCH_MEAN,   // its average over the microbatches is the step's value
  XLM_BATCH_MIXED,  // neither: a product of two sums, a maximum over the batch
} xlm_batch_kind;
// [n_values], in a; of forward and prologue values.
const xlm_batch_kind *xlm_batch_kinds(const xlm_graph *g, xlm_arena *a);

typedef struct xlm_batch_fault { // a loss or metric that several microbatches cannot give
  xlm_span loss, culprit;        // culprit: the operation after which samples cannot be told apart
  const char *text, *help;
} xlm_batch_fault;

// Model graph -> model graph, see above and global_batch.c. microbatches: of a step; 1 for evaluation. NULL
// with *fault filled when a loss is no mean over the samples of the step. gives: every cross_entropy whose
// targets may not all count has its third operand, `valid`; nodes of phase PROLOGUE; no `per_microbatch`.
xlm_graph *xlm_pass_global_batch(const xlm_graph *g, xlm_arena *a, int64_t microbatches,
                                 xlm_batch_fault *fault);

// Model graph for evaluation, after the pass above -> the same with each loss in parts, and the weights of
// those that are means over a count; see eval_weights.c.
xlm_graph *xlm_pass_eval_weights(const xlm_graph *g, xlm_arena *a);

#endif
