// Exact detection of races between the threads of a kernel. Linked instead of the thread sanitizer's runtime.
//
// -fsanitize=thread inserts a call before every load and store of a kernel; these calls come here. For every
// two bytes of watched memory, the last writer and readers are recorded. Two accesses by different threads,
// one of them a write, are a race unless they are ordered by a barrier of the block between them, or by a
// __syncwarp in which both took part. Blocks of one launch are not ordered. Atomics do not race with atomics.
// Launches are ordered.
#include <cstdio>
#include <map>
#include <unistd.h>

#include "tests/emulate/emulate_priv.h"

namespace {

const char *const verb[] = {"reads", "writes", "updates"}; // by EMU_READ, ...

struct stamp { // who, when
  uint32_t launch, block, barrier, meeting, thread;
  bool atomic;
};

struct cell {
  stamp write, read;
  bool several_lanes; // read at read.meeting by more than one lane of the warp
  bool several_warps; // read since read.barrier by more than one warp
};

struct region {
  uintptr_t begin, end;
  bool of_block; // shared memory: begins anew with every block
  std::vector<cell> cells;
};

struct found_race {
  stamp first, second;
  int first_kind, second_kind;
  const void *pc; // of the second; NULL: an access that no compiler instruments
};

thread_local std::map<uintptr_t, region> regions; // by end
thread_local region *last_used;
thread_local stamp here;
thread_local bool running, found;
thread_local found_race race;

region *region_of(uintptr_t a) {
  if (last_used && a >= last_used->begin && a < last_used->end) return last_used;
  auto next = regions.upper_bound(a);
  if (next == regions.end() || a < next->second.begin) return NULL; // a stack, a constant
  return last_used = &next->second;
}

bool same_launch(const region *r, const stamp &s) {
  return s.launch == here.launch && !(r->of_block && s.block != here.block);
}

bool unordered_write(const region *r, const stamp &s) {
  if (!same_launch(r, s)) return false;
  if (s.block != here.block) return true;
  if (s.thread == here.thread || s.barrier != here.barrier) return false;
  return s.thread / 32 != here.thread / 32 || s.meeting == here.meeting;
}

bool unordered_reads(const region *r, const cell &c) {
  if (!same_launch(r, c.read)) return false;
  if (c.read.block != here.block) return true;
  if (c.read.barrier != here.barrier) return false;
  if (c.several_warps || c.read.thread / 32 != here.thread / 32) return true;
  return c.read.meeting == here.meeting && (c.several_lanes || c.read.thread != here.thread);
}

void note(const stamp &first, int first_kind, int second_kind, const void *pc) {
  if (found) return;
  found = true;
  race = {first, here, first_kind, second_kind, pc};
}

void note_read(cell &c) {
  const stamp &r = c.read;
  bool since_barrier = r.launch == here.launch && r.block == here.block && r.barrier == here.barrier;
  if (since_barrier && r.thread / 32 != here.thread / 32) {
    c.several_warps = true;
  } else if (since_barrier && r.meeting == here.meeting) {
    c.several_lanes |= r.thread != here.thread;
  } else {
    c.several_warps = since_barrier && c.several_warps;
    c.several_lanes = false;
    c.read = here;
  }
}

void look(region *r, cell &c, int kind, const void *pc) {
  bool both_atomic = kind == EMU_ATOMIC && c.write.atomic;
  if (!both_atomic && unordered_write(r, c.write)) note(c.write, c.write.atomic ? EMU_ATOMIC : EMU_WRITE, kind, pc);
  if (kind == EMU_READ) return note_read(c);
  if (unordered_reads(r, c)) note(c.read, EMU_READ, kind, pc);
  c.write = here, c.write.atomic = kind == EMU_ATOMIC;
}

void access(const void *p, size_t n, int kind, const void *pc) {
  region *r = running ? region_of((uintptr_t)p) : NULL;
  if (!r) return;
  for (uintptr_t a = (uintptr_t)p & ~(uintptr_t)1; a < (uintptr_t)p + n && a < r->end; a += 2)
    look(r, r->cells[(a - r->begin) / 2], kind, pc);
}

// The source line of a program counter, by binutils' addr2line.
void line_of(const void *pc, char *out, size_t room) {
  snprintf(out, room, "a copy or a matrix load");
  if (!pc) return;
  char command[160];
  snprintf(command, sizeof command, "addr2line -s -e /proc/%d/exe %p 2>/dev/null", (int)getpid(), pc);
  FILE *f = popen(command, "r");
  if (f && fgets(out, (int)room, f)) out[strcspn(out, "\n")] = 0;
  if (f) pclose(f);
}

} // namespace

extern "C" {

void emu_race_launch(void) { here.launch++, running = true, found = false; }
void emu_race_block(uint32_t block) { here.block = block; }
void emu_race_lane(uint32_t id, uint32_t barrier, uint32_t meeting) {
  here.thread = id, here.barrier = barrier, here.meeting = meeting;
}

void emu_race_watch(const void *at, size_t bytes, bool of_block) {
  uintptr_t begin = (uintptr_t)at, end = begin + bytes;
  emu_race_forget(at, bytes); // freed memory may be reused
  if (bytes) regions.emplace(end, region{begin, end, of_block, std::vector<cell>(bytes / 2 + 1)});
}

void emu_race_forget(const void *at, size_t bytes) {
  uintptr_t begin = (uintptr_t)at, end = begin + bytes;
  for (auto r = regions.upper_bound(begin); r != regions.end() && r->second.begin < end;) r = regions.erase(r);
  last_used = NULL;
}

void emu_race_access(const void *at, size_t bytes, int kind) { access(at, bytes, kind, NULL); }

const char *emu_race_found(void) {
  static thread_local char text[512];
  char line[256];
  running = false;
  if (!found) return NULL;
  line_of(race.pc, line, sizeof line);
  snprintf(text, sizeof text, "race at %s: thread %u of block %u %s what thread %u of block %u %s, and nothing orders the two",
           line, race.second.thread, race.second.block, verb[race.second_kind], race.first.thread, race.first.block,
           verb[race.first_kind]);
  return text;
}

// The instrumentation's calls.
#define PC __builtin_return_address(0)
#define ACCESSES(n)                                                                                           \
  void __tsan_read##n(void *p) { access(p, n, EMU_READ, PC); }                                                \
  void __tsan_write##n(void *p) { access(p, n, EMU_WRITE, PC); }                                              \
  void __tsan_unaligned_read##n(void *p) { access(p, n, EMU_READ, PC); }                                      \
  void __tsan_unaligned_write##n(void *p) { access(p, n, EMU_WRITE, PC); }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)
void __tsan_read_range(void *p, size_t n) { access(p, n, EMU_READ, PC); }
void __tsan_write_range(void *p, size_t n) { access(p, n, EMU_WRITE, PC); }
void __tsan_vptr_update(void **, void *) {}
void __tsan_init(void) {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit(void) {}
}
