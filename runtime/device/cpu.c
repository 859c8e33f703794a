// The CPU device; see cpu.h.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/device/cpu_priv.h"
#include "runtime/base/clock.h"

typedef struct cpu {
  xlm_device device;
  cpu_queue queue[XLM_STREAMS]; // not started: its work runs at once
  uint64_t *tickets;            // by mark: the ticket after which it is passed, in the queue that set it
  uint8_t *marked_in;           // by mark: that queue
  uint64_t last[XLM_STREAMS];   // ticket of the last work enqueued; 0 = done at once
  uint64_t after[XLM_STREAMS];  // what the next work item of a queue waits for in the other queue
  xlm_cpu_link link;
  cpu_block *blocks;
  cpu_far *far; // NULL: the arena is always accessible
  bool hands_over_all;
  xlm_device_timer *timer;
  void *timer_arg;
  uint32_t n_marks, room;
  atomic_int failed; // 1 + the queue of the first failure; 0 = none
  xlm_status status;
  uint32_t failed_at; // the instruction that failed
} cpu;

static cpu *cpu_of(xlm_device *d) {
  return (cpu *)d;
}

// ---- work ----

static void fail(cpu *c, xlm_queue queue, uint32_t instr, xlm_status status) {
  int none = 0;
  if (!atomic_compare_exchange_strong(&c->failed, &none, 1 + (int)queue)) return;
  c->status = status;
  c->failed_at = instr;
}

// `at`: the queue whose order it follows; `where`: the queue whose thread runs it.
static void do_work(cpu *c, xlm_queue at, xlm_queue where, const xlm_work *w) {
  if (atomic_load_explicit(&c->failed, memory_order_relaxed)) return; // work after a failure is skipped
  if (c->far) cpu_far_enter(c->far, c->blocks);
  if (w->ahead) xlm_pool_ahead(c->device.pool, w->ahead);
  int64_t begin = c->timer ? xlm_clock_ns() : 0;
  xlm_status s = w->run(w->arg, w->instr);
  if (c->timer) c->timer(c->timer_arg, where, w->instr, begin, xlm_clock_ns());
  if (c->far) cpu_far_leave(c->far, c->blocks);
  if (s != XLM_OK) fail(c, at, w->instr, s);
}

static void run_kernel(void *arg, const cpu_item *item) {
  cpu *c = (cpu *)arg;
  cpu_far_delay(c->far, XLM_STREAM_KERNELS);
  do_work(c, XLM_STREAM_KERNELS, XLM_STREAM_KERNELS, &item->work);
}

static void run_communication(void *arg, const cpu_item *item) {
  cpu *c = (cpu *)arg;
  if (c->far) cpu_far_delay(c->far, XLM_STREAM_COMM);
  do_work(c, XLM_STREAM_COMM, XLM_STREAM_COMM, &item->work);
}

// Is there enough computation to overlap with to pay for the hand-over? Rough rates suffice, as no result
// depends on it.
static bool is_worth_a_hand_over(const cpu *c, const xlm_work *w) {
  const double flops = 5e10, bytes = 5e9, hand_over = 5e-5;
  return c->hands_over_all || w->flops_beside / flops + w->bytes_beside / bytes >= hand_over;
}

static xlm_queue other(xlm_queue q) {
  return q == XLM_STREAM_COMM ? XLM_STREAM_KERNELS : XLM_STREAM_COMM;
}

static void wait_mark(xlm_device *d, xlm_queue queue, uint32_t mark) {
  cpu *c = cpu_of(d);
  if (c->marked_in[mark] != queue && c->tickets[mark] > c->after[queue]) c->after[queue] = c->tickets[mark];
}

static void set_mark(xlm_device *d, xlm_queue queue, uint32_t mark) {
  cpu *c = cpu_of(d);
  c->tickets[mark] = c->last[queue];
  c->marked_in[mark] = (uint8_t)queue;
}

static void wait_all(cpu *c) {
  for (int q = 0; q < XLM_STREAMS; q++)
    if (cpu_queue_is_started(&c->queue[q])) cpu_queue_wait_all(&c->queue[q]);
}

