// Fibers: the threads of a block, one stack each, switched by hand.
//
// A lane that ends passes its stack to the next one that has not begun, so a kernel without meeting points
// runs as a plain loop on one stack. A lane that blocks switches directly to the next that can run; the
// host's stack is used once per block.
#include <cstdlib>
#include <sys/mman.h>

#include "tests/emulate/emulate_priv.h"

#if defined(__SANITIZE_ADDRESS__)
#define EMU_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMU_ASAN 1
#endif
#endif
#ifdef EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
enum { STACK = 1 << 18 };
#else
enum { STACK = 1 << 16 };
#endif

#if !defined(__x86_64__)
#error "the emulator switches stacks for the x86-64 System V ABI only"
#endif
// Saves the callee-saved registers on the running stack, its top in *save, and continues at `load`.
extern "C" void emu_switch_stack(void **save, void *load);
__asm__(".text\n.globl emu_switch_stack\n.type emu_switch_stack,@function\nemu_switch_stack:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size emu_switch_stack,.-emu_switch_stack\n");

namespace emu {
namespace {

enum { GUARD = 4096, HOST = -1 };

struct stacks {
  std::vector<char *> low;
  std::vector<int> unused;
  void *host_sp;
  const void *host_low; // for the address sanitizer
  size_t host_bytes;
  ~stacks() { // the thread of the host ends
    for (char *p : low) {
#ifdef EMU_ASAN
      __asan_unpoison_memory_region(p, STACK); // the addresses will be used for something else
#endif
      munmap(p - GUARD, GUARD + STACK);
    }
  }
};
thread_local stacks all;

int take_stack() {
  if (all.unused.empty()) {
    char *p = (char *)mmap(NULL, GUARD + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p, GUARD, PROT_NONE)) abort();
    all.low.push_back(p + GUARD);
    return (int)all.low.size() - 1;
  }
  int s = all.unused.back();
  all.unused.pop_back();
#ifdef EMU_ASAN
  __asan_unpoison_memory_region(all.low[(size_t)s], STACK); // its last lane may not have returned
#endif
  return s;
}

void lane_main();

// A stack on which emu_switch_stack "returns" into lane_main with the ABI's alignment.
void *fresh_stack(int s) {
  void **sp = (void **)(all.low[(size_t)s] + STACK - 64);
  *--sp = NULL; // lane_main does not return
  *--sp = (void *)lane_main;
  for (int i = 0; i < 6; i++) *--sp = NULL;
  return sp;
}

// Leaves the running stack for that of lane `to`, or the host's. gone: it is not resumed.
void switch_to(void **save, int to, bool gone) {
  void *load = all.host_sp;
  if (to != HOST) {
    lane &l = now().lanes[(size_t)to];
    if (l.stack < 0) {
      l.stack = take_stack();
      l.sp = fresh_stack(l.stack);
    }
    load = l.sp;
    start_running(to);
  }
#ifdef EMU_ASAN
  void *fake = NULL;
  const void *low = to == HOST ? all.host_low : all.low[(size_t)now().lanes[(size_t)to].stack];
  __sanitizer_start_switch_fiber(gone ? NULL : &fake, low, to == HOST ? all.host_bytes : (size_t)STACK);
  emu_switch_stack(save, load);
  __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#else
  (void)gone;
  emu_switch_stack(save, load);
#endif
}

// The first function of every stack: runs lanes until the next one has a stack of its own.
void lane_main() {
#ifdef EMU_ASAN
  const void *low;
  size_t bytes;
  __sanitizer_finish_switch_fiber(NULL, &low, &bytes);
  if (!all.host_low) all.host_low = low, all.host_bytes = bytes; // the first switch comes from the host
#endif
  for (;;) {
    block &b = now();
    b.body(b.arg);
    end_of_lane();
    int to = b.failed ? HOST : pick(), mine = running().stack;
    running().stack = -1;
    if (to == HOST || b.lanes[(size_t)to].stack >= 0) {
      all.unused.push_back(mine);
      void *nowhere;
      switch_to(&nowhere, to, true);
    }
    b.lanes[(size_t)to].stack = mine;
    start_running(to);
  }
}

} // namespace

void run_until_blocked(int first) { switch_to(&all.host_sp, first, false); }

void give_way() {
  lane &me = running();
  uint32_t id = emu_now.id;
  int to = now().failed ? HOST : pick();
  if (to == (int)id)
    start_running(to);
  else
    switch_to(&me.sp, to, false);
}

void forget_stacks() {
  for (lane &l : now().lanes) {
    if (l.stack >= 0) all.unused.push_back(l.stack);
    l.stack = -1;
  }
}

} // namespace emu
