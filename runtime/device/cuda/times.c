// Times of instructions, by two events each; the join of a timed segment waits for it.
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "runtime/device/cuda/cuda_priv.h"

static bool open_events(cuda *c) {
  cuda_times *t = &c->times;
  size_t n = (size_t)c->n_marks + 1;
  t->begin = (xlm_cuda_event *)calloc(n, sizeof *t->begin);
  t->end = (xlm_cuda_event *)calloc(n, sizeof *t->end);
  t->ran = (uint32_t *)calloc(n, sizeof *t->ran);
  t->ran_in = (uint8_t *)calloc(n, sizeof *t->ran_in);
  if (!t->begin || !t->end || !t->ran || !t->ran_in) return false;
  int rc = cuda_calls(c)->open_event(&t->base, true);
  for (uint32_t i = 0; i < c->n_marks && !rc; i++) {
    rc = cuda_calls(c)->open_event(&t->begin[i], true);
    if (!rc) rc = cuda_calls(c)->open_event(&t->end[i], true);
  }
  return cuda_ok(c, XLM_NO_INSTR, rc, "making events to time with");
}

static bool reach(cuda *c, uint32_t instr, xlm_cuda_event e) {
  xlm_error why = {0};
  xlm_status s = cuda_reach(c, e, "waiting for an event", &why);
  if (s != XLM_OK) cuda_fail(c, instr, s, &why);
  return s == XLM_OK;
}

// The card's time and the host's, as close together as possible.
static void take_base(cuda *c) {
  const xlm_cuda_runtime *r = cuda_calls(c);
  if (cuda_ok(c, XLM_NO_INSTR, r->record(c->times.base, c->open.queue[XLM_STREAM_KERNELS]),
              "recording an event"))
    (void)reach(c, XLM_NO_INSTR, c->times.base);
  c->times.base_ns = xlm_clock_ns();
}

void cuda_seconds(xlm_device *d, xlm_device_timer *timer, void *arg) {
  cuda *c = cuda_of(d);
  xlm_error err = {0};
  if (cuda_enter(c, &err) != XLM_OK) cuda_fail(c, XLM_NO_INSTR, XLM_ENV, &err);
  bool ready = !timer || c->times.begin || open_events(c);
  c->times.timer = ready ? timer : NULL, c->times.arg = arg;
  if (c->times.timer) take_base(c);
  cuda_leave(c);
}

void cuda_time_begin(cuda *c, xlm_queue queue, uint32_t instr) {
  (void)cuda_ok(c, instr, cuda_calls(c)->record(c->times.begin[instr], c->open.queue[queue]),
                "recording an event");
}

void cuda_time_end(cuda *c, xlm_queue queue, uint32_t instr) {
  cuda_times *t = &c->times;
  if (!cuda_ok(c, instr, cuda_calls(c)->record(t->end[instr], c->open.queue[queue]), "recording an event"))
    return;
  t->ran_in[instr] = (uint8_t)queue;
  t->ran[t->n++] = instr;
}

static void report(cuda *c, uint32_t instr) {
  const cuda_times *t = &c->times;
  const xlm_cuda_runtime *r = cuda_calls(c);
  float from = 0, to = 0;
  if (!reach(c, instr, t->end[instr]) ||
      !cuda_ok(c, instr, r->elapsed(&from, t->base, t->begin[instr]), "reading an event") ||
      !cuda_ok(c, instr, r->elapsed(&to, t->base, t->end[instr]), "reading an event"))
    return;
  t->timer(t->arg, (xlm_queue)t->ran_in[instr], instr, t->base_ns + (int64_t)((double)from * 1e6),
           t->base_ns + (int64_t)((double)to * 1e6));
}

void cuda_time_report(cuda *c) {
  for (uint32_t i = 0; i < c->times.n && c->failed == XLM_OK; i++) report(c, c->times.ran[i]);
  c->times.n = 0;
  take_base(c); // milliseconds are floats, so the base must be recent
}

void cuda_close_times(cuda *c) {
  cuda_times *t = &c->times;
  for (uint32_t i = 0; t->begin && t->end && i < c->n_marks; i++) {
    if (t->begin[i]) (void)cuda_calls(c)->close_event(t->begin[i]);
    if (t->end[i]) (void)cuda_calls(c)->close_event(t->end[i]);
  }
  if (t->base) (void)cuda_calls(c)->close_event(t->base);
  free(t->begin);
  free(t->end);
  free(t->ran);
  free(t->ran_in);
}
