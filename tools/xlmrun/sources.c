// The sources of a run's data; see sources.h.
#include "tools/xlmrun/sources.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/hash.h"
#include "runtime/documents/kind.h"
#include "runtime/train/feed.h"
#include "tools/xlmrun/run_tokenizer.h"
#include "tools/xlmrun/tokens.h"

// ---- documents made into tokens

xlm_status sources_has_documents(session *s, const char *path, bool *out) {
  struct stat st;
  const char *const *files;
  int n;
  bool texts = run_tokenizer_path(s) || *xlm_setting_text(s->settings, XLM_SET_text_separator);
  *out = false;
  if (strcmp(xlm_setting_text(s->settings, XLM_SET_data_format), "auto") || stat(path, &st)) return XLM_OK;
  if (xlm_data_has_tokens(s->arena, path)) return XLM_OK;
  if (S_ISDIR(st.st_mode) && xlm_documents_files(s->arena, &path, 1, &files, &n, NULL, &s->err) != XLM_OK)
    return s->err.status == XLM_ENV ? XLM_ENV : XLM_OK; // what is wrong is said when it is opened
  if (!S_ISDIR(st.st_mode)) files = &path, n = 1;
  for (int i = 0; i < n && !*out; i++)
    *out = xlm_documents_only(files[i]) || (texts && xlm_documents_kind(files[i]));
  return XLM_OK;
}

static const char *folder_of(session *s, const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? xlm_arena_strndup(s->arena, path, (size_t)(slash - path)) : ".";
}

static const char *cache_folder(session *s) {
  const char *given = xlm_setting_text(s->settings, XLM_SET_data_cache);
  if (*given) return given;
  const char *run = s->checkpoint              ? folder_of(s, s->checkpoint->path)
                    : s->settings->tool == 't' ? xlm_setting_text(s->settings, XLM_SET_output_dir)
                                               : ".";
  return xlm_arena_printf(s->arena, "%s/data-cache", run);
}

// One name for the same files, whatever is in them: when they change, their tokens are replaced.
static const char *cache_prefix(session *s, const xlm_tokenize_options *o) {
  uint64_t tokenizer = o->tokenizer ? xlm_tokenizer_hash(o->tokenizer) : 0;
  const char *first = strrchr(o->files[0], '/');
  xlm_hash h;
  xlm_hash_start(&h);
  xlm_hash_add(&h, &tokenizer, sizeof tokenizer);
  for (int i = 0; i < o->n_files; i++) xlm_hash_add(&h, o->files[i], strlen(o->files[i]) + 1);
  return xlm_arena_printf(s->arena, "%s/%.60s-%016" PRIx64, cache_folder(s), first ? first + 1 : o->files[0],
                          xlm_hash_value(&h));
}

static xlm_status which_tokenizer(session *s, const char *path) {
  return xlm_fail(&s->err, XLM_USER,
                  "'%s' is %s, and the model has a vocabulary of %s: give the tokenizer that makes tokens of "
                  "its text, --tokenizer "
                  "FILE, or make them once for all: xlmrun tokenize '%s' --tokenizer FILE --output tokens/",
                  path, xlm_documents_kind(path), xlm_text_thousands(s->arena, corpus_vocab(s)), path);
}

static xlm_status check_vocabulary(session *s, const xlm_tokenizer *t) {
  int64_t have = corpus_vocab(s), need = t ? xlm_tokenizer_size(t) : 256;
  if (!have || need <= have) return XLM_OK;
  return xlm_fail(
      &s->err, XLM_USER,
      "the tokenizer '%s' has %s ids, and the model's vocabulary has %s: give the model that vocabulary "
      "or a larger one (--vocab-size %" PRId64 ")",
      t ? xlm_tokenizer_path(t) : "bytes", xlm_text_thousands(s->arena, need),
      xlm_text_thousands(s->arena, have), need);
}

// The first process makes them; the others then find them.
static xlm_status make_in_turn(session *s, const xlm_tokenize_options *o, xlm_tokenize_result *r) {
  int n = xlm_team_processes(s->team);
  char done = 1, *all = XLM_NEW_N(s->arena, char, n);
  if (!xlm_team_process(s->team)) XLM_TRY(tokens_make(s, o, r));
  if (n > 1) XLM_TRY(xlm_team_share(s->team, &done, sizeof done, all, &s->err));
  return xlm_team_process(s->team) ? tokens_make(s, o, r) : XLM_OK;
}

