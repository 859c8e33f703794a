// xlmrun data: what is in the files that training reads: format, counts, ids, a sample.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/documents/kind.h"
#include "tools/xlmrun/sources.h"
#include "tools/xlmrun/tokens.h"

const char command_data_usage[] =
    "usage: xlmrun data FILE... [--vocab-size N] [--tokenizer TOKENIZER]\n\n"
    "FILE: as for --data: text, JSON lines, Parquet, tokens, records; folders; patterns.\n"
    "With --vocab-size (default: as the data says) ids that are not below it end it with code 1.";

enum { CHUNK = 1 << 16, SAMPLE = 48 /* tokens */, SAMPLE_BYTES = 200 };

typedef struct look { // at one set of files
  session *s;
  xlm_tokenizer *tokenizer; // NULL: bytes, or unknown
  bool bytes;               // a token is a byte
  int64_t vocab;            // 0: any id
  int64_t documents, longest, tokens;
  int64_t low, high;      // ids
  int64_t outside, first; // ids out of range, and where the first is
  int64_t first_id;
} look;

static void row(const char *name, const char *text) {
  printf("  %-14s%s\n", name, text);
}

static const char *number(const look *l, int64_t n) {
  return xlm_text_thousands(l->s->arena, n);
}

// ---- ids

static void see(look *l, int64_t at, int64_t id) {
  if (!l->tokens++) l->low = l->high = id;
  if (id < l->low) l->low = id;
  if (id > l->high) l->high = id;
  if (!l->vocab || id < l->vocab || l->outside++) return;
  l->first = at, l->first_id = id;
}

static void show_ids(const look *l) {
  if (!l->tokens) return;
  row("ids",
      xlm_arena_printf(l->s->arena, "%s to %s%s", number(l, l->low), number(l, l->high),
                       l->vocab ? xlm_arena_printf(l->s->arena, ", all below %s", number(l, l->vocab)) : ""));
}

static xlm_status refuse_ids(const look *l, const char *what) {
  return xlm_fail(&l->s->err, XLM_USER, "%s of %s are not below %s: the first is %" PRId64 ", %s %s",
                  xlm_text_plural(l->s->arena, l->outside, "id"), number(l, l->tokens), number(l, l->vocab),
                  l->first_id, what, number(l, l->first));
}

// What is printed is quoted as in JSON, so that no byte of it can act on a terminal.
static void show_sample(const look *l, const char *text, size_t n) {
  xlm_json j;
  xlm_text t = xlm_text_new(l->s->arena);
  while (n > SAMPLE_BYTES || (n && n == SAMPLE_BYTES && (text[n - 1] & 0xC0) == 0x80)) n--;
  xlm_json_to_text(&j, &t);
  xlm_json_put_textn(&j, NULL, text, n);
  row("sample", xlm_json_finish(&j) == XLM_OK ? t.data : "");
}

static void show_id_sample(const look *l, const int32_t *ids, int64_t n) {
  xlm_text t = xlm_text_new(l->s->arena);
  for (int64_t i = 0; i < n && l->bytes; i++) xlm_text_addn(&t, &(char){(char)ids[i]}, 1);
  if (l->tokenizer) xlm_tokenizer_decode(l->tokenizer, ids, n, &t);
  if (l->bytes || l->tokenizer) {
    show_sample(l, t.data, t.n);
    return;
  }
  for (int64_t i = 0; i < n && i < SAMPLE / 2; i++) xlm_text_printf(&t, "%s%" PRId32, i ? " " : "", ids[i]);
  row("sample", t.data);
}

// ---- a stream of tokens

