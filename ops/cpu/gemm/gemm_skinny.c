// Products with few rows (decoding: one row per sequence against every weight) are bound by reading B once. B
// is not packed for sharing. If its columns are adjacent, its rows stream through accumulators that stay in
// cache; if they run along k, they are turned in registers (gemm_along.c) or broadcast (gemm_lanes.c); else
// one panel at a time is packed into the worker's cache and used at once. B that is stored in panels is read
// as it lies. Sums have the order of the blocked product.
#include <string.h>

#include "ops/cpu/gemm/gemm_priv.h"

enum {
  SUMS = 1 << 14,    // words of all rows' sums
  A_ROOM = 36 << 10, // words of packed A
  PAGE = 4096
};

_Static_assert(FEW *AXIS <= SUMS && FEW % MR == 0 && FEW % VL == 0, "sums of one pass");
_Static_assert(A_ROOM + SUMS + NR * KC <= MC * KC && FEW * KC + 2 * SUMS <= MC * KC &&
                   (FEW + NR) * KC + SUMS <= MC * KC && FEW * KC <= A_ROOM,
               "the scratch of all three ways fits in an A block");

typedef enum b_way { STREAMED, ALONG, PACKED, PANELS, TILES } b_way;

typedef struct span { // columns of this pass, and its buffers
  const xlm_gemm_job *job;
  const xlm_gemm_entry *en;
  b_way way;
  xlm_gemm_word word;
  int64_t columns; // per pass
  int64_t first;   // of this one
  int n;
  int64_t ld;
  float *sum, *part;  // [rows of all panels][ld]; part: STREAMED only
  uint32_t *rows, *b; // packed A of one block or (ALONG, PANELS) several; PACKED: a panel of B, PANELS: the
                      // last if it is narrow
  int width, panels;  // of packed A
} span;

static int64_t ld_of(const xlm_gemm *g) { // bytes from one column to the next; ALONG only
  return g->p.n.n ? g->p.n.b[0] * (int64_t)xlm_dtype_bytes(g->p.b) : 0;
}

static b_way way_of(const xlm_gemm *g) {
  const xlm_matmul_index *n = &g->p.n, *k = &g->p.k;
  if (g->amx) return TILES;
  if (g->panel) return PANELS;
  if (k->n > 1 || n->n > 1) return PACKED;
  if (n->n == 0 || n->b[0] == 1) return STREAMED;
  return k->n == 0 || k->b[0] == 1 ? ALONG : PACKED;
}

// Rows of a panel of A. VL: rows in the lanes of a vector, which they half fill at least (gemm_lanes.c). That
// reads a cache line of every column many times, and of columns a page apart the cache keeps only few.
static int width_of(b_way way, int64_t rows, int64_t apart) {
  if (way == ALONG && VL == 8 && rows > VL / 2 && apart % PAGE) return VL;
  if (way == TILES) return XLM_AMX_SIDE;
  if (way == PACKED || rows > 4) return MR;
  return rows > 2 ? 4 : (int)rows;
}

static bool in_lanes(const span *s) {
  return s->way == ALONG && s->width == VL && VL > MR;
}

// ---- A

static uint32_t word_at(xlm_gemm_word word, const char *a, const xlm_gemm_axis *k, int64_t row, int q) {
  if (word == XLM_WORD_F32) return ((const uint32_t *)a)[row + k->off[q]];
  const uint16_t *h = (const uint16_t *)a + row;
  if (word == XLM_WORD_WIDEN) return (uint32_t)h[k->off[q]] << 16;
  return h[k->off[2 * q]] | (uint32_t)(2 * q + 1 < k->n ? h[k->off[2 * q + 1]] : 0) << 16;
}

typedef uint32_t word_u __attribute__((aligned(2), may_alias));

