// Fuzz target for the compiler up to the graph of a training step: any model text is compiled or rejected
// with diagnostics that can be rendered.
#include <stdlib.h>

#include "compiler/driver/compile.h"

enum { MEMORY = 1 << 30 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(xlm_arena *a, const char *text, size_t n) {
  const xlm_source *s = xlm_source_new(a, "fuzz.xlm", xlm_arena_strndup(a, text, n), n);
  xlm_compile_options o = xlm_compile_defaults();
  xlm_diags d;
  xlm_text t = xlm_text_new(a);
  o.settings.batch = 2, o.settings.seq = 8;
  xlm_diags_init(&d, a, s);
  xlm_compiled c = xlm_compile(a, s, &o, &d, NULL, NULL);
  xlm_diag_render(&d, false, &t);
  XLM_ASSERT(d.errors || c.model, "neither a graph nor an error");
  XLM_ASSERT(!d.errors || t.n, "an error without a word");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  xlm_arena *a = xlm_arena_new(MEMORY);
  if (!a) return 0;
  if (XLM_ARENA_TRY(a)) check(a, (const char *)data, size);
  xlm_arena_free(a);
  return 0;
}