static xlm_status tokenize(session *s, const xlm_file_list *documents, const xlm_tokenizer *t,
                           xlm_file_list *out) {
  xlm_tokenize_options o;
  xlm_tokenize_result r;
  const char *left_out;
  tokens_options(s, &o);
  XLM_TRY(check_vocabulary(s, t));
  XLM_TRY(xlm_documents_files(s->arena, documents->at, (int)documents->n, &o.files, &o.n_files, &left_out,
                              &s->err));
  o.tokenizer = t, o.renew = true;
  o.end = xlm_setting_given(s->settings, XLM_SET_document_end)
              ? xlm_setting_int(s->settings, XLM_SET_document_end)
              : xlm_tokenize_end(t);
  o.prefix = cache_prefix(s, &o);
  if (*left_out && !s->silent) printf("%s\n", left_out);
  XLM_TRY(make_in_turn(s, &o, &r));
  if (!s->silent && !r.was_done) {
    printf("tokens made: %s.json\n", o.prefix);
    tokens_show(s, &r);
  }
  for (uint32_t i = 0; i < r.manifest.n_shards; i++)
    XLM_PUSH(
        s->arena, out->at, out->n, out->cap,
        (const char *)xlm_arena_printf(s->arena, "%s/%s", folder_of(s, o.prefix), r.manifest.shards[i].file));
  return XLM_OK;
}

static xlm_status use_documents(session *s, const xlm_file_list *documents, xlm_file_list *out) {
  const char *name = run_tokenizer_path(s);
  xlm_tokenizer *t = NULL;
  if (name) XLM_TRY(xlm_tokenizer_open(name, &t, &s->err));
  if (!t && !session_tokens_are_bytes(s)) return which_tokenizer(s, documents->at[0]);
  xlm_status status = tokenize(s, documents, t, out);
  xlm_tokenizer_close(t);
  return status;
}

// ---- one source

static xlm_status check_fields(session *s, const xlm_data *d) {
  const char *name = xlm_data_lacks(d);
  if (!name) return XLM_OK;
  if (!strcmp(name, "documents") || !strcmp(name, "positions"))
    return xlm_fail(
        &s->err, XLM_USER,
        "the model reads `%s`, and nothing says where documents end in '%s': give the token that ends "
        "them, --document-end ID",
        name, xlm_data_first(d));
  return xlm_fail(
      &s->err, XLM_USER,
      "the model reads `%s`, and '%s' is a stream of tokens, which does not have it: give records "
      "(docs/data.md)",
      name, xlm_data_first(d));
}

enum { BYTES_AND_SPECIALS = 512 };

// Text has one token per byte. With a vocabulary of thousands that is probably a mistake.
static xlm_status check_text(session *s, const xlm_data *d) {
  bool told = !strcmp(xlm_setting_text(s->settings, XLM_SET_tokenizer), "bytes") ||
              !strcmp(xlm_setting_text(s->settings, XLM_SET_data_format), "bytes");
  int64_t vocab = corpus_vocab(s);
  if (!xlm_data_is_text(d) || vocab <= BYTES_AND_SPECIALS || told) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER,
                  "'%s' is text, of which every byte is a token, and the model has a vocabulary of %s: give "
                  "a tokenizer, --tokenizer FILE, or files of tokens (docs/data.md), or a model of bytes "
                  "with a vocabulary of 256, or "
                  "--tokenizer bytes to train on bytes all the same",
                  xlm_data_first(d), xlm_text_thousands(s->arena, vocab));
}

// Tokens of another tokenizer than the one that is named would be decoded to other text.
static xlm_status check_tokenizer(session *s, const xlm_data *d) {
  const xlm_token_manifest *m = xlm_data_manifest(d);
  const char *name = run_tokenizer_path(s);
  bool given = xlm_setting_given(s->settings, XLM_SET_tokenizer);
  xlm_tokenizer *t;
  if (!m || !name) return XLM_OK;
  XLM_TRY(xlm_tokenizer_open(name, &t, &s->err));
  bool same = xlm_tokenizer_hash(t) == m->hash;
  xlm_tokenizer_close(t);
  if (same) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER,
                  "the tokens of '%s' were made with '%s' (%s), which is not '%s': %s",
                  xlm_data_first(d), m->tokenizer ? m->tokenizer : "bytes", m->path, name,
                  given ? "leave out --tokenizer" : "make tokens with this one, which the weights are for");
}

