// Writes GGUF files; see gguf.h. Keys come from the config section, tensors from the weights section.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json_parse.h"
#include "runtime/interchange/gguf.h"
#include "runtime/interchange/numbers.h"

enum { VERSION = 3, ALIGNMENT = 32 };

static const struct {
  const char *name;
  uint32_t type, file; // in tensors; of `general.file_type`
} types[XLM_GGUF_TYPES] = {[XLM_GGUF_F32] = {"f32", 0, 0},
                           [XLM_GGUF_F16] = {"f16", 1, 1},
                           [XLM_GGUF_BF16] = {"bf16", 30, 32},
                           [XLM_GGUF_Q8_0] = {"q8_0", 8, 7}};

bool xlm_gguf_type_find(const char *name, xlm_gguf_type *out) {
  for (int i = 0; i < XLM_GGUF_TYPES; i++)
    if (!strcmp(types[i].name, name)) return *out = (xlm_gguf_type)i, true;
  return false;
}

typedef struct tensor {
  xlm_st_tensor t;
  int index; // in the weights; -1: `own`
  const float *own;
  xlm_gguf_type type;
  uint64_t at, bytes;
} tensor;

typedef struct writer {
  xlm_arena *a;
  const xlm_plan *plan;
  const xlm_weights *w;
  xlm_gguf_type type;
  xlm_gguf_keys keys;
  tensor *tensors;
  uint32_t n, cap;
  xlm_out out;
  void *converted; // of a chunk
  size_t room;
  const tensor *current;
  xlm_error *err;
} writer;

// ---- keys ----

static const xlm_plan_key *key_named(const xlm_plan *p, const char *key) {
  for (uint32_t i = 0; i < p->n_keys; i++)
    if (!strcmp(p->keys[i].key, key)) return &p->keys[i];
  return NULL;
}

static void free_json(void *json) {
  json_decref(json);
}

static const json_t *value_of(const writer *x, const xlm_plan_key *k) {
  json_t *v;
  xlm_error ignored;
  xlm_arena_cleanup *owner = xlm_arena_add_cleanup(x->a, free_json);
  if (!k || xlm_json_parse(k->json, strlen(k->json), JSON_DECODE_ANY, k->key, &v, &ignored) != XLM_OK)
    return NULL;
  owner->what = v;
  return v;
}

static void put_array(xlm_gguf_keys *k, const char *key, const json_t *v) {
  size_t n = json_array_size(v);
  const json_t *first = json_array_get(v, 0);
  xlm_gguf_element of = json_is_boolean(first)  ? XLM_GGUF_OF_BOOL
                        : json_is_string(first) ? XLM_GGUF_OF_TEXT
                        : json_is_real(first)   ? XLM_GGUF_OF_F32
                                                : XLM_GGUF_OF_I32;
  xlm_gguf_begin_array(k, key, of, n);
  for (size_t i = 0; i < n; i++) {
    const json_t *e = json_array_get(v, i);
    if (of == XLM_GGUF_OF_BOOL)
      xlm_gguf_add_bool(k, json_is_true(e));
    else if (of == XLM_GGUF_OF_TEXT)
      xlm_gguf_add_text(k, json_string_value(e), json_string_length(e));
    else if (of == XLM_GGUF_OF_F32)
      xlm_gguf_add_f32(k, (float)json_number_value(e));
    else
      xlm_gguf_add_i32(k, (int32_t)json_integer_value(e));
  }
}

// Nothing of `none`, and of objects, which such files lack.
static void put_value(xlm_gguf_keys *k, const char *key, const json_t *v) {
  if (json_is_string(v))
    xlm_gguf_put_text(k, key, json_string_value(v), json_string_length(v));
  else if (json_is_boolean(v))
    xlm_gguf_put_bool(k, key, json_is_true(v));
  else if (json_is_integer(v))
    xlm_gguf_put_u32(k, key, (uint32_t)json_integer_value(v));
  else if (json_is_real(v))
    xlm_gguf_put_f32(k, key, (float)json_real_value(v));
  else if (json_is_array(v))
    put_array(k, key, v);
}

static bool is_whole_name(const char *key) { // not prefixed with the architecture
  return !strncmp(key, "general.", 8) || !strncmp(key, "tokenizer.", 10);
}

