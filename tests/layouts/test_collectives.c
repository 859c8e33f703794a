// The kernels of collectives on several ranks, compared with directly computed results: random uneven shapes,
// positions, dtypes and groups; the same bits on every rank; reduce_scatter + all_gather == all_reduce; bytes
// sent == bytes planned. Every rank computes the data of every other.
#include "tests/layouts/one_call.h"

// ---- shapes: [outer, d, inner] or fewer dims

typedef struct shape {
  xlm_dtype dtype;
  int64_t outer, size, inner;
  xlm_reduction kind;
  uint32_t mirrored; // axes over which d, and b of all_to_all, are split from both ends
  uint32_t outside;  // axes over which the `whole` d is split already
} shape;

enum { OUTER = 1, WHOLE, PIECE, INNER, B_WHOLE, B_PIECE };

static shape random_shape(uint64_t seed) {
  static const xlm_dtype dtypes[] = {XLM_F32, XLM_BF16, XLM_F64, XLM_I32};
  static const xlm_reduction kinds[] = {XLM_REDUCTION_SUM, XLM_REDUCTION_SUM, XLM_REDUCTION_MAX,
                                        XLM_REDUCTION_LSE};
  shape s = {.dtype = dtypes[ranks_random(seed, 1, 0) % 4], .kind = kinds[ranks_random(seed, 2, 0) % 4]};
  s.outer = ranks_random(seed, 3, 0) % 3 ? 1 + ranks_random(seed, 4, 0) % 5 : 1;
  s.size = ranks_random(seed, 5, 0) % 30; // fewer than members sometimes, and 0
  s.inner = ranks_random(seed, 6, 0) % 2 ? 1 + ranks_random(seed, 7, 0) % 40 : 1;
  if (ranks_random(seed, 8, 0) % 8 == 0)
    s.size += 1200, s.inner = 1 + s.inner % 4; // beyond the small all-reduce
  s.mirrored = ranks_random(seed, 12, 0) % 8;  // any of the first three axes
  if (s.dtype == XLM_I32 && s.kind == XLM_REDUCTION_LSE) s.kind = XLM_REDUCTION_SUM;
  return s;
}

static call *new_call(const xlm_comm *c, const shape *s, uint32_t axes) {
  call *k = calloc(1, sizeof *k);
  uint32_t inside = axes | s->outside;
  k->dims[OUTER] = (xlm_dim_info){.name = "o", .size = s->outer, .full = s->outer};
  k->dims[WHOLE] = own_part(c, "d", s->size, s->outside, s->mirrored);
  k->dims[PIECE] = own_part(c, "d", s->size, inside, s->mirrored);
  k->dims[INNER] = (xlm_dim_info){.name = "i", .size = s->inner, .full = s->inner};
  set_sizes(c, k, 0, &k->dims[PIECE], axes);
  return k;
}

static void set_whole(call *k, uint32_t tensor, const shape *s) {
  set_type(k, tensor, s->dtype, (xlm_dim[]){OUTER, WHOLE, INNER}, 3);
}

static void set_piece(call *k, uint32_t tensor, const shape *s) {
  set_type(k, tensor, s->dtype, (xlm_dim[]){OUTER, PIECE, INNER}, 3);
}

static void along(call *k, xlm_dim from, xlm_dim to, xlm_reduction kind, uint32_t axes) {
  add_dims(k, XLM_A_from, from, 0);
  add_dims(k, XLM_A_to, to, 0);
  if (kind) add_attr(k, (xlm_attr){.key = XLM_A_kind, .i = kind});
  add_sizes(k);
  add_attr(k, (xlm_attr){.key = XLM_A_axes, .i = axes});
}

static int64_t logical(const call *k, const shape *s, xlm_dim d,
                       int64_t i) { // index in [outer, whole, inner]
  int64_t size = k->dims[d].size, outer = i / s->inner / size, at = i / s->inner % size;
  return (outer * s->size + xlm_dim_global(&k->dims[d], at)) * s->inner + i % s->inner;
}

static void fill_own(const xlm_comm *c, call *k, const shape *s, uint32_t tensor, xlm_dim d, uint64_t seed,
                     int64_t rank) {
  (void)c;
  int64_t n = xlm_type_elements(&k->tensors[tensor].type, k->dims);
  for (int64_t i = 0; i < n; i++)
    put(s->dtype, k->data[tensor], i, value(seed, s->dtype, rank, logical(k, s, d, i)));
}

static void check_reduced(xlm_comm *c, call *k, const shape *s, uint32_t tensor, xlm_dim d, uint32_t axes,
                          uint64_t seed) {
  int64_t n = xlm_type_elements(&k->tensors[tensor].type, k->dims), wrong = 0;
  for (int64_t i = 0; i<n; i += n> 100000 ? 37 : 1) // of the large ones a part
    wrong +=
        get(s->dtype, k->data[tensor], i) != reduced(c, axes, s->kind, seed, s->dtype, logical(k, s, d, i));
  RANK_CHECK(c, wrong == 0);
}

// ---- the regular ones