static xlm_status options_of(session *s, xlm_data_options *o) {
  static const struct {
    const char *name;
    xlm_data_format format;
  } formats[] = {
      {"auto", XLM_DATA_AUTO}, {"bytes", XLM_DATA_BYTES}, {"u16", XLM_DATA_U16}, {"u32", XLM_DATA_U32}};
  XLM_TRY(xlm_plan_data(s->plan, s->arena, o, &s->err));
  o->record = xlm_setting_int(s->settings, XLM_SET_record_length);
  o->has_end = xlm_setting_given(s->settings, XLM_SET_document_end);
  if (o->has_end) o->end = xlm_setting_int(s->settings, XLM_SET_document_end);
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
    if (!strcmp(formats[i].name, xlm_setting_text(s->settings, XLM_SET_data_format)))
      o->format = formats[i].format;
  return XLM_OK;
}

// The paths that can be opened: tokens stay, documents become tokens, which take the place of the first.
static xlm_status readable(session *s, const xlm_file_list *paths, xlm_file_list *out) {
  xlm_file_list documents = {0}, before = {0}, behind = {0};
  for (uint32_t i = 0; i < paths->n; i++) {
    bool is;
    XLM_TRY(sources_has_documents(s, paths->at[i], &is));
    xlm_file_list *list = is ? &documents : documents.n ? &behind : &before;
    XLM_PUSH(s->arena, list->at, list->n, list->cap, paths->at[i]);
  }
  *out = before;
  if (documents.n) XLM_TRY(use_documents(s, &documents, out));
  for (uint32_t i = 0; i < behind.n; i++) XLM_PUSH(s->arena, out->at, out->n, out->cap, behind.at[i]);
  return XLM_OK;
}

static xlm_status open_paths(session *s, const xlm_file_list *given, xlm_data **out) {
  xlm_data_options o;
  xlm_file_list paths;
  XLM_TRY(options_of(s, &o));
  XLM_TRY(readable(s, given, &paths));
  XLM_TRY(xlm_data_open(paths.at, (int)paths.n, o, out, &s->err));
  XLM_TRY(check_fields(s, *out));
  XLM_TRY(check_text(s, *out));
  XLM_TRY(check_tokenizer(s, *out));
  if (*xlm_data_left_out(*out) && !s->silent) printf("%s\n", xlm_data_left_out(*out));
  return XLM_OK;
}

// ---- all

// PATH=WEIGHT; a file of that very name is a path.
static bool split_weight(session *s, const char *item, const char **path, double *weight) {
  struct stat st;
  const char *equals = strrchr(item, '=');
  char *end;
  *path = item;
  if (!equals || equals == item || !equals[1] || !stat(item, &st)) return false;
  *weight = strtod(equals + 1, &end);
  if (*end) return false;
  *path = xlm_arena_strndup(s->arena, item, (size_t)(equals - item));
  return true;
}

static xlm_status check_weight(session *s, const char *item, const char *where, double weight) {
  if (isfinite(weight) && weight > 0) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER, "%s %s: a weight is a number above 0", where, item);
}

static xlm_status add_item(session *s, const xlm_setting_value *v, int i, sources *out,
                           xlm_file_list *paths) {
  const char *path, *where = v->list_where ? v->list_where[i] : v->where;
  double weight = 0;
  bool weighted = split_weight(s, v->list[i], &path, &weight);
  if (weighted) XLM_TRY(check_weight(s, v->list[i], where, weight));
  if (i && weighted != sources_mixed(out))
    return xlm_fail(&s->err, XLM_USER,
                    "%s: '%s' has %s weight, others have %s: give every source one, as in 'a/*.bin=0.7' "
                    "'b/=0.3', or none",
                    where, v->list[i], weighted ? "a" : "no", weighted ? "none" : "one");
  if (weighted || !i) out->at[out->n++] = (source){.name = path, .weight = weight};
  return xlm_files_match(s->arena, path, &paths[out->n - 1], &s->err);
}

bool sources_mixed(const sources *x) {
  return x->n > 0 && x->at[0].weight > 0;
}

static xlm_status open_all(session *s, const xlm_setting_value *v, sources *out) {
  xlm_file_list *paths = XLM_NEW_N(s->arena, xlm_file_list, v->n);
  out->at = XLM_NEW_N(s->arena, source, v->n);
  for (int i = 0; i < v->n; i++) XLM_TRY(add_item(s, v, i, out, paths));
  for (int k = 0; k < out->n; k++) XLM_TRY(open_paths(s, &paths[k], &out->at[k].data));
  return XLM_OK;
}

xlm_status sources_open(session *s, const xlm_setting_value *v, sources *out) {
  *out = (sources){0};
  xlm_status status = open_all(s, v, out);
  if (status != XLM_OK) sources_close(out);
  return status;
}

void sources_close(sources *x) {
  for (int k = 0; k < x->n; k++) xlm_data_close(x->at[k].data);
  *x = (sources){0};
}
