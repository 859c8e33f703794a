// How the reductions of sum, mean, amax and logsumexp are cut into pieces; shared by launching and planning, which must
// agree on the workspace.
//
// One of two forms, depending on which elements are adjacent in memory:
// - rows: elements of one result. A team of threads goes along a row, or along a part of PART elements of it.
// - columns: elements of neighbouring results (gradients of biases and scales: [tokens, hidden] -> [hidden]). A warp reads
//   neighbouring columns, the warps of a block every eighth row of a part; the block adds its warps up.
// Rows and columns of several parts take a second step, over the parts. The bounds of the parts depend only on the length
// of the reduction, so a result has the same bits however the other dims are split over ranks.
#ifndef XLM_CUDA_REDUCE_SHAPE_PRIV_H
#define XLM_CUDA_REDUCE_SHAPE_PRIV_H

#include "runtime/device/over.h"

enum { REDUCE_PART = 8192, REDUCE_ROWS = 64, REDUCE_PARTS = 256, REDUCE_WARPS = 8 };

typedef struct reduce_shape {
  over_rows r;
  int64_t per, parts; // elements of a row in one part; parts of a row, at least 1
  int64_t per_used;   // packed rows of experts: elements per row in use, of which operand 1 says the number; 0: all count
  bool columns;
} reduce_shape;

static inline void reduce_set_parts(reduce_shape *s) {
  int64_t rows = (s->r.len + REDUCE_PARTS - 1) / REDUCE_PARTS;
  s->columns = s->r.outer.n && s->r.outer.stride[s->r.outer.n - 1] == 1;
  s->per = REDUCE_PART;
  if (s->columns) s->per = REDUCE_ROWS;
  if (s->columns && rows > REDUCE_ROWS) s->per = rows;
  s->parts = s->r.len > s->per ? (s->r.len + s->per - 1) / s->per : 1;
}

static inline reduce_shape reduce_shape_of(const xlm_call *c) {
  const xlm_type *t = c->in_type[0];
  reduce_shape s;
  memset(&s, 0, sizeof s);
  s.r = over_of(c, t);
  for (int i = 0; i < t->rank && c->instr->n_in > 1; i++) { // packed rows are the outermost dim of the row
    const xlm_dim_info *d = &c->dims[t->dim[i]];
    if (d->ragged && d->size && xlm_attr_has_dim(&c->instr->attrs, XLM_A_over, t->dim[i])) s.per_used = s.r.len / d->size;
  }
  reduce_set_parts(&s);
  return s;
}

// The second step: of the `parts` of each of `count` results, which lie [count, parts] or, of columns, [parts, count].
static inline reduce_shape reduce_shape_of_parts(const reduce_shape *first) {
  reduce_shape s;
  int64_t count = first->r.count, parts = first->parts;
  memset(&s, 0, sizeof s);
  s.r.count = count, s.r.len = s.per = parts, s.parts = 1, s.columns = first->columns;
  over_add(&s.r.outer, count, s.columns ? 1 : parts);
  over_add(&s.r.inner, parts, s.columns ? count : 1);
  return s;
}

// Bytes of the parts, `state` of each.
static inline size_t reduce_workspace(const xlm_call *c, size_t state) {
  reduce_shape s = reduce_shape_of(c);
  return s.parts > 1 ? (size_t)s.r.count * (size_t)s.parts * state : 0;
}

#endif
