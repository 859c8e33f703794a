// Internals shared by the files of the CPU device.
#ifndef XLM_DEVICE_CPU_PRIV_H
#define XLM_DEVICE_CPU_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/device/cpu.h"

// ---- a queue with a thread (cpu_queue.c)
//
// A ring of work items and two counters; waiting spins briefly before it sleeps. One thread pushes; several
// may wait.

typedef struct cpu_queue cpu_queue;

typedef struct cpu_item {
  xlm_work work;
  cpu_queue *other; // the queue to which `after` refers; NULL = no dependency
  uint64_t after;
} cpu_item;

struct cpu_queue {
  void (*run)(void *arg, const cpu_item *item);
  void *arg;
  uint32_t room;
  cpu_item *ring;
  _Atomic uint64_t pushed, done;
  atomic_bool stop, thread_sleeps;
  atomic_int waiters; // number of sleeping threads
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wake, ended;
};

// room: the maximum number of items under way at once. Allocates only here.
xlm_status cpu_queue_start(cpu_queue *q, void (*run)(void *arg, const cpu_item *item), void *arg,
                           uint32_t room, xlm_error *err) XLM_MUST_CHECK;
void cpu_queue_stop(cpu_queue *q); // when all work is done; does nothing for a queue that was never started
uint64_t cpu_queue_push(cpu_queue *q, const cpu_item *item); // returns its ticket
void cpu_queue_wait(cpu_queue *q, uint64_t ticket);          // until it is done
void cpu_queue_wait_all(cpu_queue *q);
static inline bool cpu_queue_is_started(const cpu_queue *q) {
  return q->ring != NULL;
}

// ---- making the arena inaccessible (cpu_far.c)

typedef struct cpu_block { // what alloc returned
  struct cpu_block *next;
  char *at;
  size_t bytes;
} cpu_block;

enum { CPU_BOUNCE = 64 << 10 };

typedef struct cpu_far { // state of a device whose arena is inaccessible
  pthread_mutex_t lock;
  int inside;              // number of work items that are running
  char bounce[CPU_BOUNCE]; // put and get copy through this
  uint64_t random[XLM_STREAMS];
} cpu_far;

xlm_status cpu_far_new(cpu_far **out, xlm_error *err) XLM_MUST_CHECK;
void cpu_far_free(cpu_far *f);
void cpu_far_enter(cpu_far *f, const cpu_block *blocks); // the blocks are accessible until leave
void cpu_far_leave(cpu_far *f, const cpu_block *blocks);
void cpu_far_copy(cpu_far *f, const cpu_block *blocks, void *to, const void *from, size_t bytes, bool put);
void cpu_far_delay(cpu_far *f, xlm_queue queue);

#endif
