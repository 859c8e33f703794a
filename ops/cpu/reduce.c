// Reductions over any dims.
//
// An operand is [outer, reduced, inner] after merging dims. The order of summation is fixed, independent of
// the threads:
// - no inner dims (rows): runs of VEC_RUN elements, added pairwise within chunks of CHUNK, chunks pairwise.
// - inner dims (columns: gradients of biases and scales): tiles of TILE_ROWS x TILE_COLUMNS are summed row by
//   row into one row each (contiguous reads, the accumulator stays in cache), the tiles of a column pairwise.
// Rows and columns that span several separate dims are gathered into the first form.
// Which of them depends on the dims, not on their sizes: one column has the bits it has among many.
// Every worker first computes its share of the partial results, then its share of the results.
#include "ops/cpu/reduce_priv.h"

#include "ops/cpu/over_priv.h"

enum { CHUNK = 16 * VEC_RUN, TILE_ROWS = REDUCE_TILE_ROWS, TILE_COLUMNS = REDUCE_STRIP, SERIAL = 1 << 14 };

static void add(float *acc, const float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) acc[i] += x[i];
}

const reduce_kind XLM_ISA_NAME(reduce_sum) = {.run = vec_sum_run, .merge = add, .start = 0};

typedef struct task {
  const xlm_call *c;
  const void *x;
  xlm_dtype type; // of x
  const reduce_kind *kind;
  float scale;
  over_rows r;
  bool columns;
  int64_t outer, reduced, inner; // inner: 1 unless columns
  int64_t parts, strips;         // partial results per result; column strips
  float *partial;                // [outer][parts][inner]
} task;

static bool is_over(const xlm_call *c, int i) {
  return xlm_attr_has_dim(&c->instr->attrs, XLM_A_over, c->in_type[0]->dim[i]);
}

static bool is_columns(const xlm_call *c, int64_t *inner) { // [outer, reduced, inner], each a single run
  const xlm_type *t = c->in_type[0];
  int end = t->rank, begin;
  for (*inner = 1; end > 0 && !is_over(c, end - 1); end--) *inner *= xlm_call_size(c, t, end - 1);
  for (begin = end; begin > 0 && is_over(c, begin - 1);) begin--;
  bool columns = end < t->rank && begin < end;
  for (int i = 0; i < begin; i++) columns &= !is_over(c, i);
  if (!columns) *inner = 1;
  return columns;
}

// Packed rows of experts: the last offset is their number; while planning, the bound is used.
static void limit_rows(const xlm_call *c, over_rows *r) {
  const xlm_type *t = c->in_type[0];
  if (c->instr->n_in < 2 || !c->in[1]) return;
  int64_t rows = ((const int32_t *)c->in[1])[xlm_call_elements(c, c->in_type[1]) - 1], bound = 0;
  for (int i = 0; i < t->rank; i++)
    if (c->dims[t->dim[i]].ragged && xlm_attr_has_dim(&c->instr->attrs, XLM_A_over, t->dim[i]))
      bound = xlm_call_size(c, t, i);
  if (bound) r->len = r->len / bound * rows; // they are the outermost dim of the row
}

static task plan(const xlm_call *c) {
  task t = {.c = c, .type = c->in_type[0]->dtype, .r = over_of(c, c->in_type[0])};
  limit_rows(c, &t.r);
  t.columns = is_columns(c, &t.inner);
  t.outer = t.r.count / (t.inner ? t.inner : 1);
  t.reduced = t.r.len;
  int64_t per_part = t.columns ? TILE_ROWS : CHUNK;
  t.parts = (t.reduced + per_part - 1) / per_part;
  t.strips = (t.inner + TILE_COLUMNS - 1) / TILE_COLUMNS;
  return t;
}

static float pairwise(const reduce_kind *k, float *x, int64_t n) {
  for (int64_t step = 1; step < n; step *= 2)
    for (int64_t i = 0; i + step < n; i += 2 * step) k->merge(&x[i], &x[i + step], 1);
  return n ? x[0] : k->start;
}

// Elements [at, at + n) of a row, as floats: in memory, or copied to `buffer`.
static const float *row_part(const task *t, int64_t row, int64_t at, int64_t n, float *buffer) {
  if (t->r.contiguous && t->type == XLM_F32) return (const float *)t->x + row * t->r.len + at;
  if (t->r.contiguous) {
    vec_read(t->type, t->x, row * t->r.len + at, n, buffer);
    return buffer;
  }
  int64_t base = over_offset(&t->r.outer, row);
  for (int64_t i = 0; i < n; i++)
    buffer[i] = vec_read_one(t->type, t->x, base + over_offset(&t->r.inner, at + i));
  return buffer;
}

