// Byte-level BPE tokenizers in GGUF; see gguf_tokenizer.h. llama.cpp has the patterns by which texts are
// split under names of its own.
#include "runtime/interchange/gguf_tokenizer.h"

#include <string.h>
#include <unistd.h>

#include "runtime/base/json_parse.h"

enum { NORMAL = 1, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5 }; // types of tokens there

typedef struct reader {
  xlm_arena *a;
  const char *path;
  const json_t *root, *config; // config: NULL, there is none
  int64_t n;
  const char **tokens; // by id; NULL: none
  int32_t *types;
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

static xlm_status put_split(const reader *r, xlm_gguf_keys *k) {
  const char *pattern = pattern_of(json_object_get(r->root, "pre_tokenizer"));
  if (!pattern) return bad(r, "is not byte-level BPE, the kind that gets into GGUF files");
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
  if (!is_type(model, "BPE")) return bad(r, "is not byte-level BPE, the kind that gets into GGUF files");
  json_object_foreach(json_object_get(model, "vocab"), text, id) XLM_TRY(set_token(r, text, id, NORMAL));
  for (size_t i = 0; i < json_array_size(added); i++) {
    const json_t *t = json_array_get(added, i);
    bool special = json_is_true(json_object_get(t, "special"));
    XLM_TRY(set_token(r, json_string_value(json_object_get(t, "content")), json_object_get(t, "id"),
                      special ? CONTROL : USER_DEFINED));
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
  for (int64_t i = 0; i < r->n; i++) xlm_gguf_add_i32(k, r->tokens[i] ? r->types[i] : UNUSED);
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

// ---- tokens with a role ----

static void put_role(const reader *r, xlm_gguf_keys *k, const char *name, const char *key) {
  const json_t *x = json_object_get(r->config, name);
  const char *text = json_string_value(json_is_object(x) ? json_object_get(x, "content") : x);
  for (int64_t i = 0; text && i < r->n; i++)
    if (r->tokens[i] && !strcmp(r->tokens[i], text)) {
      xlm_gguf_put_u32(k, key, (uint32_t)i);
      return;
    }
}

static void put_roles(const reader *r, xlm_gguf_keys *k) {
  put_role(r, k, "bos_token", "tokenizer.ggml.bos_token_id");
  put_role(r, k, "eos_token", "tokenizer.ggml.eos_token_id");
  put_role(r, k, "pad_token", "tokenizer.ggml.padding_token_id");
  put_role(r, k, "unk_token", "tokenizer.ggml.unknown_token_id");
  const json_t *begins = json_object_get(r->config, "add_bos_token");
  if (json_is_boolean(begins)) xlm_gguf_put_bool(k, "tokenizer.ggml.add_bos_token", json_is_true(begins));
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

static const char *file_in(xlm_arena *a, const char *folder, const char *name) {
  return xlm_arena_printf(a, "%s/%s", folder, name);
}

bool xlm_gguf_has_tokenizer(xlm_arena *a, const char *folder) {
  return !access(file_in(a, folder, "tokenizer.json"), F_OK);
}

xlm_status xlm_gguf_put_tokenizer(xlm_gguf_keys *k, xlm_arena *a, const char *folder, int64_t vocab,
                                  xlm_error *err) {
  const char *config = file_in(a, folder, "tokenizer_config.json");
  reader r = {.a = a, .path = file_in(a, folder, "tokenizer.json"), .n = vocab, .err = err};
  r.tokens = XLM_NEW_N(a, const char *, vocab), r.types = XLM_NEW_N(a, int32_t, vocab);
  XLM_TRY(parse(&r, r.path, 0, &r.root));
  if (!access(config, F_OK)) // it has whole numbers of any size
    XLM_TRY(parse(&r, config, JSON_DECODE_INT_AS_REAL, &r.config));
  XLM_TRY(put_split(&r, k));
  XLM_TRY(read_tokens(&r));
  put_tokens(&r, k);
  XLM_TRY(put_merges(&r, k));
  put_roles(&r, k);
  return XLM_OK;
}
