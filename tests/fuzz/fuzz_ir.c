// Fuzz target for the IR text: any input is read or rejected, and what is read survives printing, reading and
// simplifying.
// tests/unit/test_ir_text.c runs it over mutants.
#include <stdlib.h>
#include <string.h>

#include "compiler/pass/pass.h"

enum { MEMORY = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(xlm_arena *a, const char *text, size_t n) {
  xlm_error err = {0};
  xlm_graph *g = xlm_graph_read(a, text, n, &err);
  if (!g) {
    XLM_ASSERT(err.status == XLM_USER && *err.text, "a refusal says why");
    return;
  }
  xlm_text first = xlm_text_new(a), second = xlm_text_new(a);
  xlm_graph_print(g, &first);
  xlm_graph *again = xlm_graph_read(a, first.data, first.n, &err);
  XLM_ASSERT(again, "what was printed is refused: %s", err.text);
  xlm_graph_print(again, &second);
  XLM_ASSERT(first.n == second.n && !memcmp(first.data, second.data, first.n), "printing is not stable");
  const char *wrong = xlm_graph_verify(xlm_pass_simplify(g, a), a);
  XLM_ASSERT(!wrong, "after simplify: %s", wrong);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  xlm_arena *a = xlm_arena_new(MEMORY);
  if (!a) return 0;
  if (XLM_ARENA_TRY(a)) check(a, (const char *)data, size);
  xlm_arena_free(a);
  return 0;
}
