// The blocked product: rounds of two phases over the pool.
//
// A round packs as much of B as fits in the shared buffer (several whole batch entries, or some columns and k
// blocks of one) and then multiplies it by all rows of A. Both phases are divided by worker index: packing by
// (entry, k block, panel); multiplying by a grid of row panels x column panels, with rows weighted by their
// work and assigned across entries, so that ragged experts are balanced. Each worker packs its rows of A, MC
// rows by one k block at a time, into its L2.
//
// C holds the running sum between k blocks if it is f32. If it is bf16, each worker keeps the sums of its
// rows in an f32 stage, so that rounding happens once; a round must then cover all of k.
#include "ops/cpu/gemm/gemm_priv.h"

enum {
  SMALL = 1 << 19,    // floating-point operations below which the pool is not worth waking
  FEW_SUMS = 1 << 14, // sums of k blocks that one worker adds up sooner than all are called
};

_Static_assert(2 * KC <= AXIS && MC <= AXIS && KC % VL == 0 && MC % MR == 0, "axes hold a block");

typedef struct round {
  const xlm_gemm_job *job;
  xlm_gemm_layout at;
  int64_t e0, e1; // entries
  int64_t j0, j1; // column panels, k blocks: limits that apply when the round is a part of one entry
  int64_t b0, b1;
} round_; // `round` is a C function

// Rows of A that are multiplied at a time.
static int64_t tile_rows(const xlm_gemm *g) {
  return g->amx ? AMX_ROWS : MR;
}

static int64_t panels_of(int64_t n, int64_t width) {
  return xlm_gemm_ceil(n, width);
}

xlm_gemm_entry xlm_gemm_entry_of(const xlm_gemm_job *job, int64_t e) {
  xlm_gemm_entry en = xlm_gemm_entry_at(job, e);
  en.words = xlm_gemm_words(job->g, en.k);
  en.blocks = xlm_gemm_max(1, xlm_gemm_ceil(en.words, KC));
  en.step = xlm_gemm_ceil(xlm_gemm_ceil(en.words, en.blocks), VL) * VL;
  return en;
}

// ---- parts of a round ----

static bool is_skinny(const round_ *r, const xlm_gemm_entry *en) {
  xlm_gemm_form form = r->job->g->form;
  return form == XLM_GEMM_FEW_ROWS || (form == XLM_GEMM_BY_EXPERT && en->m <= FEW);
}

static bool is_part(const round_ *r) {
  return r->e1 == r->e0 + 1;
}

typedef struct part { // the part of a round from one entry
  xlm_gemm_entry en;
  int64_t j0, j1, b0, b1;
  int64_t words;    // of k
  uint32_t *packed; // by block, then by panel
} part;

static part part_at(const round_ *r, int64_t e, int64_t packed) {
  part p = {.en = xlm_gemm_entry_of(r->job, e), .packed = r->job->workspace + packed};
  p.j1 = panels_of(p.en.n, NR), p.b1 = p.en.blocks;
  if (is_part(r)) p.j0 = r->j0, p.j1 = r->j1, p.b0 = r->b0, p.b1 = r->b1;
  p.words = xlm_gemm_min(p.en.words, p.b1 * p.en.step) - p.b0 * p.en.step;
  return p;
}

static int64_t packed_words(const part *p) {
  return p->words * (p->j1 - p->j0) * NR;
}

static int64_t block_words(const xlm_gemm_entry *en, int64_t block) {
  return xlm_gemm_min(en->words - block * en->step, en->step);
}

static uint32_t *packed_panel(const part *p, int64_t block, int64_t panel) {
  int64_t before = (block - p->b0) * p->en.step * (p->j1 - p->j0);
  return p->packed + (before + (panel - p->j0) * block_words(&p->en, block)) * NR;
}

// Is the panel stored as the micro-kernel reads it? Then it is read where it lies.
static bool is_packed(const xlm_gemm *g, const xlm_gemm_entry *en, int64_t panel) {
  return g->panel && (g->p.b == XLM_F32 || (g->pairs && en->k % 2 == 0)) && (panel + 1) * NR <= en->n;
}

