// The model of a tokenizer.json: vocabulary, merges, added tokens.
#include <stdio.h>

#include "runtime/tokenizer/json_priv.h"

enum { LARGEST_ID = 1 << 26, LONGEST_AFFIX = 24 };

static bool is_id(const json_t *id) {
  return json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < LARGEST_ID;
}

// Ids are below the largest of the vocabulary and of the added tokens.
static xlm_status find_size(reader *r, const json_t *vocab) {
  const char *key;
  json_t *id;
  size_t i;
  json_int_t most = -1;
  json_object_foreach((json_t *)vocab, key, id) {
    if (!is_id(id))
      return xlm_json_refuse(r, xlm_arena_printf(r->t->arena, "model.vocab[\"%s\"]", key), id, "not an id");
    if (json_integer_value(id) > most) most = json_integer_value(id);
  }
  const json_t *token;
  json_array_foreach(json_object_get(r->root, "added_tokens"), i, token) {
    id = json_object_get(token, "id");
    if (!is_id(id)) return xlm_json_refuse(r, "added_tokens[].id", id, "not an id");
    if (json_integer_value(id) > most) most = json_integer_value(id);
  }
  xlm_tokenizer_resize(r->t, (int32_t)most + 1);
  return XLM_OK;
}

static void read_entry(reader *r, const char *key, int32_t id) {
  xlm_tokenizer *t = r->t;
  span piece = {xlm_arena_strdup(t->arena, key), strlen(key)}, raw = piece;
  bool mergeable = !t->byte_level || xlm_alphabet_read(t->arena, piece, &raw);
  t->piece[id] = piece, t->raw[id] = raw;
  if (mergeable) xlm_table_put(&t->words, id);
}

static xlm_status read_vocab(reader *r, const json_t *model) {
  const json_t *vocab = json_object_get(model, "vocab");
  const char *key;
  json_t *id;
  if (!json_is_object(vocab)) return xlm_json_refuse(r, "model.vocab", vocab, "not an object of ids");
  XLM_TRY(find_size(r, vocab));
  xlm_table_new(r->t->arena, &r->t->words, r->t->raw, r->t->size);
  json_object_foreach((json_t *)vocab, key, id) read_entry(r, key, (int32_t)json_integer_value(id));
  return XLM_OK;
}

static int32_t find(const json_t *vocab, span piece) { // -1 = none
  const json_t *id = json_object_getn(vocab, piece.at, piece.n);
  return id ? (int32_t)json_integer_value(id) : -1;
}

// "left right" or [left, right]
static bool halves_of(const json_t *merge, span *left, span *right) {
  const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
  if (json_is_string(a) && json_is_string(b) && json_array_size(merge) == 2) {
    *left = (span){json_string_value(a), json_string_length(a)};
    *right = (span){json_string_value(b), json_string_length(b)};
    return true;
  }
  const char *s = json_string_value(merge), *space = s ? strchr(s, ' ') : NULL;
  if (!space || strchr(space + 1, ' ')) return false;
  *left = (span){s, (size_t)(space - s)};
  *right = span_of(space + 1);
  return true;
}

// both: reused for what a merge makes.
static xlm_status read_merge(reader *r, const json_t *vocab, const json_t *merge, size_t rank,
                             xlm_text *both) {
  xlm_tokenizer *t = r->t;
  span left, right;
  char key[48];
  snprintf(key, sizeof key, "model.merges[%zu]", rank);
  if (!halves_of(merge, &left, &right)) return xlm_json_refuse(r, key, merge, "not two tokens");
  int32_t a = find(vocab, left), b = find(vocab, right);
  if (a < 0 || b < 0) return xlm_json_refuse(r, key, merge, "and one of the two is not in the vocabulary");
  span x = t->raw[a], y = t->raw[b];
  if (span_begins(y, t->prefix)) y.at += t->prefix.n, y.n -= t->prefix.n;
  both->n = 0;
  xlm_text_addn(both, x.at, x.n);
  xlm_text_addn(both, y.at, y.n);
  int32_t id = xlm_table_get(&t->words, both->data, both->n);
  if (id < 0) return xlm_json_refuse(r, key, merge, "and what it makes is not in the vocabulary");
  xlm_pairs_put(&t->pairs, a, b, (uint32_t)rank, id);
  return XLM_OK;
}

static xlm_status read_merges(reader *r, const json_t *model) {
  const json_t *vocab = json_object_get(model, "vocab"), *merges = json_object_get(model, "merges"), *merge;
  xlm_text both = xlm_text_new(r->t->arena);
  size_t i;
  if (!json_is_array(merges)) return xlm_json_refuse(r, "model.merges", merges, "not a list");
  r->t->merges = (int64_t)json_array_size(merges);
  xlm_pairs_new(r->t->arena, &r->t->pairs, r->t->merges);
  json_array_foreach(merges, i, merge) XLM_TRY(read_merge(r, vocab, merge, i, &both));
  return XLM_OK;
}

