// Source text: the line table, and lines and columns for messages.
#include "compiler/diagnose/source.h"

#include <string.h>

xlm_source *xlm_source_new(xlm_arena *a, const char *path, const char *text, size_t n) {
  if (n >= UINT32_MAX) n = UINT32_MAX - 2; // far above what xlm_parse accepts
  xlm_source *s = XLM_NEW(a, xlm_source);
  s->path = path;
  s->text = text;
  s->n = (uint32_t)n;
  s->lines = 1;
  for (const char *p = text; (p = memchr(p, '\n', (size_t)(text + n - p))); p++) s->lines++;
  uint32_t *start = XLM_NEW_N(a, uint32_t, s->lines);
  uint32_t line = 1;
  for (const char *p = text; (p = memchr(p, '\n', (size_t)(text + n - p))); p++)
    start[line++] = (uint32_t)(p + 1 - text);
  s->line_start = start;
  xlm_source_split(a, s);
  return s;
}

uint32_t xlm_source_line(const xlm_source *s, uint32_t offset) {
  if (offset > s->n) offset = s->n;
  uint32_t low = 0, high = s->lines; // line_start[low] <= offset < line_start[high]
  while (high - low > 1) {
    uint32_t mid = low + (high - low) / 2;
    if (s->line_start[mid] <= offset)
      low = mid;
    else
      high = mid;
  }
  return low + 1;
}

const xlm_source_file *xlm_source_file_at(const xlm_source *s, uint32_t offset) {
  uint32_t low = 0, high = s->n_files; // files[low].begin <= offset < files[high].begin
  while (high - low > 1) {
    uint32_t mid = low + (high - low) / 2;
    if (s->files[mid].begin <= offset)
      low = mid;
    else
      high = mid;
  }
  return &s->files[low];
}

void xlm_source_place(const xlm_source *s, uint32_t offset, uint32_t *line, uint32_t *column) {
  if (offset > s->n) offset = s->n;
  uint32_t whole = xlm_source_line(s, offset), characters = 0;
  for (uint32_t i = s->line_start[whole - 1]; i < offset; i++)
    characters += ((unsigned char)s->text[i] & 0xC0) != 0x80;
  uint32_t before = xlm_source_file_at(s, offset)->before;
  *line = whole > before ? whole - before : 1;
  *column = characters + 1;
}

const char *xlm_source_where(xlm_arena *a, const xlm_source *s, xlm_span span) {
  uint32_t line, column;
  xlm_source_place(s, span.begin, &line, &column);
  return xlm_arena_printf(a, "%s:%u", xlm_source_file_at(s, span.begin)->path, line);
}
