// The functions of the CUDA runtime that the device uses, as a table: the real one is cudart (cudart.c);
// tests have one that needs no card. A build without the toolkit has none. This does not need CUDA's headers.
//
// Every int returned is a cudaError_t; 0 is success. Streams, events and graphs are the runtime's own
// objects.
#ifndef XLM_CUDA_RUNTIME_H
#define XLM_CUDA_RUNTIME_H

#include "runtime/device/device.h"

XLM_C_BEGIN

typedef struct CUstream_st *xlm_cuda_queue;
typedef struct CUevent_st *xlm_cuda_event;
typedef struct CUgraphExec_st *xlm_cuda_graph;

typedef struct xlm_cuda_card {
  char name[128];
  int major, minor; // compute capability: 9, 0
  uint64_t memory;  // total bytes
  char id[16];      // of this card, and no other on any machine
} xlm_cuda_card;

enum { XLM_CUDA_NOT_READY = 600 };

typedef enum xlm_cuda_way { XLM_CUDA_TO_CARD, XLM_CUDA_TO_HOST, XLM_CUDA_ON_CARD } xlm_cuda_way;

typedef struct xlm_cuda_runtime {
  int (*versions)(int *driver, int *runtime); // 13020 = 13.2; driver 0: none
  int (*count)(int *cards);
  int (*use)(int card); // makes it current in the calling thread
  int (*card)(int card, xlm_cuda_card *out);
  int (*memory)(size_t *unused, size_t *all);
  int (*alloc)(void **out, size_t bytes); // of the card: 256-byte aligned
  int (*release)(void *at);
  int (*alloc_pinned)(void **out, size_t bytes); // of the host, for asynchronous copies
  int (*free_pinned)(void *at);
  int (*open_queue)(xlm_cuda_queue *out, bool urgent);
  int (*close_queue)(xlm_cuda_queue q);
  int (*finish)(xlm_cuda_queue q); // waits for all of it
  int (*idle)(xlm_cuda_queue q);   // 0: all of it is done; XLM_CUDA_NOT_READY
  int (*open_event)(xlm_cuda_event *out, bool timed);
  int (*close_event)(xlm_cuda_event e);
  int (*record)(xlm_cuda_event e, xlm_cuda_queue q);
  int (*wait)(xlm_cuda_queue q, xlm_cuda_event e);
  int (*reach)(xlm_cuda_event e);  // the host waits for it
  int (*passed)(xlm_cuda_event e); // 0: it is passed; XLM_CUDA_NOT_READY
  int (*elapsed)(float *ms, xlm_cuda_event from, xlm_cuda_event to);
  int (*copy)(void *to, const void *from, size_t bytes, xlm_cuda_way way, xlm_cuda_queue q);
  int (*fill)(void *to, int byte, size_t bytes, xlm_cuda_queue q);
  // Work that this thread enqueues in q, and in queues that wait for its events, is recorded as a graph and
  // does not run.
  int (*begin_capture)(xlm_cuda_queue q);
  int (*end_capture)(xlm_cuda_queue q, xlm_cuda_graph *out); // NULL if capturing failed
  int (*launch)(xlm_cuda_graph g, xlm_cuda_queue q);
  int (*close_graph)(xlm_cuda_graph g);
  const char *(*text)(int error);
  int (*last_error)(void); // and resets it, if possible
  // Later work in q belongs to this instruction: for a runtime that checks the order of accesses to the same
  // bytes. NULL in all others.
  void (*announce)(xlm_cuda_queue q, const xlm_work *w);
} xlm_cuda_runtime;

extern const xlm_cuda_runtime *const xlm_cuda_runtime_here; // NULL: this build has none

XLM_C_END

#endif