static xlm_status read_affixes(reader *r, const json_t *model) {
  xlm_tokenizer *t = r->t;
  XLM_TRY(xlm_json_get_text(r, model, "continuing_subword_prefix", &t->prefix));
  XLM_TRY(xlm_json_get_text(r, model, "end_of_word_suffix", &t->suffix));
  if (t->prefix.n > LONGEST_AFFIX || (t->byte_level && t->prefix.n))
    return xlm_json_refuse(r, "model.continuing_subword_prefix",
                           json_object_get(model, "continuing_subword_prefix"), "which is not supported");
  if (t->suffix.n > LONGEST_AFFIX || (t->byte_level && t->suffix.n))
    return xlm_json_refuse(r, "model.end_of_word_suffix", json_object_get(model, "end_of_word_suffix"),
                           "which is not supported");
  if (!t->prefix.at) t->prefix = span_of("");
  if (!t->suffix.at) t->suffix = span_of("");
  return XLM_OK;
}

static void find_bytes(xlm_tokenizer *t) {
  char name[8];
  for (int b = 0; b < 256; b++) {
    char raw = (char)b;
    snprintf(name, sizeof name, "<0x%02X>", b);
    t->byte_token[b] = t->byte_level ? xlm_table_get(&t->words, &raw, 1) : xlm_table_get(&t->words, name, 6);
  }
}

static xlm_status read_unknown(reader *r, const json_t *model) {
  span unk;
  r->t->unk = -1;
  XLM_TRY(xlm_json_get_text(r, model, "unk_token", &unk));
  if (!unk.at || r->t->byte_level) return XLM_OK; // every byte is known, or left out
  r->t->unk = xlm_table_get(&r->t->words, unk.at, unk.n);
  if (r->t->unk >= 0) return XLM_OK;
  return xlm_json_refuse(r, "model.unk_token", json_object_get(model, "unk_token"), "not in the vocabulary");
}

static xlm_status check_type(const reader *r, const json_t *model) {
  const json_t *type = json_object_get(model, "type"), *dropout = json_object_get(model, "dropout");
  bool bpe = json_is_string(type) ? !strcmp(json_string_value(type), "BPE")
                                  : json_object_get(model, "merges") != NULL; // files of old versions
  if (!bpe) return xlm_json_refuse(r, "model.type", type, "which is not supported: only BPE is");
  if (json_is_number(dropout) && json_number_value(dropout) > 0)
    return xlm_json_refuse(r, "model.dropout", dropout, "which is not supported: ids would be random");
  return XLM_OK;
}

xlm_status xlm_json_read_model(reader *r) {
  const json_t *model = json_object_get(r->root, "model");
  xlm_tokenizer *t = r->t;
  XLM_TRY(check_type(r, model));
  XLM_TRY(xlm_json_get_bool(r, model, "byte_fallback", false, &t->byte_fallback));
  XLM_TRY(xlm_json_get_bool(r, model, "fuse_unk", false, &t->fuse_unk));
  XLM_TRY(xlm_json_get_bool(r, model, "ignore_merges", false, &t->whole_words));
  XLM_TRY(read_affixes(r, model));
  XLM_TRY(read_vocab(r, model));
  XLM_TRY(read_merges(r, model));
  XLM_TRY(read_unknown(r, model));
  find_bytes(t);
  xlm_bpe_find_cut(t);
  t->kind = t->byte_level ? "byte-level BPE (tokenizer.json)" : "BPE (tokenizer.json)";
  return XLM_OK;
}

static xlm_status read_added(reader *r, const json_t *token) {
  xlm_tokenizer *t = r->t;
  added_token a = {.id = (int32_t)json_integer_value(json_object_get(token, "id"))};
  bool special, normalized;
  XLM_TRY(xlm_json_get_text(r, token, "content", &a.text));
  if (!a.text.n) return xlm_json_refuse(r, "added_tokens[].content", token, "without a text");
  XLM_TRY(xlm_json_get_bool(r, token, "special", false, &special));
  XLM_TRY(xlm_json_get_bool(r, token, "normalized", !special, &normalized));
  XLM_TRY(xlm_json_get_bool(r, token, "lstrip", false, &a.left));
  XLM_TRY(xlm_json_get_bool(r, token, "rstrip", false, &a.right));
  XLM_TRY(xlm_json_get_bool(r, token, "single_word", false, &a.single_word));
  t->special[a.id] = special;
  if (normalized) a.text = xlm_normalize_text(t, a.text);
  t->piece[a.id] = a.text;
  xlm_added_put(t->arena, normalized ? &t->added_normalized : &t->added, a);
  return XLM_OK;
}

xlm_status xlm_json_read_added(reader *r) {
  const json_t *tokens = json_object_get(r->root, "added_tokens"), *token;
  size_t i;
  json_array_foreach(tokens, i, token) XLM_TRY(read_added(r, token));
  return XLM_OK;
}
