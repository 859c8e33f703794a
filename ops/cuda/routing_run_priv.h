// The packed order of a choice e, derived anew by every kernel that needs it (ops/moe_priv.h): by expert,
// then token, then slot; choices whose expert is not here come last. Choice t * active + s is that of token t
// in slot s.
#ifndef XLM_CUDA_ROUTING_RUN_H
#define XLM_CUDA_ROUTING_RUN_H

#include "ops/cuda/routing_priv.h"
#include "ops/cuda/sort_run_priv.h"

typedef struct xlm_cuda_routing {
  int64_t tokens, active, choices;
  xlm_type token_dims; // of e without `active`, in e's order
  xlm_dim slot_dim;
  const int32_t *choice; // [choices]: of every packed row
  const int32_t *place;  // [choices]: the packed row of a choice
  const int32_t *used;   // on the device: rows in use; the others belong to choices whose expert is not here
} xlm_cuda_routing;

// Sorts, enqueued. offsets: where each expert's rows begin [experts + 1]; NULL: in the workspace.
xlm_status xlm_cuda_route(const xlm_call *c, int e_operand, int32_t *offsets, xlm_cuda_routing *out);

// Where index i over dims lies in an operand of type t; dims that t lacks count as 0.
static inline over_dims xlm_cuda_places(const xlm_call *c, const xlm_type *t, const xlm_dim *dims, int n) {
  over_dims d = {};
  for (int i = 0; i < n; i++) over_add(&d, c->dims[dims[i]].size, xlm_call_stride(c, t, dims[i]));
  return d;
}

// out 0 [tokens, ..] = for each token the sum of its rows of operand 0 times w (w_operand -1: ones), in the
// order of the choices.
xlm_status xlm_cuda_gather_choices(const xlm_call *c, int w_operand, int e_operand);

#endif
