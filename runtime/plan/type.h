// Types shared by the graph, the plan and the kernels: element types, named dimensions, tensor types.
//
// A dimension is named, sized and possibly split. `size` is the local size, `full` the logical size, `offset`
// the start of the local piece; `axes` is the set of mesh axes it is split over (bit i = mesh axis i). Before
// partitioning axes = 0, size = full, offset = 0. The local piece may consist of two runs: then its last
// `tail` elements start at `tail_offset`, after the others. xlm_dim_global maps a local index to a logical
// one; it is monotonic. Two dimensions are the same iff their ids are equal, so "the operands have the same
// layout" and "the operands share dimensions" are the same question.
#ifndef XLM_PLAN_TYPE_H
#define XLM_PLAN_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/plan/enum.h"

XLM_C_BEGIN

enum { XLM_MAX_RANK = 8, XLM_MAX_AXES = 8 };

const char *xlm_dtype_name(xlm_dtype t); // "f32", "bf16", "f64", "i32"
size_t xlm_dtype_bytes(xlm_dtype t);
enum { XLM_FLOATS = 1 << XLM_F32 | 1 << XLM_BF16 | 1 << XLM_F64 }; // as a set: bit i = value i
static inline bool xlm_dtype_is_float(xlm_dtype t) {
  return t != XLM_I32;
}

typedef uint32_t xlm_dim; // index into a dimension table; 0 = none

typedef struct xlm_dim_info {
  const char *name; // as in the model text; unique together with axes
  int64_t size, full, offset;
  uint32_t axes;             // mesh axes that this version of the dimension is split over
  uint32_t mirrored;         // those axes over which it is split from both ends (mesh.h)
  int64_t tail, tail_offset; // 0, 0: one run
  int64_t grain;             // unit of splitting (query heads: whole groups); 0 = 1
  // Ragged: the rows of the dimension before it in a tensor (experts) are packed without gaps, and `size`
  // bounds their total. A tensor [experts, routed, hidden] stores size(routed) * size(hidden) elements; an
  // i32 tensor [experts + 1] has the offset of each expert's rows (see ops/dispatch.c).
  bool ragged;
} xlm_dim_info;

// The logical index of local element i.
static inline int64_t xlm_dim_global(const xlm_dim_info *d, int64_t i) {
  int64_t first = d->size - d->tail;
  return i < first ? d->offset + i : d->tail_offset + (i - first);
}

// The local index of `global`; -1: on another rank.
static inline int64_t xlm_dim_local(const xlm_dim_info *d, int64_t global) {
  int64_t first = d->size - d->tail, in_run = global - d->offset, in_tail = global - d->tail_offset;
  if (in_run >= 0 && in_run < first) return in_run;
  return in_tail >= 0 && in_tail < d->tail ? first + in_tail : -1;
}

// A matrix as products read it: panels of `width` columns side by side, each with all rows, one after the
// other, so that a panel is one run of memory; the last has the columns that are left. The type's first
// `split` dims are the rows and the others the columns, or the other way round. width 0: dense row-major.
// Numbers of 16 bits lie two rows together, [row / 2][column][2], as instructions that multiply pairs take
// them; the last of an odd number of rows alone. The bytes are those of the dense matrix in another order
// (panels.h).
typedef struct xlm_panels {
  uint16_t width;
  uint8_t split;
  bool columns_first;
} xlm_panels;

typedef struct xlm_type {
  xlm_dtype dtype;
  uint8_t rank;
  xlm_dim dim[XLM_MAX_RANK]; // outermost first; storage is dense row-major in this order
  xlm_panels panels;         // of a plan's parameters: but for these
} xlm_type;

int xlm_type_find(const xlm_type *t, xlm_dim d); // position of d in t, or -1
int64_t xlm_type_elements(const xlm_type *t,
                          const xlm_dim_info *dims); // what is stored (ragged: bound on rows)
size_t xlm_type_bytes(const xlm_type *t, const xlm_dim_info *dims);

XLM_C_END

#endif
