// Passes: one file and one entry each. A pass takes a graph and returns a new one in the same arena; `a` is
// the scratch arena. It reports no user errors unless stated here. compiler/driver/compile.c lists the whole
// pipeline; between passes, checked builds run xlm_graph_verify.
#ifndef XLM_PASS_PASS_H
#define XLM_PASS_PASS_H

#include "compiler/ir/build.h"
#include "compiler/ir/graph.h"
#include "compiler/optimizer/optimizer.h"
#include "runtime/plan/mesh.h"

// Folds constants (arithmetic on consts, x*1, x+0, cast to the same type, permute to the same order, chains
// of views), merges equal nodes (same op, operands and attributes; neither RANDOM nor aliasing), drops unused
// nodes. needs: any graph.
xlm_graph *xlm_pass_simplify(const xlm_graph *g, xlm_arena *a);

// Model graph -> model graph: a parameter that is only read through casts to one other type is stored in that type. For
// plans that neither change nor save their parameters. See narrow_weights.c.
xlm_graph *xlm_pass_narrow_weights(const xlm_graph *g, xlm_arena *a);

// Model graph -> train graph: copies forward nodes, then emits the backward (BWD; nodes that only lead to
// weight gradients: WGT), accumulation of gradients, losses and metrics over microbatches, clipping and the
// optimizer (STEP). See differentiate.c. needs: at least one loss; options that passed xlm_optimizer_check.
// gives: updates; outputs "loss", "grad_norm" and the metrics.
xlm_graph *xlm_pass_differentiate(const xlm_graph *g, xlm_arena *a, const xlm_train_options *o);

// Train graph -> train graph: casts of parameters that a node other than an elementwise one reads move to the
// PROLOGUE, into states `cast/PARAM` (role cast), and are read from there by every microbatch. See
// cast_weights.c.
xlm_graph *xlm_pass_cast_weights(const xlm_graph *g, xlm_arena *a);

// Train graph -> train graph: the product that makes the logits, the loss and what follows from it move from
// FWD to BWD, and the gradient of the product's weights from WGT to BWD. See late_loss.c.
xlm_graph *xlm_pass_late_loss(const xlm_graph *g, xlm_arena *a);

// Train graph -> train graph: what is a cheap function of a value that the backward reads anyway is computed
// again in the programs that read it there, instead of being stored. See rematerialize.c.
xlm_graph *xlm_pass_rematerialize(const xlm_graph *g, xlm_arena *a);

// AUTO is resolved before the pass: compiler/driver/recompute_rounds.c chooses the number of rounds.
typedef enum xlm_recompute {
  XLM_RECOMPUTE_MARKED,
  XLM_RECOMPUTE_NONE,
  XLM_RECOMPUTE_FULL,
  XLM_RECOMPUTE_AUTO
} xlm_recompute;

// Train graph -> train graph: forward values of marked nodes (FULL: of every repeat round) that the backward
// needs are recomputed from stored values just before their first use there.
xlm_graph *xlm_pass_recompute(const xlm_graph *g, xlm_arena *a, xlm_recompute mode);
// FULL for the first `rounds` rounds only: storing the values of the others costs memory and saves time.
// Those of the pipeline are the first; then come those of other repeats.
xlm_graph *xlm_pass_recompute_rounds(const xlm_graph *g, xlm_arena *a, int32_t rounds);
int32_t xlm_pass_rounds(const xlm_graph *g, int32_t *of_pipeline); // how many there are

// Evaluates the product that makes the logits, the loss and its gradients for `chunks` parts of the rows, one
// after the other; 0: as many as it takes to keep the logits of a part below 256 MiB. At most 8. Needs the
// nodes between the logits and the gradients to be in one phase (late_loss). See chunk_loss.c.
xlm_graph *xlm_pass_chunk_loss(const xlm_graph *g, xlm_arena *a, const xlm_mesh *mesh, int chunks);

// Products of the same weights of which none needs another's result become one, of their rows together. For few rows: the
// weights are read once. See stack_products.c.
xlm_graph *xlm_pass_stack_products(const xlm_graph *g, xlm_arena *a);

// A loss and its gradient in one phase become one node. See merge_loss.c.
xlm_graph *xlm_pass_merge_loss(const xlm_graph *g, xlm_arena *a);

// A product to which a bias is added adds it itself: add(contract(x, w), b) becomes contract_bias(x, w, b).
// See bias.c.
xlm_graph *xlm_pass_bias(const xlm_graph *g, xlm_arena *a);

// A product that is added to a value of its type adds it itself; gradients of one parameter are added up in
// the memory of the first. See residual.c. split_weights: as for fuse.
xlm_graph *xlm_pass_residual(const xlm_graph *g, xlm_arena *a, bool split_weights);

// Replaces elementwise nodes by `fused` nodes (single ones too), with the functions of rows and the sums over
// leading dims around them, and accumulate(contract) by contract_acc.
// gives: no ELEMENTWISE ops, no scalar consts as operands of fused. split_weights: WGT runs in segments of
// its own, so nothing of it is computed in BWD. mesh: of the ranks, all of which fuse the same nodes,
// whatever the sizes of their pieces; NULL: there is one.
xlm_graph *xlm_pass_fuse(const xlm_graph *g, xlm_arena *a, const xlm_mesh *mesh, bool split_weights);

// Orders the graph of one rank so that kernels and communication run concurrently. See overlap.c. A node
// moves past at most this many products (matrix products, attention), because the results of early
// communication occupy memory for that long.
// split_weights: as for fuse.
enum { XLM_OVERLAP_PRODUCTS = 2 };
xlm_graph *xlm_pass_overlap(const xlm_graph *g, xlm_arena *a, bool split_weights);

#endif
