// `xlmc lsp` as a client sees it: the protocol's rules in order and out of order, and diagnostics. Requests
// on models: test_lsp_answers.c. The same in an editor: test_neovim.sh.
#include "tests/lsp/session.h"

// --- the protocol

static void order_of_messages(void **state) {
  (void)state;
  client c = start();
  refused(ask_at(&c, "textDocument/hover", small, "eps", 0, 0), NOT_INITIALIZED, "initialize");
  refused(ask(&c, "shutdown", NULL), NOT_INITIALIZED, "initialize");
  notify(&c, "textDocument/didOpen", json_object()); // dropped
  initialize(&c);
  refused(ask(&c, "initialize", json_object()), INVALID_REQUEST, "already");
  refused(ask(&c, "textDocument/nosuch", json_object()), METHOD_NOT_FOUND, "textDocument/nosuch");
  refused(ask(&c, "$/nosuch", json_object()), METHOD_NOT_FOUND, "$/nosuch");
  notify(&c, "$/nosuch", json_object());
  notify(&c, "workspace/didChangeWatchedFiles", json_object());
  json_t *answer = ask(&c, "shutdown", NULL);
  assert_true(json_is_null(result_of(answer)));
  json_decref(answer);
  refused(ask(&c, "shutdown", NULL), INVALID_REQUEST, "shut down");
  notify(&c, "exit", NULL);
  assert_int_equal(end(&c), 0);
}

static void exit_codes(void **state) {
  (void)state;
  client c = start();
  notify(&c, "exit", NULL);
  assert_int_equal(end(&c), 1);
  c = start(), initialize(&c);
  notify(&c, "exit", NULL);
  assert_int_equal(end(&c), 1);
  c = start(), initialize(&c);
  assert_int_equal(end(&c), 1); // the client is gone
  c = start(), initialize(&c);
  json_decref(ask(&c, "shutdown", NULL));
  assert_int_equal(end(&c), 0);
}

// The client's process is gone and its end of the pipe is still open, in a child of it.
static void orphan(void **state) {
  (void)state;
  int status;
  pid_t parent = fork();
  if (!parent) pause();
  client c = start();
  json_decref(ask(&c, "initialize", json_pack("{s:i}", "processId", (int)parent)));
  kill(parent, SIGKILL);
  waitpid(parent, &status, 0);
  assert_int_equal(waitpid(c.pid, &status, 0), c.pid); // it looks every few seconds
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
  close(c.to);
  fclose(c.from);
}

static void capabilities(void **state) {
  (void)state;
  static const char *const all[] = {
      "hoverProvider",      "definitionProvider",         "referencesProvider",
      "renameProvider",     "documentHighlightProvider",  "documentSymbolProvider",
      "completionProvider", "documentFormattingProvider", "signatureHelpProvider"};
  client c = start();
  json_t *answer = ask(&c, "initialize", json_object()),
         *offer = json_object_get(result_of(answer), "capabilities");
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (!json_object_get(offer, all[i])) fail_msg("no %s", all[i]);
  assert_true(json_is_true(json_object_get(offer, "renameProvider"))); // the client has no prepareSupport
  json_decref(answer);
  leave(&c);
}

static void malformed(void **state) {
  (void)state;
  client c = running(NULL);
  static const char *const wrong[] = {"",      "{",        "nothing",
                                      "[1, 2", "\xff\xfe", "{\"id\": 1, \"method\": \"\\ud800\"}"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    send_text(&c, wrong[i]);
    refused(receive_answer(&c), PARSE_ERROR, "JSON");
  }
  static const char *const invalid[] = {"[]",
                                        "{}",
                                        "{\"id\": {}, \"method\": \"shutdown\"}",
                                        "{\"id\": 7}",
                                        "{\"id\": 8, \"method\": 3}",
                                        "{\"id\": null, \"method\": \"shutdown\"}"};
  for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
    send_text(&c, invalid[i]);
    refused(receive_answer(&c), INVALID_REQUEST, "method");
  }
  send_text(&c, "{\"id\": 9, \"result\": null}"); // an answer to nothing
  send_bytes(&c, "Content-Type: text\r\n\r\n", 22);
  refused(receive_answer(&c), PARSE_ERROR, "Content-Length");
  send_bytes(&c, "Content-Length: -4\r\n\r\n", 22);
  refused(receive_answer(&c), PARSE_ERROR, "Content-Length");
  char header[] = "content-length:2\r\nContent-Type: application/vscode-jsonrpc; charset=utf-8\r\n\r\n[]";
  send_bytes(&c, header, strlen(header)); // names of headers have no case
  refused(receive_answer(&c), INVALID_REQUEST, "method");
  refused(ask(&c, "textDocument/hover", NULL), INVALID_PARAMS, "textDocument");
  refused(ask(&c, "textDocument/hover", json_string("x")), INVALID_PARAMS, "textDocument");
  refused(ask_at(&c, "textDocument/hover", small, "eps", 0, 0), INVALID_PARAMS, "not open");
  leave(&c);
}

