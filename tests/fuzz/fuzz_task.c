// Fuzz target for evaluation tasks: a task file, a line `---`, and its data. Both are read, or rejected with
// a reason; what was read is complete, and becomes rows of bytes.
#include <stdbool.h>

#include "runtime/base/arena.h"
#include "runtime/evaluate/examples.h"
#include "runtime/evaluate/rows.h"
#include "tests/fuzz/input_file.h"

enum { MOST = 64, WINDOW = 100 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_status(xlm_status s, const xlm_error *err) {
  XLM_ASSERT(s == XLM_OK || (s == XLM_USER && *err->text), "a refusal says why: %d %s", s, err->text);
}

static void check_items(const xlm_task *t, const xlm_items *items) {
  XLM_ASSERT(items->n > 0 && items->n <= MOST, "%lld items", (long long)items->n);
  for (int64_t i = 0; i < items->n; i++) {
    const xlm_item *x = &items->at[i];
    XLM_ASSERT(x->n > 0 && x->answer >= 0 && x->answer < x->n, "%d of %d", x->answer, x->n);
    for (int k = 0; k < x->n; k++)
      XLM_ASSERT(x->texts[k] && (t->type == XLM_TASK_ROLLING || x->prompts[k]), "text %d of item %lld", k,
                 (long long)i);
  }
}

static void check_rows(const xlm_rows *rows) {
  for (int64_t i = 0; i < rows->n; i++) {
    const xlm_row *r = &rows->at[i];
    XLM_ASSERT(r->n <= WINDOW + 1 && r->scored > 0 && r->scored < r->n, "%lld of %lld tokens",
               (long long)r->scored, (long long)r->n);
  }
}

static void check(xlm_arena *a, const char *task, const char *data) {
  xlm_task *t;
  xlm_items items;
  xlm_rows rows = {0};
  xlm_encoder bytes;
  xlm_error err = {0};
  xlm_status s = xlm_task_read(a, task, &t, &err);
  check_status(s, &err);
  if (s == XLM_OK) check_status(s = xlm_task_items(a, t, data, MOST, &items, &err), &err);
  if (s != XLM_OK) return;
  check_items(t, &items);
  if (t->type == XLM_TASK_CHOICE) check_status(xlm_items_add_examples(a, t, &items, 1, &items, &err), &err);
  check_status(xlm_encoder_of(NULL, &bytes, &err), &err);
  check_status(xlm_rows_add(a, data, &items, &bytes, WINDOW, &rows, &err), &err);
  check_rows(&rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char mark[] = "\n---\n";
  const uint8_t *cut = memmem(data, size, mark, sizeof mark - 1);
  size_t n = cut ? (size_t)(cut - data) + 1 : size, from = cut ? n + 4 : size;
  const char *task = input_file("task.yaml", data, n);
  const char *path = input_file("data", data + from, size - from);
  xlm_arena *a = xlm_arena_new((size_t)64 << 20);
  if (a && XLM_ARENA_TRY(a)) check(a, task, path);
  xlm_arena_free(a);
  return 0;
}
