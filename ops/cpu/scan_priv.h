// Recurrences along one dimension: all other dimensions are columns, which are independent. A block of
// columns goes through the sequence with its state in registers or the nearest cache; blocks are divided
// among threads, so that bits do not depend on them.
#ifndef XLM_OPS_CPU_SCAN_PRIV_H
#define XLM_OPS_CPU_SCAN_PRIV_H

#include "ops/cpu/kernel_priv.h"
#include "ops/cpu/vec_priv.h"
#include "runtime/device/over.h"

enum { SCAN_COLUMNS = 128 }; // of a block; a multiple of VEC_PAD

typedef struct scan_operand { // an operand or result, which may lack dimensions of the result; strides in
                              // elements
  void *data;
  xlm_dtype type;
  int64_t step;
  over_dims line, column;
} scan_operand;

// The columns are those inside the sequence, for each line outside it; where nothing is inside, the lines are
// columns.
typedef struct scan_shape {
  xlm_dim seq;
  bool reverse;
  int64_t steps, lines, width, blocks; // blocks of columns in a line
} scan_shape;

typedef struct scan_block { // of one operand
  int64_t count, first;     // columns; the first one's offset
  bool neighbours, same;    // offsets are first + j; all are `first`
  int64_t offset[SCAN_COLUMNS];
} scan_block;

static inline scan_shape scan_shape_of(const xlm_call *c) {
  const xlm_type *t = c->out_type[0];
  xlm_dim seq = xlm_call_dim(c, XLM_A_seq, 0);
  int at = xlm_type_find(t, seq);
  scan_shape s = {.seq = seq,
                  .reverse = xlm_attr_int(&c->instr->attrs, XLM_A_inverse, 0),
                  .steps = c->dims[seq].size,
                  .lines = xlm_call_outer(c, t, at),
                  .width = xlm_call_inner(c, t, at)};
  if (s.width == 1) s.width = s.lines, s.lines = 1;
  s.blocks = (s.width + SCAN_COLUMNS - 1) / SCAN_COLUMNS;
  return s;
}

static inline scan_operand scan_operand_of(const xlm_call *c, const scan_shape *s, const xlm_type *t,
                                           void *data) {
  const xlm_type *out = c->out_type[0];
  scan_operand x = {.data = data, .type = t->dtype, .step = xlm_call_stride(c, t, s->seq)};
  int at = xlm_type_find(out, s->seq);
  bool swapped = xlm_call_inner(c, out, at) == 1;
  for (int i = 0; i < out->rank; i++)
    if (i != at)
      over_add((i < at) != swapped ? &x.line : &x.column, xlm_call_size(c, out, i),
               xlm_call_stride(c, t, out->dim[i]));
  return x;
}

static inline scan_block scan_block_of(const scan_shape *s, const scan_operand *x, int64_t u) {
  int64_t line = u / s->blocks, column = u % s->blocks * SCAN_COLUMNS;
  scan_block b = {.neighbours = true, .same = true};
  b.count = s->width - column < SCAN_COLUMNS ? s->width - column : SCAN_COLUMNS;
  for (int64_t j = 0; j < b.count; j++) {
    b.offset[j] = over_offset(&x->line, line) + over_offset(&x->column, column + j);
    b.neighbours &= b.offset[j] == b.offset[0] + j, b.same &= b.offset[j] == b.offset[0];
  }
  b.first = b.offset[0];
  return b;
}

static inline int64_t scan_place(const scan_shape *s, int64_t step) { // in the sequence
  return s->reverse ? s->steps - 1 - step : step;
}

static inline void scan_read(const scan_operand *x, const scan_block *b, int64_t place, float *dst) {
  int64_t at = place * x->step;
  if (b->neighbours) {
    vec_read(x->type, x->data, at + b->first, b->count, dst);
  } else if (b->same) {
    float value = vec_read_one(x->type, x->data, at + b->first);
    for (int64_t j = 0; j < b->count; j++) dst[j] = value;
  } else {
    for (int64_t j = 0; j < b->count; j++) dst[j] = vec_read_one(x->type, x->data, at + b->offset[j]);
  }
}

static inline void scan_write(const scan_operand *x, const scan_block *b, int64_t place, const float *src) {
  int64_t at = place * x->step;
  if (b->neighbours) {
    vec_write(x->type, x->data, at + b->first, b->count, src);
  } else {
    for (int64_t j = 0; j < b->count; j++) vec_write(x->type, x->data, at + b->offset[j], 1, src + j);
  }
}

// Decoding: a block's values of the place before the first, which is operand `start` of each column, from the
// ring of such values, operand `past`; 0 where a sequence begins. place: the first ones; may be NULL.
static inline void scan_begin(const xlm_call *c, const scan_shape *s, int64_t u, int past, int start,
                              float *value, int64_t *place) {
  xlm_dim d = xlm_call_dim(c, XLM_A_past, 0);
  scan_operand ring = scan_operand_of(c, s, c->in_type[past], c->in[past]);
  scan_operand starts = scan_operand_of(c, s, c->in_type[start], c->in[start]);
  scan_block from = scan_block_of(s, &ring, u), at = scan_block_of(s, &starts, u);
  int64_t step = xlm_call_stride(c, c->in_type[past], d);
  for (int64_t j = 0; j < from.count; j++) {
    int64_t first = ((const int32_t *)starts.data)[at.offset[j]];
    value[j] =
        first ? vec_read_one(ring.type, ring.data, from.offset[j] + (first - 1) % c->dims[d].size * step) : 0;
    if (place) place[j] = first;
  }
}

#endif
