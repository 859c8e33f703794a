// GGUF: the file format of llama.cpp, version 3 (specification: docs/gguf.md of ggml-org/ggml).
// Little-endian: a header, keys with typed values, tensors with their places, then their data.
#ifndef XLM_INTERCHANGE_GGUF_H
#define XLM_INTERCHANGE_GGUF_H

#include "runtime/interchange/weights.h"

typedef enum xlm_gguf_type {
  XLM_GGUF_F32,
  XLM_GGUF_F16,
  XLM_GGUF_BF16,
  XLM_GGUF_Q8_0,
  XLM_GGUF_TYPES
} xlm_gguf_type;
bool xlm_gguf_type_find(const char *name, xlm_gguf_type *out); // "q8_0"

// Writes a model whose plan has the `weights` and `config` sections of the same name for such files: tensors
// as the one maps them, keys as the other has them, with the architecture as their prefix. w: made with that
// plan. Matrices are of the type where a row is a multiple of 32 elements, and f32 otherwise; so is what an
// entry computes (`as`). tokens: keys of the tokenizer, from xlm_gguf_put_*.
typedef struct xlm_gguf_keys xlm_gguf_keys;
xlm_status xlm_gguf_write(const char *path, const xlm_plan *p, const xlm_weights *w, xlm_gguf_type type,
                          const xlm_gguf_keys *tokens, xlm_error *err) XLM_MUST_CHECK;

// ---- keys, as bytes of the file ----

struct xlm_gguf_keys {
  xlm_text bytes;
  int64_t n;
};
xlm_gguf_keys xlm_gguf_keys_new(xlm_arena *a);
void xlm_gguf_put_text(xlm_gguf_keys *k, const char *key, const char *text, size_t n);
void xlm_gguf_put_u32(xlm_gguf_keys *k, const char *key, uint32_t x);
void xlm_gguf_put_f32(xlm_gguf_keys *k, const char *key, float x);
void xlm_gguf_put_bool(xlm_gguf_keys *k, const char *key, bool x);
// Begins an array of n elements, which follow.
typedef enum xlm_gguf_element {
  XLM_GGUF_OF_I32 = 5,
  XLM_GGUF_OF_F32 = 6,
  XLM_GGUF_OF_BOOL = 7,
  XLM_GGUF_OF_TEXT = 8
} xlm_gguf_element;
void xlm_gguf_begin_array(xlm_gguf_keys *k, const char *key, xlm_gguf_element of, uint64_t n);
void xlm_gguf_add_text(xlm_gguf_keys *k, const char *text, size_t n);
void xlm_gguf_add_i32(xlm_gguf_keys *k, int32_t x);
void xlm_gguf_add_f32(xlm_gguf_keys *k, float x);
void xlm_gguf_add_bool(xlm_gguf_keys *k, bool x);

// The tokenizer of a model whose tokens are bytes: byte-level BPE without merges.
void xlm_gguf_put_bytes_tokenizer(xlm_gguf_keys *k);
// None: the file is used with token ids.
void xlm_gguf_put_no_tokenizer(xlm_gguf_keys *k);

#endif
