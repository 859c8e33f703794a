// Keys and values of a GGUF file, as its bytes; see gguf.h.
#include <string.h>

#include "runtime/interchange/gguf.h"

enum { U32 = 4, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9 }; // types of values

xlm_gguf_keys xlm_gguf_keys_new(xlm_arena *a) {
  return (xlm_gguf_keys){xlm_text_new(a), 0};
}

static void add(xlm_gguf_keys *k, const void *data, size_t n) {
  xlm_text_addn(&k->bytes, data, n);
}

static void add_u32(xlm_gguf_keys *k, uint32_t x) {
  add(k, &x, sizeof x);
}

static void begin(xlm_gguf_keys *k, const char *key, uint32_t type) {
  xlm_gguf_add_text(k, key, strlen(key));
  add_u32(k, type);
  k->n++;
}

void xlm_gguf_add_text(xlm_gguf_keys *k, const char *text, size_t n) {
  uint64_t length = n;
  add(k, &length, sizeof length);
  add(k, text, n);
}

void xlm_gguf_add_i32(xlm_gguf_keys *k, int32_t x) {
  add(k, &x, sizeof x);
}

void xlm_gguf_add_f32(xlm_gguf_keys *k, float x) {
  add(k, &x, sizeof x);
}

void xlm_gguf_add_bool(xlm_gguf_keys *k, bool x) {
  add(k, x ? "\1" : "\0", 1);
}

void xlm_gguf_put_text(xlm_gguf_keys *k, const char *key, const char *text, size_t n) {
  begin(k, key, STRING);
  xlm_gguf_add_text(k, text, n);
}

void xlm_gguf_put_u32(xlm_gguf_keys *k, const char *key, uint32_t x) {
  begin(k, key, U32);
  add_u32(k, x);
}

void xlm_gguf_put_f32(xlm_gguf_keys *k, const char *key, float x) {
  begin(k, key, F32);
  xlm_gguf_add_f32(k, x);
}

void xlm_gguf_put_bool(xlm_gguf_keys *k, const char *key, bool x) {
  begin(k, key, BOOL);
  xlm_gguf_add_bool(k, x);
}

void xlm_gguf_begin_array(xlm_gguf_keys *k, const char *key, xlm_gguf_element of, uint64_t n) {
  begin(k, key, ARRAY);
  add_u32(k, of);
  add(k, &n, sizeof n);
}

// ---- tokens ----

// Byte-level BPE stands for byte b by a printable character: itself, or U+0100 and on, in the order of bytes
// (Radford et al., "Language models are unsupervised multitask learners", 2019: bytes_to_unicode).
static size_t character_of(int byte, int *others, char out[2]) {
  bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  int c = printable ? byte : 256 + (*others)++;
  if (c < 128) return out[0] = (char)c, 1;
  out[0] = (char)(0xC0 | c >> 6), out[1] = (char)(0x80 | (c & 63));
  return 2;
}

enum { BYTES = 256, NORMAL = 1 };

void xlm_gguf_put_bytes_tokenizer(xlm_gguf_keys *k) {
  int others = 0;
  char c[2];
  xlm_gguf_put_text(k, "tokenizer.ggml.model", "gpt2", 4);
  xlm_gguf_put_text(k, "tokenizer.ggml.pre", "gpt-2", 5);
  xlm_gguf_begin_array(k, "tokenizer.ggml.tokens", XLM_GGUF_OF_TEXT, BYTES);
  for (int b = 0; b < BYTES; b++) xlm_gguf_add_text(k, c, character_of(b, &others, c));
  xlm_gguf_begin_array(k, "tokenizer.ggml.token_type", XLM_GGUF_OF_I32, BYTES);
  for (int b = 0; b < BYTES; b++) xlm_gguf_add_i32(k, NORMAL);
  xlm_gguf_begin_array(k, "tokenizer.ggml.merges", XLM_GGUF_OF_TEXT, 0);
  // A number is required, and a text has no byte 0.
  xlm_gguf_put_u32(k, "tokenizer.ggml.bos_token_id", 0);
  xlm_gguf_put_u32(k, "tokenizer.ggml.eos_token_id", 0);
  xlm_gguf_put_bool(k, "tokenizer.ggml.add_bos_token", false);
}

void xlm_gguf_put_no_tokenizer(xlm_gguf_keys *k) {
  xlm_gguf_put_text(k, "tokenizer.ggml.model", "none", 4);
}
