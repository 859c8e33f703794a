// The session: one message after the other. Diagnostics are sent when no message waits, so that typing is not
// slowed down by texts that are out of date already; requests that the client has cancelled in the meantime
// are not computed.
#include "tools/lsp/lsp.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tools/lsp/lsp_priv.h"

enum { PARENT_INTERVAL = 5000 }; // milliseconds between looks for the client's process

bool lsp_refuse(lsp_session *s, lsp_code code, const char *fmt, ...) {
  va_list ap, again;
  va_start(ap, fmt);
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  char *text = xlm_arena_alloc(s->scratch, (size_t)n + 1);
  vsnprintf(text, (size_t)n + 1, fmt, again);
  va_end(again);
  va_end(ap);
  s->code = code;
  s->error = text;
  return false;
}

void lsp_notify(lsp_session *s, const char *method, const char *params) {
  xlm_text t = xlm_text_new(s->scratch);
  xlm_text_printf(&t, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":%s}", method, params);
  lsp_send(&s->channel, t.data, t.n);
}

// --- the session's start and end

static bool is_gone(long process) {
  return process > 0 && kill((pid_t)process, 0) && errno == ESRCH;
}

static bool offers(const json_t *capabilities, const char *path) { // "textDocument.rename.prepareSupport"
  while (*path) {
    char key[64];
    size_t n = strcspn(path, ".");
    if (n >= sizeof key) return false;
    memcpy(key, path, n);
    key[n] = 0;
    capabilities = json_object_get(capabilities, key);
    path += n + (path[n] == '.');
  }
  return json_is_true(capabilities);
}

static bool reads_markdown(const json_t *capabilities) {
  const json_t *text = json_object_get(capabilities, "textDocument"), *hover = json_object_get(text, "hover"),
               *formats = json_object_get(hover, "contentFormat"), *one;
  size_t i;
  json_array_foreach(formats, i,
                     one) if (json_is_string(one) && !strcmp(json_string_value(one), "markdown")) return true;
  return false;
}

static void set_preset(lsp_session *s, const json_t *options) {
  const char *preset = json_string_value(json_object_get(options, "preset"));
  if (!preset) return; // some clients send settings of which none is ours
  free(s->preset);
  s->preset = *preset ? strdup(preset) : NULL;
  for (lsp_document *d = s->documents; d; d = d->next) d->stale = d->unpublished = true;
}

static void triggers(xlm_json *j, const char *key, const char *signs) {
  xlm_json_object(j, key, XLM_JSON_DENSE);
  xlm_json_array(j, "triggerCharacters", XLM_JSON_DENSE);
  for (; *signs; signs++) xlm_json_put_textn(j, NULL, signs, 1);
  xlm_json_close(j);
  xlm_json_close(j);
}

static void capabilities(const lsp_session *s, xlm_json *j) {
  static const char *const providers[] = {"hoverProvider",          "definitionProvider",
                                          "referencesProvider",     "documentHighlightProvider",
                                          "documentSymbolProvider", "documentFormattingProvider"};
  enum { INCREMENTAL = 2 };
  xlm_json_object(j, "capabilities", XLM_JSON_DENSE);
  xlm_json_put_text(j, "positionEncoding", "utf-16");
  xlm_json_object(j, "textDocumentSync", XLM_JSON_DENSE);
  xlm_json_put_bool(j, "openClose", true);
  xlm_json_put_int(j, "change", INCREMENTAL);
  xlm_json_put_bool(j, "save", true);
  xlm_json_close(j);
  for (size_t i = 0; i < sizeof providers / sizeof *providers; i++) xlm_json_put_bool(j, providers[i], true);
  triggers(j, "completionProvider", "([,=~");
  triggers(j, "signatureHelpProvider", "(,");
  if (s->prepares) {
    xlm_json_object(j, "renameProvider", XLM_JSON_DENSE);
    xlm_json_put_bool(j, "prepareProvider", true);
    xlm_json_close(j);
  } else {
    xlm_json_put_bool(j, "renameProvider", true);
  }
  xlm_json_close(j);
}

