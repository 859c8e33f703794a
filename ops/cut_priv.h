// Shared by operations that are cut along a sequence which is split over ranks (xlm_op.cut): each rank
// computes its own piece as if nothing came before, and adds what the pieces before it leave, a state per
// rank that is exchanged.
#ifndef XLM_OPS_CUT_PRIV_H
#define XLM_OPS_CUT_PRIV_H

#include "compiler/ir/chunk.h"
#include "ops/shape_priv.h"

// Along the attribute `seq`: back, or ahead with `reverse`.
xlm_reach cut_reach(const xlm_graph *g, xlm_node n, const bool *sequence);
// Decoding: the dimension of the chunk's places that the node goes along; 0: it goes along another one.
xlm_dim cut_chunk_along(const xlm_chunk *c);

xlm_dim cut_along(const xlm_cut *x); // the dimension of this piece
// A dimension with an element per member, and its piece here, of one element.
xlm_dim cut_members(const xlm_cut *x);
xlm_dim cut_member(const xlm_cut *x);
// The operation itself on this piece; its first result.
xlm_val cut_here(const xlm_cut *x, xlm_op_id op);

// v without the dimension, repeated along it; and v, which has it, as of the piece's first or last element.
xlm_val cut_with(xlm_build *b, xlm_val v, xlm_dim d);

// What the pieces before this one leave (after: those after it): with h[m] = factor[m] h[m-1] + total[m] over
// the members m, h of the member before; 0 for the first. Both have the dimension cut_member; factor 0: 1.
xlm_val cut_carried(const xlm_cut *x, xlm_val total, xlm_val factor, bool after);

// v, which has the dimension cut_member, of the member before this one (after: after it), without that
// dimension; 0 for the first (the last).
xlm_val cut_neighbour(const xlm_cut *x, xlm_val v, bool after);
// All pieces of v, and this member's piece of v, which has all.
xlm_val cut_gathered(const xlm_cut *x, xlm_val v);
xlm_val cut_own(const xlm_cut *x, xlm_val v);

// sum + more in sum's order and type.
xlm_val cut_add(xlm_build *b, xlm_val sum, xlm_val more);

// Running sums along d, from the end if `reverse`; without each place's own element if `exclusive`.
xlm_val cut_running(xlm_build *b, xlm_val v, xlm_dim d, bool reverse, bool exclusive);

#endif
