// The collectives' kernels among ranks against directly computed results: random uneven shapes, positions,
// dtypes and groups; the same bits on every rank; reduce_scatter + all_gather == all_reduce; bytes sent ==
// bytes planned; rows of experts there and back, experts without rows included. Every rank computes what
// every other holds.
#include <math.h>

#include "runtime/device/kernel.h"
#include "runtime/plan/traffic.h"
#include "tests/layouts/ranks.h"

enum { MAX_DIMS = 16, MAX_TENSORS = 8, MAX_MEMBERS = 16 };

// ---- one instruction with everything it needs

typedef struct call {
  xlm_dim_info dims[MAX_DIMS];
  xlm_tensor tensors[MAX_TENSORS];
  xlm_attr attrs[8];
  uint32_t in[4], out[2];
  xlm_instr instr;
  void *data[MAX_TENSORS];
  char sizes[2][128], both[260];
} call;

static void add_attr(call *k, xlm_attr a) { // keys must come in order
  k->attrs[k->instr.attrs.n++] = a;
  k->instr.attrs.at = k->attrs;
}

static void add_dims(call *k, xlm_attr_key key, xlm_dim a, xlm_dim b) {
  add_attr(k, (xlm_attr){.key = key, .n = b ? 2 : 1, .dims = {a, b}});
}

static void set_type(call *k, uint32_t tensor, xlm_dtype t, const xlm_dim *dims, int n) {
  xlm_type *type = &k->tensors[tensor].type;
  type->dtype = t, type->rank = (uint8_t)n;
  memcpy(type->dim, dims, (size_t)n * sizeof *dims);
  k->tensors[tensor].bytes = xlm_type_bytes(type, k->dims);
  k->data[tensor] = malloc(k->tensors[tensor].bytes + 1);
  memset(k->data[tensor], 0xFF, k->tensors[tensor].bytes + 1);
}

static void call_run(call *k, xlm_comm *c, const char *op, int n_in, int n_out) {
  k->instr.op = op;
  k->instr.n_in = (uint16_t)n_in, k->instr.n_out = (uint16_t)n_out;
  k->instr.in = k->in, k->instr.out = k->out;
  const xlm_kernel *kernel = xlm_backend_cpu()->find(op);
  const xlm_type *types[6];
  void *data[6], *workspace = NULL;
  for (int i = 0; i < n_in + n_out; i++) {
    uint32_t t = i < n_in ? k->in[i] : k->out[i - n_in];
    types[i] = &k->tensors[t].type, data[i] = k->data[t];
  }
  RANK_CHECK(c, xlm_backend_workspace(kernel, &k->instr, k->tensors, k->dims, 1, &k->instr.workspace));
  int failed = posix_memalign(&workspace, 64, k->instr.workspace + 64);
  RANK_CHECK(c, !failed);
  memset(workspace, 0xA5, k->instr.workspace + 64);
  xlm_call x = {.instr = &k->instr,
                .dims = k->dims,
                .in_type = types,
                .out_type = types + n_in,
                .in = data,
                .out = data + n_in,
                .workspace = workspace,
                .comm = c};
  uint64_t before = 0, after = 0;
  for (int i = 0; i < XLM_MAX_AXES; i++) before += c->bytes_sent[i];
  kernel->run(&x);
  for (int i = 0; i < XLM_MAX_AXES; i++) after += c->bytes_sent[i];
  int axis;
  uint64_t planned = xlm_traffic_bytes(&c->mesh, c->coord, &k->instr, k->tensors, k->dims, &axis);
  if (!strstr(op, "rows")) RANK_CHECK(c, after - before == planned);
  for (int i = 0; i < 64; i++)
    RANK_CHECK(c, ((unsigned char *)workspace)[k->instr.workspace + (size_t)i] == 0xA5);
  RANK_CHECK(c, c->err.status == XLM_OK);
  free(workspace);
}

static void call_free(call *k) {
  for (int i = 0; i < MAX_TENSORS; i++) free(k->data[i]);
}

// ---- values

static void put(xlm_dtype t, void *p, int64_t i, double x) {
  if (t == XLM_F64) ((double *)p)[i] = x;
  if (t == XLM_F32) ((float *)p)[i] = (float)x;
  if (t == XLM_I32) ((int32_t *)p)[i] = (int32_t)x;
  if (t == XLM_BF16) ((uint16_t *)p)[i] = xlm_f32_to_bf16((float)x);
}