static void enqueue(xlm_device *d, xlm_queue queue, const xlm_work *w) {
  cpu *c = cpu_of(d);
  cpu_queue *to = &c->queue[queue], *from = &c->queue[other(queue)];
  uint64_t after = c->after[queue];
  c->after[queue] = 0;
  bool hands_over = cpu_queue_is_started(to) && (queue == XLM_STREAM_KERNELS || is_worth_a_hand_over(c, w));
  if (hands_over) {
    bool waits = after && cpu_queue_is_started(from);
    c->last[queue] = cpu_queue_push(to, &(cpu_item){*w, waits ? from : NULL, after});
    return;
  }
  if (queue == XLM_STREAM_COMM)
    wait_all(c); // communication stays in order
  else if (after)
    cpu_queue_wait(from, after);
  do_work(c, queue, XLM_STREAM_KERNELS, w);
}

static xlm_status join(xlm_device *d, uint32_t *instr, xlm_error *err) {
  cpu *c = cpu_of(d);
  wait_all(c);
  memset(c->after, 0, sizeof c->after);
  int failed = atomic_load(&c->failed);
  if (!failed) return XLM_OK;
  xlm_error *why = &d->err[failed - 1];
  if (!*why->text) (void)xlm_fail(why, c->status, "it failed and does not say why");
  if (err) *err = *why;
  if (instr) *instr = c->failed_at;
  *why->text = 0;
  atomic_store(&c->failed, 0);
  return c->status;
}

xlm_pool *xlm_cpu_pool(const xlm_call *call) {
  if (!call->device) return NULL;
  cpu *c = cpu_of(call->device);
  if (call->queue == XLM_STREAM_KERNELS) return call->device->pool;
  const cpu_queue *q = &c->queue[XLM_STREAM_COMM]; // on the communication thread, the workers belong to the
                                                   // kernels
  return cpu_queue_is_started(q) && pthread_equal(pthread_self(), q->thread) ? NULL : call->device->pool;
}

// ---- memory ----

// The system zeroes it on first touch; huge pages where available.
static xlm_status take(xlm_device *d, size_t bytes, void **out, xlm_error *err) {
  cpu *c = cpu_of(d);
  cpu_block *b = (cpu_block *)calloc(1, sizeof *b);
  size_t all = bytes ? bytes : 1;
  void *p = MAP_FAILED;
  if (b) p = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    free(b);
    return xlm_fail(err, XLM_ENV, "cannot take %zu bytes of memory", bytes);
  }
#ifdef MADV_HUGEPAGE
  (void)madvise(p, all, MADV_HUGEPAGE);
#endif
  wait_all(c);
  *b = (cpu_block){c->blocks, (char *)p, all};
  c->blocks = b;
  if (c->far) cpu_far_enter(c->far, c->blocks), cpu_far_leave(c->far, c->blocks);
  *out = p;
  return XLM_OK;
}

static xlm_status put(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err) {
  cpu *c = cpu_of(d);
  (void)err;
  wait_all(c);
  if (c->far)
    cpu_far_copy(c->far, c->blocks, to, from, bytes, true);
  else
    memcpy(to, from, bytes);
  return XLM_OK;
}

static xlm_status get(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err) {
  cpu *c = cpu_of(d);
  (void)err;
  wait_all(c);
  if (c->far)
    cpu_far_copy(c->far, c->blocks, to, from, bytes, false);
  else
    memcpy(to, from, bytes);
  return XLM_OK;
}

static xlm_status fill(xlm_device *d, void *to, int byte, size_t bytes, xlm_error *err) {
  cpu *c = cpu_of(d);
  (void)err;
  wait_all(c);
  if (c->far) cpu_far_enter(c->far, c->blocks);
  memset(to, byte, bytes);
  if (c->far) cpu_far_leave(c->far, c->blocks);
  return XLM_OK;
}