static void try_reduce(xlm_op_id op, xlm_comm *c, const shape *s, uint32_t axes, uint64_t seed,
                       bool in_place) {
  call *k = new_call(c, s, axes);
  set_whole(k, 1, s);
  set_whole(k, 2, s);
  fill_own(c, k, s, 1, WHOLE, seed, c->rank);
  add_attr(k, (xlm_attr){.key = XLM_A_kind, .i = s->kind});
  add_attr(k, (xlm_attr){.key = XLM_A_axes, .i = axes});
  k->in[0] = 1, k->out[0] = in_place ? 1 : 2;
  call_run(k, c, op, 1, 1);
  check_reduced(c, k, s, k->out[0], WHOLE, axes, seed);
  call_free(k);
  free(k);
}

// Every operation that leaves the whole sum with all members: they differ in how, not in bits.
static void try_all_reduce(xlm_comm *c, const shape *s, uint32_t axes, uint64_t seed, bool in_place) {
  for (int op = 1; op < XLM_OP_COUNT; op++)
    if (xlm_op_facts_of((xlm_op_id)op)->comm == XLM_COMM_REDUCE)
      try_reduce((xlm_op_id)op, c, s, axes, seed, in_place);
}

// Then all_gather, which must give what all_reduce gives.
static void try_scatter_gather(xlm_comm *c, const shape *s, uint32_t axes, uint64_t seed) {
  call *k = new_call(c, s, axes), *back = new_call(c, s, axes);
  set_whole(k, 1, s);
  set_piece(k, 2, s);
  fill_own(c, k, s, 1, WHOLE, seed, c->rank);
  along(k, WHOLE, PIECE, s->kind, axes);
  k->in[0] = 1, k->out[0] = 2;
  call_run(k, c, XLM_OP_REDUCE_SCATTER, 1, 1);
  check_reduced(c, k, s, 2, PIECE, axes, seed);
  set_piece(back, 1, s);
  set_whole(back, 2, s);
  memcpy(back->data[1], k->data[2], k->tensors[2].bytes);
  along(back, PIECE, WHOLE, XLM_REDUCTION_NONE, axes);
  back->in[0] = 1, back->out[0] = 2;
  call_run(back, c, XLM_OP_ALL_GATHER, 1, 1);
  check_reduced(c, back, s, 2, WHOLE, axes, seed);
  call_free(k);
  call_free(back);
  free(k);
  free(back);
}

static void try_take(xlm_comm *c, const shape *s, uint32_t axes, uint64_t seed) {
  call *k = new_call(c, s, axes);
  set_whole(k, 1, s);
  set_piece(k, 2, s);
  fill_own(c, k, s, 1, WHOLE, seed, 0);
  along(k, WHOLE, PIECE, XLM_REDUCTION_NONE, axes);
  k->in[0] = 1, k->out[0] = 2;
  call_run(k, c, XLM_OP_LOCAL_SLICE, 1, 1);
  int64_t n = xlm_type_elements(&k->tensors[2].type, k->dims);
  for (int64_t i = 0; i < n; i++)
    RANK_CHECK(c, get(s->dtype, k->data[2], i) == value(seed, s->dtype, 0, logical(k, s, PIECE, i)));
  call_free(k);
  free(k);
}

// [outer, a/axes, inner, b] -> [outer, a, inner, b/axes], or with a and b in the other order.
static void try_all_to_all(xlm_comm *c, const shape *s, uint32_t axes, uint64_t seed) {
  call *k = new_call(c, s, axes);
  int64_t b = 1 + ranks_random(seed, 9, 0) % 20;
  bool a_first = ranks_random(seed, 10, 0) % 2;
  k->dims[B_WHOLE] = (xlm_dim_info){.name = "b", .size = b, .full = b};
  k->dims[B_PIECE] = own_part(c, "b", b, axes, s->mirrored);
  set_sizes(c, k, 1, &k->dims[B_PIECE], axes);
  xlm_dim from[] = {OUTER, a_first ? PIECE : B_WHOLE, INNER, a_first ? B_WHOLE : PIECE};
  xlm_dim to[] = {OUTER, a_first ? WHOLE : B_PIECE, INNER, a_first ? B_PIECE : WHOLE};
  for (int side = 0; side < 2; side++) {
    set_type(k, (uint32_t)side + 1, s->dtype, side ? to : from, 4);
    const xlm_type *t = &k->tensors[side + 1].type;
    int64_t n = xlm_type_elements(t, k->dims);
    if (side == 1) {
      add_dims(k, XLM_A_from, PIECE, B_WHOLE);
      add_dims(k, XLM_A_to, WHOLE, B_PIECE);
      add_sizes(k);
      add_attr(k, (xlm_attr){.key = XLM_A_axes, .i = axes});
      k->in[0] = 1, k->out[0] = 2;
      call_run(k, c, XLM_OP_ALL_TO_ALL, 1, 1);
    }
    for (int64_t i = 0; i < n; i++) {
      int64_t at = 0, rest = i, place = 1;
      for (int d = 3; d >= 0; d--) { // the index among all that the group holds
        const xlm_dim_info *info = &k->dims[t->dim[d]];
        at += xlm_dim_global(info, rest % info->size) * place;
        rest /= info->size, place *= info->full;
      }
      if (side == 0)
        put(s->dtype, k->data[1], i, value(seed, s->dtype, 0, at));
      else
        RANK_CHECK(c, get(s->dtype, k->data[2], i) == value(seed, s->dtype, 0, at));
    }
  }
  call_free(k);
  free(k);
}

