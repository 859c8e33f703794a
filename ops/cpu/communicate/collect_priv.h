// Shared by the kernels of collectives: the group of a call, exchanges in rounds through a bounded workspace,
// pieces of a tensor along one dimension, and sums over members in a fixed order.
//
// An exchange moves contiguous bytes only (runtime/device/link.h). A piece along an inner dimension is not
// contiguous, and data received from n members must be stored until it is added; so both go through the
// workspace, one round at a time: every member's piece is a row-major list of elements, and a round moves the
// next `step` elements of every piece.
//
// Without a link the group is this rank alone.
#ifndef XLM_COMMUNICATE_COLLECT_PRIV_H
#define XLM_COMMUNICATE_COLLECT_PRIV_H

#include <string.h>

#include "ops/cpu/kernel_priv.h"
#include "runtime/device/collect.h"

enum { COLLECT_ROOM = 4 << 20 }; // maximum bytes of workspace per round; larger pieces take more rounds

typedef struct collect { // the group of one call, and the tables of its exchanges, in the workspace
  const xlm_call *call;
  xlm_link *link; // NULL: a group of one
  uint32_t axes;
  int64_t n, me;
  int64_t *size, *begin; // [n], [n]: of every member along a dimension; zero until collect_sizes
  const void **out;      // [n] ..: arguments of the next exchange
  void **in;
  size_t *out_bytes, *in_bytes;
  char *room; // the rest of the workspace
  size_t room_bytes;
} collect;

#define collect_tables XLM_ISA_NAME(xlm_collect_tables)
#define collect_room XLM_ISA_NAME(xlm_collect_room)
#define collect_start XLM_ISA_NAME(xlm_collect_start)
#define collect_sizes XLM_ISA_NAME(xlm_collect_sizes)
#define collect_exchange XLM_ISA_NAME(xlm_collect_exchange)
#define collect_gather XLM_ISA_NAME(xlm_collect_gather)

size_t collect_tables(int64_t n); // bytes of the tables; a multiple of 64
// Workspace for rounds in which `n` members move pieces of at most `piece` elements, `copies` of each; at
// least one element. `piece` is equal on all members, hence also the number of rounds.
size_t collect_room(int64_t n, int64_t piece, size_t elem, int copies);
static inline int64_t collect_step(const collect *g, size_t elem,
                                   int copies) { // elements of every piece per round
  return (int64_t)(g->room_bytes / elem) / (g->n * copies);
}
collect collect_start(const xlm_call *c);
void collect_sizes(const xlm_call *c, int list, int64_t n, int64_t *size, int64_t *begin);
// requires out, in and their bytes to be set for all members
xlm_status collect_exchange(const collect *g) XLM_MUST_CHECK;
xlm_status collect_gather(const collect *g, const void *mine) XLM_MUST_CHECK; // requires in and in_bytes to
                                                                              // be set

// ---- pieces

typedef xlm_collect_piece collect_piece;

static inline int64_t collect_count(const collect_piece *p) {
  return p->outer * p->size * p->inner;
}

#define collect_piece_of XLM_ISA_NAME(xlm_collect_piece_of)
#define collect_pack XLM_ISA_NAME(xlm_collect_pack)
#define collect_unpack XLM_ISA_NAME(xlm_collect_unpack)
#define collect_elements XLM_ISA_NAME(xlm_collect_elements)
#define collect_clear_tail XLM_ISA_NAME(xlm_collect_clear_tail)

// All of dimension d of tensor t; when `used`, outer counts only the rows in use (operand 1: offsets).
collect_piece collect_piece_of(const xlm_call *c, const xlm_type *t, xlm_dim d, bool used);
// Elements [first, first + n) of the piece's row-major list <-> contiguous memory.
void collect_pack(const collect_piece *p, const void *tensor, int64_t first, int64_t n, size_t elem,
                  void *dense, xlm_pool *pool);
void collect_unpack(const collect_piece *p, void *tensor, int64_t first, int64_t n, size_t elem,
                    const void *dense, xlm_pool *pool);
int64_t collect_elements(const xlm_call *c, const xlm_type *t,
                         bool used); // of t; if ragged and `used`: of the rows in use
void collect_clear_tail(const xlm_call *c, const xlm_type *t,
                        void *data); // zeroes the rows of t that are not in use

// ---- reduction

// Sums in member order, on whichever member, so every run gives the same bits. A library's own reduction
// would be another variant.
static const char *const collect_exact[] = {"exact", NULL};
static inline bool collect_applicable(const xlm_call *c, const xlm_target *t, int variant) {
  (void)c, (void)t;
  return variant == 0;
}

#define collect_reduce XLM_ISA_NAME(xlm_collect_reduce)
// out[0 .. count) = the call's reduction of g->in[k][0 .. count) over the members k; f32 sums go axis by axis,
// outermost first. out may be one of them.
void collect_reduce(const collect *g, xlm_dtype t, int64_t count, void *out, xlm_pool *pool);

#endif
