// Passes: one file each, one entry each. graph in, new graph out (same arena); never an error of the user's
// making unless the header says so. compiler/driver/compile.c is the whole pipeline in one function; between
// passes it runs xlm_graph_verify in checked builds.
#ifndef XLM_PASS_PASS_H
#define XLM_PASS_PASS_H

#include "compiler/ir/build.h"
#include "compiler/ir/graph.h"
#include "compiler/optimizer/optimizer.h"

// Folds constants (arithmetic of consts, x*1, x+0, cast to the same type, permute to the same order, chains
// of views), merges equal nodes (same op, operands, attributes, not RANDOM, not aliasing), drops nodes nobody
// uses. needs: any graph.
xlm_graph *xlm_pass_simplify(const xlm_graph *g, xlm_arena *a);

// Model graph -> train graph: forward nodes copied, then backward (BWD; nodes that only lead to weight
// gradients: WGT), gradient accumulation over microbatches, loss and metric accumulation, clipping and the
// optimizer (STEP). See differentiate.c. needs: losses not empty; options that xlm_optimizer_check passed. gives: updates; outputs: "loss",
// "grad_norm" and the metrics.
xlm_graph *xlm_pass_differentiate(const xlm_graph *g, xlm_arena *a, const xlm_train_options *o);

// AUTO is no mode of the pass: how many rounds is chosen in compiler/driver/recompute_rounds.c.
typedef enum xlm_recompute {
  XLM_RECOMPUTE_MARKED,
  XLM_RECOMPUTE_NONE,
  XLM_RECOMPUTE_FULL,
  XLM_RECOMPUTE_AUTO
} xlm_recompute;

// Train graph -> train graph: forward values of marked nodes (FULL: of every repeat round) that the backward
// needs are computed again just before their first backward use, from values that are kept.
xlm_graph *xlm_pass_recompute(const xlm_graph *g, xlm_arena *a, xlm_recompute mode);
// FULL for the first `rounds` rounds only: what is kept of the others costs memory and saves time.
xlm_graph *xlm_pass_recompute_rounds(const xlm_graph *g, xlm_arena *a, int32_t rounds);

// Elementwise nodes -> `fused` nodes (every one, also alone); accumulate(contract) -> contract_acc. gives: no
// ELEMENTWISE ops, no scalar consts as operands of fused.
xlm_graph *xlm_pass_fuse(const xlm_graph *g, xlm_arena *a);

// The graph of one rank in an order in which kernels and communication run side by side. See overlap.c.
// How many products (matrix products, attention) something moves past, at most: what is communicated early is
// kept that long.
// split_weights: WGT runs in segments of its own.
enum { XLM_OVERLAP_PRODUCTS = 2 };
xlm_graph *xlm_pass_overlap(const xlm_graph *g, xlm_arena *a, bool split_weights);

#endif
