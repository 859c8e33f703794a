// Fuzz target for tokenizers: any file is opened or rejected; one that was opened encodes any text to ids
// below its size, and decodes them. The first byte chooses the kind of the file, the second the length of the
// text behind it.
#include "runtime/tokenizer/tokenizer.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fixed[] =
    "Hello  world, 123's \xC3\xA9t\xC3\xA9 \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80\n\tdef f(x):\xFF <s>";

static void check_text(const xlm_tokenizer *t, const char *text, size_t n) {
  xlm_tokens ids = {0};
  xlm_error err = {0};
  xlm_arena *a = xlm_arena_new(0);
  xlm_status s = xlm_tokenizer_encode(t, text, n, &ids, &err);
  XLM_ASSERT(s == XLM_OK || *err.text, "a refusal says why");
  for (int64_t i = 0; i < ids.n; i++) {
    size_t bytes;
    XLM_ASSERT(ids.at[i] >= 0 && ids.at[i] < xlm_tokenizer_size(t), "id %d", ids.at[i]);
    XLM_ASSERT(xlm_tokenizer_piece(t, ids.at[i], &bytes), "id %d is not in use", ids.at[i]);
  }
  if (a && XLM_ARENA_TRY(a)) {
    xlm_text out = xlm_text_new(a);
    xlm_tokenizer_decode(t, ids.at, ids.n, &out);
  }
  if (a) xlm_arena_free(a);
  xlm_tokens_free(&ids);
}

static void check(const char *path, const char *text, size_t n) {
  xlm_tokenizer *t;
  xlm_error err = {0};
  xlm_status s = xlm_tokenizer_open(path, &t, &err);
  XLM_ASSERT(s == XLM_OK || (s == XLM_USER && *err.text), "a refusal says why: %d %s", s, err.text);
  if (s != XLM_OK) return;
  for (int role = XLM_TOKEN_BOS; role <= XLM_TOKEN_UNK; role++)
    XLM_ASSERT(xlm_tokenizer_special(t, (xlm_token_role)role) < xlm_tokenizer_size(t), "role %d", role);
  check_text(t, fixed, sizeof fixed - 1);
  check_text(t, text, n);
  xlm_tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const names[] = {"tokenizer.json", "gpt2.tiktoken", "tokenizer.model"};
  if (size < 2) return 0;
  const char *name = names[data[0] % 3];
  size_t n = data[1] < size - 2 ? data[1] : size - 2;
  const uint8_t *text = data + size - n;
  check(input_file(name, data + 2, size - 2 - n), (const char *)text, n);
  return 0;
}
