// Messages: a header with Content-Length, a blank line, and JSON. What cannot be read becomes a message that
// says so, and reading goes on with the next header.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "tools/lsp/lsp_priv.h"

enum { PIECE = 1 << 16, MOST_HEADER = 1 << 14 };
static const size_t most_body = (size_t)64 << 20;

static void push(lsp_channel *c, json_t *json, lsp_code code, const char *wrong) {
  lsp_message *m = calloc(1, sizeof *m);
  if (!m) {
    json_decref(json);
    return;
  }
  *m = (lsp_message){.json = json, .code = code, .wrong = wrong};
  if (c->last)
    c->last->next = m;
  else
    c->first = m;
  c->last = m;
}

static void drop(lsp_channel *c, size_t n) {
  memmove(c->bytes, c->bytes + n, c->n - n);
  c->n -= n;
}

// The length of a header with its blank line; 0: it is not complete.
static size_t header_length(const lsp_channel *c) {
  for (size_t i = 0; i + 1 < c->n; i++) {
    if (c->bytes[i] != '\n') continue;
    if (c->bytes[i + 1] == '\n') return i + 2;
    if (i + 2 < c->n && c->bytes[i + 1] == '\r' && c->bytes[i + 2] == '\n') return i + 3;
  }
  return 0;
}

static bool content_length(const lsp_channel *c, size_t header, size_t *out) {
  static const char name[] = "content-length:";
  for (size_t i = 0; i + sizeof name <= header; i++) {
    bool line = i == 0 || c->bytes[i - 1] == '\n';
    if (!line || strncasecmp(c->bytes + i, name, sizeof name - 1) != 0) continue;
    for (i += sizeof name - 1; c->bytes[i] == ' ' || c->bytes[i] == '\t'; i++) continue;
    size_t value = 0, digits = 0;
    for (; c->bytes[i] >= '0' && c->bytes[i] <= '9'; i++, digits++)
      value = value > SIZE_MAX / 16 ? value : value * 10 + (size_t)(c->bytes[i] - '0');
    *out = value;
    return digits > 0 && (c->bytes[i] == '\r' || c->bytes[i] == '\n');
  }
  return false;
}

// Takes one message from the bytes; false: there is no complete one.
static bool extract(lsp_channel *c) {
  if (c->skip) {
    size_t n = c->skip < c->n ? c->skip : c->n;
    c->skip -= n;
    drop(c, n);
    if (c->skip) return false;
  }
  size_t header = header_length(c), length;
  if (!header && c->n <= MOST_HEADER) return false;
  if (!header || !content_length(c, header, &length)) {
    drop(c, header ? header : c->n);
    push(c, NULL, LSP_PARSE_ERROR, "the header has no Content-Length");
  } else if (length > most_body) {
    drop(c, header);
    c->skip = length;
    push(c, NULL, LSP_INVALID_REQUEST, "the message is larger than 64 MiB");
  } else if (c->n < header + length) {
    return false;
  } else {
    json_t *json = json_loadb(c->bytes + header, length, JSON_ALLOW_NUL, NULL);
    drop(c, header + length);
    push(c, json, LSP_PARSE_ERROR, "the message is not JSON");
  }
  return true;
}

static bool has_room(lsp_channel *c) {
  if (c->cap - c->n >= PIECE) return true;
  size_t cap = c->cap * 2 + PIECE;
  char *bytes = realloc(c->bytes, cap);
  if (!bytes) return false;
  c->bytes = bytes;
  c->cap = cap;
  return true;
}

bool lsp_receive(lsp_channel *c, int wait) {
  struct pollfd p = {.fd = c->in, .events = POLLIN};
  if (c->end || poll(&p, 1, wait) <= 0) return false;
  ssize_t got = has_room(c) ? read(c->in, c->bytes + c->n, PIECE) : -1;
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return false;
  c->end = got <= 0;
  if (c->end) return false;
  c->n += (size_t)got;
  while (extract(c)) continue;
  return true;
}

lsp_message *lsp_take(lsp_channel *c) {
  lsp_message *m = c->first;
  if (!m) return NULL;
  c->first = m->next;
  if (!c->first) c->last = NULL;
  return m;
}

void lsp_free(lsp_message *m) {
  json_decref(m->json);
  free(m);
}

static void write_all(lsp_channel *c, const char *at, size_t n) {
  while (n && !c->broken) {
    ssize_t put = write(c->out, at, n);
    if (put < 0 && errno == EINTR) continue;
    c->broken = put <= 0;
    if (put > 0) at += put, n -= (size_t)put;
  }
}

void lsp_send(lsp_channel *c, const char *body, size_t n) {
  char header[64];
  int length = snprintf(header, sizeof header, "Content-Length: %zu\r\n\r\n", n);
  write_all(c, header, (size_t)length);
  write_all(c, body, n);
}

void lsp_close(lsp_channel *c) {
  for (lsp_message *m; (m = lsp_take(c));) lsp_free(m);
  free(c->bytes);
}
