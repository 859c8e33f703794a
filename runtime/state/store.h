// The store: a plan's states as logical tensors, independent of the layout.
//
// Each state has views, one per rank with a part of it; elements are addressed by their row-major index in
// the logical tensor. Initialisation, checkpoints and interchange with other tools use the store and do not
// depend on ranks.
#ifndef XLM_STATE_STORE_H
#define XLM_STATE_STORE_H

#include "runtime/base/pool.h"
#include "runtime/comm/comm.h"
#include "runtime/plan/plan.h"
#include "runtime/plan/states.h"

typedef struct xlm_view { // the part of a logical tensor on one rank, stored densely
  int rank;
  const xlm_dim_info *dim[XLM_MAX_RANK];
  int64_t n;      // number of local elements
  int64_t run;    // elements that are consecutive both here and in the logical tensor; divides n
  int64_t owner;  // the rank whose memory it is in
  uint32_t state; // its index there
  bool repeats;   // an earlier rank has the same: replicas, copies of tied parameters
} xlm_view;

typedef struct xlm_part { // a box of a logical tensor on one or more ranks
  xlm_view view;
  int n_holders, cap_holders;
  int64_t *holders; // ascending
} xlm_part;

typedef struct xlm_stored {
  const char *name;
  xlm_role role;
  xlm_init init;
  bool saved;
  xlm_dtype dtype;
  int rank;
  int64_t shape[XLM_MAX_RANK];
  const char *dim[XLM_MAX_RANK]; // names
  int64_t n;                     // elements of the logical tensor
  int n_views, cap_views;
  xlm_view *views; // of the ranks in this process
  int n_parts, cap_parts;
  xlm_part *parts; // together the whole tensor; the same on every process
} xlm_stored;

typedef struct xlm_box { // indices [begin, end) in every dimension of a logical tensor
  int64_t begin[XLM_MAX_RANK], end[XLM_MAX_RANK];
} xlm_box;

typedef struct xlm_store {
  xlm_arena *arena;
  xlm_states states;
  int n;
  xlm_stored *at;
  xlm_comm *peers; // the processes with the other parts; NULL when everything is here
  // For runs of shorter sequences: of weights that have a dimension `seq` (learned positions) the first positions
  // are taken where files have more.
  bool first_positions;
} xlm_store;

xlm_status xlm_store_new(const xlm_plan *p, xlm_states states, xlm_store **out,
                         xlm_error *err) XLM_MUST_CHECK;
void xlm_store_free(xlm_store *s);
const xlm_stored *xlm_store_find(const xlm_store *s, const char *name); // NULL: not found

// b NULL, here and below: the whole tensor.
xlm_box xlm_box_whole(const xlm_stored *t);
int64_t xlm_box_elements(const xlm_stored *t, const xlm_box *b);

// The box, densely in the order of the tensor's dimensions, in its dtype; what other processes hold of it is
// left as it was. Nothing is allocated; several threads may get, and put into different tensors, at once.
xlm_status xlm_store_get(const xlm_store *s, const xlm_stored *t, const xlm_box *b, void *out,
                         xlm_error *err) XLM_MUST_CHECK;
// Writes the box to every local rank that has a part of it.
xlm_status xlm_store_put(const xlm_store *s, const xlm_stored *t, const xlm_box *b, const void *in,
                         xlm_error *err) XLM_MUST_CHECK;
bool xlm_store_has(const xlm_stored *t, const xlm_box *b); // do local ranks have a part of it?
bool xlm_store_held_by(const xlm_stored *t, int64_t rank); // does the rank have a part of the tensor?

typedef struct xlm_want {  // a box that a process requests
  const xlm_stored *state; // NULL: none
  xlm_box box;
  void *out; // in that process; not valid in others
} xlm_want;

// To be called by all processes together, each with the same wants[process]: every process receives its whole
// box. Allocates memory for what it sends and receives.
xlm_status xlm_store_exchange(const xlm_store *s, const xlm_want *wants, xlm_error *err) XLM_MUST_CHECK;
// An all-gather between processes: process k's `bytes` bytes at `mine` arrive at all + k * bytes. Neither
// function counts as bytes sent, which are those of the plan.
xlm_status xlm_store_share(const xlm_store *s, const void *mine, size_t bytes, void *all,
                           xlm_error *err) XLM_MUST_CHECK;

// Initialises all states. zeroed: the memory is known to be zero, so zeros need not be written.
xlm_status xlm_store_init(const xlm_store *s, uint64_t seed, bool zeroed, xlm_pool *pool,
                          xlm_error *err) XLM_MUST_CHECK;

#endif
