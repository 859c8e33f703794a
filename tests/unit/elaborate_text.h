// Shared by the tests of elaboration: a small model around a line of text, and one run.
#ifndef XLM_TESTS_ELABORATE_TEXT_H
#define XLM_TESTS_ELABORATE_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/elaborate/elaborate.h"
#include "compiler/parse/load.h"

#define HEAD                                                                                                 \
  "dim vocab = 16\ndim hidden = 8\ninput tokens[batch, seq] of vocab\nparam embed[vocab, hidden] ~ "         \
  "normal(0.02)\n"                                                                                           \
  "h = lookup(embed, tokens)\n"
#define LOSS "loss mean(square(h))\n"

typedef struct outcome {
  xlm_arena *arena;
  xlm_diags diags;
  xlm_graph *graph;
} outcome;

static inline outcome elaborate_with(const char *text, size_t n, const xlm_elaborate_options *s) {
  outcome o = {.arena = xlm_arena_new(0)};
  const xlm_source *source = xlm_source_load(o.arena, "input.xlm", text, n);
  xlm_diags_init(&o.diags, o.arena, source);
  xlm_ast *ast = xlm_parse(o.arena, source, &o.diags);
  if (!o.diags.errors) o.graph = xlm_elaborate(o.arena, ast, s, &o.diags);
  return o;
}

static inline void show(outcome *o) {
  xlm_text t = xlm_text_new(o->arena);
  xlm_diag_render(&o->diags, false, &t);
  if (t.n) print_message("%s\n", t.data);
}

static inline char *read_model(const char *name, size_t *n) {
  char path[512];
  snprintf(path, sizeof path, "%s/models/%s.xlm", XLM_SOURCE_DIR, name);
  FILE *f = fopen(path, "rb");
  if (!f) fail_msg("cannot open %s", path);
  char *text = calloc(1, 1 << 16);
  *n = fread(text, 1, (1 << 16) - 1, f);
  fclose(f);
  return text;
}

// Elaborates a text without errors and warnings to a sound graph.
static inline outcome good(const char *text, const xlm_elaborate_options *s) {
  outcome o = elaborate_with(text, strlen(text), s);
  if (o.diags.errors || o.diags.warnings) show(&o);
  assert_int_equal(o.diags.errors + o.diags.warnings, 0);
  const char *unsound = xlm_graph_verify(o.graph, o.arena);
  if (unsound) fail_msg("%s", unsound);
  return o;
}

#endif