static xlm_status scan(look *l, const xlm_data *d, bool has_end, int64_t end) {
  int64_t all = xlm_data_tokens(d), length = 0;
  int32_t *ids = xlm_arena_alloc(l->s->arena, sizeof *ids * CHUNK);
  for (int64_t at = 0; at < all; at += CHUNK) {
    int64_t n = all - at < CHUNK ? all - at : CHUNK;
    XLM_TRY(xlm_data_read(d, at, n, ids, &l->s->err));
    for (int64_t i = 0; i < n; i++) {
      see(l, at + i, ids[i]);
      bool ends = has_end && ids[i] == end;
      length++;
      if (length > l->longest) l->longest = length;
      l->documents += ends;
      if (ends) length = 0;
    }
  }
  l->documents += length > 0; // the last need not have an end
  return XLM_OK;
}

static void show_documents(look *l, const xlm_data *d, bool has_end) {
  int64_t longest, sequences = xlm_data_sequences(d, &longest);
  if (!has_end) l->documents = sequences, l->longest = longest;
  row("documents", l->documents
                       ? xlm_arena_printf(l->s->arena, "%s, the longest of %s", number(l, l->documents),
                                          xlm_text_plural(l->s->arena, l->longest, "token"))
                       : "unknown: nothing says where they end (--document-end ID)");
}

// The tokenizer of the settings, or the one that the tokens were made with if its file is still there.
static xlm_status open_tokenizer(look *l, const xlm_token_manifest *m) {
  const char *name = xlm_setting_text(l->s->settings, XLM_SET_tokenizer);
  l->bytes = !strcmp(name, "bytes") || (m && !m->tokenizer);
  if (!strcmp(name, "bytes") || !strcmp(name, "ids")) return XLM_OK;
  if (strcmp(name, "auto")) return xlm_tokenizer_open(name, &l->tokenizer, &l->s->err);
  xlm_error unused;
  if (!m || !m->tokenizer || xlm_tokenizer_open(m->tokenizer, &l->tokenizer, &unused) != XLM_OK)
    return XLM_OK;
  if (xlm_tokenizer_hash(l->tokenizer) == m->hash) return XLM_OK;
  xlm_tokenizer_close(l->tokenizer); // another file by now
  l->tokenizer = NULL;
  return XLM_OK;
}

static void show_manifest(const look *l, const xlm_token_manifest *m) {
  xlm_arena *a = l->s->arena;
  const char *state = !m->tokenizer ? "" : l->tokenizer ? "" : " (not there any more, or changed)";
  if (m->documents)
    row("made from", xlm_arena_printf(a, "%s, %s of text", xlm_text_plural(a, m->n_sources, "file"),
                                      xlm_text_bytes(a, (uint64_t)m->bytes)));
  row("tokenizer",
      xlm_arena_printf(
          a, "%s%s, %s ids%s", m->tokenizer ? m->tokenizer : "bytes", state, number(l, m->vocabulary),
          m->document_end < 0 ? ""
                              : xlm_arena_printf(a, ", %s ends a document", number(l, m->document_end))));
}

static xlm_status look_at_stream(look *l, const xlm_data *d) {
  const xlm_token_manifest *m = xlm_data_manifest(d);
  bool given = xlm_setting_given(l->s->settings, XLM_SET_document_end), text = xlm_data_is_text(d);
  bool has_end = given || text || (m && m->document_end >= 0);
  int64_t end = given ? xlm_setting_int(l->s->settings, XLM_SET_document_end) : m ? m->document_end : 0;
  XLM_TRY(open_tokenizer(l, m));
  l->bytes |= text;
  if (!l->vocab && m) l->vocab = m->vocabulary;
  XLM_TRY(scan(l, d, has_end, end));
  row("tokens", number(l, l->tokens));
  show_documents(l, d, has_end);
  show_ids(l);
  if (m) show_manifest(l, m);
  int32_t ids[SAMPLE];
  int64_t n = l->tokens < SAMPLE ? l->tokens : SAMPLE;
  XLM_TRY(xlm_data_read(d, 0, n, ids, &l->s->err));
  show_id_sample(l, ids, n);
  return l->outside ? refuse_ids(l, "token") : XLM_OK;
}

