// A client of `xlmc lsp` for tests: starts it, sends and receives messages.
#ifndef XLM_TESTS_LSP_CLIENT_H
#define XLM_TESTS_LSP_CLIENT_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#define URI "file:///tmp/a%20model.xlm"

static const char *client_uri = URI; // of the document

typedef struct client {
  pid_t pid;
  int to;
  FILE *from;
  int ids;
  json_t *diagnostics; // the last that were published
} client;

static inline client start(void) {
  int in[2], out[2];
  client c = {0};
  assert_int_equal(pipe(in) | pipe(out), 0);
  c.pid = fork();
  if (!c.pid) {
    dup2(in[0], 0), dup2(out[1], 1);
    close(in[0]), close(in[1]), close(out[0]), close(out[1]);
    execl(XLM_BINARY_DIR "/xlmc", "xlmc", "lsp", NULL);
    _exit(99);
  }
  close(in[0]), close(out[1]);
  c.to = in[1];
  c.from = fdopen(out[0], "r");
  return c;
}

// The exit code of the server, whose input ends here.
static inline int end(client *c) {
  int status;
  close(c->to);
  fclose(c->from);
  json_decref(c->diagnostics);
  assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static inline void send_bytes(client *c, const char *text, size_t n) {
  while (n) {
    ssize_t put = write(c->to, text, n);
    assert_true(put > 0);
    text += put;
    n -= (size_t)put;
  }
}

static inline void send_text(client *c, const char *body) {
  char header[64];
  int n = snprintf(header, sizeof header, "Content-Length: %zu\r\n\r\n", strlen(body));
  send_bytes(c, header, (size_t)n);
  send_bytes(c, body, strlen(body));
}

static inline void send_json(client *c, json_t *message) { // takes it
  char *body = json_dumps(message, JSON_COMPACT);
  assert_non_null(body);
  send_text(c, body);
  free(body);
  json_decref(message);
}

static inline void notify(client *c, const char *method, json_t *params) {
  send_json(c, json_pack("{s:s, s:s, s:o*}", "jsonrpc", "2.0", "method", method, "params", params));
}

static inline json_t *receive(client *c) {
  char line[256];
  size_t n = 0;
  while (fgets(line, sizeof line, c->from) && strcmp(line, "\r\n") != 0)
    sscanf(line, "Content-Length: %zu", &n);
  if (!n) fail_msg("the server sends nothing");
  char *body = malloc(n);
  assert_int_equal(fread(body, 1, n, c->from), n);
  json_error_t error;
  json_t *message = json_loadb(body, n, 0, &error);
  if (!message) fail_msg("no JSON: %s in %.*s", error.text, (int)n, body);
  free(body);
  return message;
}

// The next answer; diagnostics before it are kept.
static inline json_t *receive_answer(client *c) {
  for (;;) {
    json_t *m = receive(c);
    if (!json_object_get(m, "method")) return m;
    json_decref(c->diagnostics);
    c->diagnostics = m;
  }
}

// Sends a request and returns its answer.
static inline json_t *ask(client *c, const char *method, json_t *params) {
  int id = ++c->ids;
  send_json(
      c, json_pack("{s:s, s:i, s:s, s:o*}", "jsonrpc", "2.0", "id", id, "method", method, "params", params));
  json_t *m = receive_answer(c);
  assert_int_equal(json_integer_value(json_object_get(m, "id")), id);
  return m;
}

static inline json_t *result_of(json_t *answer) { // borrowed
  json_t *error = json_object_get(answer, "error");
  if (error) fail_msg("%s", json_string_value(json_object_get(error, "message")));
  return json_object_get(answer, "result");
}

// Fails unless the answer is an error with this code; returns its message, borrowed.
static inline const char *error_of(json_t *answer, int code) {
  json_t *error = json_object_get(answer, "error");
  if (!error) fail_msg("no error");
  assert_int_equal(json_integer_value(json_object_get(error, "code")), code);
  return json_string_value(json_object_get(error, "message"));
}

static inline void initialize(client *c) {
  json_t *params = json_pack("{s:n, s:{s:{s:{s:[s]}, s:{s:b}, s:{s:b}, s:{s:b}}}}", "processId",
                             "capabilities", "textDocument", "hover", "contentFormat", "markdown",
                             "publishDiagnostics", "relatedInformation", 1, "rename", "prepareSupport", 1,
                             "documentSymbol", "hierarchicalDocumentSymbolSupport", 1);
  assert_non_null(params);
  json_decref(ask(c, "initialize", params));
  notify(c, "initialized", json_object());
}

// Waits for the diagnostics of what was sent last: a list, borrowed until the next message.
static inline json_t *published(client *c) {
  json_decref(c->diagnostics);
  c->diagnostics = receive(c);
  assert_string_equal(json_string_value(json_object_get(c->diagnostics, "method")),
                      "textDocument/publishDiagnostics");
  return json_object_get(json_object_get(c->diagnostics, "params"), "diagnostics");
}

static inline json_t *open_text(client *c, const char *text) {
  notify(c, "textDocument/didOpen",
         json_pack("{s:{s:s, s:s, s:i, s:s}}", "textDocument", "uri", client_uri, "languageId", "xlm",
                   "version", 1, "text", text));
  return published(c);
}

// Line and column (of ASCII lines) of the place `into` bytes after the n-th occurrence of a text, from 0.
static inline void place(const char *text, const char *what, int n, int into, int *line, int *column) {
  const char *at = strstr(text, what);
  while (at && n--) at = strstr(at + 1, what);
  if (!at) fail_msg("the text has no `%s`", what);
  *line = *column = 0;
  for (const char *p = text; p < at + into; p++)
    if (*p == '\n')
      ++*line, *column = 0;
    else
      ++*column;
}

static inline json_t *at(const char *text, const char *what, int n, int into) {
  int line, column;
  place(text, what, n, into, &line, &column);
  return json_pack("{s:{s:s}, s:{s:i, s:i}}", "textDocument", "uri", client_uri, "position", "line", line,
                   "character", column);
}

// The answer to a request about a place.
static inline json_t *ask_at(client *c, const char *method, const char *text, const char *what, int n,
                             int into) {
  return ask(c, method, at(text, what, n, into));
}

static inline size_t offset_of(const char *text, const json_t *position) {
  const char *p = text;
  for (json_int_t line = json_integer_value(json_object_get(position, "line")); line; line--)
    p = strchr(p, '\n') + 1;
  return (size_t)(p - text) + (size_t)json_integer_value(json_object_get(position, "character"));
}

// The text after the edits, which are in order and do not overlap. ASCII only.
static inline char *edited(const char *text, const json_t *edits) {
  char *out = calloc(1, strlen(text) + 4096);
  size_t from = 0, i;
  const json_t *e;
  json_array_foreach(edits, i, e) {
    const json_t *range = json_object_get(e, "range");
    size_t begin = offset_of(text, json_object_get(range, "start"));
    assert_true(begin >= from);
    strncat(out, text + from, begin - from);
    strcat(out, json_string_value(json_object_get(e, "newText")));
    from = offset_of(text, json_object_get(range, "end"));
  }
  strcat(out, text + from);
  return out;
}

static inline char *read_llama(void) {
  char path[512], *text = calloc(1, 1 << 16);
  snprintf(path, sizeof path, "%s/tests/lsp/llama.xlm", XLM_SOURCE_DIR);
  FILE *f = fopen(path, "rb");
  if (!f) fail_msg("cannot open %s", path);
  assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
  fclose(f);
  return text;
}

#endif