static bool initialize(lsp_session *s, const json_t *params, xlm_json *j) {
  const json_t *client = json_object_get(params, "capabilities"),
               *parent = json_object_get(params, "processId");
  if (s->state != LSP_NEW) return lsp_refuse(s, LSP_INVALID_REQUEST, "the session is initialized already");
  s->state = LSP_RUNNING;
  s->parent = json_is_integer(parent) ? (long)json_integer_value(parent) : 0;
  if (is_gone(s->parent)) s->parent = 0; // it counts processes of another machine or container
  s->markdown = reads_markdown(client);
  s->related = offers(client, "textDocument.publishDiagnostics.relatedInformation");
  s->prepares = offers(client, "textDocument.rename.prepareSupport");
  s->nested = offers(client, "textDocument.documentSymbol.hierarchicalDocumentSymbolSupport");
  set_preset(s, json_object_get(params, "initializationOptions"));
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  capabilities(s, j);
  xlm_json_object(j, "serverInfo", XLM_JSON_DENSE);
  xlm_json_put_text(j, "name", "xlmc lsp");
  xlm_json_close(j);
  xlm_json_close(j);
  return true;
}

static bool shut_down(lsp_session *s, const json_t *params, xlm_json *j) {
  (void)params, (void)j;
  s->state = LSP_SHUT_DOWN;
  return true;
}

static void leave(lsp_session *s, const json_t *params) {
  (void)params;
  s->done = true;
}

static void configure(lsp_session *s, const json_t *params) {
  set_preset(s, json_object_get(json_object_get(params, "settings"), "xlm"));
}

// --- methods

static const struct {
  const char *method;
  bool (*answer)(lsp_session *, const json_t *params, xlm_json *);
} requests[] = {
    {"initialize", initialize},
    {"shutdown", shut_down},
    {"textDocument/hover", lsp_hover},
    {"textDocument/definition", lsp_definition},
    {"textDocument/references", lsp_references},
    {"textDocument/documentHighlight", lsp_highlight},
    {"textDocument/documentSymbol", lsp_symbols},
    {"textDocument/completion", lsp_completion},
    {"textDocument/signatureHelp", lsp_signature},
    {"textDocument/prepareRename", lsp_prepare_rename},
    {"textDocument/rename", lsp_rename},
    {"textDocument/formatting", lsp_format},
};

static const struct {
  const char *method;
  void (*take)(lsp_session *, const json_t *params);
} notifications[] = {
    {"exit", leave},
    {"textDocument/didOpen", lsp_open},
    {"textDocument/didChange", lsp_change},
    {"textDocument/didSave", lsp_saved},
    {"textDocument/didClose", lsp_close_document},
    {"workspace/didChangeConfiguration", configure},
};

// Was the request with this id cancelled by a message that waits?
static bool is_cancelled(const lsp_session *s, const json_t *id) {
  for (const lsp_message *m = s->channel.first; m; m = m->next) {
    const char *method = json_string_value(json_object_get(m->json, "method"));
    if (method && !strcmp(method, "$/cancelRequest") &&
        json_equal(json_object_get(json_object_get(m->json, "params"), "id"), id))
      return true;
  }
  return false;
}

static bool answer(lsp_session *s, const char *method, const json_t *id, const json_t *params, xlm_json *j) {
  bool first = !strcmp(method, "initialize");
  if (s->state == LSP_NEW && !first)
    return lsp_refuse(s, LSP_NOT_INITIALIZED, "the first request is `initialize`");
  if (s->state == LSP_SHUT_DOWN) return lsp_refuse(s, LSP_INVALID_REQUEST, "the session is shut down");
  if (is_cancelled(s, id)) return lsp_refuse(s, LSP_REQUEST_CANCELLED, "cancelled");
  for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
    if (!strcmp(requests[i].method, method)) return requests[i].answer(s, params, j);
  return lsp_refuse(s, LSP_METHOD_NOT_FOUND, "there is no method %s", method);
}

static void put_id(xlm_json *j, const json_t *id) {
  if (json_is_integer(id))
    xlm_json_put_int(j, "id", json_integer_value(id));
  else if (json_is_real(id))
    xlm_json_put_real(j, "id", json_real_value(id));
  else
    xlm_json_put_text(j, "id", json_string_value(id)); // null, if it is no string
}

