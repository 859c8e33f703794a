// Segments as graphs: the work between begin and join is captured, and launched as a whole from then on.
//
// The same segment in the same slots enqueues the same kernels with the same arguments: addresses follow from
// the slots, and values that change from run to run (learning rate, step, the numbers of xlm_step_env) are
// read from the card's memory. The first run is not captured: libraries choose algorithms and allocate memory
// in it; and what then needs the host (counts of routed rows) is never captured.
#include <stdlib.h>
#include <string.h>

#include "runtime/device/cuda/cuda_priv.h"

static cuda_repeat *find(cuda *c, uint32_t segment, const int32_t *slot) {
  for (uint32_t i = 0; i < c->n_repeats; i++)
    if (c->repeats[i].segment == segment && !memcmp(c->repeats[i].slot, slot, sizeof c->repeats[i].slot))
      return &c->repeats[i];
  return NULL;
}

static xlm_status add(cuda *c, uint32_t segment, const int32_t *slot, xlm_error *err) {
  if (c->n_repeats == c->repeats_cap) {
    uint32_t cap = c->repeats_cap ? 2 * c->repeats_cap : 16;
    cuda_repeat *more = (cuda_repeat *)realloc(c->repeats, cap * sizeof *more);
    if (!more) return xlm_fail(err, XLM_ENV, "no memory for %u graphs", cap);
    c->repeats = more, c->repeats_cap = cap;
  }
  cuda_repeat *r = &c->repeats[c->n_repeats++];
  *r = (cuda_repeat){.segment = segment};
  memcpy(r->slot, slot, sizeof r->slot);
  c->observed = r;
  return XLM_OK;
}

// The lock is held until the capture ends: work that another thread enqueues meanwhile would become part of
// it.
static xlm_status begin_capture(cuda *c, cuda_repeat *r, xlm_error *err) {
  xlm_cuda_queue q = c->open.queue[XLM_STREAM_KERNELS];
  c->unused = cuda_unused(c);
  XLM_TRY(xlm_cuda_check(cuda_calls(c), cuda_calls(c)->begin_capture(q), "capturing a graph", err));
  pthread_mutex_lock(&c->lock);
  c->capturing = r;
  if (c->link.comm) memcpy(c->sent_before, c->link.comm->bytes_sent, sizeof c->sent_before);
  return cuda_fork(c, err);
}

static void count_sent(cuda *c, cuda_repeat *r) { // by the capture, and so by each launch
  for (int i = 0; c->link.comm && i < XLM_MAX_AXES; i++)
    r->sent[i] = c->link.comm->bytes_sent[i] - c->sent_before[i];
}

static xlm_status launch(cuda *c, const cuda_repeat *r, xlm_error *err) {
  return xlm_cuda_check(cuda_calls(c), cuda_calls(c)->launch(r->graph, c->open.queue[XLM_STREAM_KERNELS]),
                        "launching a graph", err);
}

static xlm_status repeat(cuda *c, const xlm_device_segment *s, bool *known, xlm_error *err) {
  int32_t slot[XLM_SLOT_AREAS] = {0};
  if (s->slot) memcpy(slot, s->slot, sizeof slot);
  cuda_repeat *r = find(c, s->segment, slot);
  if (!r) return add(c, s->segment, slot, err);
  if (r->waits) return XLM_OK;
  if (!r->graph) return begin_capture(c, r, err);
  *known = true;
  for (int i = 0; c->link.comm && i < XLM_MAX_AXES; i++) c->link.comm->bytes_sent[i] += r->sent[i];
  return launch(c, r, err);
}

xlm_status cuda_begin(xlm_device *d, const xlm_device_segment *s, bool *known, xlm_error *err) {
  cuda *c = cuda_of(d);
  *known = false;
  xlm_status status = cuda_enter(c, err);
  if (status == XLM_OK) status = cuda_put(d, (void *)(uintptr_t)c->open.env, s->env, sizeof *s->env, err);
  bool alone =
      !s->communicates || (c->nccl && s->together); // NCCL: all ranks of an operation capture it, or none
  bool whole = c->mode == CUDA_GRAPH && !s->apart && alone && !c->times.timer && c->failed == XLM_OK;
  if (status == XLM_OK && whole) status = repeat(c, s, known, err);
  cuda_leave(c);
  return status;
}

void cuda_end_capture(cuda *c) {
  cuda_repeat *r = c->capturing;
  xlm_error err = {0};
  c->capturing = NULL;
  int rc = cuda_calls(c)->end_capture(c->open.queue[XLM_STREAM_KERNELS], &r->graph);
  pthread_mutex_unlock(&c->lock); // begin_capture's
  if (c->failed != XLM_OK || !cuda_ok(c, XLM_NO_INSTR, rc, "capturing a graph")) {
    if (r->graph) (void)cuda_calls(c)->close_graph(r->graph);
    r->graph = NULL;
    cuda_nccl_capture_failed(c);
    return;
  }
  count_sent(c, r);
  if (launch(c, r, &err) != XLM_OK) cuda_fail(c, XLM_NO_INSTR, XLM_ENV, &err);
  c->graph_bytes += cuda_taken_since(c, c->unused);
}

void cuda_drop_graphs(cuda *c) {
  for (uint32_t i = 0; i < c->n_repeats; i++)
    if (c->repeats[i].graph) (void)cuda_calls(c)->close_graph(c->repeats[i].graph);
  c->n_repeats = 0, c->graph_bytes = 0;
  c->observed = NULL;
}

void cuda_close_segments(cuda *c) {
  cuda_drop_graphs(c);
  free(c->repeats);
}
