// Launches: runs blocks one after another and the lanes of a block in the chosen order, with barriers and
// meetings. See emulate.h.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "tests/emulate/emulate_priv.h"

thread_local emu_thread emu_now;

extern "C" {
void __attribute__((weak)) emu_race_launch(void) {}
void __attribute__((weak)) emu_race_block(uint32_t) {}
void __attribute__((weak)) emu_race_lane(uint32_t, uint32_t, uint32_t) {}
void __attribute__((weak)) emu_race_watch(const void *, size_t, bool) {}
void __attribute__((weak)) emu_race_forget(const void *, size_t) {}
void __attribute__((weak)) emu_race_access(const void *, size_t, int) {}
const char *__attribute__((weak)) emu_race_found(void) { return NULL; }
const char *__attribute__((weak)) emu_enqueue(void *, const char *, const char *(*)(void *), void (*drop)(void *),
                                              void *pending) {
  drop(pending);
  return "this test has no streams";
}
}

namespace emu {
namespace {

// Limits of every card from sm_80 on: 48 KiB of static shared memory; dynamic by what a block may ask for on sm_90.
enum { STATIC_SHARED = 48 << 10, DYNAMIC_SHARED = 227 << 10, POISON = 0xff };

thread_local uint32_t chosen_order;

void begin_lane(lane &l, uint32_t i, emu_dim3 size) {
  l.stack = -1, l.meetings = 0, l.groups = 0, l.copies.clear();
  l.what = l.file = NULL, l.line = 0;
  l.x = i % size.x, l.y = i / size.x % size.y, l.z = i / size.x / size.y;
}

void order_warps(block &b) {
  for (uint32_t w = 0; w < b.n_warps; w++) b.warp_order[w] = b.order == EMU_DESCENDING ? b.n_warps - 1 - w : w;
  if (b.order <= EMU_DESCENDING) return;
  for (uint32_t w = b.n_warps; w > 1; w--) {
    uint32_t other = next_random() % w, last = b.warp_order[w - 1];
    b.warp_order[w - 1] = b.warp_order[other], b.warp_order[other] = last;
  }
}

void begin_block(block &b, emu_dim3 size) {
  b.n = size.x * size.y * size.z, b.n_warps = (b.n + 31) / 32, b.alive = b.n;
  b.waiting = b.barriers = b.turn = 0;
  for (uint32_t i = 0; i < b.n; i++) begin_lane(b.lanes[i], i, size);
  for (uint32_t w = 0; w < b.n_warps; w++) {
    uint32_t left = b.n - w * 32, lanes = left >= 32 ? 0xffffffffu : (1u << left) - 1;
    b.warps[w] = warp{};
    b.warps[w].ready = b.warps[w].alive = lanes;
  }
  order_warps(b);
  for (shared_region &r : b.shared) memset(r.at, POISON, r.bytes);
  if (b.dynamic) memset(b.dynamic, POISON, b.dynamic_bytes);
}

void release_barrier(block &b) {
  b.waiting = 0, b.barriers++;
  for (uint32_t w = 0; w < b.n_warps; w++) b.warps[w].ready |= b.warps[w].at_barrier, b.warps[w].at_barrier = 0;
}

void report_stuck(block &b) {
  char where[800];
  size_t n = 0;
  int shown = 0, last_line = 0;
  for (uint32_t i = 0; i < b.n && shown < 4; i++) {
    const lane &l = b.lanes[i];
    if (!(b.warps[i / 32].alive >> (i % 32) & 1) || !l.file || l.line == last_line) continue;
    int m = snprintf(where + n, sizeof where - n, "%sthread %u at %s (%s:%d)", shown ? ", " : "", i, l.what, l.file, l.line);
    if (m < 0 || (size_t)m >= sizeof where - n) break;
    n += (size_t)m, shown++, last_line = l.line;
  }
  where[n] = 0;
  fail("no thread can go on: %s", where);
}

// The i-th block of the launch's order: every block once.
uint64_t block_in_order(const block &b, uint64_t i, uint64_t blocks) {
  if (b.order == EMU_ASCENDING) return i;
  if (b.order == EMU_DESCENDING) return blocks - 1 - i;
  uint64_t step = 0x9e3779b1u; // a prime: reaches all unless it divides their number
  return blocks % step ? (i * (step % blocks) + b.order) % blocks : i;
}

void run_block(block &b, uint64_t index, emu_dim3 size) {
  const emu_dim3 &grid = emu_now.grid_dim;
  emu_now.block = emu_dim3((uint32_t)(index % grid.x), (uint32_t)(index / grid.x % grid.y), (uint32_t)(index / grid.x / grid.y));
  emu_race_block((uint32_t)index);
  begin_block(b, size);
  run_until_blocked(pick());
  if (b.alive && !b.failed) report_stuck(b);
  if (b.failed) forget_stacks();
}

bool can_launch(const emu_dim3 &grid, const emu_dim3 &size, size_t dynamic_shared) {
  uint64_t threads = (uint64_t)size.x * size.y * size.z, blocks = (uint64_t)grid.x * grid.y * grid.z;
  if (threads && threads <= MAX_THREADS && size.z <= 64 && blocks && grid.x <= 0x7fffffffu && grid.y <= 65535 &&
      grid.z <= 65535 && dynamic_shared <= DYNAMIC_SHARED)
    return true;
  fail("a GPU cannot launch %u x %u x %u blocks of %u x %u x %u threads with %zu bytes of dynamic shared memory", grid.x,
       grid.y, grid.z, size.x, size.y, size.z, dynamic_shared);
  return false;
}

void end_launch(block &b) {
  for (shared_region &r : b.shared) {
    emu_race_forget(r.at, r.bytes);
    free(r.at);
  }
  b.shared.clear();
  emu_race_forget(b.dynamic, b.dynamic_bytes);
  free(b.dynamic);
  b.dynamic = NULL;
}

void finish_meeting(warp &w, uint32_t first, meeting &m, emu_act *act, const void *arg) {
  if (act) act(m.part, m.came, arg);
  w.ready |= m.came;
  if (!act) // of these only __syncwarp orders memory (CUDA C++ Programming Guide, "Warp Shuffle Functions")
    for (uint32_t r = m.came; r; r &= r - 1) now().lanes[first + (uint32_t)__builtin_ctz(r)].meetings++;
  m.came = 0;
}

// The unfinished meeting that shares lanes with `mask`, else a free one.
meeting *meeting_of(warp &w, uint32_t mask) {
  meeting *unused = NULL;
  for (meeting &m : w.at) {
    if (m.came && (m.mask & mask)) return &m;
    if (!m.came && !unused) unused = &m;
  }
  return unused;
}

} // namespace

block &now() {
  static thread_local block b;
  return b;
}

lane &running() { return now().lanes[emu_now.id]; }

void fail(const char *format, ...) {
  block &b = now();
  if (b.failed) return;
  b.failed = true;
  int n = snprintf(b.error, sizeof b.error, "%s, block (%u, %u, %u): ", b.kernel, emu_now.block.x, emu_now.block.y, emu_now.block.z);
  va_list args;
  va_start(args, format);
  vsnprintf(b.error + n, sizeof b.error - (size_t)n, format, args);
  va_end(args);
}

uint32_t next_random() { // xorshift64 (Marsaglia 2003)
  uint64_t &r = now().random;
  r ^= r << 13, r ^= r >> 7, r ^= r << 17;
  return (uint32_t)(r >> 32);
}

int pick() {
  block &b = now();
  for (uint32_t k = 0; k < b.n_warps; k++, b.turn = b.turn + 1 == b.n_warps ? 0 : b.turn + 1) {
    uint32_t w = b.warp_order[b.turn], ready = b.warps[w].ready;
    if (!ready) continue;
    int lane = b.order == EMU_DESCENDING ? 31 - __builtin_clz(ready) : __builtin_ctz(ready);
    if (b.order > EMU_DESCENDING) {
      for (uint32_t skip = next_random() % (uint32_t)__builtin_popcount(ready); skip; skip--) ready &= ready - 1;
      lane = __builtin_ctz(ready);
      if (next_random() % 4 == 0) b.turn = next_random() % b.n_warps; // sometimes switch to another warp
    }
    return (int)(w * 32) + lane;
  }
  return -1;
}

void start_running(int to) {
  block &b = now();
  lane &l = b.lanes[(size_t)to];
  b.warps[to / 32].ready &= ~(1u << (to % 32));
  emu_now.id = (uint32_t)to;
  emu_now.thread.x = l.x, emu_now.thread.y = l.y, emu_now.thread.z = l.z;
  emu_race_lane((uint32_t)to, b.barriers, l.meetings);
}

void end_of_lane() {
  block &b = now();
  uint32_t id = emu_now.id, bit = 1u << (id % 32);
  warp &w = b.warps[id / 32];
  if (!running().copies.empty()) fail("thread %u ends with asynchronous copies that nothing has waited for", id);
  w.alive &= ~bit;
  b.alive--;
  for (const meeting &m : w.at)
    if (m.came && (m.mask & bit)) fail("thread %u ends, but is in the mask of %s at %s:%d", id, m.what, m.file, m.line);
  if (b.waiting && b.waiting == b.alive) release_barrier(b); // as on a GPU: a barrier does not count ended threads
}

} // namespace emu

