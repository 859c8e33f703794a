// The steps before the model in a tokenizer.json: normalizers and pre-tokenizers.
#include "runtime/tokenizer/json_priv.h"

// GPT-2's pattern, that of ByteLevel.
const char xlm_gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static const char *const behaviors[] = {"Removed",        "Isolated",   "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous", NULL};

static xlm_status add_normal(reader *r, const json_t *step, normal_step n) {
  xlm_tokenizer *t = r->t;
  if (t->n_normal == LONGEST_STEPS) return xlm_json_refuse(r, "normalizer", step, "one step too many");
  t->normal[t->n_normal++] = n;
  return XLM_OK;
}

static xlm_status read_normalizer(reader *r, const json_t *step, const char *type) {
  static const struct {
    const char *name;
    normal_kind kind;
  } plain[] = {{"NFC", NORMAL_NFC},
               {"NFD", NORMAL_NFD},
               {"NFKC", NORMAL_NFKC},
               {"NFKD", NORMAL_NFKD},
               {"Lowercase", NORMAL_LOWERCASE},
               {"StripAccents", NORMAL_STRIP_ACCENTS}};
  normal_step n = {0};
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    if (!strcmp(type, plain[i].name)) return add_normal(r, step, (normal_step){.kind = plain[i].kind});
  if (!strcmp(type, "Strip")) {
    n.kind = NORMAL_STRIP;
    XLM_TRY(xlm_json_get_bool(r, step, "strip_left", true, &n.left));
    XLM_TRY(xlm_json_get_bool(r, step, "strip_right", true, &n.right));
  } else if (!strcmp(type, "Prepend")) {
    n.kind = NORMAL_PREPEND;
    XLM_TRY(xlm_json_get_text(r, step, "prepend", &n.text));
  } else if (!strcmp(type, "Replace")) {
    n.kind = NORMAL_REPLACE;
    XLM_TRY(xlm_json_get_pattern(r, step, "pattern", &n.pattern));
    XLM_TRY(xlm_json_get_text(r, step, "content", &n.text));
  } else {
    return xlm_json_refuse(r, "normalizer", step, "which is not supported");
  }
  if (n.kind != NORMAL_STRIP && !n.text.at) return xlm_json_refuse(r, "normalizer", step, "without a text");
  return add_normal(r, step, n);
}

xlm_status xlm_json_read_normalizer(reader *r) {
  return xlm_json_each_step(r, "normalizer", json_object_get(r->root, "normalizer"), read_normalizer);
}

static xlm_status add_split(reader *r, const json_t *step, split_step s) {
  xlm_tokenizer *t = r->t;
  if (t->n_split == LONGEST_STEPS) return xlm_json_refuse(r, "pre_tokenizer", step, "one step too many");
  t->split[t->n_split++] = s;
  return XLM_OK;
}

static xlm_status add_pattern(reader *r, const json_t *step, const char *text, bool literal, int behavior,
                              bool invert) {
  split_step s = {.kind = SPLIT_PATTERN, .behavior = (split_behavior)behavior, .invert = invert};
  XLM_TRY(xlm_pattern_new(r->t->arena, text, strlen(text), literal ? PATTERN_LITERAL : PATTERN_RUST,
                          &s.pattern, r->err));
  return add_split(r, step, s);
}

static xlm_status read_byte_level(reader *r, const json_t *step) {
  bool prefix, regex;
  XLM_TRY(xlm_json_get_bool(r, step, "add_prefix_space", true, &prefix));
  XLM_TRY(xlm_json_get_bool(r, step, "use_regex", true, &regex));
  if (prefix) XLM_TRY(add_split(r, step, (split_step){.kind = SPLIT_PREFIX_SPACE}));
  if (regex) XLM_TRY(add_pattern(r, step, xlm_gpt2_pattern, false, SPLIT_ISOLATED, false));
  r->t->byte_level = true;
  return XLM_OK;
}

static xlm_status read_metaspace(reader *r, const json_t *step) {
  static const char *const schemes[] = {"always", "first", "never", NULL};
  bool prefix, split;
  int scheme;
  split_step s = {.kind = SPLIT_METASPACE};
  XLM_TRY(xlm_json_get_text(r, step, "replacement", &s.text));
  XLM_TRY(xlm_json_get_bool(r, step, "add_prefix_space", true, &prefix));
  XLM_TRY(xlm_json_get_name(r, step, "prepend_scheme", schemes, prefix ? PREPEND_ALWAYS : PREPEND_NEVER,
                            &scheme));
  XLM_TRY(xlm_json_get_bool(r, step, "split", true, &split));
  s.scheme = (prepend_scheme)scheme;
  if (!s.text.n) s.text = span_of("\xE2\x96\x81");
  XLM_TRY(add_split(r, step, s));
  return split ? add_pattern(r, step, s.text.at, true, SPLIT_MERGED_WITH_NEXT, false) : XLM_OK;
}

static xlm_status read_split(reader *r, const json_t *step) {
  split_step s = {.kind = SPLIT_PATTERN};
  int behavior;
  XLM_TRY(xlm_json_get_pattern(r, step, "pattern", &s.pattern));
  XLM_TRY(xlm_json_get_name(r, step, "behavior", behaviors, SPLIT_ISOLATED, &behavior));
  XLM_TRY(xlm_json_get_bool(r, step, "invert", false, &s.invert));
  s.behavior = (split_behavior)behavior;
  return add_split(r, step, s);
}

static xlm_status read_digits(reader *r, const json_t *step) {
  bool individual;
  XLM_TRY(xlm_json_get_bool(r, step, "individual_digits", false, &individual));
  return add_pattern(r, step, "\\p{N}", false, individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, false);
}

static xlm_status read_punctuation(reader *r, const json_t *step) {
  int behavior;
  XLM_TRY(xlm_json_get_name(r, step, "behavior", behaviors, SPLIT_ISOLATED, &behavior));
  return add_pattern(r, step, "[!-/:-@\\[-`{-~\\p{P}]", false, behavior, false);
}

static xlm_status read_delimiter(reader *r, const json_t *step) {
  span text;
  XLM_TRY(xlm_json_get_text(r, step, "delimiter", &text));
  if (!text.n) return xlm_json_refuse(r, "pre_tokenizer", step, "without a delimiter");
  return add_pattern(r, step, text.at, true, SPLIT_REMOVED, false);
}

static xlm_status read_pre_tokenizer(reader *r, const json_t *step, const char *type) {
  if (r->t->byte_level)
    return xlm_json_refuse(r, "pre_tokenizer", step, "behind ByteLevel, which is not supported");
  if (!strcmp(type, "ByteLevel")) return read_byte_level(r, step);
  if (!strcmp(type, "Metaspace")) return read_metaspace(r, step);
  if (!strcmp(type, "Split")) return read_split(r, step);
  if (!strcmp(type, "Digits")) return read_digits(r, step);
  if (!strcmp(type, "Punctuation")) return read_punctuation(r, step);
  if (!strcmp(type, "CharDelimiterSplit")) return read_delimiter(r, step);
  if (!strcmp(type, "Whitespace")) return add_pattern(r, step, "\\w+|[^\\w\\s]+", false, SPLIT_REMOVED, true);
  if (!strcmp(type, "WhitespaceSplit")) return add_pattern(r, step, "\\s", false, SPLIT_REMOVED, false);
  return xlm_json_refuse(r, "pre_tokenizer", step, "which is not supported");
}

xlm_status xlm_json_read_pre_tokenizer(reader *r) {
  return xlm_json_each_step(r, "pre_tokenizer", json_object_get(r->root, "pre_tokenizer"),
                            read_pre_tokenizer);
}