// Sends the result, or the error that was set.
static void respond(lsp_session *s, const json_t *id, const char *result) {
  xlm_text t = xlm_text_new(s->scratch);
  xlm_json j;
  xlm_json_to_text(&j, &t);
  xlm_json_object(&j, NULL, XLM_JSON_DENSE);
  xlm_json_put_text(&j, "jsonrpc", "2.0");
  put_id(&j, id);
  if (s->code) {
    xlm_json_object(&j, "error", XLM_JSON_DENSE);
    xlm_json_put_int(&j, "code", s->code);
    xlm_json_put_text(&j, "message", s->error);
    xlm_json_close(&j);
  } else {
    xlm_json_put_made(&j, "result", *result ? result : "null");
  }
  xlm_json_close(&j);
  lsp_send(&s->channel, t.data, t.n);
}

static void request(lsp_session *s, const char *method, const json_t *id, const json_t *params) {
  xlm_text t = xlm_text_new(s->scratch);
  xlm_json j;
  xlm_json_to_text(&j, &t);
  (void)answer(s, method, id, params, &j); // whether refused is in s->code
  respond(s, id, t.data);
}

static void notification(lsp_session *s, const char *method, const json_t *params) {
  bool leaving = !strcmp(method, "exit");
  if (s->state != LSP_RUNNING && !leaving) return;
  for (size_t i = 0; i < sizeof notifications / sizeof *notifications; i++)
    if (!strcmp(notifications[i].method, method)) notifications[i].take(s, params);
}

static void handle(lsp_session *s, const lsp_message *m) {
  const json_t *id = json_object_get(m->json, "id"), *params = json_object_get(m->json, "params");
  const char *method = json_string_value(json_object_get(m->json, "method"));
  bool response = !method && (json_object_get(m->json, "result") || json_object_get(m->json, "error"));
  if (response) return; // nothing was asked of the client
  if (!m->json)
    (void)lsp_refuse(s, m->code, "%s", m->wrong);
  else if (!method || (id && !json_is_string(id) && !json_is_number(id)))
    (void)lsp_refuse(s, LSP_INVALID_REQUEST,
                     "a message is an object with a method and, if it is a request, an id");
  if (s->code)
    respond(s, id, "");
  else if (id)
    request(s, method, id, params);
  else
    notification(s, method, params);
}

static void no_memory(lsp_session *s, const json_t *id) {
  if (!id) return;
  s->code = LSP_INTERNAL_ERROR;
  s->error = "there is not enough memory for an answer";
  if (XLM_ARENA_TRY(s->scratch)) respond(s, id, "");
}

// Runs `handle` or, without a message, sends the diagnostics of d.
static void step(lsp_session *s, const lsp_message *m, lsp_document *d) {
  s->code = 0;
  if (XLM_ARENA_TRY(s->scratch)) {
    if (m)
      handle(s, m);
    else
      lsp_publish(s, d);
  } else {
    xlm_arena_clear(s->scratch);
    if (d) d->unpublished = false;
    no_memory(s, m ? json_object_get(m->json, "id") : NULL);
  }
  xlm_arena_clear(s->scratch);
}

static lsp_document *unpublished(const lsp_session *s) {
  lsp_document *d = s->documents;
  while (d && !d->unpublished) d = d->next;
  return d;
}

static void serve(lsp_session *s) {
  while (!s->done && !s->channel.broken) {
    while (lsp_receive(&s->channel, 0)) continue;
    lsp_message *m = lsp_take(&s->channel);
    lsp_document *d = m ? NULL : unpublished(s);
    if (m || d) {
      step(s, m, d);
      if (m) lsp_free(m);
    } else if (s->channel.end || (!lsp_receive(&s->channel, PARENT_INTERVAL) && is_gone(s->parent))) {
      return;
    }
  }
}

int xlm_lsp_serve(int in, int out) {
  enum { NO_MEMORY = 2 };
  lsp_session s = {.channel = {.in = in, .out = out}, .scratch = xlm_arena_new(0)};
  if (!s.scratch) return NO_MEMORY;
  signal(SIGPIPE, SIG_IGN);
  serve(&s);
  lsp_forget_all(&s);
  lsp_close(&s.channel);
  free(s.preset);
  xlm_arena_free(s.scratch);
  return s.state == LSP_SHUT_DOWN ? 0 : 1;
}
