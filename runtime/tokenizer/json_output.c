// What a tokenizer.json does behind the model: decoders, and tokens around a text.
#include "runtime/tokenizer/json_priv.h"

static xlm_status add_decode(reader *r, const json_t *step, decode_step d) {
  xlm_tokenizer *t = r->t;
  if (t->n_decode == LONGEST_STEPS) return xlm_json_refuse(r, "decoder", step, "one step too many");
  t->decode[t->n_decode++] = d;
  return XLM_OK;
}

static xlm_status get_count(const reader *r, const json_t *step, const char *key, int64_t *out) {
  const json_t *v = json_object_get(step, key);
  if (!json_is_integer(v)) return xlm_json_refuse(r, "decoder", step, "which is not supported");
  *out = json_integer_value(v);
  return XLM_OK;
}

static xlm_status read_metaspace(reader *r, const json_t *step) {
  static const char *const schemes[] = {"always", "first", "never", NULL};
  bool prefix;
  int scheme;
  span replacement;
  decode_step d = {.kind = DECODE_METASPACE};
  XLM_TRY(xlm_json_get_text(r, step, "replacement", &replacement));
  XLM_TRY(xlm_json_get_bool(r, step, "add_prefix_space", true, &prefix));
  XLM_TRY(xlm_json_get_name(r, step, "prepend_scheme", schemes, prefix ? PREPEND_ALWAYS : PREPEND_NEVER,
                            &scheme));
  d.drop = scheme != PREPEND_NEVER;
  if (!replacement.n) replacement = span_of("\xE2\x96\x81");
  XLM_TRY(xlm_pattern_new(r->t->arena, replacement.at, replacement.n, PATTERN_LITERAL, &d.pattern, r->err));
  return add_decode(r, step, d);
}

static xlm_status read_decoder(reader *r, const json_t *step, const char *type) {
  decode_step d = {0};
  if (!strcmp(type, "ByteLevel")) return add_decode(r, step, (decode_step){.kind = DECODE_BYTE_LEVEL});
  if (!strcmp(type, "ByteFallback")) return add_decode(r, step, (decode_step){.kind = DECODE_BYTE_FALLBACK});
  if (!strcmp(type, "Fuse")) return add_decode(r, step, (decode_step){.kind = DECODE_FUSE});
  if (!strcmp(type, "Metaspace")) return read_metaspace(r, step);
  if (!strcmp(type, "Replace")) {
    d.kind = DECODE_REPLACE;
    XLM_TRY(xlm_json_get_pattern(r, step, "pattern", &d.pattern));
    XLM_TRY(xlm_json_get_text(r, step, "content", &d.text));
  } else if (!strcmp(type, "Strip")) {
    d.kind = DECODE_STRIP;
    XLM_TRY(xlm_json_get_text(r, step, "content", &d.text));
    XLM_TRY(get_count(r, step, "start", &d.first));
    XLM_TRY(get_count(r, step, "stop", &d.last));
  } else if (!strcmp(type, "BPEDecoder")) {
    d.kind = DECODE_SUFFIX;
    XLM_TRY(xlm_json_get_text(r, step, "suffix", &d.text));
  } else {
    return xlm_json_refuse(r, "decoder", step, "which is not supported");
  }
  if (!d.text.at || (!d.text.n && d.kind != DECODE_REPLACE))
    return xlm_json_refuse(r, "decoder", step, "without a text");
  return add_decode(r, step, d);
}

xlm_status xlm_json_read_decoder(reader *r) {
  XLM_TRY(xlm_json_each_step(r, "decoder", json_object_get(r->root, "decoder"), read_decoder));
  r->t->joined_by_space = !r->t->n_decode;
  return XLM_OK;
}

static xlm_status put_around(reader *r, const json_t *id, bool behind) {
  xlm_tokenizer *t = r->t;
  json_int_t v = json_is_integer(id) ? json_integer_value(id) : -1;
  if (v < 0 || v >= t->size) return xlm_json_refuse(r, "post_processor", id, "not an id of the vocabulary");
  int32_t **list = behind ? &t->behind : &t->before;
  int *n = behind ? &t->n_behind : &t->n_before;
  *list = xlm_arena_grow(t->arena, *list, (size_t)*n, (size_t)*n + 1, sizeof **list);
  (*list)[(*n)++] = (int32_t)v;
  return XLM_OK;
}

static xlm_status read_template(reader *r, const json_t *step) {
  const json_t *single = json_object_get(step, "single"), *part, *id;
  bool behind = false;
  size_t i, k;
  if (!json_is_array(single)) return xlm_json_refuse(r, "post_processor.single", single, "not a list");
  json_array_foreach(single, i, part) {
    const json_t *special = json_object_get(part, "SpecialToken");
    if (!special) {
      behind = true; // the text
      continue;
    }
    const char *name = json_string_value(json_object_get(special, "id"));
    const json_t *known = name ? json_object_get(json_object_get(step, "special_tokens"), name) : NULL;
    const json_t *ids = json_object_get(known, "ids");
    if (!json_is_array(ids))
      return xlm_json_refuse(r, "post_processor.single[]", part, "not among its special_tokens");
    json_array_foreach(ids, k, id) XLM_TRY(put_around(r, id, behind));
  }
  return XLM_OK;
}

static xlm_status read_processor(reader *r, const json_t *step, const char *type) {
  if (!strcmp(type, "ByteLevel")) return XLM_OK; // changes offsets only
  if (!strcmp(type, "TemplateProcessing")) return read_template(r, step);
  if (!strcmp(type, "RobertaProcessing") || !strcmp(type, "BertProcessing")) { // ["</s>", 2]
    XLM_TRY(put_around(r, json_array_get(json_object_get(step, "cls"), 1), false));
    return put_around(r, json_array_get(json_object_get(step, "sep"), 1), true);
  }
  return xlm_json_refuse(r, "post_processor", step, "which is not supported");
}

xlm_status xlm_json_read_post_processor(reader *r) {
  return xlm_json_each_step(r, "post_processor", json_object_get(r->root, "post_processor"), read_processor);
}
