// Tokenizers in GGUF; see gguf_tokenizer.h. Of byte-level BPE llama.cpp has the patterns by which texts are
// split under names of its own; the others are merged by scores of pieces.
#include "runtime/interchange/gguf_tokenizer.h"

#include <string.h>
#include <unistd.h>

#include "runtime/base/json_parse.h"
#include "runtime/tokenizer/tokenizer.h"

typedef struct reader {
  xlm_arena *a;
  const char *path;
  const xlm_tokenizer *t;
  const json_t *root, *config; // NULL: there is none
  int64_t n;
  const char **tokens; // by id; NULL: none
  int32_t *types;      // xlm_piece_kind, as GGUF numbers them
  xlm_error *err;
} reader;

static const struct {
  const char *pattern, *name;
} patterns[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", "gpt-2"},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
     "\\s+(?!\\S)|\\s+",
     "llama-bpe"},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
     "\\s+(?!\\S)|\\s+",
     "qwen2"}};

static xlm_status bad(const reader *r, const char *what) {
  return xlm_fail(r->err, XLM_USER, "'%s' %s; `--tokenizer ids` leaves the tokenizer out of the file",
                  r->path, what);
}

// ---- how texts are split ----

static bool is_type(const json_t *x, const char *type) {
  const char *own = json_string_value(json_object_get(x, "type"));
  return own && !strcmp(own, type);
}

// The pattern of the pre-tokenizer; NULL: it is not byte-level. Of a sequence, Split gives it, and else
// ByteLevel.
static const char *pattern_of(const json_t *pre) {
  const json_t *list = json_object_get(pre, "pretokenizers"), *split = NULL, *bytes = NULL;
  size_t n = is_type(pre, "Sequence") ? json_array_size(list) : 1;
  for (size_t i = 0; i < n; i++) {
    const json_t *x = is_type(pre, "Sequence") ? json_array_get(list, i) : pre;
    if (is_type(x, "ByteLevel"))
      bytes = x;
    else if (is_type(x, "Split") && !split)
      split = x;
    else
      return NULL;
  }
  if (!bytes) return NULL;
  const char *regex = json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
  if (split) return regex ? regex : "";
  return json_is_false(json_object_get(bytes, "use_regex")) ? "" : patterns[0].pattern;
}

// What changes texts before they are split, and llama.cpp does not do; NULL: nothing. NFC counts as nothing:
// most texts are in that form, and Qwen's are not for llama.cpp if they are not.
static const char *other_rules(const reader *r) {
  const json_t *normalizer = json_object_get(r->root, "normalizer"),
               *pre = json_object_get(r->root, "pre_tokenizer");
  const json_t *list = json_object_get(pre, "pretokenizers");
  if (json_is_object(normalizer) && !is_type(normalizer, "NFC"))
    return "normalizes texts, which llama.cpp does not";
  for (size_t i = 0; i < (list ? json_array_size(list) : 1); i++) {
    const json_t *x = list ? json_array_get(list, i) : pre;
    if (is_type(x, "ByteLevel") && !json_is_false(json_object_get(x, "add_prefix_space")))
      return "puts a space in front of texts (add_prefix_space), which llama.cpp does not";
  }
  return NULL;
}

static xlm_status put_split(const reader *r, const char *pattern, xlm_gguf_keys *k) {
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
    if (strcmp(pattern, patterns[i].pattern)) continue;
    xlm_gguf_put_text(k, "tokenizer.ggml.model", "gpt2", 4);
    xlm_gguf_put_text(k, "tokenizer.ggml.pre", patterns[i].name, strlen(patterns[i].name));
    return XLM_OK;
  }
  return bad(
      r, xlm_arena_printf(r->a, "splits texts by a pattern without a name in llama.cpp: %.300s", pattern));
}

// ---- tokens ----

static xlm_status set_token(reader *r, const char *text, const json_t *id, int type) {
  int64_t at = json_is_integer(id) ? json_integer_value(id) : -1;
  if (!text || at < 0 || at >= r->n)
    return bad(r, xlm_arena_printf(r->a, "has a token %lld, and the model a vocabulary of %lld",
                                   (long long)at, (long long)r->n));
  r->tokens[at] = text, r->types[at] = type;
  return XLM_OK;
}

