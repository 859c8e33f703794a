// The chunks of a file's tensors, and copies between a chunk and the boxes of its states.
#include <string.h>

#include "runtime/interchange/weights_priv.h"

enum { TILE = 32 };

// ---- copies ----

typedef struct axis {
  int64_t size, inner, outer; // strides, in elements, in the box and in the chunk
} axis;

// The two innermost axes are copied in tiles, since one side is usually transposed.
static void copy_tile(const axis *x, const axis *y, float *inner, float *outer, bool to_outer) {
  for (int64_t i = 0; i < x->size; i++) {
    float *a = inner + i * x->inner, *b = outer + i * x->outer;
    for (int64_t j = 0; j < y->size; j++) {
      if (to_outer)
        b[j * y->outer] = a[j * y->inner];
      else
        a[j * y->inner] = b[j * y->outer];
    }
  }
}

static void copy_matrix(const axis *x, const axis *y, float *inner, float *outer, bool to_outer) {
  for (int64_t i = 0; i < x->size; i += TILE)
    for (int64_t j = 0; j < y->size; j += TILE) {
      axis a = *x, b = *y;
      if (a.size > i + TILE) a.size = i + TILE;
      if (b.size > j + TILE) b.size = j + TILE;
      a.size -= i, b.size -= j;
      copy_tile(&a, &b, inner + i * a.inner + j * b.inner, outer + i * a.outer + j * b.outer, to_outer);
    }
}

static void copy_axes(const axis *x, int n, float *inner, float *outer, bool to_outer) {
  static const axis one = {1, 0, 0};
  if (n == 2)
    copy_matrix(&x[0], &x[1], inner, outer, to_outer);
  else if (n < 2)
    copy_matrix(&one, n ? x : &one, inner, outer, to_outer);
  else
    for (int64_t i = 0; i < x->size; i++)
      copy_axes(x + 1, n - 1, inner + i * x->inner, outer + i * x->outer, to_outer);
}

// Puts the two axes that determine the speed last: the one contiguous in the chunk, and before it the one
// contiguous in the box.
static void order_axes(axis *x, int n) {
  for (int last = n - 1, pass = 0; pass < 2 && last > 0; pass++, last--)
    for (int i = 0; i < last; i++) {
      int64_t here = pass ? x[i].inner : x[i].outer, there = pass ? x[last].inner : x[last].outer;
      axis t = x[i];
      if (here < there) x[i] = x[last], x[last] = t;
    }
}

static int64_t stride_in(const xlm_box *b, int rank, int dim) {
  int64_t stride = 1;
  for (int i = dim + 1; i < rank; i++) stride *= b->end[i] - b->begin[i];
  return stride;
}

void xlm_weights_copy(const xlm_weights_band *b, const xlm_weights_piece *p, const xlm_box *box, void *in_box,
                      void *chunk, bool to_chunk) {
  if (p->plain) {
    size_t bytes = (size_t)xlm_box_elements(p->state, box) * p->bytes;
    memcpy(to_chunk ? chunk : in_box, to_chunk ? in_box : chunk, bytes);
    return;
  }
  axis x[XLM_WEIGHTS_AXES];
  for (int i = 0; i < p->n_axes; i++) {
    const xlm_weights_axis *a = &p->axes[i];
    int64_t size = a->size, stride = stride_in(box, p->state->rank, a->dim);
    if (!b->whole && !i) size = (box->end[a->dim] - box->begin[a->dim]) / a->step; // rows
    x[i] = (axis){size, stride * a->step, a->outer};
  }
  order_axes(x, p->n_axes);
  copy_axes(x, p->n_axes, in_box, (float *)chunk + (p->at - b->at), to_chunk);
}

// ---- chunks ----

xlm_box xlm_weights_box(const xlm_weights_band *b, const xlm_weights_piece *p, int64_t row, int64_t rows) {
  xlm_box box = p->box;
  if (b->whole || !p->n_axes) return box;
  const xlm_weights_axis *a = &p->axes[0];
  box.begin[a->dim] = row * a->step, box.end[a->dim] = (row + rows) * a->step;
  return box;
}

int64_t xlm_weights_rows(const xlm_weights_item *x, const xlm_weights_band *b, size_t chunk_bytes) {
  int64_t row_bytes = b->row * (int64_t)xlm_st_dtype_bytes(x->tensor.dtype);
  int64_t rows = row_bytes ? (int64_t)chunk_bytes / row_bytes : b->rows;
  return rows < 1 ? 1 : rows < b->rows ? rows : b->rows;
}

static void move_on(xlm_weights_cursor *c, const xlm_weights_item *x, const xlm_weights_band *b,
                    int64_t rows) {
  if (++c->piece < (int)b->n) return;
  c->piece = 0;
  if ((c->row += rows) < b->rows) return;
  c->row = 0;
  if (++c->band < x->n_bands) return;
  c->band = 0, c->at++;
}

bool xlm_weights_next(xlm_weights_cursor *c, xlm_weights_step *step) {
  if (c->at >= c->n) return false;
  const xlm_weights_item *x = &c->w->lists[c->part].at[c->tensors[c->at]];
  const xlm_weights_band *b = &x->bands[c->band];
  const xlm_weights_piece *p = &x->pieces[b->first + (uint32_t)c->piece];
  XLM_ASSERT(p->bytes == xlm_dtype_bytes(p->state->dtype), "'%s' is stored rounded: nothing saves it",
             p->state->name);
  int64_t most = xlm_weights_rows(x, b, c->chunk_bytes), left = b->rows - c->row;
  int64_t rows = most < left ? most : left;
  *step = (xlm_weights_step){.state = p->state,
                             .box = xlm_weights_box(b, p, c->row, rows),
                             .chunk_bytes = (size_t)(rows * b->row) * xlm_st_dtype_bytes(x->tensor.dtype),
                             .first = c->piece == 0,
                             .last = c->piece + 1 == (int)b->n,
                             .piece = p,
                             .band = b,
                             .has_holes = x->has_holes};
  move_on(c, x, b, rows);
  return true;
}

void xlm_weights_place(const xlm_weights_step *step, const void *box, void *chunk) {
  if (step->first && step->has_holes) memset(chunk, 0, step->chunk_bytes);
  xlm_weights_copy(step->band, step->piece, &step->box, (void *)(uintptr_t)box, chunk,
                   true); // box: only read
}

size_t xlm_weights_most(const xlm_weights_cursor *c) {
  size_t most = 0;
  for (int i = 0; i < c->n; i++) {
    const xlm_weights_item *x = &c->w->lists[c->part].at[c->tensors[i]];
    for (int k = 0; k < x->n_bands; k++) {
      size_t bytes = (size_t)(xlm_weights_rows(x, &x->bands[k], c->chunk_bytes) * x->bands[k].row) *
                     xlm_st_dtype_bytes(x->tensor.dtype);
      if (bytes > most) most = bytes;
    }
  }
  return most;
}
