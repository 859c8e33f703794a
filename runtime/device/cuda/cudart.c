// The table over cudart, which is linked statically and loads the driver when it is first called: without one
// the calls fail with a code, but the program starts.
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

#include "runtime/device/cuda/runtime.h"

static int versions(int *driver, int *runtime) {
  *driver = *runtime = 0;
  cudaError_t e = cudaDriverGetVersion(driver);
  return e ? (int)e : (int)cudaRuntimeGetVersion(runtime);
}

static int count(int *cards) {
  *cards = 0;
  return (int)cudaGetDeviceCount(cards);
}

static int use(int card) {
  return (int)cudaSetDevice(card);
}

static int card_of(int card, xlm_cuda_card *out) {
  struct cudaDeviceProp p;
  cudaError_t e = cudaGetDeviceProperties(&p, card);
  if (e) return (int)e;
  snprintf(out->name, sizeof out->name, "%.*s", (int)sizeof out->name - 1, p.name);
  out->major = p.major, out->minor = p.minor, out->memory = p.totalGlobalMem;
  memcpy(out->id, &p.uuid, sizeof out->id);
  return 0;
}

static int memory(size_t *unused, size_t *all) {
  return (int)cudaMemGetInfo(unused, all);
}

static int alloc(void **out, size_t bytes) {
  return (int)cudaMalloc(out, bytes);
}

static int release(void *at) {
  return (int)cudaFree(at);
}

static int alloc_pinned(void **out, size_t bytes) {
  return (int)cudaHostAlloc(out, bytes, cudaHostAllocDefault);
}

static int free_pinned(void *at) {
  return (int)cudaFreeHost(at);
}

static int open_queue(xlm_cuda_queue *out, bool urgent) {
  int least = 0, greatest = 0;
  cudaError_t e = cudaDeviceGetStreamPriorityRange(&least, &greatest);
  return e ? (int)e
           : (int)cudaStreamCreateWithPriority(out, cudaStreamNonBlocking, urgent ? greatest : least);
}

static int close_queue(xlm_cuda_queue q) {
  return (int)cudaStreamDestroy(q);
}

static int finish(xlm_cuda_queue q) {
  return (int)cudaStreamSynchronize(q);
}

static int asked(cudaError_t e) { // "not ready" would be taken for the error of the next launch
  if (e == cudaErrorNotReady) (void)cudaGetLastError();
  return (int)e;
}

static int idle(xlm_cuda_queue q) {
  return asked(cudaStreamQuery(q));
}

static int open_event(xlm_cuda_event *out, bool timed) {
  return (int)cudaEventCreateWithFlags(out, timed ? cudaEventDefault : cudaEventDisableTiming);
}

static int close_event(xlm_cuda_event e) {
  return (int)cudaEventDestroy(e);
}

static int record(xlm_cuda_event e, xlm_cuda_queue q) {
  return (int)cudaEventRecord(e, q);
}

static int wait_event(xlm_cuda_queue q, xlm_cuda_event e) {
  return (int)cudaStreamWaitEvent(q, e, 0);
}

static int reach(xlm_cuda_event e) {
  return (int)cudaEventSynchronize(e);
}

static int passed(xlm_cuda_event e) {
  return asked(cudaEventQuery(e));
}

static int elapsed(float *ms, xlm_cuda_event from, xlm_cuda_event to) {
  return (int)cudaEventElapsedTime(ms, from, to);
}

static int copy(void *to, const void *from, size_t bytes, xlm_cuda_way way, xlm_cuda_queue q) {
  static const enum cudaMemcpyKind kinds[] = {[XLM_CUDA_TO_CARD] = cudaMemcpyHostToDevice,
                                              [XLM_CUDA_TO_HOST] = cudaMemcpyDeviceToHost,
                                              [XLM_CUDA_ON_CARD] = cudaMemcpyDeviceToDevice};
  return (int)cudaMemcpyAsync(to, from, bytes, kinds[way], q);
}

static int fill(void *to, int byte, size_t bytes, xlm_cuda_queue q) {
  return (int)cudaMemsetAsync(to, byte, bytes, q);
}

// Other ranks' threads may call what a capture in global mode forbids to the whole process.
static int begin_capture(xlm_cuda_queue q) {
  return (int)cudaStreamBeginCapture(q, cudaStreamCaptureModeThreadLocal);
}

static int end_capture(xlm_cuda_queue q, xlm_cuda_graph *out) {
  cudaGraph_t g = NULL;
  *out = NULL;
  cudaError_t e = cudaStreamEndCapture(q, &g);
  if (!e) e = cudaGraphInstantiateWithFlags(out, g, 0);
  if (g) (void)cudaGraphDestroy(g);
  return (int)e;
}

static int launch(xlm_cuda_graph g, xlm_cuda_queue q) {
  return (int)cudaGraphLaunch(g, q);
}

static int close_graph(xlm_cuda_graph g) {
  return (int)cudaGraphExecDestroy(g);
}

static const char *text(int error) {
  return cudaGetErrorString((cudaError_t)error);
}

static int last_error(void) {
  return (int)cudaGetLastError();
}

static const xlm_cuda_runtime table = {.versions = versions,
                                       .count = count,
                                       .use = use,
                                       .card = card_of,
                                       .memory = memory,
                                       .alloc = alloc,
                                       .release = release,
                                       .alloc_pinned = alloc_pinned,
                                       .free_pinned = free_pinned,
                                       .open_queue = open_queue,
                                       .close_queue = close_queue,
                                       .finish = finish,
                                       .idle = idle,
                                       .open_event = open_event,
                                       .close_event = close_event,
                                       .record = record,
                                       .wait = wait_event,
                                       .reach = reach,
                                       .passed = passed,
                                       .elapsed = elapsed,
                                       .copy = copy,
                                       .fill = fill,
                                       .begin_capture = begin_capture,
                                       .end_capture = end_capture,
                                       .launch = launch,
                                       .close_graph = close_graph,
                                       .text = text,
                                       .last_error = last_error};

const xlm_cuda_runtime *const xlm_cuda_runtime_here = &table;
