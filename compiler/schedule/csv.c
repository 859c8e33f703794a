// Reads schedules as CSV: a line per stage, a cell per entry. Empty cells are idle time and are ignored, so
// that tables drawn on a time axis can be read. Only the syntax is checked here; check.c checks the schedule.
#include <string.h>

#include "compiler/schedule/schedule_priv.h"

typedef struct reader {
  const char *path, *at, *end, *line_start;
  int line;
  xlm_schedule_plan *s;
  xlm_arena *arena;
  xlm_error *err;
} reader;

static int column(const reader *r, const char *at) {
  return (int)(at - r->line_start) + 1;
}

static const char *end_of_line(const reader *r) { // excluding comment and carriage return
  const char *p = r->at;
  while (p < r->end && *p != '\n' && *p != '#') p++;
  return p;
}

static bool blank(char ch) {
  return ch == ' ' || ch == '\t' || ch == '\r';
}

static bool number(const char **at, const char *end, int64_t *out) { // at most 9 digits
  const char *p = *at;
  for (*out = 0; p < end && *p >= '0' && *p <= '9' && p - *at < 10; p++) *out = *out * 10 + (*p - '0');
  bool ok = p > *at && p - *at < 10;
  *at = p;
  return ok;
}

static bool kind_of(char ch, xlm_segment_kind *out) {
  for (int k = XLM_SEG_F; k <= XLM_SEG_W; k++)
    if (*xlm_segment_name((xlm_segment_kind)k) == ch) return *out = (xlm_segment_kind)k, true;
  return false;
}

static xlm_status refuse(const reader *r, const char *cell, const char *end) {
  int n = (int)(end - cell > 32 ? 32 : end - cell);
  return xlm_fail(
      r->err, XLM_USER,
      "%s:%d:%d: `%.*s` is not an entry of a schedule; write F, B or W and the microbatch, F0, and "
      "with several chunks also the chunk, F0.1",
      r->path, r->line, column(r, cell), n, cell);
}

static xlm_status read_cell(reader *r, int stage, const char *cell, const char *end) {
  xlm_segment_kind kind;
  int64_t microbatch, chunk = 0;
  const char *p = cell + 1;
  if (!kind_of(*cell, &kind) || !number(&p, end, &microbatch)) return refuse(r, cell, end);
  if (p < end && *p == '.') {
    p++;
    if (!number(&p, end, &chunk)) return refuse(r, cell, end);
  }
  if (p < end) return refuse(r, cell, end);
  if (microbatch >= r->s->microbatches)
    return xlm_fail(r->err, XLM_USER, "%s:%d:%d: microbatch %lld is too large; there are %lld, from 0",
                    r->path, r->line, column(r, cell), (long long)microbatch, (long long)r->s->microbatches);
  if (chunk >= r->s->chunks)
    return xlm_fail(r->err, XLM_USER, "%s:%d:%d: chunk %lld is too large; each stage has %d, from 0", r->path,
                    r->line, column(r, cell), (long long)chunk, r->s->chunks);
  r->s->split_weights |= kind == XLM_SEG_W;
  xlm_schedule_push(r->arena, &r->s->stage[stage], kind, (int)chunk, microbatch);
  return XLM_OK;
}

static xlm_status read_cells(reader *r, int stage, const char *end) {
  while (r->at < end) {
    const char *comma = memchr(r->at, ',', (size_t)(end - r->at)), *last = comma ? comma : end;
    const char *cell = r->at, *stop = last;
    while (cell < stop && blank(*cell)) cell++;
    while (stop > cell && blank(stop[-1])) stop--;
    if (cell < stop) XLM_TRY(read_cell(r, stage, cell, stop));
    r->at = comma ? comma + 1 : end;
  }
  xlm_schedule_push(r->arena, &r->s->stage[stage], XLM_SEG_STEP, 0, -1);
  return XLM_OK;
}

static bool only_blank(const char *at, const char *end) {
  while (at < end && blank(*at)) at++;
  return at == end;
}

static xlm_status read_lines(reader *r) {
  int stage = 0;
  for (; r->at < r->end; r->line++) {
    r->line_start = r->at;
    const char *end = end_of_line(r),
               *newline = end < r->end ? memchr(end, '\n', (size_t)(r->end - end)) : NULL;
    if (!only_blank(r->at, end)) {
      if (stage == r->s->stages)
        return xlm_fail(r->err, XLM_USER,
                        "%s:%d:1: one line too many: the pipeline has %d stages, each one line", r->path,
                        r->line, r->s->stages);
      XLM_TRY(read_cells(r, stage++, end));
    }
    r->at = newline ? newline + 1 : r->end;
  }
  if (stage == r->s->stages) return XLM_OK;
  return xlm_fail(r->err, XLM_USER,
                  "%s:%d:1: the schedule has %d lines and the pipeline %d stages; write one line for each",
                  r->path, r->line, stage, r->s->stages);
}

xlm_status xlm_schedule_read_csv(xlm_arena *a, const char *path, const char *text, size_t n, int stages,
                                 int chunks, int64_t microbatches, xlm_schedule_plan **out, xlm_error *err) {
  XLM_TRY(xlm_schedule_new(a, path, stages, chunks, microbatches, false, out, err));
  reader r = {.path = path, .at = text, .end = text + n, .line = 1, .s = *out, .arena = a, .err = err};
  if (n >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) r.at += 3; // the byte order mark of spreadsheet programs
  return read_lines(&r);
}

void xlm_schedule_print_csv(const xlm_schedule_plan *s, xlm_text *out) {
  xlm_text_printf(out, "# %s: %d stages, %d chunks each, %lld microbatches\n", s->name, s->stages, s->chunks,
                  (long long)s->microbatches);
  for (int st = 0; st < s->stages; st++) {
    const char *comma = "";
    for (uint32_t i = 0; i < s->stage[st].n; i++) {
      if (s->stage[st].at[i].kind == XLM_SEG_STEP) continue;
      xlm_text_printf(out, "%s%s", comma, xlm_schedule_entry(s, s->stage[st].at[i]).text);
      comma = ",";
    }
    xlm_text_add(out, "\n");
  }
}
