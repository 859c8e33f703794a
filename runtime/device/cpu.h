// The CPU as a device. Queue KERNELS does its work at once, in the caller's thread and with the rank's
// workers; queue COMM has a thread, for communication that has something beside it to compute. What would be
// waited for at once is done in place: handing it over would only cost time. XLM_COMM_THREAD=never: all of it
// in place; =always: none, for tests.
#ifndef XLM_DEVICE_CPU_H
#define XLM_DEVICE_CPU_H

#include "runtime/device/device.h"

XLM_C_BEGIN

extern const xlm_device_kind xlm_device_cpu;

// For tests, the same on hard terms: both queues have threads, which delay (the same way in every run); the
// arena is inaccessible (PROT_NONE) whenever no work of the rank runs; put and get copy through a buffer. A
// wait that is missing and a pointer into the arena that anybody else holds show.
extern const xlm_device_kind xlm_device_cpu_far;

// The workers that a CPU kernel may use; NULL: it runs alone.
xlm_pool *xlm_cpu_pool(const xlm_call *c);

// The CPU's link: the control plane itself, since the arena is host memory. Bytes are counted there.
typedef struct xlm_cpu_link {
  xlm_link link;
  xlm_comm *comm;
} xlm_cpu_link;

void xlm_cpu_link_init(xlm_cpu_link *l, xlm_comm *c);

XLM_C_END

#endif
