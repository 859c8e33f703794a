// The store: a plan's states as logical tensors, whatever the layout.
//
// Each state is seen through views, one per rank that holds a part of it; elements are addressed by their
// row-major index in the logical tensor. Initialisation, checkpoints and the exchange with other tools use
// this and know nothing of ranks.
#ifndef XLM_CHECKPOINT_STORE_H
#define XLM_CHECKPOINT_STORE_H

#include "runtime/base/pool.h"
#include "runtime/plan/plan.h"

typedef struct xlm_view { // a box of a logical tensor, stored densely
  int rank;
  int64_t size[XLM_MAX_RANK], offset[XLM_MAX_RANK], full[XLM_MAX_RANK];
  int64_t n;   // elements here
  int64_t run; // neighbouring elements here that are neighbours in the logical tensor too; divides n
  char *data;
} xlm_view;

typedef struct xlm_stored {
  const char *name, *role, *init;
  bool saved;
  xlm_dtype dtype;
  int rank;
  int64_t shape[XLM_MAX_RANK];
  const char *dim[XLM_MAX_RANK]; // names
  int64_t n;                     // elements of the logical tensor
  int n_views;
  xlm_view *views;
} xlm_stored;

typedef struct xlm_store {
  xlm_arena *arena;
  int n;
  xlm_stored *at;
} xlm_store;

typedef void *xlm_store_address(void *arg, uint32_t rank, uint32_t state);

// All ranks of the plan live in this process; address gives the memory of a state on a rank.
xlm_status xlm_store_new(const xlm_plan *p, xlm_store_address *address, void *arg, xlm_store **out,
                         xlm_error *err) XLM_MUST_CHECK;
void xlm_store_free(xlm_store *s);
const xlm_stored *xlm_store_find(const xlm_store *s, const char *name); // NULL when there is none

// Elements [first, first + n) of the logical tensor, in its dtype.
void xlm_store_get(const xlm_stored *t, int64_t first, int64_t n, void *out);
void xlm_store_put(const xlm_stored *t, int64_t first, int64_t n, const void *in);
// The whole tensor where it lies, when one view holds all of it; else NULL.
void *xlm_store_whole(const xlm_stored *t);

// Fills all states by their initialisers. zeroed: the memory is known to be zero, so zeros cost nothing.
xlm_status xlm_store_init(const xlm_store *s, uint64_t seed, bool zeroed, xlm_pool *pool,
                          xlm_error *err) XLM_MUST_CHECK;

#endif