static const char *stored_panel(const xlm_gemm *g, const xlm_gemm_entry *en, int64_t panel) {
  return en->b + panel * NR * en->k * (int64_t)xlm_dtype_bytes(g->p.b);
}

static const uint32_t *panel_at_block(const xlm_gemm *g, const part *p, int64_t block, int64_t panel) {
  if (!is_packed(g, &p->en, panel)) return packed_panel(p, block, panel);
  return (const uint32_t *)stored_panel(g, &p->en, panel) + block * p->en.step * NR;
}

static void fill_k(xlm_gemm_axis *k, const xlm_gemm_job *job, const xlm_gemm_entry *en, xlm_gemm_side side,
                   int64_t block) {
  int64_t elements = job->g->pairs ? 2 : 1, begin = block * en->step * elements;
  xlm_gemm_axis_fill(k, &job->g->p.k, side, begin, xlm_gemm_min(en->k - begin, en->step * elements));
}

// ---- phase 1: pack B ----

// A panel of B that is stored in panels.
static void pack_stored(const xlm_gemm_job *job, const part *p, int64_t block, int64_t j) {
  const xlm_gemm *g = job->g;
  const int64_t columns = xlm_gemm_min(p->en.n - j * NR, NR), step = p->en.step * (g->pairs ? 2 : 1),
                begin = block * step;
  if (is_packed(g, &p->en, j)) return;
  xlm_gemm_unpack_panel(xlm_gemm_word_of(g->pairs, g->p.b), packed_panel(p, block, j),
                        stored_panel(g, &p->en, j) + begin * columns * (int64_t)xlm_dtype_bytes(g->p.b),
                        (int)xlm_gemm_min(p->en.k - begin, step), (int)columns);
}

static void pack_panels(const xlm_gemm_job *job, const part *p, int64_t block, int64_t j0, int64_t j1) {
  xlm_gemm_axis x, k;
  for (int64_t j = j0; job->g->panel && j < j1; j++) pack_stored(job, p, block, j);
  if (job->g->panel) return;
  fill_k(&k, job, &p->en, XLM_SIDE_B, block);
  for (int64_t j = j0; j < j1; j += AXIS / NR) {
    int64_t end = xlm_gemm_min(p->en.n, xlm_gemm_min(j1, j + AXIS / NR) * NR);
    xlm_gemm_axis_fill(&x, &job->g->p.n, XLM_SIDE_B, j * NR, end - j * NR);
    xlm_gemm_pack_b(packed_panel(p, block, j), p->en.b, xlm_gemm_word_of(job->g->pairs, job->g->p.b), &x, &k);
  }
}

static int64_t pack_units(const round_ *r) {
  int64_t units = 0;
  for (int64_t e = r->e0; e < r->e1; e++) {
    part p = part_at(r, e, 0);
    units += (p.b1 - p.b0) * (p.j1 - p.j0);
  }
  return units;
}

static void pack_phase(void *arg, int worker, int workers) {
  const round_ *r = arg;
  int64_t begin, end, unit = 0, packed = 0;
  xlm_pool_range(pack_units(r), worker, workers, &begin, &end);
  for (int64_t e = r->e0; e < r->e1 && unit < end; e++) {
    part p = part_at(r, e, packed);
    packed += packed_words(&p);
    for (int64_t b = p.b0; b < p.b1; b++, unit += p.j1 - p.j0) {
      int64_t j0 = p.j0 + xlm_gemm_max(begin - unit, 0), j1 = xlm_gemm_min(p.j0 + end - unit, p.j1);
      if (j0 < j1) pack_panels(r->job, &p, b, j0, j1);
    }
  }
}

// ---- phase 2: multiply ----

