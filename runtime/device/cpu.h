// The CPU as a device. Queue KERNELS runs its work at once, on the caller's thread and the rank's workers.
// Queue COMM has a thread, used for communication that can overlap with computation; other communication runs
// in place, which is cheaper than handing it over. For tests, XLM_COMM_THREAD=never runs all of it in place,
// =always none.
#ifndef XLM_DEVICE_CPU_H
#define XLM_DEVICE_CPU_H

#include "runtime/device/device.h"

XLM_C_BEGIN

extern const xlm_device_kind xlm_device_cpu;

// For tests: a CPU device under adverse conditions. Both queues have threads, with delays (the same in every
// run); the arena is inaccessible (PROT_NONE) whenever no work of the rank runs; put and get copy through a
// buffer. Missing waits and pointers into the arena held elsewhere become visible.
extern const xlm_device_kind xlm_device_cpu_far;

// The workers that a CPU kernel may use; NULL: none besides the caller.
xlm_pool *xlm_cpu_pool(const xlm_call *c);

// The CPU's link uses the control plane directly, since the arena is host memory. Bytes are counted there.
typedef struct xlm_cpu_link {
  xlm_link link;
  xlm_comm *comm;
} xlm_cpu_link;

void xlm_cpu_link_init(xlm_cpu_link *l, xlm_comm *c);

XLM_C_END

#endif