static xlm_status read_tokens(reader *r) {
  const json_t *model = json_object_get(r->root, "model"), *added = json_object_get(r->root, "added_tokens");
  const char *text;
  json_t *id;
  json_object_foreach(json_object_get(model, "vocab"), text, id)
      XLM_TRY(set_token(r, text, id, XLM_PIECE_NORMAL));
  for (size_t i = 0; i < json_array_size(added); i++) {
    const json_t *t = json_array_get(added, i);
    bool special = json_is_true(json_object_get(t, "special"));
    XLM_TRY(set_token(r, json_string_value(json_object_get(t, "content")), json_object_get(t, "id"),
                      special ? XLM_PIECE_CONTROL : XLM_PIECE_USER));
  }
  return XLM_OK;
}

static void put_tokens(const reader *r, xlm_gguf_keys *k) {
  xlm_gguf_begin_array(k, "tokenizer.ggml.tokens", XLM_GGUF_OF_TEXT, (uint64_t)r->n);
  for (int64_t i = 0; i < r->n; i++) {
    const char *text = r->tokens[i] ? r->tokens[i] : xlm_arena_printf(r->a, "[PAD%lld]", (long long)i);
    xlm_gguf_add_text(k, text, strlen(text));
  }
  xlm_gguf_begin_array(k, "tokenizer.ggml.token_type", XLM_GGUF_OF_I32, (uint64_t)r->n);
  for (int64_t i = 0; i < r->n; i++) xlm_gguf_add_i32(k, r->tokens[i] ? r->types[i] : XLM_PIECE_UNUSED);
}

// "a b", or in newer files ["a", "b"].
static xlm_status put_merges(const reader *r, xlm_gguf_keys *k) {
  const json_t *list = json_object_get(json_object_get(r->root, "model"), "merges");
  size_t n = json_array_size(list);
  xlm_gguf_begin_array(k, "tokenizer.ggml.merges", XLM_GGUF_OF_TEXT, n);
  for (size_t i = 0; i < n; i++) {
    const json_t *m = json_array_get(list, i);
    const char *left = json_string_value(json_array_get(m, 0)),
               *right = json_string_value(json_array_get(m, 1)), *text = json_string_value(m);
    if (left && right) text = xlm_arena_printf(r->a, "%s %s", left, right);
    if (!text) return bad(r, "has a merge that is not two tokens");
    xlm_gguf_add_text(k, text, strlen(text));
  }
  return XLM_OK;
}

static xlm_status put_byte_level(reader *r, const char *pattern, xlm_gguf_keys *k) {
  const char *why = other_rules(r);
  if (why) return bad(r, why);
  XLM_TRY(put_split(r, pattern, k));
  XLM_TRY(read_tokens(r));
  put_tokens(r, k);
  return put_merges(r, k);
}

// ---- pieces with scores ----

static xlm_status take_pieces(reader *r, const xlm_scored *s) {
  int32_t size = xlm_tokenizer_size(r->t);
  if (size > r->n)
    return bad(r, xlm_arena_printf(r->a, "has %d tokens, and the model a vocabulary of %lld", size,
                                   (long long)r->n));
  for (int32_t i = 0; i < size; i++) {
    size_t n;
    const char *text = xlm_tokenizer_piece(r->t, i, &n);
    r->tokens[i] = text ? xlm_arena_strndup(r->a, text, n) : NULL, r->types[i] = s->kind[i];
  }
  return XLM_OK;
}

static xlm_status put_scored(reader *r, xlm_gguf_keys *k) {
  xlm_scored s;
  xlm_status status = xlm_tokenizer_scored(r->t, r->a, &s, r->err);
  if (status == XLM_USER)
    return xlm_fail(r->err, XLM_USER, "%s; `--tokenizer ids` leaves the tokenizer out of the file",
                    xlm_arena_strdup(r->a, r->err->text));
  XLM_TRY(status);
  XLM_TRY(take_pieces(r, &s));
  xlm_gguf_put_text(k, "tokenizer.ggml.model", "llama", 5);
  xlm_gguf_put_text(k, "tokenizer.ggml.pre", "default", 7);
  put_tokens(r, k);
  xlm_gguf_begin_array(k, "tokenizer.ggml.scores", XLM_GGUF_OF_F32, (uint64_t)r->n);
  for (int64_t i = 0; i < r->n; i++)
    xlm_gguf_add_f32(k, i < xlm_tokenizer_size(r->t) ? s.score[i] : XLM_SCORE_LAST);
  xlm_gguf_put_bool(k, "tokenizer.ggml.add_space_prefix", s.space_first);
  return XLM_OK;
}