// While one block of A is multiplied, the next one is prefetched to L2, some lines with every tile; otherwise
// packing would wait for memory, up to a tenth of the time for small n.
typedef struct ahead {
  const char *base;
  xlm_gemm_axis row, k;
  const xlm_gemm_axis *outer, *inner; // memory is contiguous along inner
  int o, i, quota, size, step;        // next line, lines per tile, bytes of an element, elements of a line
} ahead;

static void ahead_begin(ahead *f, const char *a, xlm_dtype type, int64_t tiles) {
  bool by_rows = f->row.n > 0 && f->row.run[0] > 1;
  f->base = a, f->o = f->i = 0;
  f->outer = by_rows ? &f->k : &f->row, f->inner = by_rows ? &f->row : &f->k;
  f->size = (int)xlm_dtype_bytes(type), f->step = 64 / f->size;
  f->quota = (int)xlm_gemm_ceil(f->outer->n * xlm_gemm_ceil(f->inner->n, f->step), xlm_gemm_max(tiles, 1));
}

static void ahead_fetch(ahead *f) {
  for (int n = 0; n < f->quota && f->o < f->outer->n && f->i < f->inner->n; n++) {
    __builtin_prefetch(f->base + (f->outer->off[f->o] + f->inner->off[f->i]) * f->size, 0, 2);
    f->i += f->step;
    if (f->i >= f->inner->n) f->i = 0, f->o++;
  }
}

typedef struct rows { // MC rows of one entry, times the panels [j0, j1)
  const xlm_gemm_job *job;
  const part *p;
  int64_t j0, j1;
  uint32_t *a;
  xlm_gemm_axis arow, crow, ccol, srow, scol, k;
  xlm_gemm_plane c, add, stage, none;
  ahead next;
} rows;

static const xlm_matmul_index *plain(xlm_matmul_index *x, int64_t stride) { // a group with one stride
  *x = (xlm_matmul_index){.n = 1, .size = {INT64_MAX}, .c = {stride}};
  return x;
}

static void rows_begin(rows *w, int64_t i, int64_t count, float *stage) {
  const xlm_gemm *g = w->job->g;
  xlm_matmul_index x;
  xlm_gemm_axis_fill(&w->arow, &g->p.m, XLM_SIDE_A, i, count);
  xlm_gemm_axis_fill(&w->crow, &g->p.m, XLM_SIDE_C, i, count);
  xlm_gemm_axis_fill(&w->srow, plain(&x, (w->j1 - w->j0) * NR), XLM_SIDE_C, 0, count);
  w->c = (xlm_gemm_plane){w->p->en.c, g->p.c, &w->crow, &w->ccol};
  w->add = (xlm_gemm_plane){(char *)w->p->en.add, g->p.c, &w->crow, &w->ccol};
  w->stage = (xlm_gemm_plane){(char *)stage, XLM_F32, &w->srow, &w->scol};
  w->none = (xlm_gemm_plane){NULL, XLM_F32, &w->crow, &w->ccol};
}

static void rows_block(rows *w, int64_t block) {
  const xlm_gemm *g = w->job->g;
  const xlm_gemm_entry *en = &w->p->en;
  const int64_t words = block_words(en, block),
                row = g->amx ? xlm_gemm_ceil(words, XLM_AMX_SIDE) * XLM_AMX_SIDE : words; // of packed A
  bool staged = g->p.c == XLM_BF16;
  const xlm_gemm_plane *sum = staged ? &w->stage : &w->c, *from = block ? sum : en->add ? &w->add : &w->none;
  bool last = block + 1 == en->blocks;
  const xlm_gemm_plane *to = last ? &w->c : sum;
  float columns_bias[NR];
  xlm_matmul_index x;
  fill_k(&w->k, w->job, en, XLM_SIDE_A, block);
  if (g->amx)
    xlm_gemm_amx_pack_a(w->a, en->a, &w->arow, &w->k);
  else
    xlm_gemm_pack_a(w->a, en->a, xlm_gemm_word_of(g->pairs, g->p.a), &w->arow, &w->k);
  for (int64_t j = w->j0; j < w->j1; j++) {
    int64_t columns = xlm_gemm_min(en->n - j * NR, NR);
    xlm_gemm_axis_fill(&w->ccol, &g->p.n, XLM_SIDE_C, j * NR, columns);
    xlm_gemm_axis_fill(&w->scol, plain(&x, 1), XLM_SIDE_C, (j - w->j0) * NR, columns);
    const uint32_t *b = panel_at_block(g, w->p, block, j);
    const float *bias = last ? xlm_gemm_bias_load(columns_bias, w->job, &w->ccol) : NULL;
    for (int i = 0; i < w->crow.n; i += (int)tile_rows(g)) {
      ahead_fetch(&w->next);
      xlm_gemm_tile(g, words, w->a + i * row, b, i, to, from, bias);
    }
  }
}

