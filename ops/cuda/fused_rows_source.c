// See fused_source.h and, for how rows are cut, fused_shape.h. A kernel goes through the program once per
// step of sums over the row (fused_steps_priv.h) and once for the results. Each time it computes what this
// step reads from the operands, which stay in registers as they are in memory: that is cheaper than keeping
// values.
//
// Operands that are the same for all rows are read when they are used: from the caches.
#include <stdio.h>
#include <string.h>

#include "ops/cuda/fused_source_priv.h"
#include "ops/cuda/fused_steps_priv.h"

typedef struct writer {
  xlm_text *t;
  const xlm_fused_shape *s;
  const xlm_code *code;
  const xlm_fused_steps *steps;
  bool needed[XLM_FUSED_REGISTERS];
} writer;

#define ADD(w, ...) xlm_text_printf((w)->t, __VA_ARGS__)

// ---- operands

static bool is_wide(const writer *w, int k) {
  return xlm_fused_by_column(w->s, k);
}

// Read with the rows, one for each chunk of the thread.
static bool in_chunks(const writer *w, int k) {
  return xlm_fused_by_row(w->s, k) && (is_wide(w, k) || w->s->form == XLM_FUSED_COLUMNS);
}

static void add_declaration(const writer *w, int k) {
  ADD(w, "    %s%s a%d", is_wide(w, k) ? "struct vec_" : "", xlm_fused_type(w->s->dtype[k]), k);
  if (in_chunks(w, k)) ADD(w, "[%d]", w->s->chunks);
  ADD(w, ";\n");
}

static const char *name_of(const writer *w, int k, char *name, size_t room) {
  snprintf(name, room, in_chunks(w, k) ? "a%d[k]" : "a%d", k);
  return name;
}

static void add_load(const writer *w, int k) {
  char name[24];
  xlm_fused_add_load(w->t, w->s, k, is_wide(w, k), name_of(w, k, name, sizeof name));
}

// Declares and loads the operands outside of chunks that depend on the row or not, on the column or not.
// guard: if only some threads have such an element, which.
static void add_loads(const writer *w, bool by_row, bool by_column, const char *guard) {
  bool take[XLM_CODE_MAX_IN] = {0}, any = false;
  for (int k = 0; k < w->s->n_in; k++) {
    any |= take[k] = !in_chunks(w, k) && xlm_fused_by_row(w->s, k) == by_row && is_wide(w, k) == by_column;
    if (take[k]) add_declaration(w, k);
  }
  if (!any) return;
  if (guard) ADD(w, "    if (%s) {\n", guard);
  for (int k = 0; k < w->s->n_in; k++)
    if (take[k]) add_load(w, k);
  if (guard) ADD(w, "    }\n");
}

// ---- chunks

static bool has_part_chunk(const xlm_fused_shape *s) {
  return s->len < s->tiles * s->team * s->vector * (s->form == XLM_FUSED_ROWS ? s->chunks : 1);
}

static void open_row_chunk(const writer *w) { // `column` is the first of its elements
  const xlm_fused_shape *s = w->s;
  int64_t each = (int64_t)s->team * s->vector;
  ADD(w, "    u32 column = (k * %d + lane) * %d;\n    if (", s->team, s->vector);
  if (s->teams > 1) ADD(w, "mine");
  if (s->teams > 1 && has_part_chunk(s)) ADD(w, " && ");
  if (has_part_chunk(s)) ADD(w, "(k < %lld || column < %lld)", (long long)(s->len / each), (long long)s->len);
  if (s->teams == 1 && !has_part_chunk(s)) ADD(w, "1");
  ADD(w, ") {\n");
  xlm_fused_add_indices(w->t, s, "u32", "column", s->n_outer, s->n_dims);
}

static void open_column_chunk(const writer *w) { // `row` is the row of its elements
  const xlm_fused_shape *s = w->s;
  ADD(w, "    i64 row = first + team + k * %d;\n    if (row < end", s->teams);
  if (has_part_chunk(s)) ADD(w, " && column < %lld", (long long)s->len);
  ADD(w, ") {\n");
  xlm_fused_add_indices(w->t, s, "i64", "row", 0, s->n_outer);
}

