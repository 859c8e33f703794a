// The documents of a list of files; see documents.h. A line, or a text between separators, is copied once,
// from the buffer of the file into the batch.
#include "runtime/documents/documents.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/documents/documents_priv.h"

enum { BUFFER = 1 << 20, ONE_BY_ONE = 1 << 20 /* bytes of the batches of xlm_documents_next */ };
static const size_t LONGEST = (size_t)1 << 30;

struct xlm_documents {
  const char *const *files;
  int n_files;
  xlm_documents_options o;
  form *forms;
  int64_t *sizes, all, done; // done: bytes of the files before `next.file`
  xlm_document_position next;
  unpack *source; // of the file `next.file`; both NULL: it is not open
  xlm_parquet *table;
  size_t first, n; // of the buffer: what is not used yet
  bool ended;      // the source has nothing behind the buffer
  char *buffer;
  xlm_document_batch one; // of xlm_documents_next
  size_t given;
};

static xlm_status look_at(xlm_documents *d, int i, xlm_error *err) {
  const char *path = d->files[i];
  packing packed;
  const xlm_foreign *foreign;
  struct stat st;
  unpack *u;
  XLM_TRY(xlm_unpack_open(path, &u, err)); // the error of a file that cannot be read
  xlm_unpack_close(u);
  XLM_TRY(xlm_form_of(path, &d->forms[i], &packed, &foreign, err));
  d->sizes[i] = stat(path, &st) ? 0 : st.st_size;
  d->all += d->sizes[i];
  if (d->forms[i] != NO_FORM || !foreign) return XLM_OK;
  return xlm_fail(err, XLM_USER, "'%s' is %s: %s", path, foreign->what, foreign->advice);
}

static xlm_status start(xlm_documents *d, xlm_error *err) {
  d->forms = calloc((size_t)d->n_files + 1, sizeof *d->forms);
  d->sizes = calloc((size_t)d->n_files + 1, sizeof *d->sizes);
  d->buffer = malloc(BUFFER);
  if (!d->forms || !d->sizes || !d->buffer) return xlm_fail(err, XLM_ENV, "no memory to read documents");
  for (int i = 0; i < d->n_files; i++) XLM_TRY(look_at(d, i, err));
  return XLM_OK;
}

xlm_status xlm_documents_open(const char *const *files, int n_files, xlm_documents_options o,
                              xlm_documents **out, xlm_error *err) {
  xlm_documents *d = *out = calloc(1, sizeof *d);
  if (!d) return xlm_fail(err, XLM_ENV, "no memory to read documents");
  if (!o.field) o.field = "text";
  if (!o.longest) o.longest = LONGEST;
  d->files = files, d->n_files = n_files, d->o = o;
  xlm_status s = start(d, err);
  if (s != XLM_OK) xlm_documents_close(d), *out = NULL;
  return s;
}

static void leave_file(xlm_documents *d) {
  xlm_unpack_close(d->source);
  xlm_parquet_close(d->table);
  d->source = NULL, d->table = NULL, d->first = d->n = 0, d->ended = false;
}

void xlm_documents_close(xlm_documents *d) {
  if (!d) return;
  leave_file(d);
  xlm_document_batch_free(&d->one);
  free(d->forms);
  free(d->sizes);
  free(d->buffer);
  free(d);
}

void xlm_document_batch_free(xlm_document_batch *b) {
  free(b->documents);
  free(b->bytes);
  *b = (xlm_document_batch){0};
}

static xlm_status enter_file(xlm_documents *d, xlm_error *err) {
  const char *path = d->files[d->next.file];
  if (d->source || d->table) return XLM_OK;
  if (d->forms[d->next.file] == PARQUET) {
    XLM_TRY(xlm_parquet_open(path, d->o.whole ? NULL : d->o.field, &d->table, err));
    return d->next.document ? xlm_parquet_seek(d->table, d->next.document, err) : XLM_OK;
  }
  XLM_TRY(xlm_unpack_open(path, &d->source, err));
  return xlm_unpack_seek(d->source, d->next.byte, err);
}

