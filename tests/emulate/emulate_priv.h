// Shared by the emulator's files: the running block, its threads, and which can run next.
#ifndef XLM_EMULATE_PRIV_H
#define XLM_EMULATE_PRIV_H

#include <vector>

#include "tests/emulate/emulate.h"

namespace emu {

enum { MAX_THREADS = 1024, WARPS = MAX_THREADS / 32, GROUPS = 4 };

struct async_copy {
  char *to;
  const char *from;
  int bytes, valid, group; // group: of copy_commit, counted from 0
};

struct lane {
  void *sp = NULL; // where it continues, while it does not run
  int stack = -1;  // -1: has not begun, or has ended
  uint32_t x = 0, y = 0, z = 0;
  const char *what = NULL, *file = NULL; // the meeting point it is at
  int line = 0;
  uint32_t meetings = 0; // of __syncwarp: what orders memory within a warp
  int groups = 0;        // of copies, committed
  std::vector<async_copy> copies;
};

struct meeting {
  uint32_t mask, came; // came 0: unused
  const char *what, *file;
  int line;
  void *part[32];
};

struct warp {
  uint32_t ready, alive, at_barrier; // lanes
  meeting at[GROUPS];                // parts of a warp may meet apart from each other
};

struct shared_region {
  const void *declaration;
  char *at;
  size_t bytes;
};

struct block { // the running one
  const char *kernel;
  emu_body *body;
  const void *arg;
  uint32_t order;
  uint64_t random;
  uint32_t n, n_warps, alive, waiting, barriers;
  uint32_t warp_order[WARPS], turn;
  const char *barrier_file;
  int barrier_line;
  std::vector<lane> lanes = std::vector<lane>(MAX_THREADS);
  warp warps[WARPS];
  std::vector<shared_region> shared;
  size_t static_shared;
  char *dynamic;
  size_t dynamic_bytes;
  bool failed;
  char error[1024];
};

block &now(void);                                                              // of this OS thread
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));      // the launch; the first one counts
uint32_t next_random(void);
lane &running(void);
int pick(void);           // a lane that can run, in the order of the launch; -1: none
void start_running(int to); // it is no longer among the ready ones

// fiber.cpp: stacks
void run_until_blocked(int first); // called on the host's stack; returns when no lane can run
void give_way(void);               // the running lane is blocked; returns when it can continue
void end_of_lane(void);            // emulate.cpp, called when a body returns
void forget_stacks(void);          // of lanes abandoned by a failed launch

// Hooks of races.cpp; empty without it.
extern "C" void emu_race_launch(void);
extern "C" void emu_race_block(uint32_t block);
extern "C" void emu_race_lane(uint32_t id, uint32_t barrier, uint32_t meeting);
extern "C" const char *emu_race_found(void);

} // namespace emu

#endif
