// A device: where the arena of a rank lies and its instructions run. One xlm_device per rank; a table of
// functions per kind of device.
//
// Work goes to queues, one per stream of the plan, and each queue does its work in order. Between queues
// nothing is ordered but by marks: mark(q, m) is passed when all that was enqueued in q before it is done,
// and what is enqueued in p after wait(p, m) begins after that. So the executor does, per instruction: wait
// for `after`, enqueue, mark. A device may do the work of a queue at once, on a thread, or enqueue it
// further.
//
// A failure of any work is kept with its instruction; what is enqueued behind it is not done. join and sync
// give the first one, once. One thread of the host drives a device; put and get may be called by several.
#ifndef XLM_DEVICE_DEVICE_H
#define XLM_DEVICE_DEVICE_H

#include "runtime/comm/comm.h"
#include "runtime/device/link.h"

XLM_C_BEGIN

typedef struct xlm_device xlm_device;

typedef struct xlm_device_options {
  int threads;      // of the host for this rank, the caller's included
  uint32_t n_marks; // marks are 0 .. n_marks - 1
  uint32_t room;    // the most that is enqueued between two joins
  xlm_comm *comm;   // of this rank, kept by the caller; NULL = the only rank
} xlm_device_options;

typedef struct xlm_work { // the function, its argument and what they reach must stay until the next join
  xlm_status (*run)(void *arg, uint32_t instr); // calls the kernel
  void *arg;
  uint32_t instr;
  double flops_beside, bytes_beside; // what can be computed before something waits for this; an estimate
} xlm_work;

// What a piece of work took, in nanoseconds of the host's monotonic clock; `queue`: where it was really done.
typedef void xlm_device_timer(void *arg, xlm_queue queue, uint32_t instr, int64_t begin, int64_t end);

typedef struct xlm_device_kind {
  const char *name;    // as --device says it
  const char *backend; // whose kernels run on it
  // On failure *out is NULL.
  xlm_status (*open)(const xlm_device_options *o, xlm_device **out, xlm_error *err);
  void (*close)(xlm_device *d); // waits for what is under way; frees everything; NULL is fine
  // Memory of the device until close: the arena, tables of kernels. Zero, aligned for every kernel.
  xlm_status (*alloc)(xlm_device *d, size_t bytes, void **out, xlm_error *err);
  // Host memory to the device and back. All that was enqueued is done before; the host's memory may be used
  // again when they return. They allocate nothing.
  xlm_status (*put)(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err);
  xlm_status (*get)(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err);
  xlm_status (*fill)(xlm_device *d, void *to, int byte, size_t bytes, xlm_error *err);
  void (*wait)(xlm_device *d, xlm_queue queue, uint32_t mark); // a mark that was set since the last join
  void (*enqueue)(xlm_device *d, xlm_queue queue, const xlm_work *w);
  void (*mark)(xlm_device *d, xlm_queue queue, uint32_t mark);
  // What is enqueued from now on, in any queue, begins after all that was enqueued so far. Returns the first
  // failure known, else XLM_OK; *instr is then whose it was.
  xlm_status (*join)(xlm_device *d, uint32_t *instr, xlm_error *err);
  // The same, and all of it is done.
  xlm_status (*sync)(xlm_device *d, uint32_t *instr, xlm_error *err);
  // Times all work while on; NULL turns it off. Called from any thread, at the latest in sync.
  void (*seconds)(xlm_device *d, xlm_device_timer *timer, void *arg);
  uint64_t (*memory)(const xlm_device *d); // bytes beside what alloc gave: queues, tables, buffers
} xlm_device_kind;

struct xlm_device { // the part every device begins with
  const xlm_device_kind *kind;
  xlm_pool *pool;             // the host's workers of this rank
  xlm_link *link;             // to the other ranks' arenas; NULL = the only rank
  xlm_error err[XLM_STREAMS]; // where work of each queue says why it failed
};

// All kinds of this build; the list ends with NULL.
extern const xlm_device_kind *const xlm_devices[];
// XLM_USER, with the list, when there is none of that name.
xlm_status xlm_device_find(const char *name, const xlm_device_kind **out, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
