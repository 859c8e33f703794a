// The files of a trained tokenizer, as Hugging Face's `tokenizers` and `transformers` read them.
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/tokenizer/train_priv.h"

static void put_added(xlm_json *j, const xlm_bpe_trained *t) {
  xlm_json_array(j, "added_tokens", XLM_JSON_LINES);
  for (int i = 0; i < t->n_specials; i++) {
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_int(j, "id", i);
    xlm_json_put_text(j, "content", t->specials[i]);
    xlm_json_put_bool(j, "single_word", false);
    xlm_json_put_bool(j, "lstrip", false);
    xlm_json_put_bool(j, "rstrip", false);
    xlm_json_put_bool(j, "normalized", false);
    xlm_json_put_bool(j, "special", true);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

static void put_byte_level(xlm_json *j, const char *key, bool use_regex) {
  xlm_json_object(j, key, XLM_JSON_ROW);
  xlm_json_put_text(j, "type", "ByteLevel");
  xlm_json_put_bool(j, "add_prefix_space", false);
  xlm_json_put_bool(j, "trim_offsets", true);
  xlm_json_put_bool(j, "use_regex", use_regex);
  xlm_json_close(j);
}

static void put_pre_tokenizer(xlm_json *j, const training_pattern *p) {
  if (!p->regex) {
    put_byte_level(j, "pre_tokenizer", true);
    return;
  }
  xlm_json_object(j, "pre_tokenizer", XLM_JSON_LINES);
  xlm_json_put_text(j, "type", "Sequence");
  xlm_json_array(j, "pretokenizers", XLM_JSON_LINES);
  xlm_json_object(j, NULL, XLM_JSON_ROW);
  xlm_json_put_text(j, "type", "Split");
  xlm_json_object(j, "pattern", XLM_JSON_ROW);
  xlm_json_put_text(j, "Regex", p->regex);
  xlm_json_close(j);
  xlm_json_put_text(j, "behavior", "Isolated");
  xlm_json_put_bool(j, "invert", false);
  xlm_json_close(j);
  put_byte_level(j, NULL, false);
  xlm_json_close(j);
  xlm_json_close(j);
}

static const char *name_of(const xlm_bpe_trained *t, xlm_arena *a, int32_t id) {
  xlm_text out = xlm_text_new(a);
  if (id < t->n_specials) return t->specials[id];
  for (size_t i = 0; i < t->token[id].n; i++) {
    int32_t c = xlm_alphabet_character((unsigned char)t->token[id].at[i]);
    char two[] = {(char)(0xC0 | c >> 6), (char)(0x80 | (c & 63))}, one = (char)c;
    xlm_text_addn(&out, c < 0x80 ? &one : two, c < 0x80 ? 1 : 2);
  }
  return out.data;
}

// Of a pair that was merged twice (another pair made its token, too), the last.
static bool is_last(const xlm_bpe_trained *t, table *seen, span *keys, uint32_t i) {
  keys[i] = (span){(const char *)&t->merges[i], 2 * sizeof(int32_t)};
  return xlm_table_put(seen, (int32_t)i) < 0;
}

static void put_merges(xlm_json *j, const xlm_bpe_trained *t, xlm_arena *a, const char *const *name) {
  table seen;
  span *keys = XLM_NEW_N(a, span, t->n_merges);
  bool *last = XLM_NEW_N(a, bool, t->n_merges);
  xlm_table_new(a, &seen, keys, t->n_merges);
  for (uint32_t i = t->n_merges; i--;) last[i] = is_last(t, &seen, keys, i);
  xlm_json_array(j, "merges", XLM_JSON_LINES);
  for (uint32_t i = 0; i < t->n_merges; i++)
    if (last[i])
      xlm_json_put_text(j, NULL,
                        xlm_arena_printf(a, "%s %s", name[t->merges[i].left], name[t->merges[i].right]));
  xlm_json_close(j);
}

static void put_model(xlm_json *j, const xlm_bpe_trained *t, xlm_arena *a) {
  const char **name = XLM_NEW_N(a, const char *, t->size);
  for (int32_t i = 0; i < t->size; i++) name[i] = name_of(t, a, i);
  xlm_json_object(j, "model", XLM_JSON_LINES);
  xlm_json_put_text(j, "type", "BPE");
  xlm_json_put_null(j, "dropout");
  xlm_json_put_null(j, "unk_token");
  xlm_json_put_null(j, "continuing_subword_prefix");
  xlm_json_put_null(j, "end_of_word_suffix");
  xlm_json_put_bool(j, "fuse_unk", false);
  xlm_json_put_bool(j, "byte_fallback", false);
  xlm_json_put_bool(j, "ignore_merges", false);
  xlm_json_object(j, "vocab", XLM_JSON_LINES);
  for (int32_t i = 0; i < t->size; i++) xlm_json_put_int(j, name[i], i);
  xlm_json_close(j);
  put_merges(j, t, a, name);
  xlm_json_close(j);
}

static void put_tokenizer(xlm_json *j, const xlm_bpe_trained *t, xlm_arena *a) {
  xlm_json_object(j, NULL, XLM_JSON_LINES);
  xlm_json_put_text(j, "version", "1.0");
  xlm_json_put_null(j, "truncation");
  xlm_json_put_null(j, "padding");
  put_added(j, t);
  xlm_json_put_null(j, "normalizer");
  put_pre_tokenizer(j, t->pattern);
  put_byte_level(j, "post_processor", true);
  put_byte_level(j, "decoder", true);
  put_model(j, t, a);
  xlm_json_close(j);
}

static void put_roles(xlm_json *j, const xlm_bpe_trained *t, xlm_arena *a) {
  (void)a;
  xlm_json_object(j, NULL, XLM_JSON_LINES);
  if (t->n_specials) {
    xlm_json_put_text(j, "bos_token", t->specials[0]);
    xlm_json_put_text(j, "eos_token", t->specials[0]);
  }
}

static void put_special_map(xlm_json *j, const xlm_bpe_trained *t, xlm_arena *a) {
  put_roles(j, t, a);
  xlm_json_close(j);
}

static void put_config(xlm_json *j, const xlm_bpe_trained *t, xlm_arena *a) {
  put_roles(j, t, a);
  xlm_json_put_bool(j, "add_prefix_space", false);
  xlm_json_put_bool(j, "clean_up_tokenization_spaces", false);
  xlm_json_put_text(j, "tokenizer_class", "PreTrainedTokenizerFast");
  xlm_json_close(j);
}

typedef void put_file(xlm_json *j, const xlm_bpe_trained *t, xlm_arena *a);

static xlm_status write_file(const xlm_bpe_trained *t, xlm_arena *a, const char *path, put_file *put,
                             xlm_error *err) {
  xlm_text text = xlm_text_new(a);
  xlm_json j;
  xlm_json_to_text(&j, &text);
  put(&j, t, a);
  XLM_TRY(xlm_json_finish(&j));
  xlm_text_add(&text, "\n");
  return xlm_file_replace(path, text.data, text.n, err);
}

xlm_status xlm_bpe_write(const xlm_bpe_trained *t, const char *path, xlm_error *err) {
  xlm_arena *a = xlm_arena_new((size_t)8 << 30);
  if (!a || !XLM_ARENA_TRY(a)) {
    xlm_arena_free(a);
    return xlm_fail(err, XLM_ENV, "no memory to write '%s'", path);
  }
  const char *slash = strrchr(path, '/');
  int folder = slash ? (int)(slash - path + 1) : 0;
  xlm_status status = write_file(t, a, path, put_tokenizer, err);
  if (status == XLM_OK)
    status =
        write_file(t, a, xlm_arena_printf(a, "%.*stokenizer_config.json", folder, path), put_config, err);
  if (status == XLM_OK)
    status = write_file(t, a, xlm_arena_printf(a, "%.*sspecial_tokens_map.json", folder, path),
                        put_special_map, err);
  xlm_arena_free(a);
  return status;
}
