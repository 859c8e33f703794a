// Declarations shared by the files of the CUDA device.
#ifndef XLM_DEVICE_CUDA_PRIV_H
#define XLM_DEVICE_CUDA_PRIV_H

#include <pthread.h>

#include "runtime/device/cuda/cuda.h"

typedef enum cuda_mode { CUDA_GRAPH, CUDA_EAGER, CUDA_CHECKED } cuda_mode;

#define CUDA_ON_CARD "on the card (--device cuda-checked says in which operation)" // what fails there

enum { CUDA_PIECE = 1 << 20, CUDA_PIECES = 8 };

typedef struct cuda_block { // an allocation of alloc
  struct cuda_block *next;
  void *at;
  size_t bytes;
} cuda_block;

typedef struct cuda_thing { // an object of the device (xlm_cuda_kept), the newest first
  struct cuda_thing *next;
  const xlm_cuda_kept *how;
  void *thing;
  uint64_t bytes;
} cuda_thing;

typedef struct cuda_ring { // pinned memory that puts are copied through; a piece is used again when its event
                           // is passed
  char *at;
  int piece;
  size_t used; // of the piece
  xlm_cuda_event passed[CUDA_PIECES];
  bool recorded[CUDA_PIECES];
} cuda_ring;

typedef struct cuda_repeat { // a segment in certain slots
  uint32_t segment;
  int32_t slot[XLM_SLOT_AREAS];
  xlm_cuda_graph graph;        // NULL: run once, not captured yet
  bool waits;                  // the host waits in it: it cannot be captured
  uint64_t sent[XLM_MAX_AXES]; // bytes by each launch, by axis
} cuda_repeat;

typedef struct cuda_times { // while timing: two events per instruction
  xlm_device_timer *timer;
  void *arg;
  xlm_cuda_event base, *begin, *end; // [n_marks] each; NULL: never used
  int64_t base_ns;
  uint32_t *ran, n; // instructions since the last report
  uint8_t *ran_in;  // by instruction: its queue
} cuda_times;

typedef struct cuda_nccl cuda_nccl;

typedef struct cuda {
  xlm_cuda_device open; // the public part
  cuda_mode mode;
  xlm_cuda_host_link link;
  cuda_nccl *nccl;      // NULL: the link goes through host memory
  char how[240];        // the link's
  pthread_mutex_t lock; // recursive; held while a segment is captured
  xlm_cuda_event *marks;
  uint8_t *marked_in; // by mark: the queue that set it
  const char **where; // by mark: the instruction as messages name it, once it has been enqueued; may be NULL
  uint32_t n_marks;
  uint32_t running; // the instruction that is being enqueued; XLM_NO_INSTR
  // KERNELS is where the two queues meet. joined: COMM so far, for KERNELS; forked: KERNELS so far, for COMM.
  xlm_cuda_event joined, forked;
  bool comm_used;               // since KERNELS waited for it
  bool comm_behind;             // COMM has not waited for `forked` yet
  uint64_t before, graph_bytes; // of the card's memory: in use at open; taken by graphs
  uint64_t unused;              // of it, when the capture began
  cuda_block *blocks;
  cuda_thing *things;
  cuda_ring ring;
  char *bounce; // pinned memory that gets are copied through: two pieces
  xlm_cuda_event bounced[2];
  char *boxes; // pinned memory that results are fetched into
  xlm_cuda_event arrived[XLM_BOXES];
  cuda_repeat *repeats;
  uint32_t n_repeats, repeats_cap;
  cuda_repeat *capturing; // NULL: none
  cuda_repeat *observed;  // its first run is being enqueued; NULL: none
  uint64_t sent_before[XLM_MAX_AXES];
  cuda_times times;
  xlm_status failed; // of the first failure
  uint32_t failed_at;
  xlm_error why;
} cuda;

static inline cuda *cuda_of(xlm_device *d) {
  return (cuda *)d;
}
static inline const xlm_cuda_runtime *cuda_calls(const cuda *c) {
  return c->open.runtime;
}

// Makes this card current in the calling thread. Every entry that other threads may call begins with this.
static inline xlm_status cuda_enter(cuda *c, xlm_error *err) {
  pthread_mutex_lock(&c->lock);
  return xlm_cuda_check(cuda_calls(c), cuda_calls(c)->use(c->open.card), "the card cannot be used", err);
}
static inline void cuda_leave(cuda *c) {
  pthread_mutex_unlock(&c->lock);
}

// ---- order (order.c)

void cuda_fail(cuda *c, uint32_t instr, xlm_status s, const xlm_error *why); // stores the first one
bool cuda_ok(cuda *c, uint32_t instr, int rc, const char *what);             // false: the failure is stored
xlm_status cuda_settle(cuda *c, xlm_error *err); // later work of KERNELS comes after all of COMM
xlm_status cuda_fork(cuda *c, xlm_error *err);   // later work of COMM comes after all of KERNELS
void cuda_wait(xlm_device *d, xlm_queue queue, uint32_t mark);
void cuda_enqueue(xlm_device *d, xlm_queue queue, const xlm_work *w);
void cuda_mark(xlm_device *d, xlm_queue queue, uint32_t mark);
xlm_status cuda_join(xlm_device *d, uint32_t *instr, xlm_error *err);
xlm_status cuda_sync(xlm_device *d, uint32_t *instr, xlm_error *err);

// ---- waits of the host (nccl_watch.c): while the link goes over NCCL they end, too, when the run fails

xlm_status cuda_finish(cuda *c, xlm_queue queue, const char *what, xlm_error *err);
xlm_status cuda_reach(cuda *c, xlm_cuda_event e, const char *what, xlm_error *err);

// ---- the link (nccl_connect.c)

xlm_status cuda_connect(xlm_device *d, const xlm_routes *routes, xlm_error *err);
void cuda_nccl_capture_failed(cuda *c); // after the capture
void cuda_close_nccl(cuda *c);          // after all graphs
uint64_t cuda_nccl_bytes(const cuda *c);

// ---- memory (memory.c)

uint64_t cuda_unused(const cuda *c);                       // of the card's memory
uint64_t cuda_taken_since(const cuda *c, uint64_t unused); // about: other processes may use the card, too
xlm_status cuda_open_memory(cuda *c, xlm_error *err);
void cuda_close_memory(cuda *c);
xlm_status cuda_alloc(xlm_device *d, size_t bytes, void **out, xlm_error *err);
xlm_status cuda_put(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err);
xlm_status cuda_get(xlm_device *d, void *to, const void *from, size_t bytes, xlm_error *err);
xlm_status cuda_fill(xlm_device *d, void *to, int byte, size_t bytes, xlm_error *err);
xlm_status cuda_fetch(xlm_device *d, int box, size_t at, const void *from, size_t bytes, xlm_error *err);
xlm_status cuda_fetched(xlm_device *d, int box, const void **out, xlm_error *err);

// ---- segments (segment.c)

xlm_status cuda_begin(xlm_device *d, const xlm_device_segment *s, bool *known, xlm_error *err);
void cuda_end_capture(cuda *c); // and the segment's first launch as a graph
void cuda_drop_graphs(cuda *c); // all segments run as if for the first time
void cuda_close_segments(cuda *c);

// ---- times (times.c)

void cuda_seconds(xlm_device *d, xlm_device_timer *timer, void *arg);
void cuda_time_begin(cuda *c, xlm_queue queue, uint32_t instr);
void cuda_time_end(cuda *c, xlm_queue queue, uint32_t instr);
void cuda_time_report(cuda *c); // all instructions since the last call; waits for them
void cuda_close_times(cuda *c);

#endif
