// Memory of the card, and copies through pinned memory: those to the card are enqueued and wait only for the
// ring.
#include <stdlib.h>
#include <string.h>

#include "runtime/device/cuda/cuda_priv.h"

static xlm_cuda_queue kernels(const cuda *c) {
  return c->open.queue[XLM_STREAM_KERNELS];
}

static xlm_status check(const cuda *c, int rc, const char *what, xlm_error *err) {
  return xlm_cuda_check(cuda_calls(c), rc, what, err);
}

// ---- allocation ----

uint64_t cuda_unused(const cuda *c) {
  size_t unused = 0, all = 0;
  (void)cuda_calls(c)->memory(&unused, &all);
  return unused;
}

uint64_t cuda_taken_since(const cuda *c, uint64_t unused) {
  uint64_t now = cuda_unused(c);
  return unused > now ? unused - now : 0;
}

static xlm_status alloc(cuda *c, size_t bytes, void **out, xlm_error *err) {
  const xlm_cuda_runtime *r = cuda_calls(c);
  cuda_block *b = (cuda_block *)calloc(1, sizeof *b);
  if (!b) return xlm_fail(err, XLM_ENV, "no memory for a device");
  if (r->alloc(&b->at, bytes)) {
    free(b);
    (void)r->last_error();
    return xlm_fail(
        err, XLM_ENV,
        "cannot allocate %zu bytes of the card's memory: %llu of %llu are unused. Another program "
        "may use it (nvidia-smi); else try a smaller --micro-batch-size or --recompute full",
        bytes, (unsigned long long)cuda_unused(c), (unsigned long long)c->open.properties.memory);
  }
  b->bytes = bytes;
  b->next = c->blocks;
  c->blocks = b;
  *out = b->at;
  XLM_TRY(check(c, r->fill(b->at, 0, bytes, kernels(c)), "clearing memory", err));
  return cuda_finish(c, XLM_STREAM_KERNELS, "clearing memory", err);
}

xlm_status cuda_alloc(xlm_device *d, size_t bytes, void **out, xlm_error *err) {
  cuda *c = cuda_of(d);
  xlm_status s = cuda_enter(c, err);
  if (s == XLM_OK) s = alloc(c, bytes ? bytes : 1, out, err);
  cuda_leave(c);
  return s;
}

// ---- copies ----

// The next piece of the ring; waits until the card has read its contents.
static xlm_status turn(cuda *c, xlm_error *err) {
  cuda_ring *g = &c->ring;
  XLM_TRY(check(c, cuda_calls(c)->record(g->passed[g->piece], kernels(c)), "recording an event", err));
  g->recorded[g->piece] = true;
  g->piece = (g->piece + 1) % CUDA_PIECES;
  g->used = 0;
  if (!g->recorded[g->piece]) return XLM_OK;
  return cuda_reach(c, g->passed[g->piece], "copying to the card", err);
}

static xlm_status put(cuda *c, char *to, const char *from, size_t bytes, xlm_error *err) {
  cuda_ring *g = &c->ring;
  XLM_TRY(cuda_settle(c, err));
  for (size_t at = 0, n; at < bytes; at += n) {
    if (g->used == CUDA_PIECE) XLM_TRY(turn(c, err));
    char *pinned = g->at + (size_t)g->piece * CUDA_PIECE + g->used;
    n = bytes - at < CUDA_PIECE - g->used ? bytes - at : CUDA_PIECE - g->used;
    memcpy(pinned, from + at, n);
    XLM_TRY(check(c, cuda_calls(c)->copy(to + at, pinned, n, XLM_CUDA_TO_CARD, kernels(c)),
                  "copying to the card", err));
    g->used += (n + 63) / 64 * 64;
  }
  return cuda_fork(c, err);
}

xlm_status cuda_put(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err) {
  cuda *c = cuda_of(d);
  xlm_status s = cuda_enter(c, err);
  if (s == XLM_OK) s = put(c, (char *)to, (const char *)from, bytes, err);
  cuda_leave(c);
  return s;
}

static xlm_status start_get(cuda *c, const char *from, size_t n, int half, xlm_error *err) {
  const xlm_cuda_runtime *r = cuda_calls(c);
  char *pinned = c->bounce + (size_t)half * CUDA_PIECE;
  XLM_TRY(check(c, r->copy(pinned, from, n, XLM_CUDA_TO_HOST, kernels(c)), "copying from the card", err));
  return check(c, r->record(c->bounced[half], kernels(c)), "recording an event", err);
}

static size_t piece_at(size_t bytes, size_t at) {
  return bytes - at < CUDA_PIECE ? bytes - at : CUDA_PIECE;
}

// One piece is transferred while the previous one is copied out.
static xlm_status get(cuda *c, char *to, const char *from, size_t bytes, xlm_error *err) {
  XLM_TRY(cuda_settle(c, err));
  if (bytes) XLM_TRY(start_get(c, from, piece_at(bytes, 0), 0, err));
  int half = 0;
  for (size_t at = 0; at < bytes; at += CUDA_PIECE, half = 1 - half) {
    size_t next = at + CUDA_PIECE;
    if (next < bytes) XLM_TRY(start_get(c, from + next, piece_at(bytes, next), 1 - half, err));
    XLM_TRY(cuda_reach(c, c->bounced[half], "copying from the card", err));
    memcpy(to + at, c->bounce + (size_t)half * CUDA_PIECE, piece_at(bytes, at));
  }
  return cuda_fork(c, err);
}

