// The tokenizer of a run; see run_tokenizer.h.
#include "tools/xlmrun/run_tokenizer.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/map.h"

const char *run_tokenizer_path(const session *s) {
  const char *name = xlm_setting_text(s->settings, XLM_SET_tokenizer);
  bool word = !strcmp(name, "auto") || !strcmp(name, "bytes") || !strcmp(name, "ids");
  return word || !*name ? NULL : name;
}

static const char *folder_of(session *s, const char *path) {
  struct stat st;
  const char *slash = strrchr(path, '/');
  if (!stat(path, &st) && S_ISDIR(st.st_mode)) return path;
  return slash ? xlm_arena_printf(s->arena, "%.*s", (int)(slash - path + 1), path) : ".";
}

xlm_status run_tokenizer_resolve(session *s) {
  xlm_setting_value *v = &s->settings->value[XLM_SET_tokenizer];
  const char *weights = xlm_setting_text(s->settings, XLM_SET_init_from), *found = NULL;
  if (v->source > XLM_FROM_CHECKPOINT) return XLM_OK;
  if (s->checkpoint) found = xlm_tokenizer_find(s->arena, s->checkpoint->path);
  if (!found && *weights) found = xlm_tokenizer_find(s->arena, folder_of(s, weights));
  if (found) v->text = found, v->where = weights;
  return XLM_OK;
}

// The tokenizer that made the tokens of the data, if its file is still the same.
static const char *path_of_data(const corpus *c) {
  for (int i = 0; c && i < c->data.n; i++) {
    const xlm_token_manifest *m = c->data.at[i].data ? xlm_data_manifest(c->data.at[i].data) : NULL;
    uint64_t hash;
    xlm_error ignored;
    if (m && m->path && m->tokenizer && !access(m->tokenizer, R_OK) &&
        xlm_file_hash(m->tokenizer, &hash, &ignored) == XLM_OK && hash == m->hash)
      return m->tokenizer;
  }
  return NULL;
}

xlm_status run_tokenizer_open(session *s, const corpus *c, xlm_tokenizer **out) {
  const char *path = run_tokenizer_path(s);
  int64_t vocab = corpus_vocab(s);
  *out = NULL;
  if (!path) path = path_of_data(c);
  if (!path) return XLM_OK;
  XLM_TRY(xlm_tokenizer_open(path, out, &s->err));
  int64_t need = xlm_tokenizer_size(*out);
  if (!vocab || vocab >= need) return XLM_OK;
  xlm_tokenizer_close(*out);
  *out = NULL;
  return xlm_fail(
      &s->err, XLM_USER,
      "the tokenizer '%s' has %s ids, and the model's vocabulary has %s: it is not the tokenizer of this "
      "model",
      path, xlm_text_thousands(s->arena, need), xlm_text_thousands(s->arena, vocab));
}

static const xlm_config_tokens *tokens_of(session *s, const xlm_tokenizer *t) {
  static const xlm_token_role roles[] = {XLM_TOKEN_BOS, XLM_TOKEN_EOS, XLM_TOKEN_PAD};
  xlm_config_tokens *tokens = XLM_NEW(s->arena, xlm_config_tokens);
  int32_t *out[] = {&tokens->bos, &tokens->eos, &tokens->pad};
  int64_t vocab = corpus_vocab(s);
  for (int i = 0; i < 3; i++) {
    int32_t id = xlm_tokenizer_special(t, roles[i]);
    *out[i] = !vocab || id < vocab ? id : -1; // tools refuse ids that a model does not have
  }
  return tokens;
}

xlm_status run_tokenizer_tokens(session *s, const xlm_config_tokens **out) {
  const char *path = run_tokenizer_path(s);
  xlm_tokenizer *t;
  *out = NULL;
  if (!path) return XLM_OK;
  xlm_status status = xlm_tokenizer_open(path, &t, &s->err);
  if (status == XLM_OK) *out = tokens_of(s, t);
  xlm_tokenizer_close(t);
  if (status != XLM_USER) return status;
  fprintf(stderr, "xlmrun: note: config.json has no ids of tokens: %s\n", s->err.text);
  return XLM_OK;
}