static void open_chunks(const writer *w) {
  ADD(w, "    UNROLL\n    for (int k = 0; k < %d; k++) {\n", w->s->chunks);
  (w->s->form == XLM_FUSED_ROWS ? open_row_chunk : open_column_chunk)(w);
}

static void close_chunks(const writer *w) {
  ADD(w, "    }\n    }\n");
}

static void need(writer *w, uint16_t reg) {
  if (w->needed[reg]) return;
  w->needed[reg] = true;
  if (reg < w->code->n_in) return;
  const xlm_code_instr *at = &w->code->at[reg - w->code->n_in];
  for (int i = 0; i < xlm_fn_arity((xlm_fn)at->fn); i++)
    if (at->a[i] != XLM_CODE_IMM) need(w, at->a[i]);
}

// The needed registers of one element, j.
static void add_registers(const writer *w) {
  char name[24];
  int n_in = w->code->n_in;
  for (int k = 0; k < n_in; k++)
    if (w->needed[k]) xlm_fused_add_value(w->t, w->s, k, is_wide(w, k), name_of(w, k, name, sizeof name));
  for (int k = 0; k < w->code->n; k++) {
    if (!w->needed[n_in + k]) continue;
    if (!xlm_fn_is_row(w->code->at[k].fn)) {
      xlm_fused_add_instr(w->t, w->code, k);
      continue;
    }
    ADD(w, "        float q%d = ", n_in + k);
    xlm_fused_add_row_value(w->t, w->steps, k);
    ADD(w, ";\n");
  }
}

// Opens a loop over the chunks and one over their elements, in which the needed registers are declared.
static void open_elements(const writer *w, const char *declarations) {
  open_chunks(w);
  for (int k = 0; k < w->s->n_in && w->s->form == XLM_FUSED_ROWS; k++) {
    if (!w->needed[k] || xlm_fused_by_row(w->s, k) || !is_wide(w, k)) continue;
    add_declaration(w, k);
    add_load(w, k);
  }
  ADD(w, "%s      UNROLL\n      for (int j = 0; j < %d; j++) {\n", declarations, w->s->vector);
  add_registers(w);
}

// ---- steps

static int half_of_scratch(const writer *w) {
  int most = 0;
  for (int step = 0; step < w->steps->n; step++)
    if (most < xlm_fused_step_sums(w->steps, step)) most = xlm_fused_step_sums(w->steps, step);
  return most * w->s->team / 32;
}

// A block's warps add up the sums of a step: each warp puts its own into a half of `scratch`, the halves in
// turn, so that one barrier serves: the other half's was read before it.
static void add_block_sum(const writer *w, int step) {
  const xlm_fused_steps *p = w->steps;
  int n = xlm_fused_step_sums(p, step), warps = w->s->team / 32, at = 0;
  ADD(w, "    {\n    float *put = scratch + turn * %d;\n    turn = 1 - turn;\n    if (THREAD %% 32 == 0) {\n",
      half_of_scratch(w));
  for (int i = 0; i < p->n_sums; i++)
    if (p->sums[i].step == step) ADD(w, "      put[THREAD / 32 * %d + %d] = sum%d;\n", n, at++, i);
  ADD(w, "    }\n");
  ADD(w, "    BARRIER();\n"); // all warps' sums are there
  for (int i = at = 0; i < p->n_sums; i++)
    if (p->sums[i].step == step) ADD(w, "    sum%d = put[%d];\n", i, at++);
  ADD(w, "    for (int of = 1; of < %d; of++) {\n", warps);
  for (int i = at = 0; i < p->n_sums; i++)
    if (p->sums[i].step == step) ADD(w, "      sum%d += put[of * %d + %d];\n", i, n, at++);
  ADD(w, "    }\n    }\n");
}

static void add_team_sum(const writer *w, int step) {
  const xlm_fused_steps *p = w->steps;
  int lanes = w->s->team < 32 ? w->s->team : 32;
  ADD(w, "    for (int d = %d; d > 0; d /= 2) {\n", lanes / 2);
  for (int i = 0; i < p->n_sums; i++)
    if (p->sums[i].step == step) ADD(w, "      sum%d += SHUFFLE_XOR(sum%d, d);\n", i, i);
  ADD(w, "    }\n");
  if (w->s->team > 32) add_block_sum(w, step);
}

