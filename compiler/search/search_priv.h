// Shared by the files of the search.
#ifndef XLM_SEARCH_SEARCH_PRIV_H
#define XLM_SEARCH_SEARCH_PRIV_H

#include "compiler/search/search.h"

typedef struct xlm_rough {              // of the whole model
  double parameters, expert_parameters; // numbers of values; expert_parameters are split over ep
  double forward_flops;                 // of one sample
  double optimizer_share;               // bytes of the optimizer's states relative to those of the parameters
  double activations[2];                // bytes stored per sample on one rank: as marked, full recompute
  // per sample: total size of tensors communicated by tensor parallelism, and by context parallelism
  double tensor_bytes, context_bytes;
  int32_t rounds, loops; // loops: over the same layers
  int64_t seq;
  int64_t experts;
  bool uses[5]; // axes that the model's rules name, in order pp, dp, ep, cp, tp
} xlm_rough;

// Minimum tokens of a sample per rank; with fewer, exchanging keys and values does not pay off.
enum { XLM_SEARCH_TOKENS = 4096 };

enum { XLM_PP, XLM_DP, XLM_EP, XLM_CP, XLM_TP, XLM_SEARCH_AXES };

// Compiles the model on one rank, and over two tensor-parallel and two context-parallel ranks.
xlm_status xlm_rough_measure(xlm_arena *a, const xlm_search_request *r, xlm_rough *out,
                             xlm_error *err) XLM_MUST_CHECK;

typedef struct xlm_layout_choice {
  int32_t size[XLM_SEARCH_AXES];
  int64_t micro, microbatches; // micro: samples of one data-parallel rank
  const char *schedule;
  int chunks; // 0: as the model has them
  int zero;
  bool full;        // recompute
  bool reduce_each; // gradients per microbatch
} xlm_layout_choice;

double xlm_rough_bytes(const xlm_rough *m, const xlm_layout_choice *c);
double xlm_rough_seconds(const xlm_rough *m, const xlm_search_request *r, const xlm_layout_choice *c);
xlm_compile_options xlm_choice_options(const xlm_compile_options *base, const xlm_layout_choice *c);

#endif
