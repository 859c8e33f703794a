// The mesh: ranks arranged along named axes, outermost first; the last axis varies fastest. Splitting a
// dimension over a set of axes is hierarchical: the outermost axis of the set divides first. Pieces differ by
// at most one `grain`, the first ones are the larger (25 over 4 = 7, 6, 6, 6).
//
// Over some of its axes a dimension may be split from both ends (`mirrored`): the sequence of causal
// attention, where an element costs the more the further behind it stands. Over 2 ranks: the first has pieces
// 0 and 3 of four, the second 1 and 2.
#ifndef XLM_PLAN_MESH_H
#define XLM_PLAN_MESH_H

#include "runtime/plan/plan.h"

XLM_C_BEGIN

enum { XLM_MAX_RANKS = 1 << 20 };

int xlm_mesh_axis(const xlm_mesh *m, const char *name); // index, -1 when the mesh has no such axis
int64_t xlm_mesh_ranks(const xlm_mesh *m);              // 1 for an empty mesh
void xlm_mesh_coord(const xlm_mesh *m, int64_t rank, int32_t coord[XLM_MAX_AXES]);
int64_t xlm_mesh_rank(const xlm_mesh *m, const int32_t coord[XLM_MAX_AXES]);

// The group of ranks that differ only along `axes`: how many, which one a coordinate is, and the rank of
// member i of the group that `coord` belongs to. Members are ordered outermost axis first.
int64_t xlm_mesh_group(const xlm_mesh *m, uint32_t axes);
int64_t xlm_mesh_member(const xlm_mesh *m, uint32_t axes, const int32_t coord[XLM_MAX_AXES]);
int64_t xlm_mesh_member_rank(const xlm_mesh *m, uint32_t axes, const int32_t coord[XLM_MAX_AXES], int64_t i);

// Elements [offset, offset + size - tail) of a dimension, then [tail_offset, tail_offset + tail), which lie
// behind them and do not touch them. tail = 0: one run. Local element i is the i-th of both.
typedef struct xlm_piece {
  int64_t offset, size;
  int64_t tail, tail_offset;
} xlm_piece;

// Part i of the local elements of `whole` in `parts`, in units of `grain` (whole.size must be a multiple of
// it).
xlm_piece xlm_mesh_split(xlm_piece whole, int64_t grain, int64_t parts, int64_t i);
// The same from both ends: a run is cut into 2 * parts, of which part i gets number i from the front and
// number i from the back; of two runs each is cut into `parts`, the second counted from its end. Sizes are as
// in xlm_mesh_split, one more or less; the larger parts need not be the first.
xlm_piece xlm_mesh_mirror(xlm_piece whole, int64_t grain, int64_t parts, int64_t i);
// What `coord` holds of a dimension: from its full size, axes, mirrored axes and grain.
xlm_piece xlm_mesh_local(const xlm_mesh *m, const xlm_dim_info *d, const int32_t coord[XLM_MAX_AXES]);

static inline xlm_piece xlm_dim_piece(const xlm_dim_info *d) {
  return (xlm_piece){d->offset, d->size, d->tail, d->tail_offset};
}
static inline void xlm_dim_set_piece(xlm_dim_info *d, xlm_piece p) {
  d->offset = p.offset, d->size = p.size, d->tail = p.tail, d->tail_offset = p.tail_offset;
}
// Where the elements of `part` stand among the local elements of `whole`. false: some are not in it.
bool xlm_piece_within(xlm_piece whole, xlm_piece part, xlm_piece *out);

// The dimensions of the plan of `rank`, with this rank's offsets and tails: ranks that share a plan differ in
// nothing else. out: n_dims entries of the rank's plan.
void xlm_mesh_rank_dims(const xlm_plan *p, int64_t rank, xlm_dim_info *out);

XLM_C_END

#endif
