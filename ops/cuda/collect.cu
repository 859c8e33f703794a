// See collect_priv.h: the group of a call, its exchanges, pieces.
#include "ops/cuda/collect_priv.h"

// ---- the group

static int64_t rows_counted(const xlm_call *c, int64_t n) { // numbers of send_rows and collect_rows
  bool rows = c->instr->op == XLM_OP_SEND_ROWS || c->instr->op == XLM_OP_COLLECT_ROWS;
  int64_t from = rows ? xlm_call_size(c, c->in_type[0], 0) : 0,
          to = rows ? xlm_call_size(c, c->out_type[0], 0) : 0;
  return (from + to) * (n + 1);
}

template <class T> static T *table(xlm_arena *a, int64_t n) {
  return (T *)xlm_arena_alloc(a, sizeof(T) * (size_t)(n + 1));
}

extern "C" xlm_status xlm_cuda_prepare_collective(const xlm_call *c, xlm_arena *a, void **prepared,
                                                  xlm_error *err) {
  (void)err;
  int64_t n = xlm_call_members(c);
  collect_tables *t = table<collect_tables>(a, 1);
  t->size = table<int64_t>(a, n), t->begin = table<int64_t>(a, n);
  t->out = table<const void *>(a, n), t->in = table<void *>(a, n);
  t->out_bytes = table<size_t>(a, n), t->in_bytes = table<size_t>(a, n);
  t->move = table<collect_move>(a, n);
  t->counts = table<int32_t>(a, rows_counted(c, n));
  *prepared = t;
  return XLM_OK;
}

collect collect_start(const xlm_call *c) {
  collect g = {c,
               (collect_tables *)c->prepared,
               (uint32_t)xlm_attr_int(&c->instr->attrs, XLM_A_axes, 0),
               xlm_call_members(c),
               0,
               xlm_dtype_bytes(c->in_type[0]->dtype),
               (char *)c->workspace};
  if (c->link) g.me = xlm_mesh_member(&c->link->mesh, g.axes, c->link->coord);
  return g;
}

void collect_read_sizes(const collect *g) {
  xlm_ints sizes = xlm_collect_sizes(g->call, 0);
  XLM_ASSERT(sizes.n == g->n, "%s: %u sizes for %lld members", xlm_op_name(g->call->instr->op), sizes.n,
             (long long)g->n);
  for (int64_t i = 0, sum = 0; i < g->n; sum += sizes.at[i++])
    g->t->size[i] = sizes.at[i], g->t->begin[i] = sum;
}

xlm_status collect_exchange(const collect *g) {
  const xlm_call *c = g->call;
  collect_tables *t = g->t;
  if (!c->link) return xlm_cuda_copy(c, t->in[0], t->out[0], t->in_bytes[0]);
  return c->link->kind->exchange(c->link, c->queue, g->axes, t->out, t->out_bytes, t->in, t->in_bytes,
                                 c->err);
}

xlm_status collect_gather(const collect *g, const void *mine) {
  const xlm_call *c = g->call;
  if (!c->link) return xlm_cuda_copy(c, g->t->in[0], mine, g->t->in_bytes[0]);
  return c->link->kind->gather(c->link, c->queue, g->axes, mine, g->t->in, g->t->in_bytes, c->err);
}

// ---- pieces

xlm_status collect_rows_in_use(const collect *g, const xlm_type *t, int64_t *rows) {
  const xlm_call *c = g->call;
  *rows = 0;
  if (!xlm_collect_ragged(c, t)) return XLM_OK;
  *rows = xlm_call_size(c, t, 1);
  if (!c->link) return XLM_OK;
  int32_t last = 0;
  const int32_t *offsets = (const int32_t *)c->in[1];
  XLM_TRY(xlm_cuda_fetch(c, &last, offsets + xlm_call_elements(c, c->in_type[1]) - 1, sizeof last));
  *rows = last;
  return XLM_OK;
}

// ---- kernels

enum { BLOCK = 256, EACH = 4, MOVES = 48 }; // pieces of one launch: a table of them is an argument

template <class U>
__global__ void __launch_bounds__(BLOCK)
    clear_rows(U *data, const int32_t *used, int64_t row, int64_t rows) { // row: units
  for (int64_t i = *used * row + (int64_t)blockIdx.x * BLOCK + threadIdx.x; i < rows * row;
       i += (int64_t)gridDim.x * BLOCK)
    data[i] = U{};
}

