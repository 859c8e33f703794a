// The records of a data file: lines of JSON, rows of a table, or documents that are joined from lines.
#include <inttypes.h>
#include <string.h>

#include "runtime/base/json_parse.h"
#include "runtime/documents/documents.h"
#include "runtime/evaluate/task_priv.h"

enum { BATCH = 1 << 20 };

typedef struct reading {
  xlm_arena *arena;
  const task_rules *rules;
  const char *path, *unit; // "line"
  bool text, more, begun;  // begun: a line has begun a document
  record_visit *visit;
  void *arg;
  xlm_arena *page_arena; // NULL: records are not joined
  xlm_text page;         // lines of the document so far
  int64_t lines, first;  // their number; that of the first
  xlm_error *err;
} reading;

static xlm_status deliver(reading *x, const json_t *record, int64_t number) {
  if (x->visit(x->arg, record, number, &x->more, x->err) == XLM_OK) return XLM_OK;
  return xlm_fail_in(x->err, "'%s', %s %" PRId64, x->path, x->unit, number);
}

// ---- lines

static xlm_status end_page(reading *x, bool last) {
  if (!x->lines || (!last && !*text_strip(x->page_arena, x->page.data))) return XLM_OK;
  json_t *record = json_pack("{s:s%}", x->rules->into, x->page.data, x->page.n);
  if (!record) return xlm_fail(x->err, XLM_ENV, "no memory for the documents of '%s'", x->path);
  xlm_status s = deliver(x, record, x->first);
  json_decref(record);
  return s;
}

static void start_page(reading *x) {
  xlm_arena_clear(x->page_arena);
  x->page = xlm_text_new(x->page_arena);
  x->lines = 0;
}

static xlm_status add_line(reading *x, const char *line, size_t n, int64_t number) {
  const char *text = xlm_arena_strndup(x->page_arena, line, n);
  bool first;
  if (!text_is_utf8(line, n))
    return xlm_fail(x->err, XLM_USER, "'%s', %s %" PRId64 ": this is not UTF-8", x->path, x->unit, number);
  XLM_TRY(clean_matches(x->rules->first_line, text, &first, x->err));
  if (first) {
    XLM_TRY(end_page(x, false));
    text = xlm_arena_strndup(x->arena, line, n);
    start_page(x);
    x->begun = true;
  }
  if (!x->lines++) x->first = number;
  if (x->lines > 1) xlm_text_add(&x->page, "\n");
  xlm_text_add(&x->page, text);
  return XLM_OK;
}

static xlm_status add_text(reading *x, const char *text, size_t n) {
  const char *end = text + n;
  for (int64_t number = 1; x->more; number++) {
    const char *newline = memchr(text, '\n', (size_t)(end - text)), *stop = newline ? newline : end;
    XLM_TRY(add_line(x, text, (size_t)(stop - text), number));
    if (!newline) break;
    text = newline + 1;
  }
  return XLM_OK;
}

// A row with a line: with its end, or empty.
static xlm_status add_row(reading *x, const json_t *row, int64_t number) {
  const json_t *v = json_object_get(row, x->rules->line_field);
  if (!json_is_string(v))
    return xlm_fail(x->err, XLM_USER, "'%s', %s %" PRId64 ": there is no \"%s\" as in the rows before",
                    x->path, x->unit, number, x->rules->line_field);
  const char *line = json_string_value(v);
  size_t n = json_string_length(v);
  if (!n) return add_line(x, x->rules->empty_line, strlen(x->rules->empty_line), number);
  return add_line(x, line, n - (line[n - 1] == '\n'), number);
}

// ---- records

// Rows are lines if they have the field of lines and not that of documents.
static void look_for_lines(reading *x, const json_t *record) {
  const task_rules *r = x->rules;
  if (!r->into || json_object_get(record, r->into) || !json_object_get(record, r->line_field)) return;
  x->page_arena = xlm_arena_child(x->arena);
  start_page(x);
}

static xlm_status add_record(reading *x, const json_t *record, int64_t number) {
  if (!json_is_object(record))
    return xlm_fail(x->err, XLM_USER, "'%s', %s %" PRId64 ": this is no JSON object", x->path, x->unit,
                    number);
  if (number == 1) look_for_lines(x, record);
  return x->page_arena ? add_row(x, record, number) : deliver(x, record, number);
}

static xlm_status parse(reading *x, const xlm_document *d) {
  static const char first_line[] = "line 1, "; // a line of ours is a text to the parser
  json_t *record;
  xlm_error why = {0};
  int64_t number = (x->unit[0] == 'l' ? d->at.line : d->at.document) + 1;
  xlm_status s = xlm_json_parse(d->text, d->n, JSON_DECODE_ANY, "a record", &record, &why);
  const char *text = why.text;
  if (!strncmp(text, first_line, sizeof first_line - 1)) text += sizeof first_line - 1;
  if (s != XLM_OK) return xlm_fail(x->err, s, "'%s', %s %" PRId64 ": %s", x->path, x->unit, number, text);
  s = add_record(x, record, number);
  json_decref(record);
  return s;
}

static xlm_status read_batches(reading *x, xlm_documents *d, xlm_document_batch *b) {
  do {
    XLM_TRY(xlm_documents_read(d, BATCH, b, x->err));
    for (size_t i = 0; i < b->n && x->more; i++)
      XLM_TRY(x->text ? add_text(x, b->documents[i].text, b->documents[i].n) : parse(x, &b->documents[i]));
  } while (b->n && x->more);
  if (!x->page_arena || !x->more) return XLM_OK;
  if (!x->text && !x->begun)
    return xlm_fail(x->err, XLM_USER, "'%s': no row begins a document: is this the data of the task?",
                    x->path);
  if (!x->text) XLM_TRY(add_line(x, "", 0, 0)); // the last row ended with its line
  return end_page(x, true);
}

xlm_status records_read(xlm_arena *a, const task_rules *r, const char *path, record_visit *f, void *arg,
                        xlm_error *err) {
  const char *kind = xlm_documents_kind(path);
  reading x = {.arena = a, .rules = r, .path = path, .more = true, .visit = f, .arg = arg, .err = err};
  xlm_documents *d;
  xlm_document_batch b = {0};
  XLM_TRY(xlm_documents_open(&path, 1, (xlm_documents_options){.whole = true}, &d, err));
  x.text = kind && !strncmp(kind, "text", 4);
  x.unit = kind && !strcmp(kind, "Parquet") ? "row" : "line";
  xlm_status s = XLM_OK;
  if (x.text && !r->into)
    s = xlm_fail(err, XLM_USER, "'%s' is a text: this task reads records, as JSON lines or Parquet", path);
  else if (x.text)
    x.page_arena = xlm_arena_child(a), start_page(&x);
  if (s == XLM_OK) s = read_batches(&x, d, &b);
  xlm_document_batch_free(&b);
  xlm_documents_close(d);
  return s;
}
