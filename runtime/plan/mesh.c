// Mesh arithmetic; see mesh.h.
#include "runtime/plan/mesh.h"

#include <string.h>

int xlm_mesh_axis(const xlm_mesh *m, const char *name) {
  for (int i = 0; i < m->n; i++)
    if (!strcmp(m->axis[i], name)) return i;
  return -1;
}

int64_t xlm_mesh_ranks(const xlm_mesh *m) {
  return xlm_mesh_group(m, UINT32_MAX);
}

void xlm_mesh_coord(const xlm_mesh *m, int64_t rank, int32_t coord[XLM_MAX_AXES]) {
  memset(coord, 0, XLM_MAX_AXES * sizeof *coord);
  for (int i = m->n - 1; i >= 0; i--) {
    coord[i] = (int32_t)(rank % m->size[i]);
    rank /= m->size[i];
  }
}

int64_t xlm_mesh_rank(const xlm_mesh *m, const int32_t coord[XLM_MAX_AXES]) {
  return xlm_mesh_member(m, UINT32_MAX, coord);
}

int64_t xlm_mesh_group(const xlm_mesh *m, uint32_t axes) {
  int64_t n = 1;
  for (int i = 0; i < m->n; i++)
    if (axes >> i & 1) n *= m->size[i];
  return n;
}

int64_t xlm_mesh_member(const xlm_mesh *m, uint32_t axes, const int32_t coord[XLM_MAX_AXES]) {
  int64_t at = 0;
  for (int i = 0; i < m->n; i++)
    if (axes >> i & 1) at = at * m->size[i] + coord[i];
  return at;
}

int64_t xlm_mesh_member_rank(const xlm_mesh *m, uint32_t axes, const int32_t coord[XLM_MAX_AXES],
                             int64_t member) {
  int32_t c[XLM_MAX_AXES];
  memcpy(c, coord, sizeof c);
  for (int i = m->n - 1; i >= 0; i--) {
    if (!(axes >> i & 1)) continue;
    c[i] = (int32_t)(member % m->size[i]);
    member /= m->size[i];
  }
  return xlm_mesh_rank(m, c);
}

xlm_piece xlm_mesh_split(xlm_piece whole, int64_t grain, int64_t parts, int64_t i) {
  int64_t units = whole.size / grain, each = units / parts, larger = units % parts;
  int64_t begin = each * i + (i < larger ? i : larger), n = each + (i < larger);
  return (xlm_piece){whole.offset + begin * grain, n * grain};
}

xlm_piece xlm_mesh_local(const xlm_mesh *m, int64_t full, int64_t grain, uint32_t axes,
                         const int32_t coord[XLM_MAX_AXES]) {
  xlm_piece p = {0, full};
  for (int i = 0; i < m->n; i++)
    if (axes >> i & 1) p = xlm_mesh_split(p, grain, m->size[i], coord[i]);
  return p;
}

void xlm_mesh_rank_dims(const xlm_plan *p, int64_t rank, xlm_dim_info *out) {
  const xlm_rank_plan *r = p->classes[p->class_of[rank]];
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(&p->mesh, rank, coord);
  for (uint32_t i = 0; i < r->n_dims; i++) {
    out[i] = r->dims[i];
    if (!out[i].axes || out[i].ragged) continue;
    xlm_piece piece =
        xlm_mesh_local(&p->mesh, out[i].full, out[i].grain > 1 ? out[i].grain : 1, out[i].axes, coord);
    XLM_ASSERT(piece.size == out[i].size, "rank %lld does not fit the plan of its class", (long long)rank);
    out[i].offset = piece.offset;
  }
}
