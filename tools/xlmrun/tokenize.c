// xlmrun tokenize: files of tokens from documents.
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/xlmrun/tokens.h"

const char command_tokenize_usage[] =
    "usage: xlmrun tokenize FILE... --tokenizer TOKENIZER --output FOLDER/ [flags]\n\n"
    "FILE: text, JSON lines (--text-field) or Parquet, also compressed with gzip or zstd; a folder; "
    "'a*.jsonl'.\n"
    "TOKENIZER: a file (tokenizer.json, *.model, *.tiktoken) or its folder; `bytes`.\n"
    "After an interruption the same command goes on. docs/data.md describes what is written.";

static bool is_folder(const char *path) {
  struct stat st;
  size_t n = strlen(path);
  return (n && path[n - 1] == '/') || (!stat(path, &st) && S_ISDIR(st.st_mode));
}

static xlm_status check(session *s) {
  const xlm_run_settings *r = s->settings;
  const char *tokenizer = xlm_setting_text(r, XLM_SET_tokenizer);
  XLM_TRY(xlm_settings_resolve(s->settings, NULL, 0, &s->err)); // flags that are none
  if (!r->n_positional)
    return xlm_fail(&s->err, XLM_USER,
                    "which documents? give files or folders, as in `xlmrun tokenize "
                    "corpus/*.jsonl --tokenizer tokenizer.json --output tokens/`");
  if (!*xlm_setting_text(r, XLM_SET_output))
    return xlm_fail(&s->err, XLM_USER, "where to? --output FOLDER/, or --output with the beginning of names");
  if (strcmp(tokenizer, "auto") && strcmp(tokenizer, "ids")) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER,
                  "which tokenizer? --tokenizer FILE (tokenizer.json, *.model, *.tiktoken), or --tokenizer "
                  "bytes: a token per byte");
}

static const char *prefix_of(session *s) {
  const char *output = xlm_setting_text(s->settings, XLM_SET_output);
  size_t n = strlen(output);
  while (n > 1 && output[n - 1] == '/') n--;
  return is_folder(output) ? xlm_arena_printf(s->arena, "%.*s/tokens", (int)n, output) : output;
}

static xlm_status find_files(session *s, xlm_tokenize_options *o) {
  const char *left_out;
  XLM_TRY(xlm_documents_files(s->arena, s->settings->positional, (int)s->settings->n_positional, &o->files,
                              &o->n_files, &left_out, &s->err));
  if (*left_out) printf("%s\n", left_out);
  return XLM_OK;
}

static void show(session *s, const xlm_tokenize_result *r, const char *prefix) {
  const char *output = xlm_setting_text(s->settings, XLM_SET_output);
  bool folder = is_folder(output);
  tokens_show(s, r);
  printf("%s%s.json; train on them with: xlmrun train MODEL --data %s%s\n",
         r->was_done ? "they were there already: " : "", prefix, folder ? output : prefix,
         folder ? "" : "-*.bin");
}

static xlm_status tokenize_with(session *s, const xlm_tokenizer *t) {
  xlm_tokenize_options o;
  xlm_tokenize_result r;
  tokens_options(s, &o);
  o.tokenizer = t;
  o.end = xlm_setting_given(s->settings, XLM_SET_document_end)
              ? xlm_setting_int(s->settings, XLM_SET_document_end)
              : xlm_tokenize_end(t);
  o.prefix = prefix_of(s);
  o.shard_tokens = xlm_setting_int(s->settings, XLM_SET_shard_tokens);
  o.overwrite = xlm_setting_bool(s->settings, XLM_SET_overwrite);
  XLM_TRY(find_files(s, &o));
  XLM_TRY(tokens_make(s, &o, &r));
  show(s, &r, o.prefix);
  return XLM_OK;
}

static xlm_status tokenize(session *s) {
  const char *name = xlm_setting_text(s->settings, XLM_SET_tokenizer);
  xlm_tokenizer *t = NULL;
  XLM_TRY(check(s));
  if (strcmp(name, "bytes")) XLM_TRY(xlm_tokenizer_open(name, &t, &s->err));
  xlm_status status = tokenize_with(s, t);
  xlm_tokenizer_close(t);
  return status;
}

int command_tokenize(int argc, char *const *argv) {
  return session_run('k', command_tokenize_usage, argc, argv, tokenize);
}
