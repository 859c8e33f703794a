// Fuzz target for safetensors: any file is opened or rejected; all tensors of an opened one can be read, and lie
// in the file. An input that begins with `{` is an index on one line, and behind it the file a.safetensors.
#include <stdbool.h>

#include "runtime/interchange/safetensors.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const xlm_safetensors *s, uint64_t size) {
  uint64_t sum = 0;
  for (int i = 0; i < xlm_safetensors_count(s); i++) {
    const xlm_st_tensor *t = xlm_safetensors_at(s, i);
    xlm_error err = {0};
    XLM_ASSERT(xlm_st_bytes(t) <= size, "tensor '%s' is larger than the file", t->name);
    XLM_ASSERT(xlm_safetensors_find(s, t->name) == t, "tensor '%s' is not found", t->name);
    sum += xlm_st_bytes(t);
    char *out = malloc(xlm_st_bytes(t) + 1);
    float *floats = malloc((size_t)t->n * sizeof *floats + 1);
    if (out && floats) {
      XLM_ASSERT(xlm_safetensors_read(s, t, 0, t->n, out, &err) == XLM_OK, "%s", err.text);
      (void)xlm_st_floats(t->dtype, out, t->n, floats);
    }
    free(out), free(floats);
  }
  XLM_ASSERT(sum <= size, "tensors overlap");
}

static void check(const char *path, uint64_t size) {
  xlm_safetensors *s;
  xlm_error err = {0};
  xlm_status status = xlm_safetensors_open(path, &s, &err);
  XLM_ASSERT(status == XLM_OK || (status == XLM_USER && *err.text), "a refusal says why: %d %s", status,
             err.text);
  if (status != XLM_OK) return;
  read_all(s, size);
  xlm_safetensors_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const uint8_t *end = size && *data == '{' ? memchr(data, '\n', size) : NULL;
  size_t n = end ? (size_t)(end + 1 - data) : 0;
  if (!n) return check(input_file("model.safetensors", data, size), size), 0;
  (void)input_file("a.safetensors", data + n, size - n);
  check(input_file("model.safetensors.index.json", data, n), size);
  return 0;
}