// Scatter, gather and slice of a dimension that an outer axis already splits.
static void try_inside(xlm_comm *c, const shape *s, uint32_t axes, uint64_t seed) {
  uint32_t outer = axes & (~axes + 1), inner = axes & ~outer;
  shape inside = *s;
  inside.outside = outer;
  if (!inner) return;
  try_scatter_gather(c, &inside, inner, seed);
  try_take(c, &inside, inner, seed);
}

static void try_all(xlm_comm *c, void *arg) {
  uint64_t seed = *(const uint64_t *)arg;
  for (int i = 0; i < 12; i++, seed += 1000) {
    uint32_t axes = ranks_random(seed, 11, 0) & ((1u << c->mesh.n) - 1);
    shape s = random_shape(seed);
    try_all_reduce(c, &s, axes, seed, i % 2);
    try_scatter_gather(c, &s, axes, seed);
    try_take(c, &s, axes, seed);
    try_inside(c, &s, axes, seed);
    s.size %= 100;
    try_all_to_all(c, &s, axes, seed);
  }
}

static void random_shapes(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof meshes / sizeof *meshes; i++) {
    xlm_mesh m = ranks_mesh(meshes[i]);
    uint64_t seed = 77 * i + 5;
    ranks_run(&m, 30, try_all, &seed);
  }
}

static void try_large(xlm_comm *c, void *arg) { // more than one round fits
  (void)arg;
  shape s = {.dtype = XLM_F32, .outer = 1, .size = 1100003, .inner = 1, .kind = XLM_REDUCTION_SUM};
  try_all_reduce(c, &s, 3, 1, true);
  s = (shape){.dtype = XLM_F32, .outer = 3, .size = 1501, .inner = 333, .kind = XLM_REDUCTION_SUM};
  try_scatter_gather(c, &s, 3, 2);
  s = (shape){.dtype = XLM_BF16, .outer = 2, .size = 701, .inner = 150, .kind = XLM_REDUCTION_MAX};
  try_all_to_all(c, &s, 3, 3);
}

static void large_shapes(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("tp 2");
  ranks_run(&m, 30, try_large, NULL);
  m = ranks_mesh("dp 2 tp 2");
  ranks_run(&m, 30, try_large, NULL);
}

static void try_sixteen(xlm_comm *c, void *arg) {
  (void)arg;
  for (uint64_t i = 0; i < 6; i++) {
    shape s = {.dtype = XLM_F32, .outer = 2, .size = 21, .inner = 3, .kind = XLM_REDUCTION_SUM};
    try_all_reduce(c, &s, 15, i, false);
    s.size = 4001;
    try_all_reduce(c, &s, 15, i, false);
    try_scatter_gather(c, &s, 3, i);
  }
}

static void sixteen_ranks(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("pp 2 dp 2 cp 2 tp 2");
  ranks_run(&m, 30, try_sixteen, NULL);
}

// ---- messages

static void try_messages(xlm_comm *c, void *arg) {
  (void)arg;
  int pp = xlm_mesh_axis(&c->mesh, "pp");
  int32_t stage = c->coord[pp], stages = c->mesh.size[pp], other = stages - 1 - stage;
  shape s = {.dtype = XLM_BF16, .outer = 3, .size = 5, .inner = 7};
  call *k = new_call(c, &s, 0);
  set_whole(k, 1, &s);
  set_whole(k, 2, &s);
  fill_own(c, k, &s, 1, WHOLE, 4, c->rank);
  add_attr(k, (xlm_attr){.key = XLM_A_peer, .i = other});
  add_attr(k, (xlm_attr){.key = XLM_A_tag, .i = 6});
  k->in[0] = 1, k->out[0] = 2;
  call_run(k, c, XLM_OP_SEND, 1, 0); // both stages at once
  call_run(k, c, XLM_OP_RECV, 0, 1);
  int32_t coord[XLM_MAX_AXES];
  memcpy(coord, c->coord, sizeof coord);
  coord[pp] = other;
  for (int64_t i = 0; i < 105; i++)
    RANK_CHECK(c, get(XLM_BF16, k->data[2], i) == value(4, XLM_BF16, xlm_mesh_rank(&c->mesh, coord), i));
  call_free(k);
  free(k);
}

static void messages(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("pp 2 dp 2");
  ranks_run(&m, 30, try_messages, NULL);
  m = ranks_mesh("dp 2 pp 4");
  ranks_run(&m, 30, try_messages, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_shapes),
      cmocka_unit_test(large_shapes),
      cmocka_unit_test(sixteen_ranks),
      cmocka_unit_test(messages),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  if (failed == 0) xlm_comm_mpi_end();
  return failed;
}