// ---- files of checkpoints

typedef struct collecting {
  session *s;
  xlm_checkpoint_file *files;
  uint32_t n, cap;
} collecting;

static void add_bytes(collecting *c, const char *name, const char *bytes, size_t n) {
  XLM_PUSH(c->s->arena, c->files, c->n, c->cap, ((xlm_checkpoint_file){name, bytes, n}));
}

static xlm_status add_copy(collecting *c, const char *path, const char *name) {
  xlm_map map;
  XLM_TRY(xlm_map_open(path, &map, &c->s->err));
  char *bytes = xlm_arena_alloc(c->s->arena, map.n + 1);
  if (map.n) memcpy(bytes, map.data, map.n);
  add_bytes(c, name, bytes, map.n);
  xlm_map_close(&map);
  return XLM_OK;
}

static bool has(const collecting *c, const char *name) {
  for (uint32_t i = 0; i < c->n; i++)
    if (!strcmp(c->files[i].name, name)) return true;
  return false;
}

// What names the class of a tokenizer.json and the tokens that begin and end a text.
static void add_config(collecting *c, const xlm_tokenizer *t) {
  static const char *const roles[] = {"bos_token", "eos_token", "pad_token", "unk_token"};
  xlm_text text = xlm_text_new(c->s->arena);
  xlm_json j;
  xlm_json_to_text(&j, &text);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  for (int k = 0; k < 4; k++) {
    size_t n;
    int32_t id = xlm_tokenizer_special(t, (xlm_token_role)k);
    const char *piece = id < 0 ? NULL : xlm_tokenizer_piece(t, id, &n);
    if (piece) xlm_json_put_textn(&j, roles[k], piece, n);
  }
  xlm_json_put_bool(&j, "clean_up_tokenization_spaces", false);
  xlm_json_put_text(&j, "tokenizer_class", "PreTrainedTokenizerFast");
  xlm_json_close(&j);
  xlm_text_add(&text, "\n");
  add_bytes(c, "tokenizer_config.json", text.data, text.n);
}

static const char *name_for(const char *path) {
  const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
  if (dot && !strcmp(dot, ".json")) return "tokenizer.json";
  if (dot && !strcmp(dot, ".model")) return "tokenizer.model";
  return slash ? slash + 1 : path;
}

static xlm_status add_tokenizer(collecting *c, const xlm_tokenizer *t) {
  static const char *const beside[] = {"tokenizer_config.json", "special_tokens_map.json",
                                       "added_tokens.json"};
  const char *path = xlm_tokenizer_path(t), *name = xlm_arena_strdup(c->s->arena, name_for(path));
  XLM_TRY(add_copy(c, path, name));
  if (strcmp(name, "tokenizer.json")) return XLM_OK;
  for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
    const char *file = xlm_arena_printf(c->s->arena, "%s/%s", folder_of(c->s, path), beside[i]);
    if (!access(file, R_OK)) XLM_TRY(add_copy(c, file, beside[i]));
  }
  if (!has(c, "tokenizer_config.json")) add_config(c, t);
  return XLM_OK;
}

xlm_status run_tokenizer_files(session *s, const corpus *c, xlm_saver_options *out) {
  const char *path = run_tokenizer_path(s);
  collecting all = {.s = s};
  xlm_tokenizer *t;
  if (!path) path = path_of_data(c);
  if (!path) return XLM_OK;
  XLM_TRY(xlm_tokenizer_open(path, &t, &s->err));
  xlm_status status = add_tokenizer(&all, t);
  out->files = all.files, out->n_files = (int)all.n;
  out->tokens = tokens_of(s, t);
  xlm_tokenizer_close(t);
  return status;
}
