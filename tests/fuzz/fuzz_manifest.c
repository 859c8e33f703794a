// Fuzz target for the manifest of a checkpoint: any manifest is read or rejected. Since hardly any input has
// the right checksum, each is tried as it is and with the checksum that it should have; what is read then is
// in range.
#include <inttypes.h>
#include <stdbool.h>

#include "runtime/base/hash.h"
#include "runtime/base/json_parse.h"
#include "runtime/checkpoint/manifest.h"
#include "tests/fuzz/input_file.h"

enum { MEMORY = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(xlm_arena *a, const void *text, size_t n) {
  xlm_manifest m;
  xlm_error err = {0};
  uint64_t read = 0;
  (void)input_file("manifest.json", text, n);
  xlm_status s = xlm_manifest_read(a, input_folder(), &m, &read, &err);
  XLM_ASSERT(s == XLM_OK || (s == XLM_USER && *err.text), "a refusal says why: %d %s", s, err.text);
  if (s != XLM_OK) return;
  XLM_ASSERT(m.info.step >= 0 && m.info.tokens >= 0 && m.info.samples >= 0 && m.n_files, "out of range");
  for (int i = 0; i < m.n_files; i++) {
    const xlm_blocks *b = &m.files[i].blocks;
    uint64_t at, bytes, end = 0;
    for (int64_t k = 0; k < b->n; k++) {
      xlm_blocks_range(b, m.files[i].size, k, &at, &bytes);
      XLM_ASSERT(at == end && bytes <= m.files[i].size - at, "block %" PRId64, k);
      end = at + bytes;
    }
    XLM_ASSERT(!b->n || end == m.files[i].size, "the blocks end at %" PRIu64, end);
  }
}

// The same with the right checksum; NULL: it is no object.
static char *with_checksum(const void *text, size_t n) {
  json_t *m;
  char digits[17], *out = NULL;
  if (xlm_json_parse(text, n, JSON_REJECT_DUPLICATES, "fuzz.json", &m, NULL) != XLM_OK) return NULL;
  json_object_del(m, "checksum");
  char *dense = json_is_object(m) ? json_dumps(m, JSON_COMPACT) : NULL;
  if (dense) {
    snprintf(digits, sizeof digits, "%016" PRIx64, xlm_hash_bytes(dense, strlen(dense)));
    json_object_set_new(m, "checksum", json_string(digits));
    out = json_dumps(m, JSON_COMPACT);
  }
  free(dense);
  json_decref(m);
  return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  xlm_arena *a = xlm_arena_new(MEMORY);
  if (!a) return 0;
  (void)input_file("model.safetensors", "0123456789abcdefghijklmnopqrstuvwxyz", 36);
  (void)input_file("config.json", "{}", 2);
  if (XLM_ARENA_TRY(a)) {
    check(a, data, size);
    char *summed = with_checksum(data, size);
    if (summed) check(a, summed, strlen(summed));
    free(summed); // after a longjmp it is lost, which does not matter here
  }
  xlm_arena_free(a);
  return 0;
}
