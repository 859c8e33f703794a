// What the collectives' kernels share: the group of a call, exchanges in rounds through a bounded workspace,
// pieces of a tensor cut along one dimension, and the sum over members in a fixed order.
//
// An exchange moves contiguous bytes only (runtime/device/link.h). A piece of a tensor along an inner
// dimension is not contiguous, and what n members send must be kept until it is added; so both go through the
// workspace, a round at a time: every member's piece is a row-major list of elements, and a round moves the
// next `step` elements of every piece.
//
// Without a link the group is this rank alone.
#ifndef XLM_COMMUNICATE_COLLECT_PRIV_H
#define XLM_COMMUNICATE_COLLECT_PRIV_H

#include <string.h>

#include "ops/cpu/kernel_priv.h"
#include "runtime/device/link.h"
#include "runtime/plan/traffic.h"

enum {
  COLLECT_ROOM = 4 << 20
}; // most bytes of workspace that a round may use; more pieces go in more rounds

typedef struct collect { // the group of one call, and the tables of its exchanges, in the workspace
  const xlm_call *call;
  xlm_link *link; // NULL: a group of one
  uint32_t axes;
  int64_t n, me;
  int64_t *size, *begin; // [n], [n]: of every member along a dimension; zeros until collect_sizes
  const void **out;      // [n] ..: arguments of the next exchange
  void **in;
  size_t *out_bytes, *in_bytes;
  char *room; // the rest of the workspace
  size_t room_bytes;
} collect;

#define collect_tables XLM_ISA_NAME(xlm_collect_tables)
#define collect_members XLM_ISA_NAME(xlm_collect_members)
#define collect_largest XLM_ISA_NAME(xlm_collect_largest)
#define collect_room XLM_ISA_NAME(xlm_collect_room)
#define collect_start XLM_ISA_NAME(xlm_collect_start)
#define collect_sizes XLM_ISA_NAME(xlm_collect_sizes)
#define collect_exchange XLM_ISA_NAME(xlm_collect_exchange)
#define collect_gather XLM_ISA_NAME(xlm_collect_gather)

size_t collect_tables(int64_t n); // bytes of the tables; a multiple of 64
// From the sizes attribute: how many members, and the largest piece of list `list`.
int64_t collect_members(const xlm_call *c);
int64_t collect_largest(const xlm_call *c, int list);
// Room for rounds in which `n` members move pieces of at most `piece` elements, `copies` of each; never less
// than one element. The same on all members, as `piece` is, so that they agree on the number of rounds.
size_t collect_room(int64_t n, int64_t piece, size_t elem, int copies);
static inline int64_t collect_step(const collect *g, size_t elem,
                                   int copies) { // elements of every piece in a round
  return (int64_t)(g->room_bytes / elem) / (g->n * copies);
}
collect collect_start(const xlm_call *c);
void collect_sizes(const xlm_call *c, int list, int64_t n, int64_t *size, int64_t *begin);
// out, in and their bytes are set; all entries.
xlm_status collect_exchange(const collect *g) XLM_MUST_CHECK;
xlm_status collect_gather(const collect *g, const void *mine) XLM_MUST_CHECK; // in and in_bytes are set

// ---- pieces

// Of the middle of a tensor [outer, whole, inner]: indices [begin, begin + size - tail), then [tail_begin,
// tail_begin + tail).
typedef struct collect_piece {
  int64_t outer, whole, inner, begin, size, tail, tail_begin;
} collect_piece;

static inline int64_t collect_count(const collect_piece *p) {
  return p->outer * p->size * p->inner;
}

#define collect_piece_of XLM_ISA_NAME(xlm_collect_piece_of)
#define collect_member XLM_ISA_NAME(xlm_collect_member)
#define collect_runs XLM_ISA_NAME(xlm_collect_runs)
#define collect_pack XLM_ISA_NAME(xlm_collect_pack)
#define collect_unpack XLM_ISA_NAME(xlm_collect_unpack)
#define collect_elements XLM_ISA_NAME(xlm_collect_elements)
#define collect_clear_tail XLM_ISA_NAME(xlm_collect_clear_tail)

// All of dimension d of tensor t; outer counts the rows in use only (operand 1: offsets) when `used`.
collect_piece collect_piece_of(const xlm_call *c, const xlm_type *t, xlm_dim d, bool used);
// Of `all` of dimension `whole`: what member k of the group has, whose own dimension is `part`.
collect_piece collect_member(const xlm_call *c, const collect *g, collect_piece all, xlm_dim whole,
                             xlm_dim part, int64_t k);
// In how many runs a member's part of a dimension, `part` here, may lie among the elements of the group: 1 or
// 2, the same on all members.
int collect_runs(const xlm_call *c, xlm_dim part);
// Elements [first, first + n) of the piece's row-major list <-> contiguous memory.
void collect_pack(const collect_piece *p, const void *tensor, int64_t first, int64_t n, size_t elem,
                  void *dense, xlm_pool *pool);
void collect_unpack(const collect_piece *p, void *tensor, int64_t first, int64_t n, size_t elem,
                    const void *dense, xlm_pool *pool);
int64_t collect_elements(const xlm_call *c, const xlm_type *t,
                         bool used); // of t; ragged and `used`: of the rows in use
void collect_clear_tail(const xlm_call *c, const xlm_type *t,
                        void *data); // zeroes the rows of t that are not in use

static inline xlm_dim collect_dim(const xlm_call *c, xlm_attr_key key, int i) {
  xlm_dim d[XLM_MAX_RANK];
  xlm_attr_dims(&c->instr->attrs, key, d);
  return d[i];
}

// ---- reduction

// Sums in member order, whoever computes them: the same bits in every run. A library's own reduction would be
// another variant.
static const char *const collect_exact[] = {"exact", NULL};
static inline bool collect_applicable(const xlm_call *c, const xlm_target *t, int variant) {
  (void)c, (void)t;
  return variant == 0;
}

#define collect_reduce XLM_ISA_NAME(xlm_collect_reduce)
// out[0 .. count) = the reduction `kind` of g->in[k][0 .. count) over the members k; sums in f32 axis by
// axis, outermost first. out may be one of them.
void collect_reduce(const collect *g, const char *kind, xlm_dtype t, int64_t count, void *out,
                    xlm_pool *pool);

#endif