xlm_status collect_clear_rows(const xlm_call *c, const xlm_type *t, void *data, const int32_t *used) {
  int64_t rows = xlm_call_size(c, t, 1), row = xlm_call_inner(c, t, 1) * (int64_t)xlm_dtype_bytes(t->dtype);
  if (!rows || !row) return XLM_OK;
  return xlm_cuda_units((uintptr_t)data | (uintptr_t)row, [&](auto unit) {
    using U = decltype(unit);
    int64_t units = row / (int64_t)sizeof(U);
    return xlm_cuda_launched(c, XLM_LAUNCH(clear_rows<U>, xlm_cuda_blocks(rows * units, BLOCK * EACH), BLOCK,
                                           0, xlm_cuda_stream(c), (U *)data, used, units, rows));
  });
}

xlm_status collect_clear_tail(const xlm_call *c, const xlm_type *t, void *data) {
  if (!xlm_collect_ragged(c, t)) return XLM_OK;
  return collect_clear_rows(c, t, data, (const int32_t *)c->in[1] + xlm_call_elements(c, c->in_type[1]) - 1);
}

struct moves { // in units
  int64_t first, step;
  collect_move at[MOVES];
};

// Blocks in y: the pieces. Neighbouring threads on neighbouring units, at both ends but for the borders of
// runs.
template <class U, bool PACK> __global__ void __launch_bounds__(BLOCK) copy_pieces(U *tensor, moves m) {
  collect_piece p = m.at[blockIdx.y].piece;
  U *dense = (U *)m.at[blockIdx.y].dense;
  int64_t row = p.size * p.inner, run = (p.size - p.tail) * p.inner, left = p.outer * row - m.first;
  if (left > m.step) left = m.step;
  for (int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x; i < left; i += (int64_t)gridDim.x * BLOCK) {
    int64_t outer = (m.first + i) / row, at = m.first + i - outer * row;
    int64_t place = at < run ? p.begin * p.inner + at : p.tail_begin * p.inner + (at - run);
    U *t = tensor + outer * p.whole * p.inner + place;
    if (PACK)
      dense[i] = *t;
    else
      *t = dense[i];
  }
}

template <class U, bool PACK>
static xlm_status launch_copy(const xlm_call *c, void *tensor, moves m, int64_t n, int64_t most) {
  dim3 grid(xlm_cuda_blocks(most, BLOCK * EACH), (unsigned)n);
  return xlm_cuda_launched(
      c, XLM_LAUNCH((copy_pieces<U, PACK>), grid, BLOCK, 0, xlm_cuda_stream(c), (U *)tensor, m));
}

static xlm_status copy_some(const collect *g, collect_way way, void *tensor, const collect_move *m, int64_t n,
                            int64_t first, int64_t step) {
  uintptr_t bits = (uintptr_t)tensor;
  int64_t most = 0, elem = (int64_t)g->elem;
  for (int64_t k = 0; k < n; k++) {
    int64_t left = collect_left(m[k].piece, first, step);
    most = left > most ? left : most;
    bits |= (uintptr_t)m[k].dense | (uintptr_t)(left * elem) | (uintptr_t)(m[k].piece.inner * elem);
  }
  if (!most) return XLM_OK;
  return xlm_cuda_units(bits | (uintptr_t)(first * elem), [&](auto unit) {
    using U = decltype(unit);
    int64_t size = (int64_t)sizeof(U);
    moves all = {};
    all.first = first * elem / size, all.step = step * elem / size;
    for (int64_t k = 0; k < n; k++) all.at[k] = m[k], all.at[k].piece.inner = m[k].piece.inner * elem / size;
    int64_t units = most * elem / size;
    return way == COLLECT_PACK ? launch_copy<U, true>(g->call, tensor, all, n, units)
                               : launch_copy<U, false>(g->call, tensor, all, n, units);
  });
}

xlm_status collect_copy(const collect *g, collect_way way, void *tensor, const collect_move *m, int64_t n,
                        int64_t first, int64_t step) {
  for (int64_t k = 0; k < n; k += MOVES)
    XLM_TRY(copy_some(g, way, tensor, m + k, n - k < MOVES ? n - k : (int64_t)MOVES, first, step));
  return XLM_OK;
}
