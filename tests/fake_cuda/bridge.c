// TEMPORARY, for tests only: operations that have no CUDA kernel yet run the CPU backend's kernel, as an
// operation of the fake card's queue. So the device is proven while kernels are being written;
// test_cuda_waits checks which operations are meant. When the list is empty, this file goes.
//
// The CPU's kernel has workspace and tables of its own.
#include <stdlib.h>
#include <string.h>

#include "ops/cuda/backend_priv.h"
#include "runtime/device/cpu.h"
#include "runtime/plan/streams.h"
#include "tests/fake_cuda/bridge.h"
#include "tests/fake_cuda/fake_cuda.h"
#include "runtime/device/cuda/cuda.h"

typedef struct bridged { // what prepare makes: the CPU's side of the call
  const xlm_kernel *cpu;
  xlm_instr instr;
  void *workspace, *prepared;
  int variant;
} bridged;

typedef struct pending { // one run
  const bridged *b;
  xlm_call call;
  xlm_error err;
  void *data[];
} pending;

static const xlm_kernel *cpu_kernel(xlm_op_id op) {
  return xlm_backend_find("cpu")->find(NULL, op);
}

static xlm_status prepare(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  const xlm_backend *backend = xlm_backend_find("cpu");
  xlm_target t = xlm_backend_target(backend, backend->here(), 1);
  bridged *b = XLM_NEW(a, bridged);
  *b = (bridged){.cpu = cpu_kernel(c->instr->op), .instr = *c->instr};
  xlm_call call = *c;
  call.instr = &b->instr, call.variant = 0, call.device = NULL;
  while (b->cpu->variants && b->cpu->variants[b->variant + 1] && !b->cpu->applicable(&call, &t, b->variant))
    call.variant = ++b->variant;
  b->instr.workspace = b->cpu->workspace ? b->cpu->workspace(&call, &t) : 0;
  b->workspace = (void *)(((uintptr_t)XLM_NEW_N(a, char, b->instr.workspace + 64) + 63) / 64 * 64);
  *prepared = b;
  return b->cpu->prepare ? b->cpu->prepare(&call, a, &b->prepared, err) : XLM_OK;
}

static xlm_call call_of(const bridged *b, const xlm_call *c) {
  xlm_call call = *c;
  call.instr = &b->instr, call.variant = b->variant, call.workspace = b->workspace,
  call.prepared = b->prepared;
  call.device = NULL, call.queue = XLM_STREAM_KERNELS;
  return call;
}

static const char *run_pending(void *arg) {
  pending *p = arg;
  return p->b->cpu->run(&p->call) == XLM_OK ? NULL : p->err.text;
}

static xlm_status enqueue(const xlm_call *c) {
  const bridged *b = c->prepared;
  size_t n = (size_t)c->instr->n_in + c->instr->n_out;
  pending *p = calloc(1, sizeof *p + n * sizeof *p->data);
  if (!p) return xlm_fail(c->err, XLM_ENV, "no memory");
  p->b = b;
  p->call = call_of(b, c);
  memcpy(p->data, c->in, c->instr->n_in * sizeof *p->data);
  memcpy(p->data + c->instr->n_in, c->out, c->instr->n_out * sizeof *p->data);
  p->call.in = p->data, p->call.out = p->data + c->instr->n_in;
  p->call.env = xlm_cuda_env(c), p->call.err = &p->err;
  fake_cuda_enqueue(xlm_cuda_stream(c), "the CPU's kernel", run_pending, free, p);
  return XLM_OK;
}

static xlm_kernel kernels[XLM_OP_COUNT];

// One entry per op, written before any thread but the first runs, or with the same values.
const xlm_kernel *xlm_cuda_bridge(xlm_op_id op) {
  const xlm_kernel *planned = xlm_cuda_planned(op), *cpu = cpu_kernel(op);
  if (!planned || !cpu || !cpu->run || xlm_stream_of(op) == XLM_STREAM_COMM) return NULL;
  xlm_kernel k = *planned;
  k.prepare = prepare;
  k.run = enqueue;
  kernels[op] = k;
  return &kernels[op];
}

bool bridge_needs(xlm_op_id op) {
  const xlm_kernel *k = xlm_backend_find("cuda")->find(NULL, op);
  return k && k == &kernels[op];
}
