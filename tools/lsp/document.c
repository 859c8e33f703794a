// Open documents. Positions of the protocol are lines and UTF-16 units, ours are bytes of UTF-8.
#include <stdlib.h>
#include <string.h>

#include "compiler/parse/load.h"
#include "tools/lsp/lsp_priv.h"

// --- positions

static bool ends_line(const char *text, size_t i) { // text[n] is 0
  return text[i] == '\n' || (text[i] == '\r' && text[i + 1] != '\n');
}

// Where lines begin; NULL: no memory.
static uint32_t *find_lines(const char *text, size_t n, uint32_t *lines) {
  *lines = 1;
  for (size_t i = 0; i < n; i++) *lines += ends_line(text, i);
  uint32_t *start = calloc(*lines, sizeof *start), line = 1;
  for (size_t i = 0; start && i < n; i++)
    if (ends_line(text, i)) start[line++] = (uint32_t)i + 1;
  return start;
}

// The length in bytes and in UTF-16 units of the character that begins with this byte. Texts are valid UTF-8,
// as all strings of JSON.
static uint32_t character(unsigned char c, uint32_t *units) {
  *units = c >= 0xF0 ? 2 : 1;
  return c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

// Beyond the end of a line: its end, as the protocol says.
static uint32_t offset_of(const lsp_document *d, int64_t line, int64_t column) {
  if (line < 0) return 0;
  if (line >= d->lines) return (uint32_t)d->n;
  uint32_t at = d->line_start[line], end = line + 1 < d->lines ? d->line_start[line + 1] : (uint32_t)d->n,
           units;
  while (end > at && (d->text[end - 1] == '\n' || d->text[end - 1] == '\r')) end--;
  for (int64_t i = 0; at < end && i < column; i += units) at += character((unsigned char)d->text[at], &units);
  return at < end ? at : end;
}

static void put_position(const lsp_document *d, xlm_json *j, const char *key, uint32_t offset) {
  if (offset > d->n) offset = (uint32_t)d->n;
  uint32_t low = 0, high = d->lines, column = 0, units; // line_start[low] <= offset
  while (high - low > 1) {
    uint32_t mid = low + (high - low) / 2;
    if (d->line_start[mid] <= offset)
      low = mid;
    else
      high = mid;
  }
  for (uint32_t i = d->line_start[low]; i < offset; column += units)
    i += character((unsigned char)d->text[i], &units);
  xlm_json_object(j, key, XLM_JSON_DENSE);
  xlm_json_put_int(j, "line", low);
  xlm_json_put_int(j, "character", column);
  xlm_json_close(j);
}

void lsp_put_range(const lsp_document *d, xlm_json *j, const char *key, xlm_span span) {
  uint32_t begin = span.begin > d->shift ? span.begin - d->shift : 0,
           end = span.end > d->shift ? span.end - d->shift : 0;
  xlm_json_object(j, key, XLM_JSON_DENSE);
  put_position(d, j, "start", begin);
  put_position(d, j, "end", end);
  xlm_json_close(j);
}

void lsp_put_location(const lsp_session *s, const lsp_document *d, xlm_json *j, const char *key,
                      xlm_span span) {
  if (!lsp_is_here(d, span)) {
    lsp_put_elsewhere(s, d, j, key, span);
    return;
  }
  xlm_json_object(j, key, XLM_JSON_DENSE);
  xlm_json_put_text(j, "uri", d->uri);
  lsp_put_range(d, j, "range", span);
  xlm_json_close(j);
}

static bool read_position(const lsp_document *d, const json_t *p, uint32_t *out) {
  const json_t *line = json_object_get(p, "line"), *column = json_object_get(p, "character");
  if (!json_is_integer(line) || !json_is_integer(column)) return false;
  *out = offset_of(d, json_integer_value(line), json_integer_value(column));
  return true;
}

// --- documents

static lsp_document *find_uri(lsp_session *s, const char *uri) {
  lsp_document *d = s->documents;
  while (d && (!uri || strcmp(d->uri, uri) != 0)) d = d->next;
  return d;
}

static const char *uri_of(const json_t *params) {
  return json_string_value(json_object_get(json_object_get(params, "textDocument"), "uri"));
}

lsp_document *lsp_find(lsp_session *s, const json_t *params) {
  const char *uri = uri_of(params);
  lsp_document *d = find_uri(s, uri);
  if (!uri)
    (void)lsp_refuse(s, LSP_INVALID_PARAMS, "there is no textDocument.uri");
  else if (!d)
    (void)lsp_refuse(s, LSP_INVALID_PARAMS, "the document %s is not open", uri);
  return d;
}

static void forget(lsp_document *d) {
  xlm_arena_free(d->arena);
  free(d->line_start);
  free(d->text);
  free(d->uri);
  free(d);
}

void lsp_forget_all(lsp_session *s) {
  for (lsp_document *d; (d = s->documents);) {
    s->documents = d->next;
    forget(d);
  }
}

// Replaces bytes begin .. end. False: no memory, or more than the 4 GiB that spans can count; nothing is
// changed.
static bool replace(lsp_document *d, size_t begin, size_t end, const char *text, size_t n) {
  size_t total = d->n - (end - begin) + n;
  uint32_t lines;
  char *made = total < UINT32_MAX ? malloc(total + 1) : NULL;
  if (!made) return false;
  if (begin) memcpy(made, d->text, begin);
  memcpy(made + begin, text, n);
  if (d->n > end) memcpy(made + begin + n, d->text + end, d->n - end);
  made[total] = 0;
  uint32_t *start = find_lines(made, total, &lines);
  free(start ? d->text : made);
  if (!start) return false;
  free(d->line_start);
  d->text = made;
  d->n = total;
  d->line_start = start;
  d->lines = lines;
  d->stale = d->unpublished = true;
  return true;
}

static void set_version(lsp_document *d, const json_t *params) {
  const json_t *v = json_object_get(json_object_get(params, "textDocument"), "version");
  d->has_version = json_is_integer(v);
  d->version = json_integer_value(v);
}

static void take_out(lsp_session *s, lsp_document *d) {
  lsp_document **at = &s->documents;
  while (*at != d) at = &(*at)->next;
  *at = d->next;
  forget(d);
}

static lsp_document *new_document(lsp_session *s, const char *uri) {
  lsp_document *d = calloc(1, sizeof *d);
  if (!d) return NULL;
  d->next = s->documents;
  s->documents = d;
  d->uri = strdup(uri);
  if (d->uri) return d;
  take_out(s, d);
  return NULL;
}

// Without memory for its text a document counts as closed: requests about it get errors.
void lsp_open(lsp_session *s, const json_t *params) {
  const json_t *text = json_object_get(json_object_get(params, "textDocument"), "text");
  const char *uri = uri_of(params);
  if (!uri || !json_is_string(text)) return;
  lsp_document *d = find_uri(s, uri);
  if (!d) d = new_document(s, uri);
  if (!d) return;
  set_version(d, params);
  if (!replace(d, 0, d->n, json_string_value(text), json_string_length(text))) take_out(s, d);
}

static bool edit(lsp_document *d, const json_t *change) {
  const json_t *text = json_object_get(change, "text"), *range = json_object_get(change, "range");
  uint32_t begin = 0, end = (uint32_t)d->n;
  if (!json_is_string(text)) return true;
  if (json_is_object(range) && (!read_position(d, json_object_get(range, "start"), &begin) ||
                                !read_position(d, json_object_get(range, "end"), &end) || end < begin))
    return true;
  return replace(d, begin, end, json_string_value(text), json_string_length(text));
}

void lsp_change(lsp_session *s, const json_t *params) {
  lsp_document *d = find_uri(s, uri_of(params));
  const json_t *changes = json_object_get(params, "contentChanges");
  bool ok = true;
  if (!d) return;
  set_version(d, params);
  for (size_t i = 0; ok && i < json_array_size(changes); i++) ok = edit(d, json_array_get(changes, i));
  if (!ok) take_out(s, d);
}

// Other open models may use the file.
void lsp_saved(lsp_session *s, const json_t *params) {
  (void)params;
  for (lsp_document *d = s->documents; d; d = d->next)
    if (d->view && d->view->source->n_files > 1) d->stale = d->unpublished = true;
}

void lsp_close_document(lsp_session *s, const json_t *params) {
  lsp_document *d = find_uri(s, uri_of(params));
  if (!d) return;
  xlm_text t = xlm_text_new(s->scratch);
  xlm_json j;
  xlm_json_to_text(&j, &t);
  xlm_json_object(&j, NULL, XLM_JSON_DENSE);
  xlm_json_put_text(&j, "uri", d->uri);
  xlm_json_array(&j, "diagnostics", XLM_JSON_DENSE);
  xlm_json_close(&j);
  xlm_json_close(&j);
  take_out(s, d);
  lsp_notify(s, "textDocument/publishDiagnostics", t.data);
}

// --- analysis

static const char *path_of(xlm_arena *a, const char *uri) { // for messages and the model's name
  static const char scheme[] = "file://";
  char *path = xlm_arena_strdup(a, strncmp(uri, scheme, sizeof scheme - 1) ? uri : uri + sizeof scheme - 1),
       *out = path;
  for (const char *p = path; *p; p++) {
    char hex[3] = {*p == '%' ? p[1] : 0, *p == '%' && p[1] ? p[2] : 0, 0}, *end = hex;
    long c = strtol(hex, &end, 16);
    bool escape = hex[0] && hex[1] && !*end && c > 0;
    *out++ = escape ? (char)c : *p;
    if (escape) p += 2;
  }
  *out = 0;
  return path;
}

const xlm_inspection *lsp_view(lsp_session *s, lsp_document *d) {
  if (d->stale) {
    xlm_arena_free(d->arena);
    d->view = NULL;
    d->shift = 0;
    d->arena = xlm_arena_new(0);
    if (d->arena && XLM_ARENA_TRY(d->arena))
      d->view = xlm_inspect(d->arena, xlm_source_load(d->arena, path_of(d->arena, d->uri), d->text, d->n),
                            s->preset);
    d->stale = false;
    if (d->view && d->view->source->n_files > 1)
      d->shift = (uint32_t)strcspn(d->view->source->text, "\n") + 1;
  }
  if (!d->view) (void)lsp_refuse(s, LSP_REQUEST_FAILED, "there is not enough memory to check this model");
  return d->view;
}

const xlm_inspection *lsp_at(lsp_session *s, const json_t *params, lsp_document **d, uint32_t *offset) {
  *d = lsp_find(s, params);
  if (!*d) return NULL;
  if (!read_position(*d, json_object_get(params, "position"), offset)) {
    (void)lsp_refuse(s, LSP_INVALID_PARAMS, "there is no position");
    return NULL;
  }
  const xlm_inspection *v = lsp_view(s, *d);
  *offset += (*d)->shift;
  return v;
}
