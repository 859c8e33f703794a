// The CPU as a device: what its kernels and those who open it by hand (tests, benchmarks) need.
#ifndef XLM_DEVICE_CPU_H
#define XLM_DEVICE_CPU_H

#include "runtime/comm/comm.h"
#include "runtime/device/link.h"

// The workers that a CPU kernel may use; NULL: it runs alone.
static inline xlm_pool *xlm_cpu_pool(const xlm_call *c) {
  return c->pool;
}

// The CPU's link: the control plane itself, since the arena is host memory. Bytes are counted there.
typedef struct xlm_cpu_link {
  xlm_link link;
  xlm_comm *comm;
} xlm_cpu_link;

void xlm_cpu_link_init(xlm_cpu_link *l, xlm_comm *c);

#endif