// The block after `block` of the rows from i on: the next k block, or the first of the next rows.
static void rows_ahead(rows *w, int64_t i, int64_t step, int64_t end, int64_t block) {
  if (++block == w->p->b1) block = w->p->b0, i += step;
  xlm_gemm_axis_fill(&w->next.row, &w->job->g->p.m, XLM_SIDE_A, i,
                     xlm_gemm_max(xlm_gemm_min(end - i, step), 0));
  fill_k(&w->next.k, w->job, &w->p->en, XLM_SIDE_A, block);
  ahead_begin(&w->next, w->p->en.a, w->job->g->p.a,
              xlm_gemm_ceil(w->crow.n, tile_rows(w->job->g)) * (w->j1 - w->j0));
}

// Multiplies rows begin .. end of an entry, in equal blocks of at most MC.
static void multiply(rows *w, int64_t begin, int64_t end, float *stage) {
  const int64_t blocks = xlm_gemm_ceil(end - begin, MC), tile = tile_rows(w->job->g),
                step = xlm_gemm_ceil(xlm_gemm_ceil(end - begin, blocks), tile) * tile;
  for (int64_t i = begin; i < end; i += step) {
    rows_begin(w, i, xlm_gemm_min(end - i, step), stage);
    for (int64_t b = w->p->b0; b < w->p->b1; b++) {
      rows_ahead(w, i, step, end, b);
      rows_block(w, b);
    }
  }
}

typedef struct grid { // workers as row parts x column parts
  int64_t rows, columns;
} grid;

// The cheapest grid by a simple model: a word of an A panel costs NV * MR / 2 cycles per column panel, plus 3
// for packing.
static grid grid_of(int64_t row_panels, int64_t column_panels, int workers) {
  grid best = {0};
  int64_t least = INT64_MAX;
  for (int64_t n = 1; n <= workers && n <= xlm_gemm_max(column_panels, 1); n++) {
    int64_t m = workers / n;
    int64_t cost = xlm_gemm_ceil(row_panels, m) * (xlm_gemm_ceil(column_panels, n) * (NV * MR / 2) + 3);
    if (cost < least) least = cost, best = (grid){m, n};
  }
  return best;
}

static int64_t panel_weight(const part *p) {
  return (p->j1 - p->j0) * xlm_gemm_max(p->words, 1);
}

static grid measure(const round_ *r, int workers, int64_t *weight) {
  int64_t row_panels = 0, column_panels = 0;
  *weight = 0;
  for (int64_t e = r->e0; e < r->e1; e++) {
    part p = part_at(r, e, 0);
    row_panels += panels_of(p.en.m, tile_rows(r->job->g));
    column_panels = xlm_gemm_max(column_panels, p.j1 - p.j0);
    *weight += panels_of(p.en.m, tile_rows(r->job->g)) * panel_weight(&p);
  }
  return grid_of(row_panels, column_panels, workers);
}

// The first row panel that begins at or after `target` in the cumulative weights of the round, where the
// entry begins at `base`.
static int64_t panel_at(const part *p, int64_t tile, int64_t base, int64_t target) {
  int64_t weight = panel_weight(p);
  if (target <= base || weight == 0) return 0;
  return xlm_gemm_min(xlm_gemm_ceil(target - base, weight), panels_of(p->en.m, tile));
}

