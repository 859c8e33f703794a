// For tests of the kernels of collectives: one instruction with its tensors, run on a rank; values that every
// rank can compute for every other; splits of a dimension.
#ifndef XLM_TESTS_LAYOUTS_ONE_CALL_H
#define XLM_TESTS_LAYOUTS_ONE_CALL_H

#include <math.h>

#include "runtime/plan/traffic.h"
#include "tests/layouts/call_place.h"
#include "tests/here.h"
#ifdef XLM_EMULATE
#include "tests/emulate/emulated.h"
#endif

enum { MAX_DIMS = 16, MAX_TENSORS = 8, MAX_MEMBERS = 16 };

typedef struct call {
  xlm_dim_info dims[MAX_DIMS];
  xlm_tensor tensors[MAX_TENSORS];
  xlm_attr attrs[8];
  uint32_t in[4], out[2];
  xlm_instr instr;
  void *data[MAX_TENSORS];
  int64_t sizes[2 * MAX_MEMBERS]; // the second list behind the first
  uint32_t n_sizes;
} call;

static inline void add_attr(call *k, xlm_attr a) { // keys must come in order
  k->attrs[k->instr.attrs.n++] = a;
  k->instr.attrs.at = k->attrs;
}

static inline void add_dims(call *k, xlm_attr_key key, xlm_dim a, xlm_dim b) {
  add_attr(k, (xlm_attr){.key = key, .n = b ? 2 : 1, .dims = {a, b}});
}

static inline void add_sizes(call *k) {
  add_attr(k, (xlm_attr){.key = XLM_A_sizes, .n = k->n_sizes, .ints = k->sizes});
}

static inline void set_type(call *k, uint32_t tensor, xlm_dtype t, const xlm_dim *dims, int n) {
  xlm_type *type = &k->tensors[tensor].type;
  type->dtype = t, type->rank = (uint8_t)n;
  memcpy(type->dim, dims, (size_t)n * sizeof *dims);
  k->tensors[tensor].bytes = xlm_type_bytes(type, k->dims);
  k->data[tensor] = malloc(k->tensors[tensor].bytes + 1);
  memset(k->data[tensor], 0xFF, k->tensors[tensor].bytes + 1);
}

static inline void call_run(call *k, xlm_comm *c, xlm_op_id op, int n_in, int n_out) {
  k->instr.op = op;
  k->instr.n_in = (uint16_t)n_in, k->instr.n_out = (uint16_t)n_out;
  k->instr.in = k->in, k->instr.out = k->out;
  const xlm_kernel *kernel = kernel_here(op);
  const xlm_type *types[6];
  void *data[6], *workspace = NULL;
  call_place place;
  RANK_CHECK(c, plan_by_hand(&k->instr, k->tensors, k->dims, &c->mesh));
  call_place_open(&place, c);
  for (int i = 0; i < n_in + n_out; i++) {
    uint32_t t = i < n_in ? k->in[i] : k->out[i - n_in];
    types[i] = &k->tensors[t].type, data[i] = call_place_put(&place, c, k->data[t], k->tensors[t].bytes);
  }
  xlm_arena *tables = xlm_arena_new(0);
  int failed = posix_memalign(&workspace, 64, k->instr.workspace + 64);
  RANK_CHECK(c, !failed);
  memset(workspace, 0xA5, k->instr.workspace + 64);
  xlm_error err = {0};
  void *room = call_place_put(&place, c, workspace, k->instr.workspace + 64);
  xlm_call x = {.instr = &k->instr,
                .variant = xlm_kernel_variant(kernel, k->instr.variant),
                .dims = k->dims,
                .in_type = types,
                .out_type = types + n_in,
                .in = data,
                .out = data + n_in,
                .workspace = room,
                .device = place.device,
                .queue = XLM_STREAM_COMM,
                .mesh = &c->mesh,
                .link = place.link,
                .err = &err};
  if (kernel->prepare) RANK_CHECK(c, kernel->prepare(&x, tables, &x.prepared, &err) == XLM_OK);
#ifdef XLM_EMULATE
  emulated_order((int)(c->rank % EMULATED_ORDERS)); // of threads: every rank another one, all to the same bits
#endif
  uint64_t before = 0, after = 0;
  for (int i = 0; i < XLM_MAX_AXES; i++) before += c->bytes_sent[i];
  xlm_status status = call_place_run(&place, kernel, &x);
  for (int i = 0; i < XLM_MAX_AXES; i++) after += c->bytes_sent[i];
  int axis;
  uint64_t planned = xlm_traffic_bytes(&c->mesh, c->coord, &k->instr, k->tensors, k->dims, &axis);
  if (op != XLM_OP_SEND_ROWS && op != XLM_OP_COLLECT_ROWS) RANK_CHECK(c, after - before == planned);
  call_place_get(&place, c, workspace, room, k->instr.workspace + 64);
  for (int i = 0; i < n_out; i++)
    call_place_get(&place, c, k->data[k->out[i]], data[n_in + i], k->tensors[k->out[i]].bytes);
  for (int i = 0; i < 64; i++)
    RANK_CHECK(c, ((unsigned char *)workspace)[k->instr.workspace + (size_t)i] == 0xA5);
  RANK_CHECK(c, status == XLM_OK && c->err.status == XLM_OK);
  xlm_arena_free(tables);
  free(workspace);
}