using namespace emu;

void emu_set_order(uint32_t order) { chosen_order = order; }
int64_t emu_most_blocks(void) { return chosen_order % 2 ? 2 : INT32_MAX; }

const char *emu_launch(const char *kernel, emu_dim3 grid, emu_dim3 size, size_t dynamic_shared, emu_body *body,
                       const void *arg) {
  block &b = now();
  b.kernel = kernel, b.body = body, b.arg = arg, b.order = chosen_order, b.failed = false;
  b.random = 0x9e3779b97f4a7c15ull * (chosen_order + 1ull);
  b.static_shared = 0, b.dynamic_bytes = dynamic_shared;
  emu_now = emu_thread{};
  emu_now.block_dim = size, emu_now.grid_dim = grid;
  if (!can_launch(grid, size, dynamic_shared)) return b.error;
  b.dynamic = dynamic_shared ? (char *)aligned_alloc(128, (dynamic_shared + 127) / 128 * 128) : NULL;
  if (dynamic_shared && !b.dynamic) abort();
  emu_race_launch();
  if (b.dynamic) emu_race_watch(b.dynamic, dynamic_shared, true);
  uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks && !b.failed; i++) run_block(b, block_in_order(b, i, blocks), size);
  end_launch(b);
  const char *race = emu_race_found();
  if (race) fail("%s", race);
  return b.failed ? b.error : NULL;
}