static uint32_t *own_block(const round_ *r, int worker) {
  return r->job->workspace + r->at.shared + worker * (r->at.block + r->at.stage);
}

static void multiply_phase(void *arg, int worker, int workers) {
  const round_ *r = arg;
  int64_t weight, base = 0, packed = 0;
  const int64_t tile = tile_rows(r->job->g);
  grid g = measure(r, workers, &weight);
  int64_t row = worker / g.columns, column = worker % g.columns;
  if (row >= g.rows) return;
  if (r->job->g->amx) xlm_gemm_amx_begin();
  int64_t from = xlm_gemm_ceil(weight * row, g.rows), until = xlm_gemm_ceil(weight * (row + 1), g.rows);
  for (int64_t e = r->e0; e < r->e1 && base < until; e++) {
    part p = part_at(r, e, packed);
    int64_t i0 = panel_at(&p, tile, base, from), i1 = panel_at(&p, tile, base, until), j0, j1;
    xlm_pool_range(p.j1 - p.j0, (int)column, (int)g.columns, &j0, &j1);
    packed += packed_words(&p);
    base += panels_of(p.en.m, tile) * panel_weight(&p);
    if (i0 >= i1 || j0 >= j1) continue;
    rows w = {.job = r->job, .p = &p, .j0 = p.j0 + j0, .j1 = p.j0 + j1, .a = own_block(r, worker)};
    multiply(&w, i0 * tile, xlm_gemm_min(i1 * tile, p.en.m), (float *)(w.a + r->at.block));
  }
  if (r->job->g->amx) xlm_gemm_amx_end();
}

// ---- entries with few rows ----

static int64_t skinny_panels(const xlm_gemm_entry *en) {
  return en->m > 0 ? panels_of(en->n, NR) : 0;
}

static void skinny_phase(void *arg, int worker, int workers) {
  const round_ *r = arg;
  int64_t begin, end, panels = 0, unit = 0;
  for (int64_t e = r->e0; e < r->e1; e++) {
    xlm_gemm_entry en = xlm_gemm_entry_of(r->job, e);
    panels += skinny_panels(&en);
  }
  xlm_pool_range(panels, worker, workers, &begin, &end);
  if (r->job->g->amx) xlm_gemm_amx_begin();
  for (int64_t e = r->e0; e < r->e1 && unit < end; e++) {
    xlm_gemm_entry en = xlm_gemm_entry_of(r->job, e);
    int64_t n = skinny_panels(&en), j0 = xlm_gemm_max(begin - unit, 0), j1 = xlm_gemm_min(end - unit, n);
    unit += n;
    if (j0 < j1) xlm_gemm_skinny(r->job, &en, j0, j1, own_block(r, worker));
  }
  if (r->job->g->amx) xlm_gemm_amx_end();
}

// Whole rows of B where that divides the k blocks evenly, else as large parts of them as do.
static void blocks_phase(void *arg, int worker, int workers) {
  const round_ *r = arg;
  xlm_gemm_entry en = xlm_gemm_entry_of(r->job, r->e0);
  int64_t panels = skinny_panels(&en), parts = 1, begin, end, j0, j1;
  while (parts < panels && en.blocks * parts % workers) parts++;
  xlm_pool_range(en.blocks * parts, worker, workers, &begin, &end);
  for (int64_t u = begin; u < end; u++) {
    xlm_pool_range(panels, (int)(u % parts), (int)parts, &j0, &j1);
    xlm_gemm_skinny_block(r->job, &en, u / parts, j0, j1, own_block(r, worker));
  }
}

static void sum_phase(void *arg, int worker, int workers) {
  const round_ *r = arg;
  xlm_gemm_entry en = xlm_gemm_entry_of(r->job, r->e0);
  int64_t j0, j1;
  xlm_pool_range(skinny_panels(&en), worker, workers, &j0, &j1);
  if (j0 < j1) xlm_gemm_skinny_sum(r->job, &en, j0, j1, own_block(r, worker));
}