static float reduce_chunk(const task *t, int64_t row, int64_t chunk) {
  float buffer[VEC_RUN], results[CHUNK / VEC_RUN];
  int64_t begin = chunk * CHUNK, end = begin + CHUNK < t->reduced ? begin + CHUNK : t->reduced, n = 0;
  for (int64_t at = begin; at < end; at += VEC_RUN) {
    int64_t run = end - at < VEC_RUN ? end - at : VEC_RUN;
    results[n++] = t->kind->run(row_part(t, row, at, run, buffer), run);
  }
  return pairwise(t->kind, results, n);
}

static void reduce_tile(const task *t, int64_t outer, int64_t part, int64_t strip) {
  float buffer[TILE_COLUMNS];
  int64_t column = strip * TILE_COLUMNS,
          n = t->inner - column < TILE_COLUMNS ? t->inner - column : TILE_COLUMNS;
  int64_t begin = part * TILE_ROWS, end = begin + TILE_ROWS < t->reduced ? begin + TILE_ROWS : t->reduced;
  float *acc = t->partial + (outer * t->parts + part) * t->inner + column;
  int64_t at = (outer * t->reduced + begin) * t->inner + column;
  vec_read(t->type, t->x, at, n, acc);
  for (int64_t i = begin + 1; i < end; i++) {
    at += t->inner;
    const float *x = (const float *)t->x + at;
    if (t->type != XLM_F32) vec_read(t->type, t->x, at, n, buffer), x = buffer;
    t->kind->merge(acc, x, n);
  }
}

static void make_parts(void *arg, int worker, int workers) {
  const task *t = arg;
  int64_t begin, end;
  xlm_pool_range(t->outer * t->parts * t->strips, worker, workers, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    int64_t part = i / t->strips;
    if (t->columns)
      reduce_tile(t, part / t->parts, part % t->parts, i % t->strips);
    else
      t->partial[part] = reduce_chunk(t, part / t->parts, part % t->parts);
  }
}

// Partial results [parts][len], n columns of them, into the first row.
static void join_tiles(const reduce_kind *kind, float *p, int64_t parts, int64_t len, int64_t n) {
  for (int64_t step = 1; step < parts; step *= 2)
    for (int64_t i = 0; i + step < parts; i += 2 * step) kind->merge(p + i * len, p + (i + step) * len, n);
}

static void join_columns(const task *t, int64_t outer, int64_t strip) {
  int64_t column = strip * TILE_COLUMNS,
          n = t->inner - column < TILE_COLUMNS ? t->inner - column : TILE_COLUMNS;
  float *p = t->partial + outer * t->parts * t->inner + column;
  join_tiles(t->kind, p, t->parts, t->inner, n);
  for (int64_t i = 0; i < n; i++) p[i] *= t->scale;
  vec_write(t->c->out_type[0]->dtype, t->c->out[0], outer * t->inner + column, n, p);
}

static void join_parts(void *arg, int worker, int workers) {
  const task *t = arg;
  int64_t begin, end;
  xlm_pool_range(t->outer * t->strips, worker, workers, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    if (t->columns) {
      join_columns(t, i / t->strips, i % t->strips);
    } else {
      float y = t->scale * pairwise(t->kind, t->partial + i * t->parts, t->parts);
      vec_write(t->c->out_type[0]->dtype, t->c->out[0], i, 1, &y);
    }
  }
}

size_t XLM_ISA_NAME(reduce_workspace)(const xlm_call *c, const xlm_target *t) {
  (void)t;
  task all = plan(c);
  return (size_t)(all.outer * all.parts * all.inner) * sizeof(float);
}

void XLM_ISA_NAME(reduce_run)(const xlm_call *c, const reduce_kind *kind, double scale) {
  task t = plan(c);
  t.x = c->in[0], t.kind = kind, t.scale = (float)scale, t.partial = c->workspace;
  if (t.reduced == 0)
    t.columns = false, t.inner = 1, t.outer = t.r.count, t.strips = 1; // every result is `start`
  xlm_pool *pool = t.r.count * t.r.len < SERIAL ? NULL : xlm_cpu_pool(c);
  xlm_pool_run(pool, make_parts, &t);
  xlm_pool_run(pool, join_parts, &t);
}

static float join_numbers(const reduce_kind *kind, float *x, int64_t n) { // as a row
  task t = {.x = x, .type = XLM_F32, .kind = kind, .r = {.len = n, .contiguous = true}, .reduced = n};
  t.parts = (n + CHUNK - 1) / CHUNK;
  for (int64_t i = 0; i < t.parts; i++) x[i] = reduce_chunk(&t, 0, i); // chunk i begins at or behind x[i]
  return pairwise(kind, x, t.parts);
}

void XLM_ISA_NAME(reduce_join)(const reduce_tiles *t, const reduce_kind *kind, float *partial, int64_t column,
                               int64_t n, float *y) {
  if (t->tile_rows > 1) {
    join_tiles(kind, partial + column, t->tiles, t->len, n);
    memcpy(y + column, partial + column, (size_t)n * sizeof *y);
  } else { // one row, or one column
    for (int64_t i = column; i < column + n; i++) y[i] = join_numbers(kind, partial + i * t->rows, t->rows);
  }
}
