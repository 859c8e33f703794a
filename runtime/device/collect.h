// What the kernels of collectives have in common on every device: the sizes that a plan fixes for the members
// of a call's group, and the piece of a tensor that each member has.
//
// Without a link the group is this rank alone.
#ifndef XLM_DEVICE_COLLECT_H
#define XLM_DEVICE_COLLECT_H

#include "runtime/device/link.h"
#include "runtime/plan/traffic.h"

XLM_C_BEGIN

// ---- planned sizes, from the attribute `sizes`, hence equal on all members

xlm_ints xlm_collect_sizes(const xlm_call *c, int list);  // one per member
int64_t xlm_collect_largest(const xlm_call *c, int list); // the largest of xlm_collect_sizes
// The number of runs that a member's piece of a dimension may have, 1 or 2, the same on all members; `part`
// is this rank's piece.
int xlm_collect_runs(const xlm_call *c, xlm_dim part);

// ---- pieces

// Of the middle dimension of a tensor [outer, whole, inner]: indices [begin, begin + size - tail), then
// [tail_begin, tail_begin + tail).
typedef struct xlm_collect_piece {
  int64_t outer, whole, inner, begin, size, tail, tail_begin;
} xlm_collect_piece;

// Is t packed rows of experts, of which only some are in use?
bool xlm_collect_ragged(const xlm_call *c, const xlm_type *t);
// All of dimension d of t. rows: how many rows of a ragged t are in use; -1: all that there is room for.
xlm_collect_piece xlm_collect_whole(const xlm_call *c, const xlm_type *t, xlm_dim d, int64_t rows);
// The piece of `all`, which is all of dimension `whole`, that is dimension `part` on this rank: this rank's,
// and member k's.
xlm_collect_piece xlm_collect_mine(const xlm_call *c, xlm_collect_piece all, xlm_dim whole, xlm_dim part);
xlm_collect_piece xlm_collect_member(const xlm_call *c, xlm_collect_piece all, xlm_dim whole, xlm_dim part,
                                     int64_t k);

XLM_C_END

#endif