static xlm_status put_keys(writer *x, const xlm_gguf_keys *tokens) {
  const xlm_plan *p = x->plan;
  const json_t *arch = value_of(x, key_named(p, "architecture"));
  if (!json_is_string(arch))
    return xlm_fail(x->err, XLM_USER, "the `config %s` section of the model has no key `architecture`",
                    p->weights_name);
  const char *name = p->preset ? xlm_arena_printf(x->a, "%s %s", p->model, p->preset) : p->model;
  x->keys = xlm_gguf_keys_new(x->a);
  put_value(&x->keys, "general.architecture", arch);
  xlm_gguf_put_text(&x->keys, "general.name", name, strlen(name));
  xlm_gguf_put_u32(&x->keys, "general.file_type", types[x->type].file);
  xlm_gguf_put_u32(&x->keys, "general.quantization_version", 2);
  for (uint32_t i = 0; i < p->n_keys; i++) {
    const char *key = p->keys[i].key;
    if (!strcmp(key, "architecture")) continue;
    if (!is_whole_name(key)) key = xlm_arena_printf(x->a, "%s.%s", json_string_value(arch), key);
    put_value(&x->keys, key, value_of(x, &p->keys[i]));
  }
  xlm_text_addn(&x->keys.bytes, tokens->bytes.data, tokens->bytes.n);
  x->keys.n += tokens->n;
  return XLM_OK;
}

// ---- tensors ----

static xlm_gguf_type type_of(const writer *x, const xlm_st_tensor *t, bool computed) {
  bool matrix = t->rank >= 2 && !computed && t->shape[t->rank - 1] % XLM_Q8_BLOCK == 0;
  for (int i = 0; i < t->rank; i++) matrix &= t->shape[i] > 1;
  return matrix ? x->type : XLM_GGUF_F32;
}

static uint64_t bytes_of(xlm_gguf_type type, int64_t n) {
  uint64_t count = (uint64_t)n;
  if (type == XLM_GGUF_Q8_0) return count / XLM_Q8_BLOCK * XLM_Q8_BLOCK_BYTES;
  return count * (type == XLM_GGUF_F32 ? 4 : 2);
}

static void add_tensor(writer *x, const xlm_st_tensor *t, int index, const float *own, bool computed) {
  const tensor *last = x->n ? &x->tensors[x->n - 1] : NULL;
  uint64_t end = last ? last->at + last->bytes : 0;
  tensor new = {.t = *t, .index = index, .own = own, .type = type_of(x, t, computed)};
  new.at = (end + ALIGNMENT - 1) / ALIGNMENT *ALIGNMENT;
  new.bytes = bytes_of(new.type, t->n);
  XLM_PUSH(x->a, x->tensors, x->n, x->cap, new);
}

// Frequencies scaled as by Llama 3.1 are a tensor of their divisors there (Dubey et al., "The Llama 3 herd of
// models", 2024; transformers' modeling_rope_utils has the formula).
static void add_frequencies(writer *x) {
  const json_t *r = value_of(x, key_named(x->plan, "rope_scaling"));
  const char *type = json_string_value(json_object_get(r, "rope_type"));
  if (!type || strcmp(type, "llama3")) return;
  double base = json_number_value(value_of(x, key_named(x->plan, "rope.freq_base"))),
         factor = json_number_value(json_object_get(r, "factor")),
         low = json_number_value(json_object_get(r, "low_freq_factor")),
         high = json_number_value(json_object_get(r, "high_freq_factor")),
         original = json_number_value(json_object_get(r, "original_max_position_embeddings"));
  int64_t n = json_integer_value(value_of(x, key_named(x->plan, "rope.dimension_count"))) / 2;
  float *divisor = XLM_NEW_N(x->a, float, n + 1);
  for (int64_t i = 0; i < n; i++) {
    double turns = original / (2 * M_PI * pow(base, (double)i / (double)n)),
           share = (turns - low) / (high - low);
    divisor[i] = (float)(turns < low ? factor : turns > high ? 1 : 1 / ((1 - share) / factor + share));
  }
  xlm_st_tensor t = {.name = "rope_freqs.weight", .rank = 1, .shape = {n}, .n = n};
  add_tensor(x, &t, -1, divisor, true);
}

static void list_tensors(writer *x) {
  for (int i = 0; i < xlm_weights_count(x->w, XLM_WEIGHTS_MODEL); i++)
    add_tensor(x, xlm_weights_at(x->w, XLM_WEIGHTS_MODEL, i), i, NULL,
               xlm_weights_computed(x->w, XLM_WEIGHTS_MODEL, i));
  add_frequencies(x);
}