static void add_step(writer *w, int step) {
  const xlm_fused_steps *p = w->steps;
  memset(w->needed, 0, sizeof w->needed);
  for (int i = 0; i < p->n_sums; i++) {
    if (p->sums[i].step != step) continue;
    ADD(w, "    float sum%d = 0;\n", i);
    for (int r = 0; r < p->sums[i].n_reads; r++) need(w, p->sums[i].reads[r]);
  }
  open_elements(w, "");
  for (int i = 0; i < p->n_sums; i++)
    if (p->sums[i].step == step) ADD(w, "        sum%d += %s;\n", i, p->sums[i].of);
  ADD(w, "      }\n");
  close_chunks(w);
  add_team_sum(w, step);
  xlm_fused_add_row_numbers(w->t, p, step);
}

// ---- results

// Elements of a summed result that a thread has a sum of.
static int totals_of(const xlm_fused_shape *s) {
  return s->form == XLM_FUSED_ROWS ? s->chunks * s->vector : s->vector;
}

static void add_results(writer *w) {
  const xlm_fused_shape *s = w->s;
  xlm_text y = xlm_text_new(w->t->arena);
  memset(w->needed, 0, sizeof w->needed);
  for (int i = 0; i < w->code->n_out; i++) need(w, w->code->out[i]);
  for (int i = 0; i < s->n_whole; i++) xlm_text_printf(&y, "      float y%d[%d];\n", i, s->vector);
  open_elements(w, y.data);
  for (int i = 0; i < s->n_whole; i++) ADD(w, "        y%d[j] = q%u;\n", i, w->code->out[i]);
  const char *chunk = s->form == XLM_FUSED_ROWS ? xlm_arena_printf(y.arena, "k * %d + ", s->vector) : "";
  for (int i = 0; i < s->n_summed; i++)
    ADD(w, "        total%d[%sj] += q%u;\n", i, chunk, w->code->out[s->n_whole + i]);
  ADD(w, "      }\n");
  for (int i = 0; i < s->n_whole; i++) xlm_fused_add_store(w->t, s, i);
  close_chunks(w);
}

// ---- sums over rows

// A team that is the block: each thread has the sums of its columns.
static void add_own_totals(const writer *w) {
  const xlm_fused_shape *s = w->s;
  if (!s->n_summed) return;
  open_chunks(w);
  for (int i = 0; i < s->n_summed; i++)
    ADD(w,
        "      {\n      struct vec_float r;\n      UNROLL\n      for (int j = 0; j < %d; j++) r.at[j] = "
        "total%d[k * %d + j];\n"
        "      STORE((struct vec_float *)((float *)p.at[%d] + part * %lld + column), r);\n      }\n",
        s->vector, i, s->vector, s->n_in + s->n_whole + i, (long long)s->len);
  close_chunks(w);
}

static int64_t tile_width(const xlm_fused_shape *s) {
  return s->form == XLM_FUSED_ROWS ? s->len : (int64_t)s->team * s->vector;
}

// Of several teams: added up in their order.
static void add_team_totals(const writer *w, int i) {
  const xlm_fused_shape *s = w->s;
  long long width = tile_width(s), len = s->len;
  bool rows = s->form == XLM_FUSED_ROWS;
  ADD(w, "    BARRIER();\n"); // the tile is read no more
  ADD(w, "    UNROLL\n    for (int k = 0; k < %d; k++) {\n", totals_of(s));
  ADD(w, "      u32 at = (k / %d * %d + lane) * %d + k %% %d;\n", s->vector, s->team, s->vector, s->vector);
  ADD(w, "      if (at < %lld) tile[team * %lld + at] = total%d[k];\n    }\n", width, width, i);
  ADD(w, "    BARRIER();\n"); // all teams' sums are there
  ADD(w, "    for (u32 at = THREAD; at < %lld", width);
  if (!rows) ADD(w, " && tile_at + at < %lld", len);
  ADD(w, "; at += %d) {\n      float all = tile[at];\n", xlm_fused_threads(s));
  ADD(w, "      for (int of = 1; of < %d; of++) all += tile[of * %lld + at];\n", s->teams, width);
  ADD(w, "      ((float *)p.at[%d])[part * %lld + %sat] = all;\n    }\n", s->n_in + s->n_whole + i, len,
      rows ? "" : "tile_at + ");
}