static double get(xlm_dtype t, const void *p, int64_t i) {
  if (t == XLM_F64) return ((const double *)p)[i];
  if (t == XLM_F32) return ((const float *)p)[i];
  if (t == XLM_I32) return ((const int32_t *)p)[i];
  return xlm_bf16_to_f32(((const uint16_t *)p)[i]);
}

static double rounded(xlm_dtype t, double x) {
  if (t == XLM_BF16) return xlm_bf16_to_f32(xlm_f32_to_bf16((float)x));
  return t == XLM_F32 ? (double)(float)x : x;
}

// What rank `rank` holds at logical index i: of differing size, so that the order of a sum shows.
static double value(uint64_t seed, xlm_dtype t, int64_t rank, int64_t i) {
  double x = (double)ranks_random(seed, (uint64_t)rank, (uint64_t)i) / 4294967296.0 - 0.5;
  double size = ranks_random(seed + 1, (uint64_t)i, (uint64_t)rank) % 3 ? 3 : 5000;
  return rounded(t, t == XLM_I32 ? floor(x * 1e6) : x * size);
}

// The reduction over the members in order, in the precision the op promises.
static double reduced(const xlm_comm *c, uint32_t axes, const char *kind, uint64_t seed, xlm_dtype t,
                      int64_t i) {
  int64_t n = xlm_mesh_group(&c->mesh, axes);
  double wide = 0, max = -INFINITY, exps = 0;
  float narrow = 0;
  for (int64_t k = 0; k < n; k++) {
    double x = value(seed, t, xlm_mesh_member_rank(&c->mesh, axes, c->coord, k), i);
    wide = k ? wide + x : x, narrow = k ? narrow + (float)x : (float)x;
    max = x > max ? x : max;
  }
  for (int64_t k = 0; k < n; k++)
    exps += exp(value(seed, t, xlm_mesh_member_rank(&c->mesh, axes, c->coord, k), i) - max);
  if (!strcmp(kind, "max")) return max;
  if (!strcmp(kind, "lse")) return t == XLM_F64 ? max + log(exps) : rounded(t, (float)(max + log(exps)));
  return t == XLM_F32 || t == XLM_BF16 ? rounded(t, narrow) : wide;
}

// ---- shapes: [outer, d, inner] or fewer dims

typedef struct shape {
  xlm_dtype dtype;
  int64_t outer, size, inner;
  const char *kind;
} shape;

enum { OUTER = 1, WHOLE, PIECE, INNER, B_WHOLE, B_PIECE };

static shape random_shape(uint64_t seed) {
  static const xlm_dtype dtypes[] = {XLM_F32, XLM_BF16, XLM_F64, XLM_I32};
  static const char *const kinds[] = {"sum", "sum", "max", "lse"};
  shape s = {.dtype = dtypes[ranks_random(seed, 1, 0) % 4], .kind = kinds[ranks_random(seed, 2, 0) % 4]};
  s.outer = ranks_random(seed, 3, 0) % 3 ? 1 + ranks_random(seed, 4, 0) % 5 : 1;
  s.size = ranks_random(seed, 5, 0) % 30; // fewer than members sometimes, and 0
  s.inner = ranks_random(seed, 6, 0) % 2 ? 1 + ranks_random(seed, 7, 0) % 40 : 1;
  if (ranks_random(seed, 8, 0) % 8 == 0)
    s.size += 3000, s.inner = 1 + s.inner % 4; // beyond the small all-reduce
  if (s.dtype == XLM_I32 && !strcmp(s.kind, "lse")) s.kind = "sum";
  return s;
}

static void set_sizes(const xlm_comm *c, call *k, int list, int64_t whole, uint32_t axes) {
  char *at = k->sizes[list];
  int64_t n = xlm_mesh_group(&c->mesh, axes);
  for (int64_t i = 0; i < n; i++)
    at += sprintf(at, "%s%lld", i ? "," : "", (long long)xlm_mesh_split((xlm_piece){0, whole}, 1, n, i).size);
}

