// The mesh: ranks arranged along named axes, outermost first; the last axis varies fastest. Splitting a
// dimension over a set of axes is hierarchical: the outermost axis of the set divides first. Pieces differ by
// at most one `grain`, the first ones are the larger (25 over 4 = 7, 6, 6, 6).
#ifndef XLM_PLAN_MESH_H
#define XLM_PLAN_MESH_H

#include "runtime/plan/plan.h"

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

typedef struct xlm_piece {
  int64_t offset, size;
} xlm_piece;

// Piece i of `whole` in `parts`, in units of `grain` (whole.size must be a multiple of it).
xlm_piece xlm_mesh_split(xlm_piece whole, int64_t grain, int64_t parts, int64_t i);
// What `coord` holds of a dimension of `full` elements split over `axes`.
xlm_piece xlm_mesh_local(const xlm_mesh *m, int64_t full, int64_t grain, uint32_t axes,
                         const int32_t coord[XLM_MAX_AXES]);

// The dimensions of the plan of `rank`, with this rank's offsets: ranks that share a plan differ in nothing
// else. out: n_dims entries of the rank's class.
void xlm_mesh_rank_dims(const xlm_plan *p, int64_t rank, xlm_dim_info *out);

#endif