// Words of R rows, which lie there one after the other; half: widened bf16. R is a constant in every call.
INLINE void interleave(bool half, int R, uint32_t *to, const char *const *row, int words) {
  for (int q = 0; q < words; q++)
    UNROLL for (int r = 0; r < R; r++) to[q * R + r] =
        half ? (uint32_t)((const uint16_t *)row[r])[q] << 16 : ((const word_u *)row[r])[q];
}

INLINE void interleave_rows(bool half, int width, uint32_t *to, const char *const *row, int words) {
  if (width == 1)
    interleave(half, 1, to, row, words);
  else if (width == 2)
    interleave(half, 2, to, row, words);
  else
    interleave(half, 4, to, row, words);
}

static void pack_narrow(const span *s, uint32_t *to, xlm_gemm_word word, const xlm_gemm_axis *row,
                        const xlm_gemm_axis *k) {
  const int words = word == XLM_WORD_PAIR ? (k->n + 1) / 2 : k->n;
  const int64_t size = (int64_t)xlm_dtype_bytes(s->job->g->p.a);
  if (k->run[0] >= k->n && row->n == s->width && !(word == XLM_WORD_PAIR && k->n % 2)) {
    const char *at[4];
    for (int r = 0; r < row->n; r++) at[r] = s->en->a + (row->off[r] + k->off[0]) * size;
    if (word == XLM_WORD_WIDEN)
      interleave_rows(true, s->width, to, at, words);
    else
      interleave_rows(false, s->width, to, at, words);
    return;
  }
  for (int q = 0; q < words; q++)
    for (int r = 0; r < s->width; r++)
      to[q * s->width + r] = r < row->n ? word_at(word, s->en->a, k, row->off[r], q) : 0;
}

static int64_t block_size(const span *s) { // words of A
  return s->panels * s->width * s->en->step;
}

static int64_t elements_of(const span *s, int64_t block, int64_t *begin) {
  int64_t step = s->en->step * (s->job->g->pairs ? 2 : 1);
  *begin = block * step;
  return xlm_gemm_min(s->en->k - *begin, step);
}

// A's rows in this k block.
static xlm_gemm_few pack_rows(const span *s, int64_t block, uint32_t *to) {
  const xlm_gemm *g = s->job->g;
  xlm_gemm_axis k;
  xlm_gemm_word word = xlm_gemm_word_of(g->pairs, g->p.a);
  int64_t begin, count = elements_of(s, block, &begin);
  xlm_gemm_few x = {.a = to, .step = s->width * s->en->step, .width = s->width, .panels = s->panels};
  xlm_gemm_axis_fill(&k, &g->p.k, XLM_SIDE_A, begin, count);
  for (int p = 0; p < s->panels; p++) {
    xlm_gemm_axis row;
    int64_t first = (int64_t)p * s->width;
    xlm_gemm_axis_fill(&row, &g->p.m, XLM_SIDE_A, first, xlm_gemm_min(s->en->m - first, s->width));
    if (s->way == TILES)
      xlm_gemm_amx_pack_a(to + p * x.step, s->en->a, &row, &k);
    else if (in_lanes(s))
      xlm_gemm_pack_lanes(to + p * x.step, s->en->a, word, &row, &k);
    else if (s->width == MR)
      xlm_gemm_pack_a(to + p * x.step, s->en->a, word, &row, &k);
    else
      pack_narrow(s, to + p * x.step, word, &row, &k);
  }
  return x;
}

// ---- the ways

static bool have(const span *s, int64_t block) {
  return block > 0 || s->en->add;
}

// The sums of one k block: to[row][column].
static void stream_block(const span *s, int64_t block, float *to) {
  const xlm_gemm *g = s->job->g;
  int64_t size = (int64_t)xlm_dtype_bytes(g->p.b), row = g->p.k.n ? g->p.k.b[0] : 0, begin;
  int count = (int)elements_of(s, block, &begin);
  xlm_gemm_few x = pack_rows(s, block, s->rows);
  xlm_gemm_stream(s->word, &x, s->en->b + (s->first + begin * row) * size, row * size, count, s->n, to,
                  s->ld);
}

