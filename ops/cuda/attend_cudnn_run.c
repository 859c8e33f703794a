// Attention by cuDNN on a device: a plan of the library for every shape, made at load and kept until the
// device closes; a run enqueues its parts one after another.
#include <float.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cuda/attend_cudnn.h"
#include "ops/cuda/backend_priv.h"
#include "runtime/device/cuda/cuda.h"

#ifdef XLM_CUDA_KERNELS

typedef struct known { // a plan that was made
  xlm_cudnn_attend attend;
  xlm_cudnn_plan plan;
  struct known *next;
} known;

typedef struct library { // of a device
  const xlm_cudnn *dnn;
  dnn_handle handle;
  int major; // of the card's compute capability; 0: unknown
  known *plans;
} library;

typedef struct attention { // of a call
  library *by;
  const known *uses;
  xlm_cudnn_room room;
  float scale, masked, one; // the graph's scalars
  int32_t window;
} attention;

// ---- the library ----

static void close_library(xlm_cuda_device *d, void *opened) {
  library *l = (library *)opened;
  (void)d;
  for (known *k = l->plans, *next; k; k = next) {
    next = k->next;
    xlm_cudnn_plan_free(&k->plan);
    free(k);
  }
  if (l->handle) (void)l->dnn->destroy(l->handle);
  free(l);
}

static xlm_status open_library(xlm_cuda_device *d, void **out, xlm_error *err) {
  const xlm_cudnn *dnn;
  XLM_TRY(xlm_cudnn_table(&dnn, err));
  library *l = (library *)calloc(1, sizeof *l);
  if (!l) return xlm_fail(err, XLM_ENV, "no memory for cuDNN's plans");
  *l = (library){.dnn = dnn, .major = d ? d->properties.major : 0};
  int bad = dnn->create(&l->handle);
  *out = l;
  if (!bad) return XLM_OK;
  l->handle = NULL;
  close_library(d, l);
  return xlm_fail(err, XLM_ENV, "cuDNN cannot be opened: status %d", bad);
}

static const xlm_cuda_kept libraries = {open_library, close_library};

// Without a device, in tests of single ops, it lives as long as the process.
static xlm_status library_of(const xlm_call *c, library **out, xlm_error *err) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static void *without;
  if (c->device) return xlm_cuda_keep(xlm_cuda_device_of(c->device), &libraries, (void **)out, err);
  (void)pthread_mutex_lock(&lock);
  xlm_status s = without ? XLM_OK : open_library(NULL, &without, err);
  *out = (library *)without;
  (void)pthread_mutex_unlock(&lock);
  return s;
}

static xlm_status find_plan(library *l, const xlm_cudnn_attend *a, uint64_t most, const known **out,
                            xlm_error *err) {
  for (known *k = l->plans; k; k = k->next)
    if (!memcmp(&k->attend, a, sizeof *a) && k->plan.workspace <= most) return *out = k, XLM_OK;
  known *k = (known *)calloc(1, sizeof *k);
  if (!k) return xlm_fail(err, XLM_ENV, "no memory for cuDNN's plans");
  const xlm_cudnn_place here = {.handle = l->handle, .major = l->major};
  xlm_status s = xlm_cudnn_plan_make(&k->plan, l->dnn, &here, a, most, err);
  if (s != XLM_OK) return free(k), s;
  k->attend = *a, k->next = l->plans, l->plans = k;
  return *out = k, XLM_OK;
}

// ---- calls ----

xlm_status xlm_cuda_prepare_attend(const xlm_call *c, xlm_arena *arena, void **prepared, xlm_error *err) {
  xlm_cudnn_attend a;
  if (c->variant != XLM_ATTEND_CUDNN) return XLM_OK;
  if (!xlm_cudnn_attend_of(c, NULL, &a))
    return xlm_fail(err, XLM_USER, "the plan computes attention with cuDNN that cuDNN does not compute");
  attention *p = XLM_NEW(arena, attention);
  *p = (attention){.room = xlm_cudnn_attend_room(&a),
                   .scale = (float)a.scale,
                   .masked = -FLT_MAX,
                   .one = 1,
                   .window = (int32_t)a.window};
  *prepared = p;
  if (c->instr->workspace < p->room.library)
    return xlm_fail(err, XLM_USER, "the plan has too little workspace for attention by cuDNN");
  XLM_TRY(library_of(c, &p->by, err));
  return find_plan(p->by, &a, c->instr->workspace - p->room.library, &p->uses, err);
}

xlm_status xlm_cuda_prepare_attend_bwd(const xlm_call *c, xlm_arena *arena, void **prepared, xlm_error *err) {
  return xlm_cuda_prepare_attend(c, arena, prepared, err);
}

const xlm_cudnn_attend *xlm_cudnn_attend_prepared(const xlm_call *c) {
  return &((const attention *)c->prepared)->uses->attend;
}

// Where an operand's part begins, from batch entry `batch` and key head `head` on.
static void *part_at(const xlm_call *c, const xlm_cudnn_attend *a, int i, int64_t batch, int64_t head) {
  bool of_keys = i == XLM_CUDNN_K || i == XLM_CUDNN_V || i == XLM_CUDNN_DK || i == XLM_CUDNN_DV;
  char *whole = (char *)(i < c->instr->n_in ? c->in[i] : c->out[i - c->instr->n_in]);
  if (!of_keys) head *= a->heads / a->kv_heads;
  return whole + (batch * a->at[i].batch + head * a->at[i].head) * (int64_t)sizeof(uint16_t);
}

static xlm_status run_part(const xlm_call *c, attention *p, int64_t batch, int64_t head) {
  const xlm_cudnn_attend *a = &p->uses->attend;
  char *room = (char *)c->workspace, *stats = room + p->room.stats;
  void *at[XLM_CUDNN_TENSORS] = {NULL};
  for (int i = 0; i < c->instr->n_in + c->instr->n_out; i++) at[i] = part_at(c, a, i, batch, head);
  int64_t row = (batch * a->heads + head * (a->heads / a->kv_heads)) * a->queries;
  at[XLM_CUDNN_STATS] = stats + row * (int64_t)sizeof(float);
  at[XLM_CUDNN_SCALE] = &p->scale;
  if (a->causal) at[XLM_CUDNN_MASKED] = &p->masked;
  if (a->window) at[XLM_CUDNN_WINDOW] = &p->window;
  if (a->backward) at[XLM_CUDNN_SUMS] = room + p->room.sums, at[XLM_CUDNN_ONE] = &p->one;
  return xlm_cudnn_plan_run(&p->uses->plan, p->by->handle, at, room + p->room.library, c->err);
}

xlm_status xlm_cudnn_attend_run(const xlm_call *c) {
  attention *p = (attention *)c->prepared;
  const xlm_cudnn_attend *a = &p->uses->attend;
  int bad = p->by->dnn->set_stream(p->by->handle, xlm_cuda_stream(c));
  if (bad) return xlm_fail(c->err, XLM_ENV, "cuDNN takes no stream: status %d", bad);
  for (int64_t batch = 0; batch < a->batches; batch += a->part_batches)
    for (int64_t head = 0; head < a->kv_heads; head += a->part_kv_heads) XLM_TRY(run_part(c, p, batch, head));
  return XLM_OK;
}

#endif