// ---- the kernel

static void add_chunk_loads(const writer *w) {
  for (int k = 0; k < w->s->n_in; k++)
    if (in_chunks(w, k)) add_declaration(w, k);
  open_chunks(w);
  for (int k = 0; k < w->s->n_in; k++)
    if (in_chunks(w, k)) add_load(w, k);
  close_chunks(w);
}

static void add_rows(writer *w) {
  const xlm_fused_shape *s = w->s;
  ADD(w, "    for (i64 first = begin; first < end; first += %d) {\n    i64 row = first + team;\n", s->teams);
  if (s->teams > 1) ADD(w, "    int mine = row < end;\n");
  xlm_fused_add_indices(w->t, s, "i64", "row", 0, s->n_outer);
  add_loads(w, true, false, s->teams > 1 ? "mine" : NULL);
  add_chunk_loads(w);
  for (int step = 0; step < w->steps->n; step++) add_step(w, step);
  add_results(w);
  ADD(w, "    }\n");
}

static void add_columns(writer *w) {
  const xlm_fused_shape *s = w->s;
  ADD(w, "    u32 tile_at = unit %% %lld * %d, column = tile_at + lane * %d;\n", (long long)s->tiles,
      s->team * s->vector, s->vector);
  xlm_fused_add_indices(w->t, s, "u32", "column", s->n_outer, s->n_dims);
  // Teams without rows read nothing: a single row may be a result's memory, which another team writes.
  add_loads(w, false, true,
            xlm_arena_printf(w->t->arena, "begin + team < end && column < %lld", (long long)s->len));
  ADD(w, "    for (i64 first = begin; first < end; first += %d) {\n", s->teams * s->chunks);
  add_chunk_loads(w);
  add_results(w);
  ADD(w, "    }\n");
}

static void add_shared(const writer *w) {
  const xlm_fused_shape *s = w->s;
  if (s->form == XLM_FUSED_ROWS && s->team > 32)
    ADD(w, "  SHARED(float, scratch, %d);\n  int turn = 0;\n", 2 * half_of_scratch(w));
  if (s->teams > 1 && s->n_summed)
    ADD(w, "  SHARED(float, tile, %lld);\n", (long long)(s->teams * tile_width(s)));
}

void xlm_fused_add_rows(xlm_text *t, const xlm_fused_shape *s) {
  writer *w = XLM_NEW(t->arena, writer);
  *w = (writer){.t = t, .s = s, .code = s->code, .steps = xlm_fused_steps_of(t->arena, s)};
  xlm_text_add(t, xlm_fused_row_functions);
  ADD(w, "KERNEL(struct operands, %d, %d) {\n", xlm_fused_threads(s), xlm_fused_held(s));
  add_shared(w);
  ADD(w, "  u32 lane = THREAD %% %d, team = THREAD / %d;\n", s->team, s->team);
  add_loads(w, false, false, NULL);
  ADD(w, "  for (i64 unit = BLOCK; unit < %lld; unit += BLOCKS) {\n", (long long)xlm_fused_blocks(s));
  ADD(w,
      "    i64 part = unit / %lld, begin = part * %lld, end = begin + %lld;\n    if (end > %lld) end = "
      "%lld;\n",
      (long long)s->tiles, (long long)s->per, (long long)s->per, (long long)s->rows, (long long)s->rows);
  for (int i = 0; i < s->n_summed; i++) ADD(w, "    float total%d[%d] = {0};\n", i, totals_of(s));
  (s->form == XLM_FUSED_ROWS ? add_rows : add_columns)(w);
  if (s->teams == 1) add_own_totals(w);
  for (int i = 0; i < s->n_summed && s->teams > 1; i++) add_team_totals(w, i);
  ADD(w, "  }\n}\n");
}