static void add_rows(const span *s, int64_t block, const float *part, int64_t ld) {
  const int n = s->n;
  for (int r = 0; r < s->en->m; r++, part += ld) {
    float *sum = s->sum + r * s->ld;
    if (!have(s, block))
      memcpy(sum, part, sizeof *sum * (size_t)n);
    else
      for (int j = 0; j < n; j++) sum[j] = sum[j] + part[j];
  }
}

static void add_streamed(const span *s, int64_t block) {
  stream_block(s, block, s->part);
  add_rows(s, block, s->part, s->ld);
}

static void add_packed(const span *s, int64_t block) {
  const xlm_gemm *g = s->job->g;
  int64_t begin, count = elements_of(s, block, &begin), words = xlm_gemm_words(g, count);
  xlm_gemm_few x = pack_rows(s, block, s->rows);
  xlm_gemm_axis col, k;
  xlm_gemm_axis_fill(&k, &g->p.k, XLM_SIDE_B, begin, count);
  for (int j = 0; j < s->n; j += NR) {
    int columns = s->n - j < NR ? s->n - j : NR;
    xlm_gemm_axis_fill(&col, &g->p.n, XLM_SIDE_B, s->first + j, columns);
    xlm_gemm_pack_b(s->b, s->en->b, s->word, &col, &k);
    for (int p = 0; p < x.panels; p++) {
      float *at[MR];
      int rows = (int)xlm_gemm_min(s->en->m - p * MR, MR);
      for (int r = 0; r < MR; r++) at[r] = s->sum + (p * MR + r) * s->ld + j;
      xlm_gemm_kernel(g->pairs, rows, (columns + VL - 1) / VL, words, x.a + p * x.step, s->b, at,
                      have(s, block) ? (const float *const *)at : NULL);
    }
  }
}

// Some columns at a time over the k blocks, as many of which as A has room for, so that B is read in order.
static void add_along(const span *s) {
  const int some = in_lanes(s) ? LANE_COLUMNS : 2 * VL;
  const xlm_gemm *g = s->job->g;
  int64_t size = (int64_t)xlm_dtype_bytes(g->p.b), fit = A_ROOM / xlm_gemm_max(block_size(s), 1),
          ld = ld_of(g);
  for (int64_t first = 0; first < s->en->blocks; first += fit) {
    int64_t end = xlm_gemm_min(first + fit, s->en->blocks), begin;
    xlm_gemm_few x = {0};
    for (int64_t b = first; b < end; b++) x = pack_rows(s, b, s->rows + (b - first) * block_size(s));
    for (int j = 0; j < s->n; j += some)
      for (int64_t b = first; b < end; b++) {
        xlm_gemm_columns c = {.ld = ld, .k = elements_of(s, b, &begin), .whole = s->en->k * size};
        c.at = s->en->b + (s->first + j) * ld + begin * size, c.left = c.whole - begin * size;
        x.a = s->rows + (b - first) * block_size(s);
        (in_lanes(s) ? xlm_gemm_lanes : xlm_gemm_along)(s->word, &x, &c, s->n - j < some ? s->n - j : some,
                                                        s->sum + j, s->ld, have(s, b));
      }
  }
}

static char *put_row(char *to, const char *row, size_t bytes, size_t room) {
  memcpy(to, row, bytes);
  memset(to + bytes, 0, room - bytes);
  return to + room;
}

// Of the last panel, as many columns as the others have: zeros.
static const char *padded(const span *s, const char *at, int64_t k, int64_t columns) {
  const bool half = s->job->g->p.b == XLM_BF16;
  char *to = (char *)s->b;
  for (int64_t q = half ? k / 2 : k; q > 0; q--, at += columns * 4)
    to = put_row(to, at, (size_t)columns * 4, NR * 4);
  if (half && k % 2) put_row(to, at, (size_t)columns * 2, NR * 2);
  return (const char *)s->b;
}

