// Work and its order: queues, marks, joins, failures.
//
// The streams are ordered through KERNELS: at a join it waits for COMM and records an event, which COMM waits
// for before its next work. While COMM is unused this costs one event per join.
#include <string.h>

#include "runtime/device/cuda/cuda_priv.h"

// ---- failures ----

void cuda_fail(cuda *c, uint32_t instr, xlm_status s, const xlm_error *why) {
  if (c->failed != XLM_OK) return;
  c->failed = s, c->failed_at = instr;
  c->why = *why;
  if (!*c->why.text) (void)xlm_fail(&c->why, s, "it failed and does not say why");
}

bool cuda_ok(cuda *c, uint32_t instr, int rc, const char *what) {
  xlm_error err = {0};
  if (!rc) return true;
  cuda_fail(c, instr, xlm_cuda_check(cuda_calls(c), rc, what, &err), &err);
  return false;
}

static xlm_status tell(cuda *c, uint32_t *instr, xlm_error *err) {
  xlm_status s = c->failed;
  if (s == XLM_OK) return s;
  if (err) *err = c->why;
  if (instr) *instr = c->failed_at;
  for (int q = 0; q < XLM_STREAMS; q++) *c->open.device.err[q].text = 0;
  c->failed = XLM_OK;
  return s;
}

// ---- order between the queues ----

static int settle(cuda *c) {
  const xlm_cuda_runtime *r = cuda_calls(c);
  if (!c->comm_used) return 0;
  c->comm_used = false;
  int rc = r->record(c->joined, c->open.queue[XLM_STREAM_COMM]);
  return rc ? rc : r->wait(c->open.queue[XLM_STREAM_KERNELS], c->joined);
}

xlm_status cuda_settle(cuda *c, xlm_error *err) {
  return xlm_cuda_check(cuda_calls(c), settle(c), "joining the streams", err);
}

xlm_status cuda_fork(cuda *c, xlm_error *err) {
  c->comm_behind = true;
  return xlm_cuda_check(cuda_calls(c), cuda_calls(c)->record(c->forked, c->open.queue[XLM_STREAM_KERNELS]),
                        "recording an event", err);
}

void cuda_wait(xlm_device *d, xlm_queue queue, uint32_t mark) {
  cuda *c = cuda_of(d);
  if (c->marked_in[mark] != queue && c->failed == XLM_OK)
    (void)cuda_ok(c, mark, cuda_calls(c)->wait(c->open.queue[queue], c->marks[mark]), "waiting for an event");
}

void cuda_mark(xlm_device *d, xlm_queue queue, uint32_t mark) {
  cuda *c = cuda_of(d);
  c->marked_in[mark] = (uint8_t)queue;
  if (c->failed == XLM_OK)
    (void)cuda_ok(c, mark, cuda_calls(c)->record(c->marks[mark], c->open.queue[queue]), "recording an event");
}

static void finish(cuda *c, xlm_queue queue, uint32_t instr, const char *what) {
  xlm_error why = {0};
  xlm_status s = cuda_finish(c, queue, what, &why);
  if (s != XLM_OK) cuda_fail(c, instr, s, &why);
}

static bool catch_up(cuda *c, uint32_t instr) { // before work of COMM
  bool behind = c->comm_behind;
  c->comm_used = true, c->comm_behind = false;
  return !behind || cuda_ok(c, instr, cuda_calls(c)->wait(c->open.queue[XLM_STREAM_COMM], c->forked),
                            "waiting for an event");
}

void cuda_enqueue(xlm_device *d, xlm_queue queue, const xlm_work *w) {
  cuda *c = cuda_of(d);
  const xlm_cuda_runtime *r = cuda_calls(c);
  if (c->failed != XLM_OK) return; // nothing waits for later work
  if (queue == XLM_STREAM_COMM && !catch_up(c, w->instr)) return;
  if (r->announce) r->announce(c->open.queue[queue], w);
  if (c->times.timer) cuda_time_begin(c, queue, w->instr);
  if (w->where && w->instr < c->n_marks) c->where[w->instr] = w->where;
  c->running = w->instr;
  xlm_status s = w->run(w->arg, w->instr);
  c->running = XLM_NO_INSTR;
  if (s != XLM_OK) cuda_fail(c, w->instr, s, &d->err[queue]);
  if (c->times.timer) cuda_time_end(c, queue, w->instr);
  if (c->mode == CUDA_CHECKED) finish(c, queue, w->instr, "on the card");
}

xlm_status cuda_join(xlm_device *d, uint32_t *instr, xlm_error *err) {
  cuda *c = cuda_of(d);
  xlm_error why = {0};
  if (cuda_enter(c, &why) != XLM_OK) cuda_fail(c, XLM_NO_INSTR, XLM_ENV, &why);
  (void)cuda_ok(c, XLM_NO_INSTR, settle(c), "joining the streams");
  if (c->capturing) cuda_end_capture(c);
  c->observed = NULL;
  if (cuda_fork(c, &why) != XLM_OK) cuda_fail(c, XLM_NO_INSTR, XLM_ENV, &why);
  if (c->times.timer) cuda_time_report(c);
  cuda_leave(c);
  return tell(c, instr, err);
}

xlm_status cuda_sync(xlm_device *d, uint32_t *instr, xlm_error *err) {
  cuda *c = cuda_of(d);
  XLM_TRY(cuda_join(d, instr, err));
  for (int q = 0; q < XLM_STREAMS; q++) finish(c, (xlm_queue)q, XLM_NO_INSTR, CUDA_ON_CARD);
  return tell(c, instr, err);
}
