// The store: a plan's states as logical tensors, whatever the layout.
//
// Each state is seen through views, one per rank that holds a part of it; elements are addressed by their
// row-major index in the logical tensor. Initialisation, checkpoints and the exchange with other tools use
// this and know nothing of ranks.
#ifndef XLM_STATE_STORE_H
#define XLM_STATE_STORE_H

#include "runtime/base/pool.h"
#include "runtime/comm/comm.h"

typedef struct xlm_view { // what a rank holds of a logical tensor, stored densely
  int rank;
  const xlm_dim_info *dim[XLM_MAX_RANK];
  int64_t n;   // elements here
  int64_t run; // neighbouring elements here that are neighbours in the logical tensor too; divides n
  char *data;
  int64_t owner; // the rank whose memory it is
  bool repeats;  // an earlier rank holds the same: replicas, copies of tied parameters
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
  xlm_view *away; // parts that no rank here holds, without data: for xlm_store_read
} xlm_stored;

typedef struct xlm_store {
  xlm_arena *arena;
  int n;
  xlm_stored *at;
  xlm_comm *peers; // the processes that hold the rest; NULL when everything is here
} xlm_store;

typedef void *xlm_store_address(void *arg, uint32_t rank, uint32_t state);

// address gives the memory of a state on a rank; NULL: that rank lives in another process.
xlm_status xlm_store_new(const xlm_plan *p, xlm_store_address *address, void *arg, xlm_store **out,
                         xlm_error *err) XLM_MUST_CHECK;
void xlm_store_free(xlm_store *s);
const xlm_stored *xlm_store_find(const xlm_store *s, const char *name); // NULL when there is none

// Elements [first, first + n) of the logical tensor, in its dtype; what other processes hold is left as it
// was.
void xlm_store_get(const xlm_stored *t, int64_t first, int64_t n, void *out);
// Every rank here that has a part of it gets that part.
void xlm_store_put(const xlm_stored *t, int64_t first, int64_t n, const void *in);
// The whole tensor where it lies, when one view holds all of it; else NULL.
void *xlm_store_whole(const xlm_stored *t);

// The whole logical tensor, what other processes hold included. Rank 0's process reads, the others answer in
// xlm_store_serve until it calls xlm_store_release. Large parts come in pieces of a few MiB.
xlm_status xlm_store_read(const xlm_store *s, const xlm_stored *t, void *out, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_store_serve(const xlm_store *s, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_store_release(const xlm_store *s, xlm_error *err) XLM_MUST_CHECK;

// Fills all states by their initialisers. zeroed: the memory is known to be zero, so zeros cost nothing.
xlm_status xlm_store_init(const xlm_store *s, uint64_t seed, bool zeroed, xlm_pool *pool,
                          xlm_error *err) XLM_MUST_CHECK;

#endif