static xlm_piece own_piece(const xlm_comm *c, int64_t whole, uint32_t axes) {
  return xlm_mesh_split((xlm_piece){0, whole}, 1, xlm_mesh_group(&c->mesh, axes),
                        xlm_mesh_member(&c->mesh, axes, c->coord));
}

static call *new_call(const xlm_comm *c, const shape *s, uint32_t axes) {
  call *k = calloc(1, sizeof *k);
  xlm_piece mine = own_piece(c, s->size, axes);
  k->dims[OUTER] = (xlm_dim_info){.name = "o", .size = s->outer, .full = s->outer};
  k->dims[WHOLE] = (xlm_dim_info){.name = "d", .size = s->size, .full = s->size};
  k->dims[PIECE] =
      (xlm_dim_info){.name = "d", .size = mine.size, .full = s->size, .offset = mine.offset, .axes = axes};
  k->dims[INNER] = (xlm_dim_info){.name = "i", .size = s->inner, .full = s->inner};
  set_sizes(c, k, 0, s->size, axes);
  return k;
}

static void set_whole(call *k, uint32_t tensor, const shape *s) {
  set_type(k, tensor, s->dtype, (xlm_dim[]){OUTER, WHOLE, INNER}, 3);
}

static void set_piece(call *k, uint32_t tensor, const shape *s) {
  set_type(k, tensor, s->dtype, (xlm_dim[]){OUTER, PIECE, INNER}, 3);
}

static void along(call *k, xlm_dim from, xlm_dim to, const char *kind, uint32_t axes) {
  add_dims(k, XLM_A_from, from, 0);
  add_dims(k, XLM_A_to, to, 0);
  if (kind) add_attr(k, (xlm_attr){.key = XLM_A_kind, .text = kind});
  add_attr(k, (xlm_attr){.key = XLM_A_sizes, .text = k->sizes[0]});
  add_attr(k, (xlm_attr){.key = XLM_A_axes, .i = axes});
}

