// Opens and closes the CUDA device; see cuda.h.
#include <stdlib.h>

#include "runtime/device/cuda/cuda_priv.h"

// ---- objects of the device ----

static cuda_thing *find(cuda *c, const xlm_cuda_kept *how) {
  cuda_thing *t = c->things;
  while (t && t->how != how) t = t->next;
  return t;
}

static xlm_status make(cuda *c, const xlm_cuda_kept *how, void **out, xlm_error *err) {
  cuda_thing *t = (cuda_thing *)calloc(1, sizeof *t);
  if (!t) return xlm_fail(err, XLM_ENV, "no memory for a device");
  uint64_t before = cuda_unused(c);
  xlm_status s = how->make(&c->open, &t->thing, err);
  if (s != XLM_OK) {
    free(t);
    return s;
  }
  t->how = how, t->bytes = cuda_taken_since(c, before);
  t->next = c->things;
  c->things = t;
  *out = t->thing;
  return XLM_OK;
}

xlm_status xlm_cuda_keep(xlm_cuda_device *d, const xlm_cuda_kept *how, void **out, xlm_error *err) {
  cuda *c = cuda_of(&d->device);
  xlm_status s = cuda_enter(c, err);
  cuda_thing *t = s == XLM_OK ? find(c, how) : NULL;
  if (t)
    *out = t->thing;
  else if (s == XLM_OK)
    s = make(c, how, out, err);
  cuda_leave(c);
  return s;
}

static void memory(const xlm_device *d, xlm_device_memory *out) {
  const cuda *c = (const cuda *)d;
  uint64_t n = sizeof *c + (uint64_t)(CUDA_PIECES + 2) * CUDA_PIECE + (uint64_t)XLM_BOXES * XLM_BOX_BYTES;
  n += (uint64_t)c->n_marks * (sizeof *c->marks + sizeof *c->marked_in);
  *out = (xlm_device_memory){.all = c->open.properties.memory,
                             .before = c->before,
                             .graphs = c->graph_bytes,
                             .link = cuda_nccl_bytes(c),
                             .host = n + xlm_cuda_host_link_bytes(&c->link)};
  for (const cuda_block *b = c->blocks; b; b = b->next) out->arena += b->bytes;
  for (const cuda_thing *t = c->things; t; t = t->next) out->libraries += t->bytes;
}

// ---- open and close ----

static void close_queues(cuda *c) {
  const xlm_cuda_runtime *r = cuda_calls(c);
  for (uint32_t i = 0; c->marks && i < c->n_marks; i++)
    if (c->marks[i]) (void)r->close_event(c->marks[i]);
  if (c->joined) (void)r->close_event(c->joined);
  if (c->forked) (void)r->close_event(c->forked);
  for (int q = 0; q < XLM_STREAMS; q++)
    if (c->open.queue[q]) (void)r->close_queue(c->open.queue[q]);
}

static void finish(cuda *c) {
  for (int q = 0; q < XLM_STREAMS; q++)
    if (c->open.queue[q]) (void)cuda_finish(c, (xlm_queue)q, "closing", NULL);
}

static void close_cuda(xlm_device *d) {
  if (!d) return;
  cuda *c = cuda_of(d);
  if (cuda_enter(c, NULL) == XLM_OK) {
    finish(c);
    cuda_drop_graphs(c);
    cuda_close_nccl(c);
  }
  cuda_leave(c);
  for (cuda_thing *t = c->things, *next; t; t = next) {
    next = t->next;
    t->how->drop(&c->open, t->thing);
    free(t);
  }
  xlm_cuda_host_link_close(&c->link);
  cuda_close_segments(c);
  cuda_close_times(c);
  cuda_close_memory(c);
  close_queues(c);
  xlm_pool_free(d->pool);
  pthread_mutex_destroy(&c->lock);
  free(c->marks);
  free(c->marked_in);
  free(c->where);
  free(c);
}

static xlm_status open_queues(cuda *c, xlm_error *err) {
  const xlm_cuda_runtime *r = cuda_calls(c);
  for (int q = 0; q < XLM_STREAMS; q++)
    XLM_TRY(
        xlm_cuda_check(r, r->open_queue(&c->open.queue[q], q == XLM_STREAM_COMM), "making a stream", err));
  XLM_TRY(xlm_cuda_check(r, r->open_event(&c->joined, false), "making an event", err));
  XLM_TRY(xlm_cuda_check(r, r->open_event(&c->forked, false), "making an event", err));
  for (uint32_t i = 0; i < c->n_marks; i++)
    XLM_TRY(xlm_cuda_check(r, r->open_event(&c->marks[i], false), "making an event", err));
  return XLM_OK;
}