// One panel after the other over the k blocks that A has room for.
static void add_in_panels(const span *s) {
  const xlm_gemm *g = s->job->g;
  const int64_t size = (int64_t)xlm_dtype_bytes(g->p.b), fit = A_ROOM / xlm_gemm_max(block_size(s), 1);
  for (int64_t first = 0; first < s->en->blocks; first += fit) {
    int64_t end = xlm_gemm_min(first + fit, s->en->blocks), begin;
    xlm_gemm_few x = {0};
    for (int64_t b = first; b < end; b++) x = pack_rows(s, b, s->rows + (b - first) * block_size(s));
    for (int64_t j = 0; j < s->n; j += NR) {
      const int64_t columns = xlm_gemm_min(s->en->n - s->first - j, NR);
      const char *panel = s->en->b + (s->first + j) * s->en->k * size;
      for (int64_t b = first; b < end; b++) {
        const int64_t k = elements_of(s, b, &begin);
        const char *at = panel + begin * columns * size;
        x.a = s->rows + (b - first) * block_size(s);
        xlm_gemm_few_in_panel(s->word, &x, columns < NR ? padded(s, at, k, columns) : at, (int)k, s->sum + j,
                              s->ld, have(s, b));
      }
    }
  }
}

// On AMX tiles, one panel after the other: as it is stored, or packed.

static const uint32_t *panel_of_tiles(const span *s, const xlm_gemm_axis *k, int64_t begin, int64_t j,
                                      int columns) {
  const xlm_gemm *g = s->job->g;
  const char *panel = s->en->b + j * s->en->k * 2 + begin * columns * 2;
  if (g->panel && columns == NR && k->n % 2 == 0) return (const uint32_t *)panel;
  if (g->panel) {
    xlm_gemm_unpack_panel(XLM_WORD_PAIR, s->b, panel, k->n, columns);
    return s->b;
  }
  xlm_gemm_axis col;
  xlm_gemm_axis_fill(&col, &g->p.n, XLM_SIDE_B, j, columns);
  xlm_gemm_pack_b(s->b, s->en->b, XLM_WORD_PAIR, &col, k);
  return s->b;
}

static void add_in_tiles(const span *s, int64_t block) {
  int64_t begin, count = elements_of(s, block, &begin);
  const xlm_gemm_few x = pack_rows(s, block, s->rows);
  float sum[XLM_AMX_SIDE * NR];
  xlm_gemm_axis k;
  xlm_gemm_axis_fill(&k, &s->job->g->p.k, XLM_SIDE_B, begin, count);
  for (int j = 0; j < s->n; j += NR) {
    const int columns = s->n - j < NR ? s->n - j : NR;
    const uint32_t *b = panel_of_tiles(s, &k, begin, s->first + j, columns);
    xlm_gemm_amx((int)s->en->m, (columns + VL - 1) / VL, xlm_gemm_words(s->job->g, count), x.a, b, sum);
    for (int r = 0; r < s->en->m; r++) {
      float *to = s->sum + r * s->ld + j;
      for (int i = 0; i < columns; i++) to[i] = have(s, block) ? to[i] + sum[r * NR + i] : sum[r * NR + i];
    }
  }
}

// ---- a pass

// Reads what is added to C, or writes C, at most AXIS columns at a time.
static void ends(const span *s, bool write) {
  const xlm_gemm *g = s->job->g;
  xlm_gemm_axis row, col;
  xlm_gemm_axis_fill(&row, &g->p.m, XLM_SIDE_C, 0, s->en->m);
  const xlm_gemm_plane p = {write ? s->en->c : (char *)s->en->add, g->p.c, &row, &col};
  float of_columns[AXIS];
  for (int j = 0; j < s->n; j += AXIS) {
    int n = s->n - j < AXIS ? s->n - j : AXIS;
    xlm_gemm_axis_fill(&col, &g->p.n, XLM_SIDE_C, s->first + j, n);
    const float *bias = write ? xlm_gemm_bias_load(of_columns, s->job, &col) : NULL;
    for (int r = 0; r < s->en->m; r++) {
      float *sum = s->sum + r * s->ld + j;
      for (int i = 0; bias && i < n; i++) sum[i] = sum[i] + bias[i];
      if (write)
        xlm_gemm_row_store(&p, r, sum, n);
      else
        xlm_gemm_row_load(sum, &p, r, n);
    }
  }
}

