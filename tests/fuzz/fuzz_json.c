// Fuzz target for JSON as it is read everywhere, and for metrics files: any input is read or rejected with
// its place; what is read survives writing and reading.
#include <math.h>
#include <stdbool.h>

#include "runtime/base/json_parse.h"
#include "runtime/train/curve.h"
#include "runtime/train/metrics.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(const char *text, size_t n) {
  xlm_error err = {0};
  json_t *value, *again;
  xlm_status s = xlm_json_parse(text, n, JSON_REJECT_DUPLICATES, "fuzz.json", &value, &err);
  XLM_ASSERT(s == XLM_OK || (s == XLM_USER && *err.text && !value), "a refusal says why");
  if (s != XLM_OK) return;
  char *printed = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(17));
  XLM_ASSERT(printed, "it cannot be written");
  s = xlm_json_parse(printed, strlen(printed), JSON_ALLOW_NUL, "again.json", &again, &err);
  XLM_ASSERT(s == XLM_OK, "what was written is refused: %s", err.text);
  XLM_ASSERT(json_equal(value, again), "it reads back as another value");
  json_decref(value);
  json_decref(again);
  free(printed);
}

static void check_metrics(const uint8_t *data, size_t size) {
  static xlm_curve curve;
  xlm_error err = {0};
  int fd;
  double elapsed;
  const char *path = input_file("metrics.jsonl", data, size);
  memset(&curve, 0, sizeof curve);
  XLM_ASSERT(xlm_metrics_open(path, 100, &fd, &elapsed, &err) == XLM_OK, "%s", err.text);
  close(fd);
  XLM_ASSERT(xlm_curve_read(&curve, path, &err) == XLM_OK, "%s", err.text);
  for (int i = 0; i < curve.train.n; i++)
    XLM_ASSERT(isfinite(curve.train.value[i]) && curve.train.step[i] <= 100, "point %d", i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  check_value((const char *)data, size);
  check_metrics(data, size);
  return 0;
}
