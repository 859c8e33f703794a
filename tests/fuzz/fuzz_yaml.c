// Fuzz target for YAML: any input is, as a run file and as the description of a cluster, read or rejected
// with its line. The first byte chooses the one or the other. A run file that was read can be printed and
// read again.
#include <stdbool.h>

#include "compiler/cost/cluster.h"
#include "tests/fuzz/input_file.h"
#include "tools/common/settings.h"

enum { MEMORY = 256 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const xlm_run_settings *read_run(xlm_arena *a, const char *name, const void *data, size_t n,
                                        xlm_error *err) {
  xlm_run_settings *s = xlm_settings_new(a, 't');
  if (xlm_settings_file(s, input_file(name, data, n), err) != XLM_OK) return NULL;
  return xlm_settings_resolve(s, NULL, 0, err) == XLM_OK ? s : NULL;
}

static void check_run(xlm_arena *a, const uint8_t *data, size_t size) {
  xlm_error err = {0};
  xlm_text first = xlm_text_new(a), second = xlm_text_new(a);
  const xlm_run_settings *s = read_run(a, "run.yaml", data, size, &err);
  XLM_ASSERT(s || (err.status == XLM_USER && *err.text), "a refusal says why");
  if (!s) return;
  xlm_settings_print(s, &first);
  const xlm_run_settings *again = read_run(a, "again.yaml", first.data, first.n, &err);
  XLM_ASSERT(again, "what was printed is refused: %s\n%s", err.text, first.data);
  xlm_settings_print(again, &second);
  XLM_ASSERT(!strcmp(first.data, second.data), "printing is not stable:\n%s\n%s", first.data, second.data);
}

static void check_cluster(xlm_arena *a, const char *text, size_t n) {
  xlm_error err = {0};
  xlm_cluster c;
  xlm_status s = xlm_cluster_read(a, "fuzz.yaml", text, n, &c, &err);
  XLM_ASSERT(s == XLM_OK || (s == XLM_USER && *err.text), "a refusal says why");
  if (s != XLM_OK) return;
  double t = xlm_cluster_message(&c, (xlm_span_of_ranks){2, 1, 2}, 1e6);
  XLM_ASSERT(t >= 0 && xlm_cluster_room(&c) < UINT64_MAX / 2, "%g s", t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  xlm_arena *a = xlm_arena_new(MEMORY);
  if (!a) return 0;
  if (size && XLM_ARENA_TRY(a)) {
    if (*data == 'c')
      check_cluster(a, (const char *)data + 1, size - 1);
    else
      check_run(a, data + 1, size - 1);
  }
  xlm_arena_free(a);
  return 0;
}
