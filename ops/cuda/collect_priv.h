// What the collectives share: the group of a call, exchanges in rounds through the workspace, pieces of a
// tensor cut along one dimension, and the reduction over members in one fixed order.
//
// The link (runtime/device/link.h) moves contiguous bytes and enqueues; its tables of addresses and sizes are
// made on the host, once, by `prepare`. Pieces along an inner dimension are packed by kernels. As on the CPU
// (ops/cpu/communicate/collect_priv.h), whose order of sums this keeps: all backends give the same bits.
//
// How many rows of experts are in use is known on the device only. A collective of ragged tensors among
// several ranks therefore fetches it, and so do send_rows and collect_rows with their counts: the host waits
// there (xlm_cuda_fetch), and such an instruction cannot be part of a captured graph.
//
// Without a link the group is this rank alone, and nothing is fetched.
#ifndef XLM_CUDA_COLLECT_H
#define XLM_CUDA_COLLECT_H

#include "ops/cuda/collect_plan_priv.h"
#include "ops/cuda/cuda.h"

using collect_piece = xlm_collect_piece;

struct collect_move { // a piece, and the contiguous memory that a part of its row-major list goes to or comes
                      // from
  collect_piece piece;
  void *dense;
};

struct collect_tables { // of the host, kept from prepare on
  int64_t *size;        // [n] of every member along the dimension
  int64_t *begin;       // [n]
  const void **out;     // [n]: of the next exchange
  void **in;
  size_t *out_bytes, *in_bytes;
  collect_move *move; // [n]
  int32_t *counts;    // of rows, as xlm_collect_counts
};

struct collect {
  const xlm_call *call;
  collect_tables *t;
  uint32_t axes;
  int64_t n, me;
  size_t elem; // bytes of operand 0's elements
  char *room;  // the workspace
};

collect collect_start(const xlm_call *c);
void collect_read_sizes(const collect *g); // of list 0, into t->size and t->begin
static inline int64_t collect_step(const collect *g, int copies) {
  return xlm_collect_step(g->call->instr->workspace, g->elem, g->n, copies);
}
xlm_status collect_exchange(const collect *g);                 // what t says
xlm_status collect_gather(const collect *g, const void *mine); // in and in_bytes are set

// ---- pieces

static inline int64_t collect_count(const collect_piece &p) {
  return p.outer * p.size * p.inner;
}
// Elements [first, first + step) of a piece's row-major list: how many there are.
static inline int64_t collect_left(const collect_piece &p, int64_t first, int64_t step) {
  int64_t n = collect_count(p) - first;
  return n < 0 ? 0 : n < step ? n : step;
}

// Rows in use: the last of the offsets, operand 1. A group of one takes all that there is room for.
xlm_status collect_rows_in_use(const collect *g, const xlm_type *t, int64_t *rows);
// Zeroes the rows of t behind those in use: *used, on the device; the last of operand 1, where t is ragged.
xlm_status collect_clear_rows(const xlm_call *c, const xlm_type *t, void *data, const int32_t *used);
xlm_status collect_clear_tail(const xlm_call *c, const xlm_type *t, void *data);

// Elements [first, first + step) of each of n pieces of `tensor`, packed into, or unpacked from, their dense
// memory.
enum collect_way { COLLECT_PACK, COLLECT_UNPACK };
xlm_status collect_copy(const collect *g, collect_way way, void *tensor, const collect_move *m, int64_t n,
                        int64_t first, int64_t step);

// ---- reduction

// out[0 .. count) = the reduction `kind` (xlm_reduction) over the members of what each gave: `mine` here,
// room + k * step from member k.
xlm_status collect_reduce(const collect *g, int kind, const void *mine, int64_t step, int64_t count,
                          void *out);

#endif
