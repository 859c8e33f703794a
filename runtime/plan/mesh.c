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

// The same as one run, when either run is empty or the second continues the first.
static xlm_piece joined(xlm_piece p) {
  int64_t first = p.size - p.tail;
  if (p.tail && first && p.tail_offset != p.offset + first) return p;
  return (xlm_piece){.offset = first || !p.tail ? p.offset : p.tail_offset, .size = p.size};
}

// Local elements [begin, begin + n) of a piece.
static xlm_piece part_of(xlm_piece p, int64_t begin, int64_t n) {
  int64_t first = p.size - p.tail, behind = begin > first ? begin - first : 0;
  int64_t in_first = begin + n < first ? n : begin < first ? first - begin : 0;
  return joined((xlm_piece){
      .offset = p.offset + begin, .size = n, .tail = n - in_first, .tail_offset = p.tail_offset + behind});
}

static xlm_piece both(xlm_piece a, xlm_piece b) { // concatenates two single runs
  return joined((xlm_piece){a.offset, a.size + b.size, b.size, b.offset});
}

xlm_piece xlm_mesh_split(xlm_piece whole, int64_t grain, int64_t parts, int64_t i) {
  int64_t units = whole.size / grain, each = units / parts, larger = units % parts;
  int64_t begin = each * i + (i < larger ? i : larger), n = each + (i < larger);
  return part_of(whole, begin * grain, n * grain);
}

xlm_piece xlm_mesh_mirror(xlm_piece whole, int64_t grain, int64_t parts, int64_t i) {
  if (!whole.tail)
    return both(xlm_mesh_split(whole, grain, 2 * parts, i),
                xlm_mesh_split(whole, grain, 2 * parts, 2 * parts - 1 - i));
  xlm_piece first = part_of(whole, 0, whole.size - whole.tail),
            second = part_of(whole, whole.size - whole.tail, whole.tail);
  return both(xlm_mesh_split(first, grain, parts, i), xlm_mesh_split(second, grain, parts, parts - 1 - i));
}

xlm_piece xlm_mesh_local(const xlm_mesh *m, const xlm_dim_info *d, const int32_t coord[XLM_MAX_AXES]) {
  xlm_piece p = {.size = d->full};
  int64_t grain = d->grain > 1 ? d->grain : 1;
  for (int i = 0; i < m->n; i++)
    if (d->axes >> i & 1)
      p = (d->mirrored >> i & 1 ? xlm_mesh_mirror : xlm_mesh_split)(p, grain, m->size[i], coord[i]);
  return p;
}

void xlm_mesh_bounds(const xlm_mesh *m, const xlm_dim_info *d, int64_t *least, int64_t *most) {
  int64_t grain = d->grain > 1 ? d->grain : 1;
  *least = *most = d->full / grain;
  for (int i = 0; i < m->n; i++) {
    if (!(d->axes >> i & 1)) continue;
    *least /= m->size[i];
    *most = (*most + m->size[i] - 1) / m->size[i];
  }
  *least *= grain, *most *= grain;
}

// Position of [offset, offset + n) among the local elements of `whole`; -1: not entirely there.
static int64_t find_run(xlm_piece whole, int64_t offset, int64_t n) {
  int64_t first = whole.size - whole.tail, in_run = offset - whole.offset,
          in_tail = offset - whole.tail_offset;
  if (in_run >= 0 && in_run + n <= first) return in_run;
  return in_tail >= 0 && in_tail + n <= whole.tail ? first + in_tail : -1;
}

bool xlm_piece_within(xlm_piece whole, xlm_piece part, xlm_piece *out) {
  int64_t at = find_run(whole, part.offset, part.size - part.tail);
  int64_t tail_at = part.tail ? find_run(whole, part.tail_offset, part.tail) : 0;
  bool here = at >= 0 && tail_at >= 0;
  *out = here ? joined((xlm_piece){at, part.size, part.tail, tail_at}) : (xlm_piece){.size = part.size};
  return here || !part.size;
}

void xlm_mesh_rank_dims(const xlm_plan *p, int64_t rank, xlm_dim_info *out) {
  const xlm_rank_plan *r = p->rank_plans[p->rank_plan_of[rank]];
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(&p->mesh, rank, coord);
  for (uint32_t i = 0; i < r->n_dims; i++) {
    out[i] = r->dims[i];
    if (!out[i].axes || out[i].ragged) continue;
    xlm_piece piece = xlm_mesh_local(&p->mesh, &out[i], coord);
    XLM_ASSERT(piece.size == out[i].size, "rank %lld does not fit its plan", (long long)rank);
    xlm_dim_set_piece(&out[i], piece);
  }
}
