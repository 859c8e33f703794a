// A session with one client. Private to this folder.
//
//   channel.c    messages in and out; the queue of those that have arrived
//   files.c      other files of a model
//   document.c   open documents: their text, edits, positions
//   server.c     the session: its states, requests and notifications by method
//   diagnose.c   diagnostics
//   answer.c     hover, definition, references, symbols, completion, signatures
//   change.c     rename, formatting
//
// Memory: a message's JSON is jansson's and freed with the message; a document's analysis is in an arena of
// its own; everything made for an answer is in `scratch`, cleared after each message. So an arena that is
// full (a longjmp) leaks nothing: the client gets an error, and the session goes on.
#ifndef XLM_LSP_LSP_PRIV_H
#define XLM_LSP_LSP_PRIV_H

#include <jansson.h>

#include "compiler/inspect/inspect.h"
#include "runtime/base/json.h"

typedef enum lsp_code { // errors of JSON-RPC and LSP
  LSP_PARSE_ERROR = -32700,
  LSP_INVALID_REQUEST = -32600,
  LSP_METHOD_NOT_FOUND = -32601,
  LSP_INVALID_PARAMS = -32602,
  LSP_INTERNAL_ERROR = -32603,
  LSP_NOT_INITIALIZED = -32002,
  LSP_REQUEST_CANCELLED = -32800,
  LSP_REQUEST_FAILED = -32803,
} lsp_code;

typedef struct lsp_message {
  json_t *json;      // NULL: it could not be read
  const char *wrong; // then: why; static text
  lsp_code code;
  struct lsp_message *next;
} lsp_message;

typedef struct lsp_channel {
  int in, out;
  char *bytes; // received and not yet a message
  size_t n, cap;
  size_t skip;      // bytes of a message that is too large
  bool end, broken; // no more input; no more output
  lsp_message *first, *last;
} lsp_channel;

// Reads what has arrived; waits for it at most so many milliseconds. False: nothing came, or the input has
// ended.
bool lsp_receive(lsp_channel *c, int wait);
lsp_message *lsp_take(lsp_channel *c); // the oldest message; NULL: none. Freed by the caller with lsp_free.
void lsp_free(lsp_message *m);
void lsp_send(lsp_channel *c, const char *body, size_t n);
void lsp_close(lsp_channel *c);

typedef struct lsp_document {
  char *uri, *text;
  size_t n;
  int64_t version;
  bool has_version, stale, unpublished;
  uint32_t *line_start; // lines end with \n, \r\n or \r
  uint32_t lines;
  xlm_arena *arena;           // of `view`
  uint32_t shift;             // bytes before the text in the source of `view`, if that has several files
  const xlm_inspection *view; // NULL: not enough memory
  struct lsp_document *next;
} lsp_document;

typedef struct lsp_session {
  lsp_channel channel;
  xlm_arena *scratch;
  lsp_document *documents;
  enum { LSP_NEW, LSP_RUNNING, LSP_SHUT_DOWN } state;
  bool done;
  long parent; // process of the client; 0: unknown
  char *preset;
  bool markdown, related, prepares, nested; // what the client understands
  lsp_code code;                            // of the answer; 0: it is a result
  const char *error;
} lsp_session;

// An answer is an error instead: returns false.
bool lsp_refuse(lsp_session *s, lsp_code code, const char *fmt, ...) XLM_PRINTF(3, 4);
void lsp_notify(lsp_session *s, const char *method, const char *params); // params: JSON

// document.c; `params` has a textDocument
lsp_document *lsp_find(lsp_session *s, const json_t *params); // NULL: refused
// and a position, an offset in the source of the analysis; NULL: refused
const xlm_inspection *lsp_at(lsp_session *s, const json_t *params, lsp_document **d, uint32_t *offset);
const xlm_inspection *lsp_view(lsp_session *s, lsp_document *d); // NULL: refused, there is not enough memory
// Of a span of the source of `view`, which is in the document; a location may be in another file.
void lsp_put_range(const lsp_document *d, xlm_json *j, const char *key, xlm_span span);
void lsp_put_location(const lsp_session *s, const lsp_document *d, xlm_json *j, const char *key,
                      xlm_span span);
void lsp_open(lsp_session *s, const json_t *params);
void lsp_change(lsp_session *s, const json_t *params);
void lsp_saved(lsp_session *s, const json_t *params);
void lsp_close_document(lsp_session *s, const json_t *params);
void lsp_forget_all(lsp_session *s);

// files.c
bool lsp_is_here(const lsp_document *d, xlm_span span);
void lsp_put_elsewhere(const lsp_session *s, const lsp_document *d, xlm_json *j, const char *key,
                       xlm_span span);
xlm_span lsp_use_of(const lsp_document *d);

void lsp_publish(lsp_session *s, lsp_document *d); // diagnose.c

// answer.c, change.c: write the result; false: refused. Nothing written: null.
bool lsp_hover(lsp_session *s, const json_t *params, xlm_json *j);
bool lsp_definition(lsp_session *s, const json_t *params, xlm_json *j);
bool lsp_references(lsp_session *s, const json_t *params, xlm_json *j);
bool lsp_highlight(lsp_session *s, const json_t *params, xlm_json *j);
bool lsp_symbols(lsp_session *s, const json_t *params, xlm_json *j);
bool lsp_completion(lsp_session *s, const json_t *params, xlm_json *j);
bool lsp_signature(lsp_session *s, const json_t *params, xlm_json *j);
bool lsp_prepare_rename(lsp_session *s, const json_t *params, xlm_json *j);
bool lsp_rename(lsp_session *s, const json_t *params, xlm_json *j);
bool lsp_format(lsp_session *s, const json_t *params, xlm_json *j);

#endif