static void put_tensor(xlm_text *out, const tensor *t) {
  uint64_t n = strlen(t->t.name), size;
  uint32_t rank = (uint32_t)t->t.rank;
  xlm_text_addn(out, (const char *)&n, sizeof n);
  xlm_text_addn(out, t->t.name, n);
  xlm_text_addn(out, (const char *)&rank, sizeof rank);
  for (int i = t->t.rank - 1; i >= 0; i--) { // the contiguous dimension first
    size = (uint64_t)t->t.shape[i];
    xlm_text_addn(out, (const char *)&size, sizeof size);
  }
  xlm_text_addn(out, (const char *)&types[t->type].type, sizeof types[t->type].type);
  xlm_text_addn(out, (const char *)&t->at, sizeof t->at);
}

// ---- the file ----

static xlm_status pad(writer *x) {
  static const char zeros[ALIGNMENT];
  size_t n = (size_t)(-x->out.size % ALIGNMENT);
  return xlm_out_write(&x->out, zeros, n, x->err);
}

static xlm_status write_head(writer *x) {
  uint32_t version = VERSION;
  uint64_t counts[] = {x->n, (uint64_t)x->keys.n};
  xlm_text t = xlm_text_new(x->a);
  xlm_text_addn(&t, "GGUF", 4);
  xlm_text_addn(&t, (const char *)&version, sizeof version);
  xlm_text_addn(&t, (const char *)counts, sizeof counts);
  xlm_text_addn(&t, x->keys.bytes.data, x->keys.bytes.n);
  for (uint32_t i = 0; i < x->n; i++) put_tensor(&t, &x->tensors[i]);
  XLM_TRY(xlm_out_write(&x->out, t.data, t.n, x->err));
  return pad(x);
}

static xlm_status write_values(void *arg, const float *values, int64_t n, xlm_error *err) {
  writer *x = arg;
  static const xlm_st_dtype halves[] = {[XLM_GGUF_F16] = XLM_ST_F16, [XLM_GGUF_BF16] = XLM_ST_BF16};
  xlm_gguf_type type = x->current->type;
  size_t bytes = bytes_of(type, n);
  if (type == XLM_GGUF_F32) return xlm_out_write(&x->out, values, bytes, err);
  if (bytes > x->room) {
    free(x->converted);
    x->converted = malloc(bytes), x->room = bytes;
    if (!x->converted) return x->room = 0, xlm_fail(err, XLM_ENV, "no memory for '%s'", x->current->t.name);
  }
  if (type == XLM_GGUF_Q8_0)
    xlm_q8_from_floats(values, n, x->converted);
  else if (!xlm_st_from_floats(halves[type], values, n, x->converted))
    XLM_ASSERT(false, "type %d", type);
  return xlm_out_write(&x->out, x->converted, bytes, err);
}

static xlm_status write_all(writer *x) {
  XLM_TRY(write_head(x));
  for (uint32_t i = 0; i < x->n; i++) {
    const tensor *t = x->current = &x->tensors[i];
    XLM_TRY(t->own ? write_values(x, t->own, t->t.n, x->err)
                   : xlm_weights_stream(x->w, t->index, write_values, x, x->err));
    XLM_TRY(pad(x));
  }
  return XLM_OK;
}

static xlm_status write_file(writer *x, const char *path) {
  const char *partial = xlm_arena_printf(x->a, "%s.partial", path);
  XLM_TRY(xlm_out_open(partial, &x->out, x->err));
  xlm_status status = xlm_out_close(&x->out, write_all(x), NULL, NULL, x->err);
  if (status == XLM_OK && rename(partial, path))
    status = xlm_fail(x->err, XLM_ENV, "cannot rename '%s' to '%s'", partial, path);
  if (status != XLM_OK) remove(partial);
  return status;
}

xlm_status xlm_gguf_write(const char *path, const xlm_plan *p, const xlm_weights *w, xlm_gguf_type type,
                          const xlm_gguf_keys *tokens, xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  writer *volatile x = calloc(1, sizeof *x);
  xlm_status status = xlm_fail(err, XLM_ENV, "no memory to write '%s'", path);
  if (a && x && XLM_ARENA_TRY(a)) {
    *x = (writer){.a = a, .plan = p, .w = w, .type = type, .err = err};
    status = put_keys(x, tokens);
    if (status == XLM_OK) list_tensors(x);
    if (status == XLM_OK) status = write_file(x, path);
  }
  if (x) free(x->converted);
  free(x);
  if (a) xlm_arena_free(a);
  return status;
}