static inline void call_free(call *k) {
  for (int i = 0; i < MAX_TENSORS; i++) free(k->data[i]);
}

// ---- values

static inline void put(xlm_dtype t, void *p, int64_t i, double x) {
  if (t == XLM_F64) ((double *)p)[i] = x;
  if (t == XLM_F32) ((float *)p)[i] = (float)x;
  if (t == XLM_I32) ((int32_t *)p)[i] = (int32_t)x;
  if (t == XLM_BF16) ((uint16_t *)p)[i] = xlm_f32_to_bf16((float)x);
}

static inline double get(xlm_dtype t, const void *p, int64_t i) {
  if (t == XLM_F64) return ((const double *)p)[i];
  if (t == XLM_F32) return ((const float *)p)[i];
  if (t == XLM_I32) return ((const int32_t *)p)[i];
  return xlm_bf16_to_f32(((const uint16_t *)p)[i]);
}

static inline double rounded(xlm_dtype t, double x) {
  if (t == XLM_BF16) return xlm_bf16_to_f32(xlm_f32_to_bf16((float)x));
  return t == XLM_F32 ? (double)(float)x : x;
}

// The value of rank `rank` at logical index i; magnitudes differ, so that the order of a sum matters.
static inline double value(uint64_t seed, xlm_dtype t, int64_t rank, int64_t i) {
  double x = (double)ranks_random(seed, (uint64_t)rank, (uint64_t)i) / 4294967296.0 - 0.5;
  double size = ranks_random(seed + 1, (uint64_t)i, (uint64_t)rank) % 3 ? 3 : 5000;
  return rounded(t, t == XLM_I32 ? floor(x * 1e6) : x * size);
}

// The f32 sum over the axes up to `axis`, outermost first, of the members with `at`'s position along the
// others.
static inline float nested(const xlm_comm *c, uint32_t axes, int axis, const int32_t at[XLM_MAX_AXES],
                           uint64_t seed, xlm_dtype t, int64_t i) {
  int32_t here[XLM_MAX_AXES];
  float sum = 0;
  if (axis < 0) return (float)value(seed, t, xlm_mesh_rank(&c->mesh, at), i);
  if (!(axes >> axis & 1)) return nested(c, axes, axis - 1, at, seed, t, i);
  memcpy(here, at, sizeof here);
  for (here[axis] = 0; here[axis] < c->mesh.size[axis]; here[axis]++) {
    float x = nested(c, axes, axis - 1, here, seed, t, i);
    sum = here[axis] ? sum + x : x;
  }
  return sum;
}

// The reduction over the members in order, f32 sums axis by axis, in the precision the op promises.
static inline double reduced(const xlm_comm *c, uint32_t axes, xlm_reduction kind, uint64_t seed, xlm_dtype t,
                             int64_t i) {
  int64_t n = xlm_mesh_group(&c->mesh, axes);
  double x[MAX_MEMBERS], wide = 0, max = -INFINITY, exps = 0;
  for (int64_t k = 0; k < n; k++) {
    x[k] = value(seed, t, xlm_mesh_member_rank(&c->mesh, axes, c->coord, k), i);
    wide = k ? wide + x[k] : x[k];
    max = x[k] > max ? x[k] : max;
  }
  if (kind == XLM_REDUCTION_MAX) return max;
  if (kind != XLM_REDUCTION_LSE)
    return t == XLM_F32 || t == XLM_BF16 ? rounded(t, nested(c, axes, c->mesh.n - 1, c->coord, seed, t, i))
                                         : wide;
  for (int64_t k = 0; k < n; k++) exps += exp(x[k] - max);
  return t == XLM_F64 ? max + log(exps) : rounded(t, (float)(max + log(exps)));
}

// ---- splits

// The sizes of the parts of `d`, a dimension split over `axes` and maybe more.
static inline void set_sizes(const xlm_comm *c, call *k, int list, const xlm_dim_info *d, uint32_t axes) {
  int64_t n = xlm_mesh_group(&c->mesh, axes);
  k->n_sizes = (uint32_t)(n * (list + 1));
  for (int64_t i = 0; i < n; i++) {
    int32_t coord[XLM_MAX_AXES];
    xlm_mesh_coord(&c->mesh, xlm_mesh_member_rank(&c->mesh, axes, c->coord, i), coord);
    k->sizes[n * list + i] = xlm_mesh_local(&c->mesh, d, coord).size;
  }
}

static inline xlm_dim_info own_part(const xlm_comm *c, const char *name, int64_t whole, uint32_t axes,
                                    uint32_t mirrored) {
  xlm_dim_info d = {.name = name, .full = whole, .axes = axes, .mirrored = axes & mirrored};
  xlm_dim_set_piece(&d, xlm_mesh_local(&c->mesh, &d, c->coord));
  return d;
}

static const char *const meshes[] = {"tp 1",      "tp 2",      "tp 3", "dp 2 tp 2",     "dp 1 tp 4",
                                     "pp 5 tp 1", "dp 3 tp 2", "dp 7", "pp 2 dp 2 tp 2"};

#endif
