// Models of several files. The source of the analysis has the document first, then the files that it uses
// (compiler/parse/load.h); a place in one of these has that file's address.
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tools/lsp/lsp_priv.h"

bool lsp_is_here(const lsp_document *d, xlm_span span) {
  return !d->view || span.begin < d->view->source->files[0].end;
}

static const char *address(xlm_arena *a, const char *path) {
  char real[PATH_MAX];
  xlm_text t = xlm_text_new(a);
  xlm_text_add(&t, "file://");
  for (const char *p = realpath(path, real) ? real : path; *p; p++) {
    bool plain = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                 strchr("/-._~", *p);
    xlm_text_printf(&t, plain ? "%c" : "%%%02X", plain ? *p : (unsigned char)*p);
  }
  return t.data;
}

static void put_position(const xlm_source *s, xlm_json *j, const char *key, uint32_t offset) {
  uint32_t line, column, units = 0;
  xlm_source_place(s, offset, &line, &column);
  for (uint32_t i = s->line_start[xlm_source_line(s, offset) - 1]; i < offset; i++) {
    unsigned char c = (unsigned char)s->text[i];
    units += c >= 0xF0 ? 2 : (c & 0xC0) != 0x80; // UTF-16
  }
  xlm_json_object(j, key, XLM_JSON_DENSE);
  xlm_json_put_int(j, "line", line - 1);
  xlm_json_put_int(j, "character", units);
  xlm_json_close(j);
}

void lsp_put_elsewhere(const lsp_session *s, const lsp_document *d, xlm_json *j, const char *key,
                       xlm_span span) {
  const xlm_source *source = d->view->source;
  xlm_json_object(j, key, XLM_JSON_DENSE);
  xlm_json_put_text(j, "uri", address(s->scratch, xlm_source_file_at(source, span.begin)->path));
  xlm_json_object(j, "range", XLM_JSON_DENSE);
  put_position(source, j, "start", span.begin);
  put_position(source, j, "end", span.end);
  xlm_json_close(j);
  xlm_json_close(j);
}

// The statement that names the files, for a diagnostic about one of them.
xlm_span lsp_use_of(const lsp_document *d) {
  for (const xlm_stmt *s = d->view->ast->stmts; s; s = s->next)
    if (s->kind == XLM_STMT_USE && lsp_is_here(d, s->span)) return s->span;
  return (xlm_span){d->shift, d->shift + 1};
}