// ---- tokens with a role ----

static bool begins_texts(const reader *r, int32_t bos) {
  const json_t *said = json_object_get(r->config, "add_bos_token");
  const int32_t *before;
  int n = xlm_tokenizer_before(r->t, &before);
  if (json_is_boolean(said)) return json_is_true(said);
  for (int i = 0; i < n; i++)
    if (before[i] == bos) return true;
  return false;
}

static void put_roles(const reader *r, xlm_gguf_keys *k) {
  static const struct {
    xlm_token_role role;
    const char *key;
  } roles[] = {{XLM_TOKEN_BOS, "tokenizer.ggml.bos_token_id"},
               {XLM_TOKEN_EOS, "tokenizer.ggml.eos_token_id"},
               {XLM_TOKEN_PAD, "tokenizer.ggml.padding_token_id"},
               {XLM_TOKEN_UNK, "tokenizer.ggml.unknown_token_id"}};
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
    int32_t id = xlm_tokenizer_special(r->t, roles[i].role);
    if (id >= 0) xlm_gguf_put_u32(k, roles[i].key, (uint32_t)id);
  }
  int32_t bos = xlm_tokenizer_special(r->t, XLM_TOKEN_BOS);
  xlm_gguf_put_bool(k, "tokenizer.ggml.add_bos_token", bos >= 0 && begins_texts(r, bos));
}

// ---- files ----

static void free_json(void *json) {
  json_decref(json);
}

static xlm_status parse(const reader *r, const char *path, size_t flags, const json_t **out) {
  json_t *root;
  xlm_arena_cleanup *owner = xlm_arena_add_cleanup(r->a, free_json);
  XLM_TRY(xlm_json_parse_file(path, flags, &root, r->err));
  owner->what = root;
  *out = root;
  return XLM_OK;
}

static bool merges_bytes(const json_t *pre) {
  const json_t *list = json_object_get(pre, "pretokenizers");
  for (size_t i = 0; i < json_array_size(list); i++)
    if (is_type(json_array_get(list, i), "ByteLevel")) return true;
  return false;
}

// Of tokenizer.json; NULL: it is another kind.
static xlm_status read_pattern(reader *r, const char **out) {
  size_t n = strlen(r->path);
  *out = NULL;
  if (n < 5 || strcmp(r->path + n - 5, ".json") != 0) return XLM_OK;
  XLM_TRY(parse(r, r->path, 0, &r->root));
  const json_t *pre = json_object_get(r->root, "pre_tokenizer");
  *out = pattern_of(pre);
  if (*out || !merges_bytes(pre)) return XLM_OK;
  return bad(r, "splits texts in several steps, and llama.cpp by one pattern with a name");
}

static xlm_status put(reader *r, xlm_gguf_keys *k) {
  const char *slash = strrchr(r->path, '/'), *pattern;
  const char *config =
      xlm_arena_printf(r->a, "%.*stokenizer_config.json", slash ? (int)(slash - r->path + 1) : 0, r->path);
  r->tokens = XLM_NEW_N(r->a, const char *, r->n), r->types = XLM_NEW_N(r->a, int32_t, r->n);
  XLM_TRY(read_pattern(r, &pattern));
  if (!access(config, F_OK)) // it has whole numbers of any size
    XLM_TRY(parse(r, config, JSON_DECODE_INT_AS_REAL, &r->config));
  XLM_TRY(pattern ? put_byte_level(r, pattern, k) : put_scored(r, k));
  put_roles(r, k);
  return XLM_OK;
}

static void close_tokenizer(void *t) {
  xlm_tokenizer_close(t);
}

xlm_status xlm_gguf_put_tokenizer(xlm_gguf_keys *k, xlm_arena *a, const char *path, int64_t vocab,
                                  xlm_error *err) {
  xlm_tokenizer *t;
  xlm_arena_cleanup *owner = xlm_arena_add_cleanup(a, close_tokenizer);
  XLM_TRY(xlm_tokenizer_open(path, &t, err));
  owner->what = t;
  return put(&(reader){.a = a, .path = xlm_tokenizer_path(t), .t = t, .n = vocab, .err = err}, k);
}