// ---- records

static void show_field(const look *l, const xlm_field *f) {
  xlm_text t = xlm_text_new(l->s->arena);
  xlm_text_printf(&t, "%s [records", f->dtype == XLM_I32 ? "integers" : "numbers");
  for (int i = 0; i < f->rank; i++) xlm_text_printf(&t, ", %" PRId64, f->shape[i]);
  xlm_text_add(&t, "]");
  row(f->name, t.data);
  if (f->dtype == XLM_I32) show_ids(l);
}

static xlm_status look_at_field(look *l, const xlm_data *d, const xlm_field *f) {
  int32_t *cells = xlm_arena_alloc(l->s->arena, sizeof *cells * (size_t)(xlm_data_cells(d) + 1));
  l->tokens = l->outside = 0;
  for (int64_t r = 0; r < xlm_data_tokens(d) && f->dtype == XLM_I32; r++) {
    XLM_TRY(xlm_data_read_record(d, r, cells, &l->s->err));
    for (int64_t i = 0; i < f->n; i++) see(l, r, cells[f->first + i]);
  }
  show_field(l, f);
  return l->outside ? xlm_fail_in((refuse_ids(l, "record"), &l->s->err), "`%s`", f->name) : XLM_OK;
}

static xlm_status look_at_records(look *l, const xlm_data *d) {
  int n;
  const xlm_field *fields = xlm_data_fields(d, &n);
  row("records", number(l, xlm_data_tokens(d)));
  for (int i = 0; i < n; i++) XLM_TRY(look_at_field(l, d, &fields[i]));
  return XLM_OK;
}

static xlm_data_format format_of(const session *s) {
  const char *name = xlm_setting_text(s->settings, XLM_SET_data_format);
  return !strcmp(name, "bytes") ? XLM_DATA_BYTES
         : !strcmp(name, "u16") ? XLM_DATA_U16
         : !strcmp(name, "u32") ? XLM_DATA_U32
                                : XLM_DATA_AUTO;
}

static xlm_status look_at_data(look *l, const xlm_file_list *paths) {
  xlm_data *d;
  xlm_data_options o = {.format = format_of(l->s), .all_fields = true};
  XLM_TRY(xlm_data_open(paths->at, (int)paths->n, o, &d, &l->s->err));
  int files = xlm_data_files(d);
  printf("%s%s\n", xlm_data_first(d), files > 1 ? " .." : "");
  row("format",
      xlm_arena_printf(l->s->arena, "%s, %s", xlm_data_kind(d), xlm_text_plural(l->s->arena, files, "file")));
  xlm_status status = xlm_data_has_records(d) ? look_at_records(l, d) : look_at_stream(l, d);
  if (*xlm_data_left_out(d)) row("note", xlm_data_left_out(d));
  xlm_data_close(d);
  return status;
}

// ---- documents

typedef struct texts { // what was seen of documents
  int64_t bytes, longest;
  char sample[SAMPLE_BYTES];
  size_t n_sample;
} texts;

static xlm_status look_at_document(look *l, const xlm_document *x, texts *seen, xlm_tokens *ids) {
  int64_t at = l->documents++;
  seen->bytes += (int64_t)x->n;
  if ((int64_t)x->n > seen->longest) seen->longest = (int64_t)x->n;
  if (!seen->n_sample) {
    seen->n_sample = x->n < SAMPLE_BYTES ? x->n : SAMPLE_BYTES;
    memcpy(seen->sample, x->text, seen->n_sample);
  }
  if (!l->tokenizer) return XLM_OK;
  ids->n = 0;
  XLM_TRY(xlm_tokenizer_encode(l->tokenizer, x->text, x->n, ids, &l->s->err));
  for (int64_t i = 0; i < ids->n; i++) see(l, at, ids->at[i]);
  if (ids->n > l->longest) l->longest = ids->n;
  return XLM_OK;
}

