// Fuzz target for pipeline schedules in CSV: any input is read or rejected; what is read is found valid or
// rejected with a reason; a valid one can be simulated, and survives printing and reading.
// The first byte chooses the sizes. tests/layouts/test_schedule_plan.c runs it over mutants.
#include <stdlib.h>
#include <string.h>

#include "compiler/schedule/schedule.h"

enum { MEMORY = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(xlm_arena *a, const xlm_schedule_plan *s) {
  xlm_text first = xlm_text_new(a), second = xlm_text_new(a);
  xlm_schedule_plan *again;
  xlm_error err = {0};
  xlm_schedule_print_csv(s, &first);
  xlm_status status = xlm_schedule_read_csv(a, s->name, first.data, first.n, s->stages, s->chunks,
                                            s->microbatches, &again, &err);
  XLM_ASSERT(status == XLM_OK, "what was printed is refused: %s", err.text);
  xlm_schedule_print_csv(again, &second);
  XLM_ASSERT(first.n == second.n && !memcmp(first.data, second.data, first.n), "printing is not stable");
}

static void time_all(xlm_arena *a, const xlm_schedule_plan *s) {
  int parts = s->stages * s->chunks;
  xlm_part_cost *cost = XLM_NEW_N(a, xlm_part_cost, parts);
  for (int i = 0; i < parts; i++) cost[i] = (xlm_part_cost){.f = 1, .b = 1, .w = 1};
  double bubble, length = xlm_schedule_simulate(s, cost, a, NULL, &bubble);
  XLM_ASSERT(length > 0 && bubble > -1e-9 && bubble < 1, "%g %g", length, bubble);
  for (int st = 0; st < s->stages; st++) {
    uint64_t *bytes = XLM_NEW_N(a, uint64_t, s->chunks);
    for (int c = 0; c < s->chunks; c++) bytes[c] = 64 * (uint64_t)(1 + c % 2);
    int32_t n = xlm_schedule_slots(s, st, XLM_SEG_F, XLM_SEG_B, bytes, a).n;
    XLM_ASSERT(n >= 1 && n <= s->microbatches * s->chunks, "%d slots", n);
  }
}

static void check(xlm_arena *a, const uint8_t *data, size_t size) {
  int stages = 1 + data[0] % 4, chunks = 1 + data[0] / 4 % 3;
  xlm_schedule_plan *s;
  xlm_error err = {0};
  xlm_status status = xlm_schedule_read_csv(a, "fuzz.csv", (const char *)data + 1, size - 1, stages, chunks,
                                            1 + data[0] / 16, &s, &err);
  if (status == XLM_OK) status = xlm_schedule_check(s, a, &err);
  XLM_ASSERT(status == XLM_OK || (err.status == XLM_USER && *err.text), "a refusal says why");
  if (status != XLM_OK) return;
  time_all(a, s);
  round_trip(a, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  xlm_arena *a = xlm_arena_new(MEMORY);
  if (!a) return 0;
  if (size && XLM_ARENA_TRY(a)) check(a, data, size);
  xlm_arena_free(a);
  return 0;
}