static xlm_status no_memory(xlm_error *err) {
  return xlm_fail(err, XLM_ENV, "no memory for the documents of a batch");
}

static xlm_status append(xlm_document_batch *b, const char *p, size_t n, xlm_error *err) {
  if (n > b->cap_bytes - b->n_bytes) {
    size_t cap = b->cap_bytes + (b->cap_bytes > n ? b->cap_bytes : n) + 4096;
    char *more = realloc(b->bytes, cap);
    if (!more) return no_memory(err);
    b->bytes = more, b->cap_bytes = cap;
  }
  if (n) memcpy(b->bytes + b->n_bytes, p, n);
  b->n_bytes += n;
  return XLM_OK;
}

static xlm_status add_document(xlm_document_batch *b, size_t n, xlm_document_position at, xlm_error *err) {
  if (b->n == b->cap) {
    size_t cap = b->cap ? 2 * b->cap : 64;
    xlm_document *more = realloc(b->documents, cap * sizeof *more);
    if (!more) return no_memory(err);
    b->documents = more, b->cap = cap;
  }
  b->documents[b->n++] = (xlm_document){.n = n, .at = at};
  return XLM_OK;
}

static xlm_status refill(xlm_documents *d, xlm_error *err) {
  size_t got;
  memmove(d->buffer, d->buffer + d->first, d->n);
  d->first = 0;
  XLM_TRY(xlm_unpack_read(d->source, d->buffer + d->n, BUFFER - d->n, &got, err));
  d->ended = got < BUFFER - d->n;
  d->n += got;
  return XLM_OK;
}

static xlm_status too_long(const xlm_documents *d, xlm_error *err) {
  const char *path = d->files[d->next.file];
  double mib = (double)d->o.longest / (1 << 20);
  if (d->forms[d->next.file] == JSON_LINES)
    return xlm_fail(err, XLM_USER, "'%s', line %" PRId64 ": the line is longer than %.4g MiB", path,
                    d->next.line + 1, mib);
  return xlm_fail(err, XLM_USER,
                  "'%s': document %" PRId64 " is longer than %.4g MiB: give the text that separates "
                  "documents (--text-separator), or more files",
                  path, d->next.document + 1, mib);
}

static xlm_status use(xlm_documents *d, xlm_document_batch *b, size_t from, size_t n, xlm_error *err) {
  if (n > d->o.longest || b->n_bytes - from > d->o.longest - n) return too_long(d, err);
  XLM_TRY(append(b, d->buffer + d->first, n, err));
  d->first += n, d->n -= n, d->next.byte += (int64_t)n;
  return XLM_OK;
}

// Appends what is left of the file up to the separator, and passes over that. separator "": all.
static xlm_status take_piece(xlm_documents *d, xlm_document_batch *b, const char *separator, xlm_error *err) {
  size_t m = strlen(separator), from = b->n_bytes;
  for (;;) {
    const char *start = d->buffer + d->first, *hit = m ? memmem(start, d->n, separator, m) : NULL;
    if (hit) {
      XLM_TRY(use(d, b, from, (size_t)(hit - start), err));
      d->first += m, d->n -= m, d->next.byte += (int64_t)m, d->next.line++;
      return XLM_OK;
    }
    size_t part = d->ended || !m ? 0 : d->n < m - 1 ? d->n : m - 1; // may be the first bytes of one
    XLM_TRY(use(d, b, from, d->n - part, err));
    if (d->ended) return XLM_OK;
    XLM_TRY(refill(d, err));
  }
}

static bool is_blank(const char *p, size_t n) {
  while (n && strchr(" \t\r\n", *p) && *p) p++, n--;
  return !n;
}