void emu_barrier(const char *file, int line) {
  block &b = now();
  lane &l = running();
  l.what = "__syncthreads", l.file = file, l.line = line;
  if (b.waiting && (b.barrier_line != line || strcmp(b.barrier_file, file)))
    fail("threads of one block are at different barriers: %s:%d and %s:%d", b.barrier_file, b.barrier_line, file, line);
  b.barrier_file = file, b.barrier_line = line;
  b.warps[emu_now.id / 32].at_barrier |= 1u << (emu_now.id % 32);
  if (++b.waiting == b.alive) release_barrier(b);
  give_way();
}

void emu_meet(uint32_t mask, const char *what, void *part, emu_act *act, const void *arg, const char *file, int line) {
  uint32_t id = emu_now.id, lane_bit = 1u << (id % 32);
  warp &w = now().warps[id / 32];
  lane &l = running();
  l.what = what, l.file = file, l.line = line;
  meeting *m = meeting_of(w, mask);
  if (!(mask & lane_bit))
    fail("%s at %s:%d: thread %u is not in its own mask %08x", what, file, line, id, mask);
  else if (!m)
    fail("%s at %s:%d: more than %d parts of one warp meet apart from each other", what, file, line, GROUPS);
  else if (m->came && (m->mask != mask || m->line != line || strcmp(m->what, what)))
    fail("lanes of one warp meet at %s (%s:%d, mask %08x) and at %s (%s:%d, mask %08x)", m->what, m->file, m->line, m->mask,
         what, file, line, mask);
  if (now().failed) give_way(); // does not return
  m->mask = mask, m->what = what, m->file = file, m->line = line;
  m->part[id % 32] = part;
  m->came |= lane_bit;
  if (m->came == (mask & w.alive)) finish_meeting(w, id / 32 * 32, *m, act, arg);
  give_way();
}

void emu_act_shuffle(void **part, uint32_t came, const void *) {
  for (uint32_t r = came; r; r &= r - 1) {
    emu_word *to = (emu_word *)part[__builtin_ctz(r)];
    if (came >> to->from & 1) to->result = ((emu_word *)part[to->from])->value;
  }
}

void emu_act_ballot(void **part, uint32_t came, const void *) {
  uint32_t bits = 0;
  for (uint32_t r = came; r; r &= r - 1)
    if (((emu_word *)part[__builtin_ctz(r)])->value) bits |= r & -r;
  for (uint32_t r = came; r; r &= r - 1) ((emu_word *)part[__builtin_ctz(r)])->result = bits;
}

void *emu_shared(const void *declaration, size_t bytes, const char *file, int line) {
  block &b = now();
  for (const shared_region &r : b.shared)
    if (r.declaration == declaration) return r.at;
  b.static_shared += bytes;
  if (b.static_shared > STATIC_SHARED)
    fail("%s:%d: %zu bytes of static shared memory, and a block may have %d", file, line, b.static_shared, STATIC_SHARED);
  void *p = NULL;
  if (posix_memalign(&p, 16, bytes)) abort(); // exactly `bytes`, so that the address sanitizer detects
                                              // overruns
  memset(p, POISON, bytes);
  b.shared.push_back({declaration, (char *)p, bytes});
  emu_race_watch(p, bytes, true);
  return p;
}

void *emu_dynamic_shared() { return now().dynamic; }