static void memory(const xlm_device *d, xlm_device_memory *out) {
  const cpu *c = (const cpu *)d;
  uint64_t n = sizeof *c + (uint64_t)c->n_marks * (sizeof *c->tickets + sizeof *c->marked_in);
  for (int q = 0; q < XLM_STREAMS; q++)
    if (cpu_queue_is_started(&c->queue[q])) n += (uint64_t)c->room * sizeof(cpu_item);
  *out = (xlm_device_memory){.host = n + (c->far ? sizeof *c->far : 0)};
  for (const cpu_block *b = c->blocks; b; b = b->next) out->arena += b->bytes;
}

static void seconds(xlm_device *d, xlm_device_timer *timer, void *arg) {
  cpu *c = cpu_of(d);
  wait_all(c);
  c->timer = timer, c->timer_arg = arg;
}

// ---- life ----

static void close_cpu(xlm_device *d) {
  if (!d) return;
  cpu *c = cpu_of(d);
  for (int q = 0; q < XLM_STREAMS; q++) cpu_queue_stop(&c->queue[q]);
  for (cpu_block *b = c->blocks, *next; b; b = next) {
    next = b->next;
    munmap(b->at, b->bytes);
    free(b);
  }
  cpu_far_free(c->far);
  xlm_pool_free(d->pool);
  free(c->tickets);
  free(c->marked_in);
  free(c);
}

static xlm_status start_queues(cpu *c, const xlm_device_options *o, xlm_error *err) {
  const char *when = getenv("XLM_COMM_THREAD");
  bool never = when && !strcmp(when, "never"), apart = o->comm && o->comm->second_thread && !never;
  c->hands_over_all = when && !strcmp(when, "always");
  if (o->room && apart)
    XLM_TRY(cpu_queue_start(&c->queue[XLM_STREAM_COMM], run_communication, c, o->room, err));
  if (o->room && c->far) XLM_TRY(cpu_queue_start(&c->queue[XLM_STREAM_KERNELS], run_kernel, c, o->room, err));
  return XLM_OK;
}

static xlm_status fill_in(cpu *c, const xlm_device_options *o, bool far, xlm_error *err) {
  c->n_marks = o->n_marks, c->room = o->room;
  c->tickets = (uint64_t *)calloc((size_t)o->n_marks + 1, sizeof *c->tickets);
  c->marked_in = (uint8_t *)calloc((size_t)o->n_marks + 1, sizeof *c->marked_in);
  if (!c->tickets || !c->marked_in) return xlm_fail(err, XLM_ENV, "no memory for a device");
  if (o->comm) {
    xlm_cpu_link_init(&c->link, o->comm);
    c->device.link = &c->link.link;
  }
  if (far) XLM_TRY(cpu_far_new(&c->far, err));
  XLM_TRY(xlm_pool_new(o->threads, &c->device.pool, err));
  return start_queues(c, o, err);
}

static xlm_status open_kind(const xlm_device_kind *kind, const xlm_device_options *o, bool far,
                            xlm_device **out, xlm_error *err) {
  *out = NULL;
  cpu *c = (cpu *)calloc(1, sizeof *c);
  if (!c) return xlm_fail(err, XLM_ENV, "no memory for a device");
  c->device.kind = kind;
  xlm_status s = fill_in(c, o, far, err);
  if (s == XLM_OK)
    *out = &c->device;
  else
    close_cpu(&c->device);
  return s;
}

static xlm_status open_cpu(const xlm_device_options *o, xlm_device **out, xlm_error *err) {
  return open_kind(&xlm_device_cpu, o, false, out, err);
}

static xlm_status open_far(const xlm_device_options *o, xlm_device **out, xlm_error *err) {
  return open_kind(&xlm_device_cpu_far, o, true, out, err);
}

#define CPU_KIND(name_, open_)                                                                               \
  {                                                                                                          \
    .name = name_, .backend = "cpu", .flops_per_byte = 5, .open = open_, .close = close_cpu, .alloc = take,  \
    .put = put, .get = get, .fill = fill, .wait = wait_mark, .enqueue = enqueue, .mark = set_mark,           \
    .join = join, .sync = join, .seconds = seconds, .memory = memory                                         \
  }

const xlm_device_kind xlm_device_cpu = CPU_KIND("cpu", open_cpu);
const xlm_device_kind xlm_device_cpu_far = CPU_KIND("cpu-far", open_far);