static void run_skinny(round_ *r) {
  xlm_pool *pool = r->job->pool;
  if (!xlm_gemm_by_blocks(r->job->g)) {
    xlm_pool_run(pool, skinny_phase, r);
    return;
  }
  xlm_gemm_entry en = xlm_gemm_entry_of(r->job, r->e0);
  xlm_pool_run(pool, blocks_phase, r);
  xlm_pool_run(en.m * en.n * en.blocks < FEW_SUMS ? NULL : pool, sum_phase, r);
}

// ---- rounds ----

static void run_round(round_ *r) {
  xlm_pool_run(r->job->pool, pack_phase, r);
  xlm_pool_run(r->job->pool, multiply_phase, r);
}

// An entry that does not fit in the shared buffer: columns in the outer loop, k blocks in the inner.
static void run_parts(round_ *r, const xlm_gemm_entry *en) {
  int64_t depth = r->job->g->p.c == XLM_F32 ? ROUND_BLOCKS : en->blocks, panels = panels_of(en->n, NR);
  int64_t fit = r->at.shared / (xlm_gemm_max(xlm_gemm_min(depth * en->step, en->words), 1) * NR);
  int64_t rounds = xlm_gemm_ceil(panels, xlm_gemm_min(fit, ROUND_PANELS_MAX)),
          step = xlm_gemm_ceil(panels, rounds);
  for (r->j0 = 0; r->j0 < panels; r->j0 += step) {
    r->j1 = xlm_gemm_min(r->j0 + step, panels);
    for (r->b0 = 0; r->b0 < en->blocks; r->b0 += depth) {
      r->b1 = xlm_gemm_min(r->b0 + depth, en->blocks);
      run_round(r);
    }
  }
}

// The end of the entries from r->e0 on that fit together in the shared buffer.
static int64_t group_end(const round_ *r, int64_t entries) {
  int64_t e = r->e0, used = 0;
  for (; e < entries; e++) {
    xlm_gemm_entry en = xlm_gemm_entry_of(r->job, e);
    used += en.words * NR * panels_of(en.n, NR);
    if (is_skinny(r, &en) || used > r->at.shared || panels_of(en.n, NR) > ROUND_PANELS_MAX) break;
  }
  return e;
}

static int64_t skinny_end(const round_ *r, int64_t entries) {
  int64_t e = r->e0;
  for (; e < entries; e++) {
    xlm_gemm_entry en = xlm_gemm_entry_of(r->job, e);
    if (!is_skinny(r, &en)) break;
  }
  return e;
}

static void run_next(round_ *r, int64_t entries) {
  xlm_gemm_entry en = xlm_gemm_entry_of(r->job, r->e0);
  if (is_skinny(r, &en)) {
    r->e1 = skinny_end(r, entries);
    run_skinny(r);
    return;
  }
  r->e1 = group_end(r, entries);
  if (r->e1 > r->e0) {
    r->j0 = r->b0 = 0, r->j1 = panels_of(en.n, NR), r->b1 = en.blocks;
    run_round(r);
  } else {
    r->e1 = r->e0 + 1;
    run_parts(r, &en);
  }
}

xlm_gemm_engine XLM_ISA_NAME(xlm_gemm_engine);
void XLM_ISA_NAME(xlm_gemm_engine)(const xlm_gemm_job *job) {
  const xlm_gemm *g = job->g;
  xlm_gemm_job own = *job;
  int64_t entries = xlm_matmul_count(&g->p.batch);
  double work = 2.0 * (double)entries * (double)xlm_matmul_count(&g->p.m) *
                (double)xlm_matmul_count(&g->p.n) * (double)xlm_matmul_count(&g->p.k);
  if (work < SMALL) own.pool = NULL;
  round_ r = {.job = &own, .at = xlm_gemm_layout_of(g)};
  for (; r.e0 < entries; r.e0 = r.e1) run_next(&r, entries);
}