static xlm_status fill_in(cuda *c, const xlm_device_options *o, xlm_error *err) {
  c->marks = (xlm_cuda_event *)calloc((size_t)o->n_marks + 1, sizeof *c->marks);
  c->marked_in = (uint8_t *)calloc((size_t)o->n_marks + 1, sizeof *c->marked_in);
  c->where = (const char **)calloc((size_t)o->n_marks + 1, sizeof *c->where);
  if (!c->marks || !c->marked_in || !c->where) return xlm_fail(err, XLM_ENV, "no memory for a device");
  c->n_marks = o->n_marks;
  XLM_TRY(xlm_cuda_check(cuda_calls(c), cuda_calls(c)->use(c->open.card), "the card cannot be used", err));
  c->before = c->open.properties.memory - cuda_unused(c);
  XLM_TRY(open_queues(c, err));
  XLM_TRY(cuda_open_memory(c, err));
  if (o->comm) {
    XLM_TRY(xlm_cuda_host_link_open(&c->link, &c->open, o->comm, err));
    c->open.device.link = &c->link.link;
  }
  return xlm_pool_new(o->threads, &c->open.device.pool, err);
}

static void make_lock(cuda *c) {
  pthread_mutexattr_t a;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&c->lock, &a);
  pthread_mutexattr_destroy(&a);
}

static xlm_status open_kind(const xlm_device_kind *kind, cuda_mode mode, const xlm_device_options *o,
                            xlm_device **out, xlm_error *err) {
  int card;
  xlm_cuda_card properties;
  *out = NULL;
  XLM_TRY(xlm_cuda_find_card(o->comm ? o->comm->rank : 0, &card, &properties, err));
  cuda *c = (cuda *)calloc(1, sizeof *c);
  if (!c) return xlm_fail(err, XLM_ENV, "no memory for a device");
  c->open = (xlm_cuda_device){.device = {.kind = kind}, .runtime = xlm_cuda_runtime_here, .card = card};
  c->open.properties = properties;
  c->mode = mode, c->running = XLM_NO_INSTR;
  make_lock(c);
  xlm_status s = fill_in(c, o, err);
  if (s == XLM_OK)
    *out = &c->open.device;
  else
    close_cuda(&c->open.device);
  return s;
}

static xlm_status open_graph(const xlm_device_options *o, xlm_device **out, xlm_error *err) {
  return open_kind(&xlm_device_cuda, CUDA_GRAPH, o, out, err);
}

static xlm_status open_eager(const xlm_device_options *o, xlm_device **out, xlm_error *err) {
  return open_kind(&xlm_device_cuda_eager, CUDA_EAGER, o, out, err);
}

static xlm_status open_checked(const xlm_device_options *o, xlm_device **out, xlm_error *err) {
  return open_kind(&xlm_device_cuda_checked, CUDA_CHECKED, o, out, err);
}

static xlm_status check_here(xlm_error *err) {
  int card;
  xlm_cuda_card properties;
  return xlm_cuda_find_card(0, &card, &properties, err);
}

#define CUDA_KIND(name_, open_, checked_)                                                                    \
  {                                                                                                          \
    .name = name_, .backend = "cuda", .checked = checked_, .check = check_here, .room = xlm_cuda_room,       \
    .open = open_, .connect = cuda_connect, .close = close_cuda, .alloc = cuda_alloc, .put = cuda_put,       \
    .get = cuda_get, .fill = cuda_fill, .fetch = cuda_fetch, .fetched = cuda_fetched, .begin = cuda_begin,   \
    .wait = cuda_wait, .enqueue = cuda_enqueue, .mark = cuda_mark, .join = cuda_join, .sync = cuda_sync,     \
    .seconds = cuda_seconds, .memory = memory                                                                \
  }

const xlm_device_kind xlm_device_cuda = CUDA_KIND("cuda", open_graph, false);
const xlm_device_kind xlm_device_cuda_eager = CUDA_KIND("cuda-eager", open_eager, false);
const xlm_device_kind xlm_device_cuda_checked = CUDA_KIND("cuda-checked", open_checked, true);
