// The store: a plan's states as logical tensors, whatever the layout.
//
// Each state is seen through views, one per rank that holds a part of it; elements are addressed by their
// row-major index in the logical tensor. Initialisation, checkpoints and the exchange with other tools use
// this and know nothing of ranks.
#ifndef XLM_STATE_STORE_H
#define XLM_STATE_STORE_H

#include "runtime/base/pool.h"
#include "runtime/comm/comm.h"
#include "runtime/plan/states.h"

typedef struct xlm_view { // what a rank holds of a logical tensor, stored densely
  int rank;
  const xlm_dim_info *dim[XLM_MAX_RANK];
  int64_t n;      // elements here
  int64_t run;    // neighbouring elements here that are neighbours in the logical tensor too; divides n
  int64_t owner;  // the rank whose memory it is
  uint32_t state; // its index there
  bool repeats;   // an earlier rank holds the same: replicas, copies of tied parameters
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
  xlm_view *views; // of the ranks in this process
  int n_away;
  xlm_view *away; // parts that no rank here holds: for xlm_store_read
} xlm_stored;

typedef struct xlm_store {
  xlm_arena *arena;
  xlm_states states;
  int n;
  xlm_stored *at;
  xlm_comm *peers; // the processes that hold the rest; NULL when everything is here
} xlm_store;

xlm_status xlm_store_new(const xlm_plan *p, xlm_states states, xlm_store **out,
                         xlm_error *err) XLM_MUST_CHECK;
void xlm_store_free(xlm_store *s);
const xlm_stored *xlm_store_find(const xlm_store *s, const char *name); // NULL when there is none

// Elements [first, first + n) of the logical tensor, in its dtype; what other processes hold is left as it
// was. Nothing is allocated; several threads may get, and put into different tensors, at once.
xlm_status xlm_store_get(const xlm_store *s, const xlm_stored *t, int64_t first, int64_t n, void *out,
                         xlm_error *err) XLM_MUST_CHECK;
// Every rank here that has a part of it gets that part.
xlm_status xlm_store_put(const xlm_store *s, const xlm_stored *t, int64_t first, int64_t n, const void *in,
                         xlm_error *err) XLM_MUST_CHECK;

// The whole logical tensor, what other processes hold included. Rank 0's process reads, the others answer in
// xlm_store_serve until it calls xlm_store_release. Parts of others come in pieces of a few MiB.
xlm_status xlm_store_read(const xlm_store *s, const xlm_stored *t, void *out, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_store_serve(const xlm_store *s, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_store_release(const xlm_store *s, xlm_error *err) XLM_MUST_CHECK;

// Fills all states by their initialisers. zeroed: the memory is known to be zero, so zeros cost nothing.
xlm_status xlm_store_init(const xlm_store *s, uint64_t seed, bool zeroed, xlm_pool *pool,
                          xlm_error *err) XLM_MUST_CHECK;

#endif
