// Where a direct call runs: the host's memory with the control plane as its link or, in programs for the fake
// card, a device that the rank keeps until it ends, connected for all groups and for messages between
// opposite stages.
#ifndef XLM_TESTS_LAYOUTS_CALL_PLACE_H
#define XLM_TESTS_LAYOUTS_CALL_PLACE_H

#include "runtime/device/cpu.h"
#include "runtime/device/cuda/cuda.h"
#include "tests/layouts/ranks.h"

typedef struct call_place {
  xlm_link *link;
  xlm_device *device; // NULL: the host
  xlm_cpu_link host;
} call_place;

typedef struct call_work {
  const xlm_kernel *kernel;
  const xlm_call *call;
} call_work;

static inline xlm_status call_work_run(void *arg, uint32_t instr) {
  const call_work *w = arg;
  (void)instr;
  return w->kernel->run(w->call);
}

#ifdef XLM_TEST_CUDA
static _Thread_local struct call_card {
  xlm_device *device;
  uint32_t axes[1 << XLM_MAX_AXES];
  xlm_route route[16];
  xlm_routes routes;
} call_card;

static inline void call_card_routes(const xlm_mesh *m) {
  uint32_t several = 0, n = 0;
  int pp = xlm_mesh_axis(m, "pp"), stages = pp < 0 ? 0 : m->size[pp];
  for (int i = 0; i < m->n; i++) several |= (uint32_t)(m->size[i] > 1) << i;
  for (uint32_t mask = 1; mask <= several; mask++)
    if (!(mask & ~several)) call_card.axes[n++] = mask;
  call_card.routes = (xlm_routes){.n_axes = n, .axes = call_card.axes, .at = call_card.route};
  for (int32_t stage = 0; stage < stages; stage++)
    if (2 * stage != stages - 1)
      call_card.route[call_card.routes.n++] = (xlm_route){stage, stages - 1 - stage, -1, 4096, 2};
}

static inline void call_card_close(void) {
  call_card.device->kind->close(call_card.device);
  call_card.device = NULL;
}

static inline void call_place_open(call_place *p, xlm_comm *c) {
  const xlm_device_kind *kind = &xlm_device_cuda_eager;
  xlm_device_options o = {.threads = 1, .n_marks = 1, .room = 1, .comm = c};
  xlm_error err = {0};
  if (!call_card.device) {
    call_card_routes(&c->mesh);
    RANK_CHECK(c, kind->open(&o, &call_card.device, &err) == XLM_OK);
    RANK_CHECK(c, kind->connect(call_card.device, &call_card.routes, &err) == XLM_OK);
    ranks_leave = call_card_close;
  }
  *p = (call_place){.link = call_card.device->link, .device = call_card.device};
}

static inline void *call_place_put(call_place *p, xlm_comm *c, const void *data, size_t bytes) {
  void *at = NULL;
  RANK_CHECK(c, p->device->kind->alloc(p->device, bytes, &at, NULL) == XLM_OK);
  RANK_CHECK(c, p->device->kind->put(p->device, at, data, bytes, NULL) == XLM_OK);
  return at;
}

static inline void call_place_get(call_place *p, xlm_comm *c, void *data, const void *at, size_t bytes) {
  RANK_CHECK(c, p->device->kind->get(p->device, data, at, bytes, NULL) == XLM_OK);
}

static inline xlm_status call_place_run(call_place *p, const xlm_kernel *kernel, const xlm_call *call) {
  call_work w = {kernel, call};
  const xlm_device_kind *on = p->device->kind;
  on->enqueue(p->device, call->queue,
              &(xlm_work){.run = call_work_run, .arg = &w, .calls = &call, .n_calls = 1});
  return on->sync(p->device, NULL, call->err);
}

#else
static inline void call_place_open(call_place *p, xlm_comm *c) {
  memset(p, 0, sizeof *p);
  xlm_cpu_link_init(&p->host, c);
  p->link = &p->host.link;
}

static inline void *call_place_put(call_place *p, xlm_comm *c, const void *data, size_t bytes) {
  (void)p, (void)c, (void)bytes;
  return (void *)(uintptr_t)data;
}

static inline void call_place_get(call_place *p, xlm_comm *c, void *data, const void *at, size_t bytes) {
  (void)p, (void)c, (void)data, (void)at, (void)bytes;
}

static inline xlm_status call_place_run(call_place *p, const xlm_kernel *kernel, const xlm_call *call) {
  call_work w = {kernel, call};
  (void)p;
  return call_work_run(&w, 0);
}
#endif

#endif
