// An NVIDIA GPU as a device. Each stream of the plan is a CUDA stream, a mark is an event; enqueueing calls
// the kernel's run at once, on the host, and what it launches goes to the stream (xlm_cuda_stream in
// ops/cuda/cuda.h).
//
//   cuda          from its second run on, a segment is captured: one CUDA graph per segment and slots,
//   launched as a whole cuda-eager    every kernel launched by itself: for profiles, sanitizers, several
//   ranks on one card cuda-checked  so, every instruction waited for, results filled with NaN before: for
//   finding what is wrong
//
// Rank r of a process takes card r modulo their number. A thread that has not used the card before may call
// put, get and fill; everything else is for the thread that drives the device.
//
// A launch that fails is told with its instruction. What fails on the card is noticed later, and CUDA does
// not say where: only `cuda-checked` names it. After such a failure the card's context is lost; the device
// stays in error.
#ifndef XLM_DEVICE_CUDA_H
#define XLM_DEVICE_CUDA_H

#include "runtime/device/cuda/runtime.h"

XLM_C_BEGIN

extern const xlm_device_kind xlm_device_cuda, xlm_device_cuda_eager, xlm_device_cuda_checked;

// What kernels and libraries may use of the device.
typedef struct xlm_cuda_device {
  xlm_device device;
  const xlm_cuda_runtime *runtime;
  int card;
  xlm_cuda_card properties;
  xlm_cuda_queue queue[XLM_STREAMS];
  // The numbers of the running segment in the card's memory, for kernels: a graph is launched again with
  // others, so nothing of them may be an argument by value.
  const xlm_step_env *env;
} xlm_cuda_device;

static inline xlm_cuda_device *xlm_cuda_device_of(xlm_device *d) {
  return (xlm_cuda_device *)d;
}

// What a device has one of and closes with itself: the handle of a library, a communicator, a module. It is
// made on the first call with this `how` (a kernel's prepare), and given again on later ones. What that takes
// of the card's memory is measured and counted. Dropped in the opposite order, before the streams and the
// arena.
typedef struct xlm_cuda_kept {
  xlm_status (*make)(xlm_cuda_device *d, void **out, xlm_error *err);
  void (*drop)(xlm_cuda_device *d, void *thing);
} xlm_cuda_kept;
xlm_status xlm_cuda_keep(xlm_cuda_device *d, const xlm_cuda_kept *how, void **out,
                         xlm_error *err) XLM_MUST_CHECK;

// Device memory to the host from within a run: waits for what was enqueued in this queue, and so for what its
// instruction waits for. Not while a segment is captured: only what communicates may read.
xlm_status xlm_cuda_read(xlm_cuda_device *d, xlm_queue queue, void *to, const void *from, size_t bytes,
                         xlm_error *err) XLM_MUST_CHECK;

// A call's result as a status: XLM_ENV, "WHAT: what CUDA says (code)".
xlm_status xlm_cuda_check(const xlm_cuda_runtime *r, int rc, const char *what, xlm_error *err);

// The card that a rank would get: XLM_ENV with a sentence that says what is missing and what to do.
xlm_status xlm_cuda_find_card(int64_t rank, int *card, xlm_cuda_card *out, xlm_error *err) XLM_MUST_CHECK;

// The link through host memory: copied to pinned memory, exchanged over the control plane, copied back. It
// works wherever the control plane does, on any number of ranks per card. Each call waits for its own queue
// on the host, so a segment that communicates over it is never captured.
typedef struct xlm_cuda_stage { // pinned; grows when first needed
  char *at;
  size_t room;
} xlm_cuda_stage;

typedef struct xlm_cuda_host_link {
  xlm_link link;
  xlm_comm *comm;
  xlm_cuda_device *device;
  xlm_cuda_stage out[XLM_STREAMS], in[XLM_STREAMS];
  const void **host_out; // of the exchange in hand, by member
  void **host_in;
} xlm_cuda_host_link;

xlm_status xlm_cuda_host_link_open(xlm_cuda_host_link *l, xlm_cuda_device *d, xlm_comm *c,
                                   xlm_error *err) XLM_MUST_CHECK;
void xlm_cuda_host_link_close(xlm_cuda_host_link *l);
uint64_t xlm_cuda_host_link_bytes(const xlm_cuda_host_link *l); // of pinned memory

XLM_C_END

#endif