static xlm_status read_documents(look *l, xlm_documents *d, texts *seen, xlm_tokens *ids) {
  for (xlm_document x;;) {
    XLM_TRY(xlm_documents_next(d, &x, &l->s->err));
    if (!x.text) return XLM_OK;
    XLM_TRY(look_at_document(l, &x, seen, ids));
  }
}

static void show_texts(look *l, const texts *seen) {
  xlm_arena *a = l->s->arena;
  row("documents",
      xlm_arena_printf(a, "%s, the longest of %s bytes", number(l, l->documents), number(l, seen->longest)));
  row("text", xlm_arena_printf(a, "%s bytes", number(l, seen->bytes)));
  if (l->tokenizer)
    row("tokens",
        xlm_arena_printf(a, "%s, the longest document has %s; %.2f bytes per token", number(l, l->tokens),
                         number(l, l->longest), l->tokens ? (double)seen->bytes / (double)l->tokens : 0));
  show_ids(l);
  show_sample(l, seen->sample, seen->n_sample);
}

static xlm_status look_at_documents(look *l, const xlm_file_list *paths) {
  xlm_tokenize_options o;
  xlm_documents *d;
  xlm_tokens ids = {0};
  texts seen = {0};
  const char *left_out;
  tokens_options(l->s, &o);
  XLM_TRY(open_tokenizer(l, NULL));
  XLM_TRY(xlm_documents_files(l->s->arena, paths->at, (int)paths->n, &o.files, &o.n_files, &left_out,
                              &l->s->err));
  XLM_TRY(xlm_documents_open(o.files, o.n_files, o.documents, &d, &l->s->err));
  printf("%s%s\n", o.files[0], o.n_files > 1 ? " .." : "");
  row("format", xlm_arena_printf(l->s->arena, "%s, %s", xlm_documents_kind(o.files[0]),
                                 xlm_text_plural(l->s->arena, o.n_files, "file")));
  xlm_status status = read_documents(l, d, &seen, &ids);
  if (status == XLM_OK) show_texts(l, &seen);
  if (*left_out) row("note", left_out);
  xlm_tokens_free(&ids);
  xlm_documents_close(d);
  return status == XLM_OK && l->outside ? refuse_ids(l, "in document") : status;
}

// ---- all

static xlm_status look_at(session *s, const xlm_file_list *paths,
                          xlm_status (*at)(look *, const xlm_file_list *)) {
  look l = {.s = s,
            .vocab = xlm_setting_given(s->settings, XLM_SET_vocabulary)
                         ? xlm_setting_int(s->settings, XLM_SET_vocabulary)
                         : 0};
  xlm_status status = paths->n ? at(&l, paths) : XLM_OK;
  xlm_tokenizer_close(l.tokenizer);
  return status;
}

static xlm_status data(session *s) {
  xlm_file_list all = {0}, documents = {0}, tokens = {0};
  const xlm_run_settings *r = s->settings;
  XLM_TRY(xlm_settings_resolve(s->settings, NULL, 0, &s->err)); // flags that are none
  if (!r->n_positional) return xlm_fail(&s->err, XLM_USER, "which files? as in `xlmrun data tokens/`");
  for (uint32_t i = 0; i < r->n_positional; i++)
    XLM_TRY(xlm_files_match(s->arena, r->positional[i], &all, &s->err));
  for (uint32_t i = 0; i < all.n; i++) {
    bool is;
    XLM_TRY(sources_has_documents(s, all.at[i], &is));
    xlm_file_list *list = is ? &documents : &tokens;
    XLM_PUSH(s->arena, list->at, list->n, list->cap, all.at[i]);
  }
  XLM_TRY(look_at(s, &documents, look_at_documents));
  return look_at(s, &tokens, look_at_data);
}

int command_data(int argc, char *const *argv) {
  return session_run('d', command_data_usage, argc, argv, data);
}