static void pass(const span *s) {
  if (s->en->add) ends(s, false);
  if (s->way == ALONG)
    add_along(s);
  else if (s->way == PANELS)
    add_in_panels(s);
  else
    for (int64_t b = 0; b < s->en->blocks; b++)
      if (s->way == TILES)
        add_in_tiles(s, b);
      else if (s->way == STREAMED)
        add_streamed(s, b);
      else
        add_packed(s, b);
  ends(s, true);
}

// The columns of these panels in passes, each of as many as fit.
static span begin(const xlm_gemm_job *job, const xlm_gemm_entry *en, int64_t panels, uint32_t *scratch) {
  const xlm_gemm *g = job->g;
  span s = {.job = job, .en = en, .way = way_of(g), .word = xlm_gemm_word_of(g->pairs, g->p.b)};
  s.width = width_of(s.way, en->m, ld_of(g)), s.panels = (int)xlm_gemm_ceil(en->m, s.width);
  int64_t rows = s.panels * s.width, passes = xlm_gemm_ceil(panels, (SUMS / rows - APART) / NR);
  s.sum = (float *)scratch, s.rows = scratch + SUMS;
  s.part = (float *)s.rows + FEW * KC, s.b = s.rows + (s.way == PANELS ? A_ROOM : FEW * KC);
  s.columns = xlm_gemm_ceil(panels, passes) * NR, s.ld = xlm_gemm_sums_ld(xlm_gemm_ceil(panels, passes), NR);
  return s;
}

void xlm_gemm_skinny(const xlm_gemm_job *job, const xlm_gemm_entry *en, int64_t j0, int64_t j1,
                     uint32_t *scratch) {
  span s = begin(job, en, j1 - j0, scratch);
  int64_t end = xlm_gemm_min(en->n, j1 * NR);
  for (s.first = j0 * NR; s.first < end; s.first += s.columns) {
    s.n = (int)xlm_gemm_min(end - s.first, s.columns);
    pass(&s);
  }
}

// ---- in two steps

static float *sums_at(const span *s, int64_t block, int64_t column, int64_t *ld) {
  *ld = xlm_gemm_sums_ld(xlm_gemm_ceil(s->en->n, NR), NR);
  return (float *)s->job->workspace + block * s->panels * s->width * *ld + column;
}

void xlm_gemm_skinny_block(const xlm_gemm_job *job, const xlm_gemm_entry *en, int64_t block, int64_t j0,
                           int64_t j1, uint32_t *scratch) {
  span s = begin(job, en, j1 - j0, scratch);
  s.first = j0 * NR, s.n = (int)(xlm_gemm_min(en->n, j1 * NR) - s.first);
  float *to = sums_at(&s, block, s.first, &s.ld);
  stream_block(&s, block, to);
}

void xlm_gemm_skinny_sum(const xlm_gemm_job *job, const xlm_gemm_entry *en, int64_t j0, int64_t j1,
                         uint32_t *scratch) {
  span s = begin(job, en, j1 - j0, scratch);
  int64_t end = xlm_gemm_min(en->n, j1 * NR), ld;
  for (s.first = j0 * NR; s.first < end; s.first += s.columns) {
    s.n = (int)xlm_gemm_min(end - s.first, s.columns);
    if (en->add) ends(&s, false);
    for (int64_t b = 0; b < en->blocks; b++) {
      const float *part = sums_at(&s, b, s.first, &ld);
      add_rows(&s, b, part, ld);
    }
    ends(&s, true);
  }
}
