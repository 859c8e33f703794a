// A device: the memory that holds a rank's arena, and the processor that runs its instructions. There is one
// xlm_device per rank, and one table of functions per kind of device.
//
// Work goes to queues, one per stream of the plan; each queue runs its work in order. Only marks order work
// between queues: mark(q, m) is passed when all work enqueued in q before it is done, and work enqueued in p
// after wait(p, m) starts after that. For each instruction the executor waits for `after`, enqueues, and
// marks. A device may do the work of a queue at once, on a thread, or enqueue it on hardware.
//
// A segment of the plan begins with `begin` and ends with `join`. A device may record what is enqueued
// between them and repeat it as a whole.
//
// The device records the first failure with its instruction and skips the work enqueued after it; join and
// sync report it once. One host thread drives a device; put, get and fetch may be called from several.
#ifndef XLM_DEVICE_DEVICE_H
#define XLM_DEVICE_DEVICE_H

#include "runtime/comm/comm.h"
#include "runtime/device/link.h"
#include "runtime/plan/routes.h"

XLM_C_BEGIN

typedef struct xlm_device xlm_device;

typedef struct xlm_device_options {
  int threads;      // of the host for this rank, the caller's included
  uint32_t n_marks; // valid marks are 0 .. n_marks - 1
  uint32_t room;    // maximum number of work items enqueued between two joins
  xlm_comm *comm;   // of this rank, owned by the caller; NULL = the only rank
} xlm_device_options;

typedef struct xlm_work { // the function, its argument and everything they refer to must stay valid until the
                          // next join
  xlm_status (*run)(void *arg, uint32_t instr); // calls the kernel
  void *arg;
  uint32_t instr;
  const char *where;                 // the instruction as messages name it; NULL = unknown
  double flops_beside, bytes_beside; // work that can be done before the result is needed; an estimate
  const xlm_call *const *calls; // of the kernel, for devices that check what they access; none if unknown
  int n_calls;
  const xlm_pool_span *ahead; // what the next work that is bound by reading reads; NULL: unknown
} xlm_work;

enum { XLM_BOXES = 2, XLM_BOX_BYTES = 1 << 20 }; // host memory that results are fetched into

enum { XLM_NO_INSTR = UINT32_MAX }; // a failure in an unknown instruction of the segment

typedef struct xlm_device_segment { // one run of a segment
  uint32_t segment;
  const int32_t *slot;     // [XLM_SLOT_AREAS], as in its xlm_segment_run; NULL = the first
  const xlm_step_env *env; // of this run
  bool communicates;       // some of its work uses the link
  bool together;           // and the ranks it exchanges data with run the same segment then; see
                           // xlm_plan_runs_together
  bool apart;              // its instructions are run and inspected one by one
} xlm_device_segment;

// Time spent on a work item, in nanoseconds of the host's monotonic clock. `queue`: the queue that actually
// ran it.
typedef void xlm_device_timer(void *arg, xlm_queue queue, uint32_t instr, int64_t begin, int64_t end);

typedef struct xlm_device_memory { // in bytes
  uint64_t all, before;  // of the device's own memory: total; in use when it was opened, by the driver's
                         // context and other programs. 0: it is the host's
  uint64_t arena;        // from alloc
  uint64_t libraries;    // libraries and kernels; this and what follows is measured
  uint64_t graphs, link; // recordings of segments; communication
  uint64_t host;         // of the host: queues, tables, buffers
} xlm_device_memory;

typedef struct xlm_device_kind {
  const char *name;    // as given to --device
  const char *backend; // the backend whose kernels run on it
  bool checked;        // results are filled with NaN before they are computed
  double flops_per_byte; // what its products compute while a byte of memory is read, roughly; 0: unknown
  // Can a device be opened here? XLM_ENV: the message names what is missing and the remedy. NULL: always.
  xlm_status (*check)(xlm_error *err);
  // Bytes of device memory that each of `ranks` ranks of this machine can plan with; 0: unknown. NULL: ranks
  // share the host's.
  uint64_t (*room)(int64_t ranks);
  // On failure *out is NULL.
  xlm_status (*open)(const xlm_device_options *o, xlm_device **out, xlm_error *err);
  // Connects the link to those of the other ranks in the best way there is; until then, and where this is
  // NULL, it goes over the control plane. All ranks call it at once, each from the thread that drives the
  // device, before the first work. `routes` stays valid until close.
  xlm_status (*connect)(xlm_device *d, const xlm_routes *routes, xlm_error *err);
  // Waits for work under way; frees everything; accepts NULL. Ranks that are connected close at the same
  // time.
  void (*close)(xlm_device *d);
  // Device memory that lives until close: the arena, tables of kernels. Zeroed and sufficiently aligned for
  // every kernel.
  xlm_status (*alloc)(xlm_device *d, size_t bytes, void **out, xlm_error *err);
  // Copy host memory to the device and back. They wait for all work enqueued before, and the host buffer may
  // be reused when they return. They allocate nothing.
  xlm_status (*put)(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err);
  xlm_status (*get)(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err);
  xlm_status (*fill)(xlm_device *d, void *to, int byte, size_t bytes, xlm_error *err);
  // Copies device memory to byte `at` of a box, after all work enqueued so far, without waiting for it;
  // `fetched` waits until everything fetched into the box has arrived. NULL: between its calls the device has
  // no work under way, and get does.
  xlm_status (*fetch)(xlm_device *d, int box, size_t at, const void *from, size_t bytes, xlm_error *err);
  xlm_status (*fetched)(xlm_device *d, int box, const void **out, xlm_error *err);
  // Before the work of a segment, which is the same for the same segment in the same slots. *known: the
  // device repeats its recording; nothing must be enqueued. NULL: never.
  xlm_status (*begin)(xlm_device *d, const xlm_device_segment *s, bool *known, xlm_error *err);
  void (*wait)(xlm_device *d, xlm_queue queue, uint32_t mark); // a mark that was set since the last join
  void (*enqueue)(xlm_device *d, xlm_queue queue, const xlm_work *w);
  void (*mark)(xlm_device *d, xlm_queue queue, uint32_t mark);
  // Work enqueued from now on, in any queue, starts after all work enqueued so far. Returns the first failure
  // known, else XLM_OK; *instr is then the instruction that failed.
  xlm_status (*join)(xlm_device *d, uint32_t *instr, xlm_error *err);
  // The same, and waits until all work is done.
  xlm_status (*sync)(xlm_device *d, uint32_t *instr, xlm_error *err);
  // Calls `timer` for all work from now on; NULL turns it off. Called from any thread, at the latest during
  // sync.
  void (*seconds)(xlm_device *d, xlm_device_timer *timer, void *arg);
  void (*memory)(const xlm_device *d, xlm_device_memory *out);
} xlm_device_kind;

struct xlm_device { // the common initial part of every device
  const xlm_device_kind *kind;
  xlm_pool *pool;             // host workers of this rank
  xlm_link *link;             // to the arenas of the other ranks; NULL = the only rank
  xlm_error err[XLM_STREAMS]; // per queue, where its work stores the reason of a failure
};

// All kinds in this build; the list ends with NULL.
extern const xlm_device_kind *const xlm_devices[];
// XLM_USER, with the list of names, when there is none of that name.
xlm_status xlm_device_find(const char *name, const xlm_device_kind **out, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