static void strings_as_ids(void **state) {
  (void)state;
  client c = running(NULL);
  send_text(&c, "{\"id\": \"a\\\"b\", \"method\": \"shutdown\"}");
  json_t *answer = receive_answer(&c);
  assert_string_equal(json_string_value(json_object_get(answer, "id")), "a\"b");
  assert_true(json_is_null(result_of(answer)));
  json_decref(answer);
  assert_int_equal(end(&c), 0);
}

static void huge(void **state) {
  (void)state;
  client c = running(NULL);
  size_t n = ((size_t)64 << 20) + 1, piece = 1 << 20;
  char header[64], *bytes = calloc(1, piece);
  send_bytes(&c, header, (size_t)snprintf(header, sizeof header, "Content-Length: %zu\r\n\r\n", n));
  for (size_t sent = 0; sent < n; sent += piece) send_bytes(&c, bytes, n - sent < piece ? n - sent : piece);
  refused(receive_answer(&c), INVALID_REQUEST, "64 MiB");
  // more than a model may have
  free(bytes);
  bytes = calloc(1, ((size_t)4 << 20) + 2);
  memset(bytes, '\n', ((size_t)4 << 20) + 1);
  json_t *list = open_text(&c, bytes);
  assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "code")), "E0123");
  free(bytes);
  leave(&c);
}

static void cancelled(void **state) {
  (void)state;
  client c = running(small);
  json_t *a = at(small, "eps", 0, 0);
  json_t *request = json_pack("{s:i, s:s, s:O}", "id", 100, "method", "textDocument/hover", "params", a),
         *cancel = json_pack("{s:s, s:{s:i}}", "method", "$/cancelRequest", "params", "id", 100),
         *other = json_pack("{s:i, s:s, s:o}", "id", 101, "method", "textDocument/hover", "params", a);
  char *parts[] = {json_dumps(request, 0), json_dumps(other, 0), json_dumps(cancel, 0)};
  size_t size = strlen(parts[0]) + strlen(parts[1]) + strlen(parts[2]) + 256, n = 0;
  char *all = malloc(size);
  for (int i = 0; i < 3; i++) // in one piece, so that all have arrived when the first is taken
    n += (size_t)snprintf(all + n, size - n, "Content-Length: %zu\r\n\r\n%s", strlen(parts[i]), parts[i]);
  send_bytes(&c, all, n);
  refused(receive_answer(&c), CANCELLED, "cancelled");
  json_t *answer = receive_answer(&c);
  assert_int_equal(json_integer_value(json_object_get(answer, "id")), 101);
  assert_true(json_is_object(result_of(answer)));
  json_decref(answer);
  for (int i = 0; i < 3; i++) free(parts[i]);
  free(all);
  json_decref(request), json_decref(cancel), json_decref(other);
  leave(&c);
}

// --- diagnostics

static void change(client *c, const char *text, const char *what, int n, size_t length, const char *by) {
  int line, column;
  place(text, what, n, 0, &line, &column);
  notify(c, "textDocument/didChange",
         json_pack("{s:{s:s, s:i}, s:[{s:{s:{s:i,s:i}, s:{s:i,s:i}}, s:s}]}", "textDocument", "uri",
                   client_uri, "version", 2, "contentChanges", "range", "start", "line", line, "character",
                   column, "end", "line", line, "character", column + (int)length, "text", by));
}

static void diagnostics_as_one_types(void **state) {
  (void)state;
  client c = running(small);
  change(&c, small, "eps) *", 0, 3, "espilon");
  const json_t *d = json_array_get(published(&c), 0);
  assert_code(d, "E0201");
  assert_starts(d, 8, 20);
  assert_int_equal(json_integer_value(json_object_get(d, "severity")), 1);
  assert_non_null(strstr(json_string_value(json_object_get(d, "message")), "unknown name `espilon`"));
  assert_int_equal(json_integer_value(json_object_get(json_object_get(c.diagnostics, "params"), "version")),
                   2);
  notify(&c, "textDocument/didChange", // the whole text
         json_pack("{s:{s:s, s:i}, s:[{s:s}]}", "textDocument", "uri", client_uri, "version", 3,
                   "contentChanges", "text", small));
  assert_int_equal(json_array_size(published(&c)), 0);
  notify(&c, "textDocument/didClose", json_pack("{s:{s:s}}", "textDocument", "uri", client_uri));
  assert_int_equal(json_array_size(published(&c)), 0);
  refused(ask_at(&c, "textDocument/hover", small, "eps", 0, 0), INVALID_PARAMS, "not open");
  leave(&c);
}

static void syntax_errors(void **state) {
  (void)state;
  client c = running(small);
  change(&c, small, "h @ embed", 0, 9, "h @ (embed");
  json_t *list = published(&c);
  assert_true(json_array_size(list) > 0);
  assert_true(!strncmp(json_string_value(json_object_get(json_array_get(list, 0), "code")), "E01", 3));
  json_t *answer =
      ask_at(&c, "textDocument/hover", small, "scale\n", 0, 1); // what can be read is still known
  assert_non_null(
      strstr(json_string_value(json_object_get(json_object_get(result_of(answer), "contents"), "value")),
             "hidden 8"));
  json_decref(answer);
  refused(ask_at(&c, "textDocument/rename", small, "hidden", 0, 0), INVALID_PARAMS, "newName");
  refused(ask_at(&c, "textDocument/prepareRename", small, "hidden", 0, 0), FAILED, "syntax errors");
  refused(ask(&c, "textDocument/formatting", json_pack("{s:{s:s}}", "textDocument", "uri", client_uri)),
          FAILED, "syntax error");
  leave(&c);
}

