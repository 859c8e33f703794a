// See fused_shape.h.
#include "ops/cuda/fused_shape.h"

#include "ops/cuda/reduce_shape_priv.h"

enum {
  WARP = 32,
  THREADS = 256, // of a block whose teams are not blocks
  MOST_THREADS = 1024,
  WARP_REGISTERS = 84,  // of 128, for a row's operands and sums
  BLOCK_REGISTERS = 48, // of 80
  WARP_ELEMENTS = 64,
  WARP_SUMMED = 32, // of a row, per thread; the block's sums are put into 32 KiB of shared memory
  FLYING = 32,      // registers for rows of columns under way
  HELD_THREADS = 512,
  HELD_BLOCK_TEAMS = 832, // threads of a multiprocessor with so many registers each
  MULTIPROCESSORS = 128,  // that rows are shared by, where blocks are teams
  LEAST_ROWS = 8          // of such a block
};

// ---- dims

// dims from `first` on may be merged with this one
static void add_dim(xlm_fused_shape *s, int first, int64_t size, const int64_t *stride) {
  int n = s->n_in + s->n_whole, last = s->n_dims - 1;
  bool merge = last >= first;
  for (int k = 0; k < n; k++) merge = merge && s->stride[k][last] == stride[k] * size;
  if (!merge) s->size[s->n_dims++] = 1;
  last = s->n_dims - 1;
  s->size[last] *= size;
  for (int k = 0; k < n; k++) s->stride[k][last] = stride[k];
}

static void add_dims(xlm_fused_shape *s, const xlm_call *c, const xlm_type *space, int from, int to) {
  int first = s->n_dims;
  for (int i = from; i < to; i++) {
    int64_t size = xlm_call_size(c, space, i), stride[XLM_FUSED_OPERANDS];
    bool packed = i + 1 < space->rank && c->dims[space->dim[i + 1]].ragged; // rows of the next dimension
    if (packed || size == 1) continue;
    for (int k = 0; k < s->n_in; k++) stride[k] = xlm_call_stride(c, c->in_type[k], space->dim[i]);
    for (int k = 0; k < s->n_whole; k++) stride[s->n_in + k] = xlm_call_inner(c, space, i);
    add_dim(s, first, size, stride);
  }
}

static bool any_stride(const xlm_fused_shape *s, int k, int from, int to) {
  for (int d = from; d < to; d++)
    if (s->stride[k][d]) return true;
  return false;
}

bool xlm_fused_by_row(const xlm_fused_shape *s, int k) {
  return any_stride(s, k, 0, s->n_outer);
}

bool xlm_fused_by_column(const xlm_fused_shape *s, int k) {
  return any_stride(s, k, s->n_outer, s->n_dims);
}

// ---- accesses. Tensors begin aligned for every kernel.

bool xlm_fused_is_vector(const xlm_fused_shape *s, int k) {
  int last = s->n_dims - 1;
  bool fits = s->vector > 1 && s->stride[k][last] == 1;
  for (int d = 0; d < last; d++) fits = fits && s->stride[k][d] % s->vector == 0;
  return fits;
}

// Elements are neighbours in all operands or the same number: the one index of a thread serves all.
static bool all_fit(const xlm_fused_shape *s) {
  int last = s->n_dims - 1;
  for (int k = 0; k < s->n_in + s->n_whole; k++)
    if (s->stride[k][last] && !xlm_fused_is_vector(s, k)) return false;
  return s->size[last] % s->vector == 0;
}

static void set_element_vector(xlm_fused_shape *s) {
  for (s->vector = 8; s->vector > 1 && !all_fit(s);) s->vector /= 2;
}

// Whole accesses for the narrowest type; operands that do not fit are read by elements.
static void set_row_vector(xlm_fused_shape *s) {
  s->vector = 4;
  for (int k = 0; k < s->n_in + s->n_whole; k++)
    if (s->dtype[k] == XLM_BF16) s->vector = 8;
  while (s->size[s->n_dims - 1] % s->vector) s->vector /= 2;
}

// ---- teams

static int64_t up_to(int64_t n, int64_t of) {
  return (n + of - 1) / of * of;
}

// Registers of a chunk's operands.
static int chunk_registers(const xlm_fused_shape *s) {
  int n = 0;
  for (int k = 0; k < s->n_in; k++) {
    bool wide = xlm_fused_by_column(s, k);
    int bytes = (int)xlm_dtype_bytes(s->dtype[k]) * (wide ? s->vector : 1);
    bool held = xlm_fused_by_row(s, k) && (wide || s->form == XLM_FUSED_COLUMNS);
    if (held) n += bytes > 4 ? bytes / 4 : 1;
  }
  return n;
}