xlm_status cuda_get(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err) {
  cuda *c = cuda_of(d);
  xlm_status s = cuda_enter(c, err);
  if (s == XLM_OK) s = get(c, (char *)to, (const char *)from, bytes, err);
  cuda_leave(c);
  return s;
}

xlm_status xlm_cuda_read(xlm_cuda_device *d, xlm_queue queue, void *to, const void *from, size_t bytes,
                         xlm_error *err) {
  cuda *c = cuda_of(&d->device);
  const xlm_cuda_runtime *r = d->runtime;
  xlm_status s = cuda_enter(c, err);
  if (c->observed) c->observed->waits = true;
  for (size_t at = 0; s == XLM_OK && at < bytes; at += CUDA_PIECE) {
    size_t n = piece_at(bytes, at);
    s = check(c, r->copy(c->bounce, (const char *)from + at, n, XLM_CUDA_TO_HOST, d->queue[queue]), "reading",
              err);
    if (s == XLM_OK) s = cuda_finish(c, queue, "reading", err);
    if (s == XLM_OK) memcpy((char *)to + at, c->bounce, n);
  }
  cuda_leave(c);
  return s;
}

xlm_status cuda_fill(xlm_device *d, void *to, int byte, size_t bytes, xlm_error *err) {
  cuda *c = cuda_of(d);
  xlm_status s = cuda_enter(c, err);
  if (s == XLM_OK) s = cuda_settle(c, err);
  if (s == XLM_OK && bytes)
    s = check(c, cuda_calls(c)->fill(to, byte, bytes, kernels(c)), "filling memory", err);
  if (s == XLM_OK) s = cuda_fork(c, err);
  cuda_leave(c);
  return s;
}

// ---- results ----

static xlm_status fetch(cuda *c, int box, size_t at, const void *from, size_t bytes, xlm_error *err) {
  const xlm_cuda_runtime *r = cuda_calls(c);
  char *to = c->boxes + (size_t)box * XLM_BOX_BYTES + at;
  XLM_TRY(cuda_settle(c, err));
  XLM_TRY(check(c, r->copy(to, from, bytes, XLM_CUDA_TO_HOST, kernels(c)), "copying from the card", err));
  XLM_TRY(check(c, r->record(c->arrived[box], kernels(c)), "recording an event", err));
  return cuda_fork(c, err);
}

xlm_status cuda_fetch(xlm_device *d, int box, size_t at, const void *from, size_t bytes, xlm_error *err) {
  cuda *c = cuda_of(d);
  xlm_status s = cuda_enter(c, err);
  if (s == XLM_OK) s = fetch(c, box, at, from, bytes, err);
  cuda_leave(c);
  return s;
}

xlm_status cuda_fetched(xlm_device *d, int box, const void **out, xlm_error *err) {
  cuda *c = cuda_of(d);
  xlm_status s = cuda_enter(c, err);
  if (s == XLM_OK) s = cuda_reach(c, c->arrived[box], CUDA_ON_CARD, err);
  cuda_leave(c);
  *out = c->boxes + (size_t)box * XLM_BOX_BYTES;
  return s;
}

// ---- open and close ----

xlm_status cuda_open_memory(cuda *c, xlm_error *err) {
  const xlm_cuda_runtime *r = cuda_calls(c);
  static const char why[] = "allocating pinned memory of the host";
  void *env;
  XLM_TRY(check(c, r->alloc_pinned((void **)&c->ring.at, (size_t)CUDA_PIECES * CUDA_PIECE), why, err));
  XLM_TRY(check(c, r->alloc_pinned((void **)&c->bounce, (size_t)2 * CUDA_PIECE), why, err));
  XLM_TRY(check(c, r->alloc_pinned((void **)&c->boxes, (size_t)XLM_BOXES * XLM_BOX_BYTES), why, err));
  for (int i = 0; i < CUDA_PIECES; i++)
    XLM_TRY(check(c, r->open_event(&c->ring.passed[i], false), "making an event", err));
  for (int i = 0; i < 2; i++) XLM_TRY(check(c, r->open_event(&c->bounced[i], false), "making an event", err));
  for (int i = 0; i < XLM_BOXES; i++)
    XLM_TRY(check(c, r->open_event(&c->arrived[i], false), "making an event", err));
  XLM_TRY(alloc(c, sizeof *c->open.env, &env, err));
  c->open.env = (const xlm_step_env *)env;
  return XLM_OK;
}

void cuda_close_memory(cuda *c) {
  const xlm_cuda_runtime *r = cuda_calls(c);
  for (cuda_block *b = c->blocks, *next; b; b = next) {
    next = b->next;
    (void)r->release(b->at);
    free(b);
  }
  if (c->ring.at) (void)r->free_pinned(c->ring.at);
  if (c->bounce) (void)r->free_pinned(c->bounce);
  if (c->boxes) (void)r->free_pinned(c->boxes);
  for (int i = 0; i < CUDA_PIECES; i++)
    if (c->ring.passed[i]) (void)r->close_event(c->ring.passed[i]);
  for (int i = 0; i < 2; i++)
    if (c->bounced[i]) (void)r->close_event(c->bounced[i]);
  for (int i = 0; i < XLM_BOXES; i++)
    if (c->arrived[i]) (void)r->close_event(c->arrived[i]);
}
