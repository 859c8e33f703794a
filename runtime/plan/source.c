// Files of a text: found by the lines before them, which only count if the text begins with one.
#include "runtime/plan/source.h"

#include <string.h>

enum { PREFIX = sizeof XLM_FILE_LINE - 1, MOST_FILES = 256 }; // more belong to the last: no model has them

bool xlm_text_has_files(const char *text) {
  return !strncmp(text, XLM_FILE_LINE, PREFIX);
}

static bool starts_file(const char *line, size_t n) {
  return n >= PREFIX && !memcmp(line, XLM_FILE_LINE, PREFIX);
}

static int path_length(const char *path) {
  return (int)strcspn(path, "\r\n");
}

xlm_model_line xlm_text_line(const char *path, const char *text, uint32_t line) {
  xlm_model_line at = {path ? path : "", (int)strlen(path ? path : ""), line};
  if (!text || !xlm_text_has_files(text)) return at;
  const char *p = text;
  for (uint32_t i = 1, first = 0; p && *p; i++) {
    if (xlm_text_has_files(p)) {
      at.path = p + PREFIX;
      at.n = path_length(at.path);
      first = i;
    }
    at.line = line > first ? line - first : 1;
    if (i >= line) break;
    p = (p = strchr(p, '\n')) ? p + 1 : NULL;
  }
  return at;
}

static uint32_t count_files(const xlm_source *s) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->lines; i++)
    n += starts_file(s->text + s->line_start[i], s->n - s->line_start[i]);
  return n < MOST_FILES ? n : MOST_FILES;
}

void xlm_source_split(xlm_arena *a, xlm_source *s) {
  bool several = s->n >= PREFIX && starts_file(s->text, s->n);
  xlm_source_file *f = XLM_NEW_N(a, xlm_source_file, several ? count_files(s) : 1);
  s->files = f;
  s->n_files = 0;
  f[s->n_files++] = (xlm_source_file){.path = s->path, .end = s->n};
  for (uint32_t i = 0; several && i < s->lines; i++) {
    const char *line = s->text + s->line_start[i];
    if (!starts_file(line, s->n - s->line_start[i])) continue;
    if (i && s->n_files == MOST_FILES) break;
    if (i) f[s->n_files - 1].end = s->line_start[i], s->n_files++;
    f[s->n_files - 1] =
        (xlm_source_file){.path = xlm_arena_strndup(a, line + PREFIX, (size_t)path_length(line + PREFIX)),
                          .begin = s->line_start[i],
                          .end = s->n,
                          .before = i + 1};
  }
}
