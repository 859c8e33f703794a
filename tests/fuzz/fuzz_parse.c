// Fuzz target for the parser: no input crashes it; a text without errors formats to a text with the same tree
// and comments, and formatting is idempotent. Diagnostics of the others are rendered.
//
// tests/unit/test_parse.c runs it over mutants of a model.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/parse/ast.h"
#include "tests/unit/ast_dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { FUZZ_MEMORY = 512 << 20 };

typedef struct fuzz_result {
  const xlm_ast *ast;
  xlm_text text; // formatted, or the rendered diagnostics
  uint32_t errors;
} fuzz_result;

static fuzz_result fuzz_once(xlm_arena *a, const char *text, size_t n) {
  const xlm_source *s = xlm_source_new(a, "fuzz.xlm", text, n);
  xlm_diags d;
  xlm_diags_init(&d, a, s);
  fuzz_result r = {.ast = xlm_parse(a, s, &d), .text = xlm_text_new(a)};
  r.errors = d.errors;
  if (d.errors)
    xlm_diag_render(&d, n % 2, &r.text);
  else
    xlm_format(r.ast, &r.text);
  return r;
}

static const char *comments_of(xlm_arena *a, const xlm_ast *ast) {
  xlm_text t = xlm_text_new(a);
  for (const xlm_comment *c = ast->comments; c; c = c->next) {
    xlm_text_addn(&t, ast->source->text + c->span.begin, c->span.end - c->span.begin);
    xlm_text_add(&t, "\n");
  }
  return t.data;
}

static void fuzz_check(bool holds, const char *what, const char *text, const fuzz_result *r) {
  XLM_ASSERT(holds, "%s\n--- input\n%s\n--- result\n%s", what, text, r->text.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
  xlm_arena *a = xlm_arena_new(FUZZ_MEMORY);
  if (a && XLM_ARENA_TRY(a)) {
    const char *text = xlm_arena_strndup(a, (const char *)data, n);
    fuzz_result first = fuzz_once(a, text, n);
    if (!first.errors) {
      fuzz_result second = fuzz_once(a, first.text.data, first.text.n);
      fuzz_check(!second.errors, "canonical text does not parse", first.text.data, &second);
      fuzz_check(!strcmp(second.text.data, first.text.data), "formatting is not idempotent", first.text.data,
                 &second);
      fuzz_check(!strcmp(ast_dump(a, first.ast), ast_dump(a, second.ast)), "formatting changes the tree",
                 text, &first);
      fuzz_check(!strcmp(comments_of(a, first.ast), comments_of(a, second.ast)), "formatting loses comments",
                 text, &first);
    }
  }
  xlm_arena_free(a);
  return 0;
}