static bool set_warp_team(xlm_fused_shape *s, int64_t accesses, int registers) {
  s->team = 1;
  while (s->team < accesses && s->team < WARP) s->team *= 2;
  s->chunks = (int)((accesses + s->team - 1) / s->team);
  s->teams = THREADS / s->team;
  int most = s->n_summed ? WARP_SUMMED : WARP_ELEMENTS;
  return s->chunks * registers <= WARP_REGISTERS && s->chunks * s->vector <= most;
}

// The least idle threads; then, the fewest threads that have registers for it.
static void set_block_team(xlm_fused_shape *s, int64_t accesses, int registers) {
  s->team = s->chunks = 0;
  s->teams = 1;
  for (int chunks = 1; chunks <= XLM_CODE_MAX_ROW / MOST_THREADS; chunks++) {
    int64_t team = up_to((accesses + chunks - 1) / chunks, WARP);
    if (team > MOST_THREADS) continue;
    if (s->team && (chunks * registers > BLOCK_REGISTERS || team * chunks > (int64_t)s->team * s->chunks))
      continue;
    s->team = (int)team, s->chunks = chunks;
  }
  XLM_ASSERT(s->team, "a row of %lld elements with functions of rows", (long long)s->len);
}

int xlm_fused_held(const xlm_fused_shape *s) {
  int blocks = (s->teams == 1 ? HELD_BLOCK_TEAMS : HELD_THREADS) / xlm_fused_threads(s);
  return blocks < 1 ? 1 : blocks;
}

static void set_parts(xlm_fused_shape *s) {
  int64_t most = REDUCE_PARTS, least = REDUCE_ROWS;
  if (s->teams == 1) most = MULTIPROCESSORS * xlm_fused_held(s), least = LEAST_ROWS;
  s->per = (s->rows + most - 1) / most;
  if (s->per < least) s->per = least;
  if (!s->n_summed) s->per = s->teams;
  s->parts = (s->rows + s->per - 1) / s->per;
  if (s->n_summed && s->parts < 1) s->parts = 1; // sums of nothing
}

static void set_rows(xlm_fused_shape *s) {
  set_row_vector(s);
  int64_t accesses = s->len / s->vector;
  int registers = chunk_registers(s) + s->n_summed * s->vector;
  s->tiles = 1;
  if (!set_warp_team(s, accesses, registers)) set_block_team(s, accesses, registers);
  set_parts(s);
}

static void set_columns(xlm_fused_shape *s) {
  set_row_vector(s);
  int flying = FLYING / (chunk_registers(s) + 1);
  s->team = WARP, s->teams = REDUCE_WARPS;
  s->chunks = flying < 1 ? 1 : flying > 4 ? 4 : flying;
  s->tiles = (s->len + WARP * s->vector - 1) / (WARP * s->vector);
  set_parts(s);
}

static void set_elements(xlm_fused_shape *s) {
  set_element_vector(s);
  int64_t each = (int64_t)THREADS * s->vector;
  s->team = 1, s->teams = THREADS, s->chunks = 1, s->tiles = 1, s->per = 1;
  s->parts = (s->len + each - 1) / each;
}

static xlm_fused_form form_of(const xlm_code *code) {
  for (int k = 0; k < code->n; k++)
    if (xlm_fn_is_row(code->at[k].fn)) return XLM_FUSED_ROWS;
  return code->n_summed ? XLM_FUSED_COLUMNS : XLM_FUSED_ELEMENTS;
}

xlm_fused_shape xlm_fused_shape_of(const xlm_call *c) {
  xlm_fused_rows f = xlm_fused_rows_of(c);
  xlm_fused_shape s = {
      .code = f.code, .form = form_of(f.code), .n_in = f.code->n_in, .rows = f.rows, .len = f.len};
  bool elements = s.form == XLM_FUSED_ELEMENTS;
  int outer = elements ? 0 : f.space.rank - f.code->row;
  if (elements) s.len *= s.rows, s.rows = 1;
  s.n_whole = xlm_fused_whole(f.code), s.n_summed = f.code->n_summed;
  for (int k = 0; k < s.n_in; k++) s.dtype[k] = c->in_type[k]->dtype;
  for (int k = 0; k < f.code->n_out; k++) s.dtype[s.n_in + k] = c->out_type[k]->dtype;
  add_dims(&s, c, &f.space, 0, outer);
  s.n_outer = s.n_dims;
  add_dims(&s, c, &f.space, outer, f.space.rank);
  if (s.n_dims == s.n_outer) s.size[s.n_dims++] = 1;
  (elements ? set_elements : s.form == XLM_FUSED_ROWS ? set_rows : set_columns)(&s);
  return s;
}
