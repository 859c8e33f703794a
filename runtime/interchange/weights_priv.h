// Shared by weights.c (which tensors), weights_chunks.c (their chunks) and weights_import.c.
#ifndef XLM_INTERCHANGE_WEIGHTS_PRIV_H
#define XLM_INTERCHANGE_WEIGHTS_PRIV_H

#include "runtime/interchange/weights.h"

typedef struct xlm_weights_axis {
  int dim;            // of the state
  int64_t size, step; // its index i stands for index i * step of the dimension
  int64_t outer;      // stride in the tensor, in elements
} xlm_weights_axis;

enum { XLM_WEIGHTS_AXES = XLM_MAX_FACTORS };

typedef struct xlm_weights_piece { // the part of a state in a tensor
  const xlm_stored *state;
  xlm_box box; // of the state
  int n_axes;
  xlm_weights_axis axes[XLM_WEIGHTS_AXES]; // outermost in the tensor first
  int64_t n, at;                           // number of elements; offset in the tensor
  size_t bytes;                            // of an element of the tensor, also in a box
  bool plain;                              // the same order on both sides
  const struct xlm_code *code;             // of the elements outside; NULL: the same
} xlm_weights_piece;

// Rows of a tensor that consist of the same states: all rows, or those of one of several concatenated states.
typedef struct xlm_weights_band {
  uint32_t first, n; // pieces
  int64_t at, rows, row;
  bool whole; // a row is the whole tensor: boxes are not cut
} xlm_weights_band;

typedef struct xlm_weights_item {
  xlm_st_tensor tensor;
  xlm_weights_piece *pieces; // in order of offset
  uint32_t n_pieces, cap_pieces;
  xlm_weights_band *bands; // consecutive
  int n_bands;
  bool has_holes;
  bool optional; // files may lack it
} xlm_weights_item;

typedef struct xlm_weights_list {
  xlm_weights_item *at;
  uint32_t n, cap;
} xlm_weights_list;

struct xlm_weights {
  xlm_arena *arena;
  const xlm_store *store;
  const xlm_plan *plan;
  xlm_weights_list lists[XLM_WEIGHTS_PARTS];
};

void xlm_weights_set_own(xlm_arena *a, xlm_weights_item *x, const xlm_stored *t, xlm_st_dtype dtype);
void xlm_weights_set_bands(xlm_arena *a, xlm_weights_item *x);
bool xlm_weights_is_parameter(const xlm_stored *t);
// A tensor by this name, or by this name without its first component; NULL: not found.
const xlm_st_tensor *xlm_weights_find(const xlm_safetensors *from, const char *name);
// By the name of the only state of the item, whose tensor has all of it; NULL: not found.
const xlm_st_tensor *xlm_weights_find_own(const xlm_safetensors *from, const xlm_weights_item *x);
xlm_box xlm_weights_box(const xlm_weights_band *b, const xlm_weights_piece *p, int64_t row, int64_t rows);
int64_t xlm_weights_rows(const xlm_weights_item *x, const xlm_weights_band *b, size_t chunk_bytes);
// Copies between a chunk's elements from row `row` on and the dense box.
void xlm_weights_copy(const xlm_weights_band *b, const xlm_weights_piece *p, const xlm_box *box, void *in_box,
                      void *chunk, bool to_chunk);

#endif
