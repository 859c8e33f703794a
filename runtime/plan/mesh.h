// The mesh: ranks arranged along named axes, outermost first; the last axis varies fastest. Splitting a
// dimension over a set of axes is hierarchical: the outermost axis of the set divides first. Pieces differ by
// at most one `grain`; the larger ones come first (25 over 4 = 7, 6, 6, 6).
//
// Over some of its axes a dimension may be split from both ends (`mirrored`). This balances causal attention,
// where the cost of an element grows with its position. Over 2 ranks, the first rank holds quarters 0 and 3,
// the second quarters 1 and 2.
#ifndef XLM_PLAN_MESH_H
#define XLM_PLAN_MESH_H

#include "runtime/plan/plan.h"

XLM_C_BEGIN

enum { XLM_MAX_RANKS = 1 << 20 };

int xlm_mesh_axis(const xlm_mesh *m, const char *name); // index, -1 when the mesh has no such axis
int64_t xlm_mesh_ranks(const xlm_mesh *m);              // 1 for an empty mesh
void xlm_mesh_coord(const xlm_mesh *m, int64_t rank, int32_t coord[XLM_MAX_AXES]);
int64_t xlm_mesh_rank(const xlm_mesh *m, const int32_t coord[XLM_MAX_AXES]);

// The group of ranks that differ only along `axes`: its size, the index of `coord` in it, and the rank of
// member i of the group that `coord` belongs to. Members are ordered outermost axis first.
int64_t xlm_mesh_group(const xlm_mesh *m, uint32_t axes);
int64_t xlm_mesh_member(const xlm_mesh *m, uint32_t axes, const int32_t coord[XLM_MAX_AXES]);
int64_t xlm_mesh_member_rank(const xlm_mesh *m, uint32_t axes, const int32_t coord[XLM_MAX_AXES], int64_t i);

// Elements [offset, offset + size - tail) of a dimension, followed by [tail_offset, tail_offset + tail),
// which lie after them with a gap between. tail = 0: one run. Local elements number the two runs
// consecutively.
typedef struct xlm_piece {
  int64_t offset, size;
  int64_t tail, tail_offset;
} xlm_piece;

// Part i of the local elements of `whole` in `parts`, in units of `grain` (whole.size must be a multiple of
// it).
xlm_piece xlm_mesh_split(xlm_piece whole, int64_t grain, int64_t parts, int64_t i);
// The same from both ends: one run is cut into 2 * parts, and part i gets number i from the front and number
// i from the back; of two runs, each is cut into `parts`, the second counted from its end. Sizes as in
// xlm_mesh_split, but the larger parts need not come first.
xlm_piece xlm_mesh_mirror(xlm_piece whole, int64_t grain, int64_t parts, int64_t i);
// The piece of a dimension that `coord` holds, from the full size, axes, mirrored axes and grain.
xlm_piece xlm_mesh_local(const xlm_mesh *m, const xlm_dim_info *d, const int32_t coord[XLM_MAX_AXES]);

// The sizes of the dimension's smallest and largest piece: the same on every rank.
void xlm_mesh_bounds(const xlm_mesh *m, const xlm_dim_info *d, int64_t *least, int64_t *most);

static inline xlm_piece xlm_dim_piece(const xlm_dim_info *d) {
  return (xlm_piece){d->offset, d->size, d->tail, d->tail_offset};
}
static inline void xlm_dim_set_piece(xlm_dim_info *d, xlm_piece p) {
  d->offset = p.offset, d->size = p.size, d->tail = p.tail, d->tail_offset = p.tail_offset;
}
// The position of `part` among the local elements of `whole`. false: some of its elements are not in it.
bool xlm_piece_within(xlm_piece whole, xlm_piece part, xlm_piece *out);

// The dimensions of the plan of `rank`, with this rank's offsets and tails, the only things in which ranks
// that share a rank plan differ. out: n_dims entries, as in the rank plan.
void xlm_mesh_rank_dims(const xlm_plan *p, int64_t rank, xlm_dim_info *out);

XLM_C_END

#endif
