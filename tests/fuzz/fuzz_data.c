// Fuzz target for token files: whatever lies in a file is opened or rejected, and every token and sample of
// an opened one can be read or is rejected with its place. The first byte chooses name and format, for
// Megatron's pair the second the length of the index.
#include <stdbool.h>

#include "runtime/data/data.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_some(const xlm_data *d) {
  int32_t out[64];
  xlm_error err = {0};
  uint64_t print;
  int64_t n = xlm_data_tokens(d);
  XLM_ASSERT(n > 0, "%lld tokens", (long long)n);
  xlm_status s = xlm_data_fingerprint(d, &print, &err);
  for (int64_t at = 0; at < n && s == XLM_OK; at += n / 16 + 1)
    s = xlm_data_read(d, at, n - at < 64 ? n - at : 64, out, &err);
  if (s == XLM_OK) s = xlm_data_read(d, n - 1, 1, out, &err);
  XLM_ASSERT(s != XLM_ENV && (s == XLM_OK || *err.text), "%s", err.text);
}

static void sample_some(const xlm_data *d, int64_t seq) {
  xlm_data_part train, valid;
  xlm_samples samples;
  xlm_error err = {0};
  int32_t out[64];
  xlm_data_split(d, 0.25, &train, &valid);
  if (xlm_samples_open(train, seq, 3, "training", &samples, &err) != XLM_OK) return;
  XLM_ASSERT(samples.cells <= 64, "%lld cells", (long long)samples.cells);
  for (int64_t i = 0; i < 8; i++) {
    xlm_status s = xlm_samples_shuffled(&samples, i * 7, out, &err);
    if (s == XLM_OK && i < samples.n) s = xlm_samples_window(&samples, i, out, &err);
    XLM_ASSERT(s != XLM_ENV && (s == XLM_OK || *err.text), "%s", err.text);
  }
}

static void check(const char *path, xlm_data_options o) {
  xlm_data *d;
  xlm_error err = {0};
  xlm_status s = xlm_data_open(&path, 1, o, &d, &err);
  XLM_ASSERT(s == XLM_OK || (s == XLM_USER && *err.text), "a refusal says why: %d %s", s, err.text);
  if (s != XLM_OK) return;
  if (!xlm_data_has_records(d)) {
    read_some(d);
    sample_some(d, 8);
  }
  xlm_data_close(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  size_t index = data[1];
  uint8_t how = data[0];
  xlm_data_options o = {
      .vocab = how & 64 ? 1000 : 0, .record = how & 32 ? 9 : 0, .has_end = how & 16, .end = 0};
  o.format = (xlm_data_format)(how & 3);
  data += 2, size -= 2;
  if ((how & 12) == 4) { // a pair
    if (index > size) index = size;
    (void)input_file("pair.idx", data, index);
    check(input_file("pair.bin", data + index, size - index), o);
  } else {
    check(input_file((how & 12) == 8 ? "tokens.bin" : "tokens", data, size), o);
  }
  return 0;
}
