// What the tests of `xlmc lsp` share: codes of errors, a small model, a server that runs, where a diagnostic
// is.
#ifndef XLM_TESTS_LSP_SESSION_H
#define XLM_TESTS_LSP_SESSION_H

#include "tests/lsp/client.h"

enum {
  PARSE_ERROR = -32700,
  INVALID_REQUEST = -32600,
  METHOD_NOT_FOUND = -32601,
  INVALID_PARAMS = -32602,
  NOT_INITIALIZED = -32002,
  CANCELLED = -32800,
  FAILED = -32803
};

static const char small[] = "model small\n"
                            "dim vocab  = 16\n"
                            "dim hidden = 8\n"
                            "let eps    = 1e-5 as epsilon\n"
                            "shard hidden over tp\n"
                            "# Scales and centres.\n"
                            "block norm(x[.., hidden]) -> [.., hidden] {\n"
                            "  param scale[hidden] ~ ones\n"
                            "  return rmsnorm(x, eps) * scale\n"
                            "}\n"
                            "input tokens[batch, seq] of vocab\n"
                            "input targets[batch, seq] of vocab\n"
                            "param embed[vocab, hidden] ~ normal(0.02)\n"
                            "h = lookup(embed, tokens)\n"
                            "repeat 3 as i {\n"
                            "  h = h + norm.pre(h)\n"
                            "}\n"
                            "logits = h @ embed\n"
                            "loss cross_entropy(logits, targets)\n"
                            "preset tiny { hidden = 4  epsilon = 1e-6 }\n";

static inline client running(const char *text) {
  client c = start();
  initialize(&c);
  if (text) assert_int_equal(json_array_size(open_text(&c, text)), 0);
  return c;
}

static inline void leave(client *c) {
  json_decref(ask(c, "shutdown", NULL));
  notify(c, "exit", NULL);
  assert_int_equal(end(c), 0);
}

static inline void refused(json_t *answer, int code, const char *why) {
  const char *text = error_of(answer, code);
  if (!strstr(text, why)) fail_msg("`%s` does not say `%s`", text, why);
  json_decref(answer);
}

static inline const json_t *start_of(const json_t *diagnostic) {
  return json_object_get(json_object_get(diagnostic, "range"), "start");
}

static inline void assert_starts(const json_t *diagnostic, int line, int column) {
  assert_int_equal(json_integer_value(json_object_get(start_of(diagnostic), "line")), line);
  assert_int_equal(json_integer_value(json_object_get(start_of(diagnostic), "character")), column);
}

static inline void assert_code(const json_t *diagnostic, const char *code) {
  assert_string_equal(json_string_value(json_object_get(diagnostic, "code")), code);
}

#endif
