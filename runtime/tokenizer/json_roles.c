// Which tokens begin and end a text. tokenizer.json does not say it: the files that transformers writes
// beside it do. Without them the usual names are looked for, among special tokens.
#include <unistd.h>

#include "runtime/base/json_parse.h"
#include "runtime/tokenizer/json_priv.h"

static const char *const keys[] = {
    [XLM_TOKEN_BOS] = "bos_token", "eos_token", [XLM_TOKEN_PAD] = "pad_token", [XLM_TOKEN_UNK] = "unk_token"};

static const struct {
  xlm_token_role role;
  const char *name;
} usual[] = {
    {XLM_TOKEN_BOS, "<s>"},
    {XLM_TOKEN_BOS, "<bos>"},
    {XLM_TOKEN_BOS, "<|begin_of_text|>"},
    {XLM_TOKEN_BOS, "<|startoftext|>"},
    {XLM_TOKEN_EOS, "</s>"},
    {XLM_TOKEN_EOS, "<eos>"},
    {XLM_TOKEN_EOS, "<|end_of_text|>"},
    {XLM_TOKEN_EOS, "<|endoftext|>"},
    {XLM_TOKEN_PAD, "<pad>"},
    {XLM_TOKEN_PAD, "<|pad|>"},
    {XLM_TOKEN_UNK, "<unk>"},
};

static int32_t find_special(const xlm_tokenizer *t, span text) {
  for (int32_t i = 0; i < t->size; i++)
    if (t->piece[i].at && span_is(t->piece[i], text) && (t->special[i] || i == t->unk)) return i;
  for (int32_t i = 0; i < t->size; i++)
    if (t->piece[i].at && span_is(t->piece[i], text)) return i;
  return -1;
}

// {"eos_token": "</s>"} or {"eos_token": {"content": "</s>", ..}}
static xlm_status read_file(reader *r, const char *name) {
  xlm_tokenizer *t = r->t;
  const char *slash = strrchr(t->path, '/');
  char *path = xlm_arena_printf(t->arena, "%.*s%s", slash ? (int)(slash - t->path + 1) : 0, t->path, name);
  json_t *root;
  if (access(path, R_OK)) return XLM_OK;
  // model_max_length is a whole number of any size
  XLM_TRY(xlm_json_parse_file(path, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &root, r->err));
  for (int k = 0; k < 4; k++) {
    const json_t *v = json_object_get(root, keys[k]);
    if (json_is_object(v)) v = json_object_get(v, "content");
    if (t->role[k] < 0 && json_is_string(v))
      t->role[k] = find_special(t, (span){json_string_value(v), json_string_length(v)});
  }
  json_decref(root);
  return XLM_OK;
}

xlm_status xlm_json_read_roles(reader *r) {
  xlm_tokenizer *t = r->t;
  t->role[XLM_TOKEN_UNK] = t->unk;
  XLM_TRY(read_file(r, "tokenizer_config.json"));
  XLM_TRY(read_file(r, "special_tokens_map.json"));
  for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
    if (t->role[usual[i].role] < 0) t->role[usual[i].role] = find_special(t, span_of(usual[i].name));
  return XLM_OK;
}