static xlm_status take_text(xlm_documents *d, xlm_document_batch *b, bool *any, xlm_error *err) {
  bool lines = d->forms[d->next.file] == JSON_LINES;
  const char *separator = lines ? "\n" : d->o.separator ? d->o.separator : "";
  size_t from = b->n_bytes;
  do {
    xlm_document_position at = d->next;
    b->n_bytes = from;
    XLM_TRY(take_piece(d, b, separator, err));
    if (b->n_bytes == from || is_blank(b->bytes + from, b->n_bytes - from)) continue;
    *any = true;
    d->next.document++;
    return add_document(b, b->n_bytes - from, at, err);
  } while (!d->ended || d->n);
  b->n_bytes = from;
  return XLM_OK;
}

static xlm_status take_row(xlm_documents *d, xlm_document_batch *b, bool *any, xlm_error *err) {
  const char *text;
  size_t n;
  XLM_TRY(xlm_parquet_next(d->table, &text, &n, err));
  if (!text) return XLM_OK;
  if (n > d->o.longest) return too_long(d, err);
  XLM_TRY(append(b, text, n, err));
  XLM_TRY(add_document(b, n, d->next, err));
  d->next.document++;
  *any = true;
  return XLM_OK;
}

xlm_status xlm_documents_read(xlm_documents *d, size_t bytes, xlm_document_batch *b, xlm_error *err) {
  b->n = b->n_bytes = 0;
  b->from = d;
  while (d->next.file < d->n_files && (!b->n || b->n_bytes < bytes)) {
    bool any = false;
    XLM_TRY(enter_file(d, err));
    XLM_TRY(d->table ? take_row(d, b, &any, err) : take_text(d, b, &any, err));
    if (any) continue;
    leave_file(d);
    d->done += d->sizes[d->next.file];
    d->next = (xlm_document_position){.file = d->next.file + 1};
  }
  const char *text = b->bytes ? b->bytes : "";
  for (size_t i = 0; i < b->n; text += b->documents[i++].n) b->documents[i].text = text;
  b->next = d->next;
  return XLM_OK;
}

static xlm_status decode_line(const xlm_documents *d, xlm_document *x, xlm_error *err) {
  static const char first_line[] = "line 1, "; // a line of ours is a text to the parser
  xlm_error why = {0};
  size_t n = x->n;
  xlm_status s = xlm_json_field((char *)(uintptr_t)x->text, &n, d->o.field, &why);
  x->n = n;
  if (s == XLM_OK) return s;
  const char *text = why.text;
  if (!strncmp(text, first_line, sizeof first_line - 1)) text += sizeof first_line - 1;
  return xlm_fail(err, s, "'%s', line %" PRId64 ": %s", d->files[x->at.file], x->at.line + 1, text);
}

xlm_status xlm_documents_decode(xlm_document_batch *b, xlm_error *err) {
  for (size_t i = 0; i < b->n; i++)
    if (b->from->forms[b->documents[i].at.file] == JSON_LINES && !b->from->o.whole)
      XLM_TRY(decode_line(b->from, &b->documents[i], err));
  return XLM_OK;
}

xlm_status xlm_documents_next(xlm_documents *d, xlm_document *out, xlm_error *err) {
  *out = (xlm_document){0};
  if (d->given == d->one.n) {
    d->given = d->one.n = 0;
    XLM_TRY(xlm_documents_read(d, ONE_BY_ONE, &d->one, err));
    XLM_TRY(xlm_documents_decode(&d->one, err));
  }
  if (d->one.n) *out = d->one.documents[d->given++];
  return XLM_OK;
}

xlm_status xlm_documents_seek(xlm_documents *d, xlm_document_position to, xlm_error *err) {
  leave_file(d);
  d->given = d->one.n = 0;
  d->next = to;
  d->done = 0;
  for (int64_t i = 0; i < to.file && i < d->n_files; i++) d->done += d->sizes[i];
  return to.file < d->n_files ? enter_file(d, err) : XLM_OK;
}

void xlm_documents_progress(const xlm_documents *d, int64_t *done, int64_t *all) {
  *all = d->all, *done = d->done;
  if (d->source) *done += xlm_unpack_packed(d->source) - (int64_t)d->n;
  if (d->table) *done += xlm_parquet_read_bytes(d->table);
  if (*done < d->done) *done = d->done; // a buffer unpacked from fewer bytes
}