static int64_t logical(const call *k, const shape *s, xlm_dim d,
                       int64_t i) { // index in [outer, whole, inner]
  int64_t size = k->dims[d].size, outer = i / s->inner / size, at = i / s->inner % size;
  return (outer * s->size + at + k->dims[d].offset) * s->inner + i % s->inner;
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

static void try_all_reduce(xlm_comm *c, const shape *s, uint32_t axes, uint64_t seed, bool in_place) {
  call *k = new_call(c, s, axes);
  set_whole(k, 1, s);
  set_whole(k, 2, s);
  fill_own(c, k, s, 1, WHOLE, seed, c->rank);
  add_attr(k, (xlm_attr){.key = XLM_A_kind, .text = s->kind});
  add_attr(k, (xlm_attr){.key = XLM_A_axes, .i = axes});
  k->in[0] = 1, k->out[0] = in_place ? 1 : 2;
  call_run(k, c, "all_reduce", 1, 1);
  check_reduced(c, k, s, k->out[0], WHOLE, axes, seed);
  call_free(k);
  free(k);
}

// Then all_gather, which must give what all_reduce gives.
static void try_scatter_gather(xlm_comm *c, const shape *s, uint32_t axes, uint64_t seed) {
  call *k = new_call(c, s, axes), *back = new_call(c, s, axes);
  set_whole(k, 1, s);
  set_piece(k, 2, s);
  fill_own(c, k, s, 1, WHOLE, seed, c->rank);
  along(k, WHOLE, PIECE, s->kind, axes);
  k->in[0] = 1, k->out[0] = 2;
  call_run(k, c, "reduce_scatter", 1, 1);
  check_reduced(c, k, s, 2, PIECE, axes, seed);
  set_piece(back, 1, s);
  set_whole(back, 2, s);
  memcpy(back->data[1], k->data[2], k->tensors[2].bytes);
  along(back, PIECE, WHOLE, NULL, axes);
  back->in[0] = 1, back->out[0] = 2;
  call_run(back, c, "all_gather", 1, 1);
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
  along(k, WHOLE, PIECE, NULL, axes);
  k->in[0] = 1, k->out[0] = 2;
  call_run(k, c, "take", 1, 1);
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
  xlm_piece mine = own_piece(c, b, axes);
  k->dims[B_WHOLE] = (xlm_dim_info){.name = "b", .size = b, .full = b};
  k->dims[B_PIECE] =
      (xlm_dim_info){.name = "b", .size = mine.size, .full = b, .offset = mine.offset, .axes = axes};
  set_sizes(c, k, 1, b, axes);
  snprintf(k->both, sizeof k->both, "%s;%s", k->sizes[0], k->sizes[1]);
  xlm_dim from[] = {OUTER, a_first ? PIECE : B_WHOLE, INNER, a_first ? B_WHOLE : PIECE};
  xlm_dim to[] = {OUTER, a_first ? WHOLE : B_PIECE, INNER, a_first ? B_PIECE : WHOLE};
  for (int side = 0; side < 2; side++) {
    set_type(k, (uint32_t)side + 1, s->dtype, side ? to : from, 4);
    const xlm_type *t = &k->tensors[side + 1].type;
    int64_t n = xlm_type_elements(t, k->dims);
    if (side == 1) {
      add_dims(k, XLM_A_from, PIECE, B_WHOLE);
      add_dims(k, XLM_A_to, WHOLE, B_PIECE);
      add_attr(k, (xlm_attr){.key = XLM_A_sizes, .text = k->both});
      add_attr(k, (xlm_attr){.key = XLM_A_axes, .i = axes});
      k->in[0] = 1, k->out[0] = 2;
      call_run(k, c, "all_to_all", 1, 1);
    }
    for (int64_t i = 0; i < n; i++) {
      int64_t at = 0, rest = i, place = 1;
      for (int d = 3; d >= 0; d--) { // the index among all that the group holds
        const xlm_dim_info *info = &k->dims[t->dim[d]];
        at += (rest % info->size + info->offset) * place;
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

static void try_all(xlm_comm *c, void *arg) {
  uint64_t seed = *(const uint64_t *)arg;
  for (int i = 0; i < 12; i++, seed += 1000) {
    uint32_t axes = ranks_random(seed, 11, 0) & ((1u << c->mesh.n) - 1);
    shape s = random_shape(seed);
    try_all_reduce(c, &s, axes, seed, i % 2);
    try_scatter_gather(c, &s, axes, seed);
    try_take(c, &s, axes, seed);
    s.size %= 100;
    try_all_to_all(c, &s, axes, seed);
  }
}

static const char *const meshes[] = {"tp 1",      "tp 2",      "tp 3", "dp 2 tp 2",     "dp 1 tp 4",
                                     "pp 5 tp 1", "dp 3 tp 2", "dp 7", "pp 2 dp 2 tp 2"};

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
  shape s = {.dtype = XLM_F32, .outer = 1, .size = 1100003, .inner = 1, .kind = "sum"};
  try_all_reduce(c, &s, 3, 1, true);
  s = (shape){.dtype = XLM_F32, .outer = 3, .size = 1501, .inner = 333, .kind = "sum"};
  try_scatter_gather(c, &s, 3, 2);
  s = (shape){.dtype = XLM_BF16, .outer = 2, .size = 701, .inner = 150, .kind = "max"};
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
    shape s = {.dtype = XLM_F32, .outer = 2, .size = 21, .inner = 3, .kind = "sum"};
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

// ---- rows of experts

enum { EXPERTS = 1, ROUTED, HERE, ROUTED_HERE, HIDDEN, OFFSETS, OFFSETS_HERE };

typedef struct routing {
  int64_t experts, hidden, most; // most rows at home
} routing;

static int64_t rows_of(uint64_t seed, int64_t rank, int64_t expert) {
  uint32_t r = ranks_random(seed, (uint64_t)rank, (uint64_t)expert);
  return r % 3 == 0 || seed % 5 == 4 ? 0 : r % 7; // some experts, or all, have none
}

static double row_value(uint64_t seed, int64_t rank, int64_t expert, int64_t row, int64_t i) {
  return value(seed, XLM_F32, rank, (expert * 100 + row) * 100 + i);
}

static void add_rows_attrs(call *k, bool back, uint32_t axes) {
  if (back) {
    add_dims(k, XLM_A_from, HERE, ROUTED_HERE);
    add_dims(k, XLM_A_to, EXPERTS, ROUTED);
  } else { // either order will do
    add_dims(k, XLM_A_from, ROUTED, EXPERTS);
    add_dims(k, XLM_A_to, ROUTED_HERE, HERE);
  }
  add_attr(k, (xlm_attr){.key = XLM_A_sizes, .text = k->sizes[0]});
  add_attr(k, (xlm_attr){.key = XLM_A_axes, .i = axes});
}

static call *new_rows_call(const xlm_comm *c, const routing *r, uint32_t axes) {
  shape s = {.outer = 1, .size = r->experts, .inner = 1};
  call *k = new_call(c, &s, axes);
  int64_t n = xlm_mesh_group(&c->mesh, axes);
  xlm_piece mine = own_piece(c, r->experts, axes);
  k->dims[EXPERTS] = (xlm_dim_info){.name = "experts", .size = r->experts, .full = r->experts};
  k->dims[ROUTED] = (xlm_dim_info){.name = "routed", .size = r->most, .full = r->most, .ragged = true};
  k->dims[HERE] = (xlm_dim_info){
      .name = "experts", .size = mine.size, .full = r->experts, .offset = mine.offset, .axes = axes};
  k->dims[ROUTED_HERE] =
      (xlm_dim_info){.name = "routed", .size = n * r->most, .full = n * r->most, .ragged = true};
  k->dims[HIDDEN] = (xlm_dim_info){.name = "hidden", .size = r->hidden, .full = r->hidden};
  k->dims[OFFSETS] = (xlm_dim_info){.name = "offsets", .size = r->experts + 1, .full = r->experts + 1};
  k->dims[OFFSETS_HERE] = (xlm_dim_info){.name = "offsets.1", .size = mine.size + 1, .full = mine.size + 1};
  set_type(k, 1, XLM_F32, (xlm_dim[]){EXPERTS, ROUTED, HIDDEN}, 3);
  set_type(k, 2, XLM_I32, (xlm_dim[]){OFFSETS}, 1);
  set_type(k, 3, XLM_F32, (xlm_dim[]){HERE, ROUTED_HERE, HIDDEN}, 3);
  set_type(k, 4, XLM_I32, (xlm_dim[]){OFFSETS_HERE}, 1);
  set_type(k, 5, XLM_F32, (xlm_dim[]){EXPERTS, ROUTED, HIDDEN}, 3);
  return k;
}

static void fill_home(const xlm_comm *c, call *k, const routing *r, uint64_t seed) {
  float *x = k->data[1];
  int32_t *offsets = k->data[2], row = 0;
  for (int64_t e = 0; e < r->experts; e++) {
    offsets[e] = row;
    for (int64_t i = 0; i < rows_of(seed, c->rank, e); i++, row++)
      for (int64_t h = 0; h < r->hidden; h++)
        x[row * r->hidden + h] = (float)row_value(seed, c->rank, e, i, h);
  }
  offsets[r->experts] = row;
}

static void check_here(xlm_comm *c, call *k, const routing *r, uint32_t axes, uint64_t seed) {
  const float *y = k->data[3];
  const int32_t *offsets = k->data[4];
  int32_t row = 0;
  for (int64_t e = 0; e < k->dims[HERE].size; e++) {
    RANK_CHECK(c, offsets[e] == row);
    for (int64_t m = 0; m < xlm_mesh_group(&c->mesh, axes); m++) {
      int64_t rank = xlm_mesh_member_rank(&c->mesh, axes, c->coord, m), expert = e + k->dims[HERE].offset;
      for (int64_t i = 0; i < rows_of(seed, rank, expert); i++, row++)
        for (int64_t h = 0; h < r->hidden; h++)
          RANK_CHECK(c, y[row * r->hidden + h] == (float)row_value(seed, rank, expert, i, h));
    }
  }
  RANK_CHECK(c, offsets[k->dims[HERE].size] == row);
  for (int64_t i = row * r->hidden; i < k->dims[ROUTED_HERE].size * r->hidden; i++) RANK_CHECK(c, y[i] == 0);
}

static void check_home(xlm_comm *c, call *k, const routing *r) {
  size_t used = (size_t)((int32_t *)k->data[2])[r->experts] * (size_t)r->hidden;
  RANK_CHECK(c, !memcmp(k->data[1], k->data[5], used * sizeof(float)));
  for (size_t i = used; i < (size_t)(r->most * r->hidden); i++) RANK_CHECK(c, ((float *)k->data[5])[i] == 0);
}

static void try_rows(xlm_comm *c, void *arg) {
  uint64_t seed = *(const uint64_t *)arg;
  for (int i = 0; i < 10; i++, seed++) {
    uint32_t axes = 1 + ranks_random(seed, 12, 0) % ((1u << c->mesh.n) - 1);
    routing r = {.experts = 1 + ranks_random(seed, 13, 0) % 9, .hidden = 1 + ranks_random(seed, 14, 0) % 9};
    r.most = r.experts * 6;
    call *k = new_rows_call(c, &r, axes);
    fill_home(c, k, &r, seed);
    add_rows_attrs(k, false, axes);
    k->in[0] = 1, k->in[1] = 2, k->out[0] = 3, k->out[1] = 4;
    call_run(k, c, "send_rows", 2, 2);
    check_here(c, k, &r, axes, seed);
    k->instr.attrs.n = 0;
    add_rows_attrs(k, true, axes);
    k->in[0] = 3, k->in[1] = 4, k->in[2] = 2, k->out[0] = 5;
    call_run(k, c, "collect_rows", 3, 1);
    check_home(c, k, &r);
    call_free(k);
    free(k);
  }
}

static void rows(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof meshes / sizeof *meshes; i++) {
    xlm_mesh m = ranks_mesh(meshes[i]);
    uint64_t seed = 19 * i + 1;
    ranks_run(&m, 30, try_rows, &seed);
  }
}

// A sum of ragged rows moves the rows in use only, and leaves zeros behind them.
static void try_ragged_sum(xlm_comm *c, void *arg) {
  (void)arg;
  routing r = {.experts = 3, .hidden = 4, .most = 50};
  call *k = new_rows_call(c, &r, 0);
  float *x = k->data[1], *y = k->data[5];
  memcpy(k->data[2], (int32_t[]){0, 5, 5, 9}, 16);
  for (int i = 0; i < 36; i++) x[i] = (float)value(3, XLM_F32, c->rank, i);
  add_attr(k, (xlm_attr){.key = XLM_A_axes, .i = 0xFF});
  k->in[0] = 1, k->in[1] = 2, k->out[0] = 5;
  k->instr.op = "all_reduce", k->instr.n_in = 2, k->instr.n_out = 1, k->instr.in = k->in,
  k->instr.out = k->out;
  const xlm_kernel *kernel = xlm_backend_cpu()->find("all_reduce");
  RANK_CHECK(c, xlm_backend_workspace(kernel, &k->instr, k->tensors, k->dims, 1, &k->instr.workspace));
  const xlm_type *types[] = {&k->tensors[1].type, &k->tensors[2].type, &k->tensors[5].type};
  void *workspace = NULL;
  RANK_CHECK(c, !posix_memalign(&workspace, 64, k->instr.workspace));
  xlm_call call_ = {.instr = &k->instr,
                    .dims = k->dims,
                    .in_type = types,
                    .out_type = types + 2,
                    .comm = c,
                    .in = (void *[]){x, k->data[2]},
                    .out = (void *[]){y},
                    .workspace = workspace};
  kernel->run(&call_);
  for (int i = 0; i < 200; i++)
    RANK_CHECK(c, y[i] == (i < 36 ? (float)reduced(c, 0xFF, "sum", 3, XLM_F32, i) : 0));
  uint64_t sent = 0;
  for (int i = 0; i < XLM_MAX_AXES; i++) sent += c->bytes_sent[i];
  RANK_CHECK(c, sent == (uint64_t)(c->n_ranks - 1) * 36 * 4);
  free(workspace);
  call_free(k);
  free(k);
}

static void ragged_sum(void **state) {
  (void)state;
  for (size_t i = 1; i < 4; i++) {
    xlm_mesh m = ranks_mesh(meshes[i]);
    ranks_run(&m, 30, try_ragged_sum, NULL);
  }
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
  call_run(k, c, "send", 1, 0); // both stages at once
  call_run(k, c, "recv", 0, 1);
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
      cmocka_unit_test(random_shapes), cmocka_unit_test(large_shapes), cmocka_unit_test(sixteen_ranks),
      cmocka_unit_test(rows),          cmocka_unit_test(ragged_sum),   cmocka_unit_test(messages),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  if (failed == 0) xlm_comm_mpi_end();
  return failed;
}
