// An NVIDIA GPU as a device. Each stream of the plan is a CUDA stream, a mark is an event; enqueueing calls
// the kernel's run immediately, on the host, and its launches go to the stream (xlm_cuda_stream in
// ops/cuda/cuda.h).
//
// - cuda: a segment is captured in its second run: one CUDA graph per segment and set of slots, launched as a
//   whole.
// - cuda-eager: every kernel is launched separately; for profiles, sanitizers, several ranks on one card.
// - cuda-checked: like cuda-eager, but waits for every instruction and fills results with NaN first; for
//   debugging.
//
// Rank r of a process uses card r modulo the number of cards. put, get, fetch and fill may be called by any
// thread, also its first call of the device; all other functions only by the thread that drives the device.
//
// A failed launch is reported with its instruction. A failure on the card is detected later, and CUDA does
// not report where: only `cuda-checked` names the instruction. After such a failure the card's context is
// lost and the device remains in error.
#ifndef XLM_DEVICE_CUDA_H
#define XLM_DEVICE_CUDA_H

#include "runtime/device/cuda/runtime.h"

XLM_C_BEGIN

extern const xlm_device_kind xlm_device_cuda, xlm_device_cuda_eager, xlm_device_cuda_checked;

// The part of the device that kernels and libraries may use.
typedef struct xlm_cuda_device {
  xlm_device device;
  const xlm_cuda_runtime *runtime;
  int card;
  xlm_cuda_card properties;
  xlm_cuda_queue queue[XLM_STREAMS];
  // The numbers of the running segment in the card's memory, for kernels: a graph is launched again with
  // others, so they must not be passed as arguments by value.
  const xlm_step_env *env;
} xlm_cuda_device;

static inline xlm_cuda_device *xlm_cuda_device_of(xlm_device *d) {
  return (xlm_cuda_device *)d;
}

// An object that a device has once and closes at its own end: the handle of a library, a communicator, a
// module. Created on the first call with this `how` (a kernel's prepare), returned on later ones. The card
// memory that this uses is measured and counted. Objects are dropped in reverse order, before the streams and
// the arena.
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

// The card that a rank would use; XLM_ENV: none, and the message names what is missing and the remedy.
xlm_status xlm_cuda_find_card(int64_t rank, int *card, xlm_cuda_card *out, xlm_error *err) XLM_MUST_CHECK;

// See room in device.h: of what is unused now, less a reserve for libraries, kernels and graphs.
uint64_t xlm_cuda_room(int64_t ranks);

// Ranks that have a card each are connected over NCCL, where all can load it; else, or with
// XLM_CUDA_LINK=host, through host memory (nccl_connect.c). Over NCCL, a segment is captured if all ranks
// that it exchanges data with capture it, too.
//
// The link through host memory: copied to pinned memory, exchanged over the control plane, copied back. It
// works wherever the control plane does, with any number of ranks per card. Each call waits on the host for
// its queue, so a segment that communicates over it is never captured.
typedef struct xlm_cuda_stage { // pinned; grows when first needed
  char *at;
  size_t room;
} xlm_cuda_stage;

typedef struct xlm_cuda_host_link {
  xlm_link link;
  xlm_comm *comm;
  xlm_cuda_device *device;
  xlm_cuda_stage out[XLM_STREAMS], in[XLM_STREAMS];
  const void **host_out; // of the current exchange, by member
  void **host_in;
  size_t *host_bytes;
} xlm_cuda_host_link;

xlm_status xlm_cuda_host_link_open(xlm_cuda_host_link *l, xlm_cuda_device *d, xlm_comm *c,
                                   xlm_error *err) XLM_MUST_CHECK;
void xlm_cuda_host_link_close(xlm_cuda_host_link *l);
uint64_t xlm_cuda_host_link_bytes(const xlm_cuda_host_link *l); // of pinned memory

XLM_C_END

#endif