static void notes_and_warnings(void **state) {
  (void)state;
  client c = running(NULL);
  json_t *list = open_text(&c, "dim hidden = 7\ndim heads = 2\ndim head = hidden / heads\n");
  const json_t *d = json_array_get(list, 0),
               *related = json_array_get(json_object_get(d, "relatedInformation"), 0);
  assert_code(d, "E0306");
  assert_non_null(strstr(json_string_value(json_object_get(d, "message")), "\nhelp: sizes that work"));
  assert_string_equal(json_string_value(json_object_get(json_object_get(related, "location"), "uri")),
                      client_uri);
  assert_string_equal(json_string_value(json_object_get(related, "message")),
                      "a dimension must be a whole number");
  list = open_text(&c, "dim a = 4\nparam w[a] ~ ones\nx = w * 2\ny = w + 1\nloss mean(x)\n");
  d = json_array_get(list, 0);
  assert_code(d, "W0702");
  assert_starts(d, 3, 0);
  assert_int_equal(json_integer_value(json_object_get(d, "severity")), 2);
  assert_int_equal(json_integer_value(json_array_get(json_object_get(d, "tags"), 0)), 1);
  list = open_text(&c, "dim a = 4\nparam w[a] ~ ones\nloss mean(w)\ngroup \"nosuch\" { lr = 2 }\n");
  assert_code(json_array_get(list, 0), "E0802");
  leave(&c);
}

// A character outside the basic plane counts twice, others once, however many bytes they have.
static void utf16(void **state) {
  (void)state;
  client c = running(NULL);
  const char *text = "dim a = 4\nparam w[a] ~ ones\nloss mean(w)\nweights other {\n  w = "
                     "\"\xF0\x9F\x92\xA1\xC3\xA9\" [nope]\n}\n";
  const json_t *d = json_array_get(open_text(&c, text), 0);
  assert_starts(d, 4, 13);
  // an edit behind it
  notify(&c, "textDocument/didChange",
         json_pack("{s:{s:s, s:i}, s:[{s:{s:{s:i,s:i}, s:{s:i,s:i}}, s:s}]}", "textDocument", "uri",
                   client_uri, "version", 2, "contentChanges", "range", "start", "line", 4, "character", 13,
                   "end", "line", 4, "character", 17, "text", "a"));
  assert_int_equal(json_array_size(published(&c)), 0);
  leave(&c);
}

static void
line_ends(void **state) { // \r\n and \r end lines, too; positions behind the end of a line are its end
  (void)state;
  client c = running(NULL);
  assert_starts(json_array_get(open_text(&c, "dim a = 4\r\ncheck a == x\r\n"), 0), 1, 11);
  notify(&c, "textDocument/didChange",
         json_pack("{s:{s:s, s:i}, s:[{s:{s:{s:i,s:i}, s:{s:i,s:i}}, s:s}]}", "textDocument", "uri",
                   client_uri, "version", 2, "contentChanges", "range", "start", "line", 1, "character", 11,
                   "end", "line", 1, "character", 999, "text", "4"));
  assert_int_equal(json_array_size(published(&c)), 0);
  leave(&c);
}

static void presets(void **state) {
  (void)state;
  client c = running(small);
  notify(&c, "workspace/didChangeConfiguration",
         json_pack("{s:{s:{s:s}}}", "settings", "xlm", "preset", "tiny"));
  (void)published(&c);
  json_t *answer = ask_at(&c, "textDocument/hover", small, "embed[", 0, 1);
  assert_non_null(
      strstr(json_string_value(json_object_get(json_object_get(result_of(answer), "contents"), "value")),
             "hidden 4"));
  json_decref(answer);
  notify(&c, "workspace/didChangeConfiguration",
         json_pack("{s:{}}", "settings")); // not ours: changes nothing
  answer = ask_at(&c, "textDocument/hover", small, "embed[", 0, 1);
  assert_non_null(
      strstr(json_string_value(json_object_get(json_object_get(result_of(answer), "contents"), "value")),
             "hidden 4"));
  json_decref(answer);
  leave(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(order_of_messages),
      cmocka_unit_test(exit_codes),
      cmocka_unit_test(capabilities),
      cmocka_unit_test(orphan),
      cmocka_unit_test(malformed),
      cmocka_unit_test(strings_as_ids),
      cmocka_unit_test(huge),
      cmocka_unit_test(cancelled),
      cmocka_unit_test(diagnostics_as_one_types),
      cmocka_unit_test(syntax_errors),
      cmocka_unit_test(notes_and_warnings),
      cmocka_unit_test(utf16),
      cmocka_unit_test(line_ends),
      cmocka_unit_test(presets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
