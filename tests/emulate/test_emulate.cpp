// Tests the emulator: a correct kernel passes in every order with the same bits, and every kernel of
// broken.cu is detected by the builds that can detect it. Built three times: plain, with the address
// sanitizer (EMULATE_ASAN), with races.cpp (EMULATE_RACES).
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "tests/emulate/broken.h"
#include "tests/emulate/emulate.h"

extern "C" int broken_blocks(int which);
extern "C" const char *broken_run(int which, const float *x, float *y);

enum { PLAIN = 1, ASAN = 2, RACES = 4, ORDERS = 5, N = 64 };
#if defined(EMULATE_ASAN)
static const int build = ASAN;
#elif defined(EMULATE_RACES)
static const int build = RACES;
#else
static const int build = PLAIN;
#endif

static const struct {
  const char *name;
  int builds;        // that must find it
  const char *words; // of the sentence, when there is one; "" = by the results
} expected[BROKEN_KINDS] = {
    [BROKEN_NONE] = {"right", 0, ""},
    [BROKEN_BARRIER] = {"a missing barrier", PLAIN | ASAN | RACES, ""},
    [BROKEN_WARP_BARRIER] = {"a missing __syncwarp", PLAIN | ASAN | RACES, ""},
    [BROKEN_SCRATCH] = {"scratch used again too early", PLAIN | ASAN | RACES, ""},
    [BROKEN_DIVERGENT_BARRIER] = {"a divergent barrier", PLAIN | ASAN | RACES, "different barriers"},
    [BROKEN_DIVERGENT_SHUFFLE] = {"a divergent shuffle", PLAIN | ASAN | RACES, "no thread can go on"},
    [BROKEN_PAST_SHARED] = {"past the end of shared memory", ASAN, ""},
    [BROKEN_PAST_GLOBAL] = {"past the end of global memory", ASAN, ""},
    [BROKEN_COPY_WAIT] = {"a copy not waited for", PLAIN | ASAN, ""},
    [BROKEN_COPY_LEFT] = {"a copy never waited for", PLAIN | ASAN | RACES, "nothing has waited for"},
    [BROKEN_COPY_ALIGN] = {"an unaligned copy", PLAIN | ASAN | RACES, "not aligned"},
    [BROKEN_UNWRITTEN] = {"shared memory not written", PLAIN | ASAN, ""},
    [BROKEN_TWO_BLOCKS] = {"two blocks write one place", PLAIN | ASAN | RACES, ""},
};

struct outcome {
  bool found;
  std::string how;
};

// Runs in every order; an error shows as a message, NaN, or different bits in another order.
static outcome run(int which) {
  float *x = (float *)malloc(N * sizeof *x); // its own block, so that its end is seen
  std::vector<float> first, y((size_t)(N * broken_blocks(which)));
  emu_race_watch(y.data(), y.size() * sizeof(float), false);
  emu_race_watch(x, N * sizeof *x, false);
  for (int i = 0; i < N; i++) x[i] = 1.0f + (float)(i * i % 37);
  outcome o = {false, ""};
  for (uint32_t order = 0; order < ORDERS && !o.found; order++) {
    memset((void *)y.data(), 0xff, y.size() * sizeof(float));
    emu_set_order(order);
    const char *said = broken_run(which, x, y.data());
    size_t written = which == BROKEN_TWO_BLOCKS ? (size_t)N : y.size();
    if (said) o = {true, said};
    for (size_t i = 0; i < written && !o.found; i++)
      if (y[i] != y[i]) o = {true, "not-a-number in the result"};
    if (!order) first = y;
    if (!o.found && memcmp(first.data(), y.data(), written * sizeof(float))) o = {true, "other bits in another order"};
  }
  emu_set_order(EMU_ASCENDING);
  free(x);
  return o;
}

// In a separate process, since the address sanitizer ends it.
static outcome run_apart(int which) {
  int ends[2];
  if (pipe(ends)) return {false, "no pipe"};
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    close(ends[0]);
    if (!freopen("/dev/null", "w", stderr)) _exit(3);
    outcome o = run(which);
    if (write(ends[1], o.how.data(), o.how.size()) < 0) _exit(3);
    _exit(o.found);
  }
  close(ends[1]);
  char text[1024];
  ssize_t n = read(ends[0], text, sizeof text);
  close(ends[0]);
  int status;
  if (waitpid(child, &status, 0) < 0) return {false, "no child"};
  bool ended = !WIFEXITED(status) || WEXITSTATUS(status) > 1;
  return {ended || WEXITSTATUS(status) == 1, ended ? "the sanitizer ended the process" : std::string(text, n > 0 ? (size_t)n : 0)};
}

int main() {
  int passed = 0, failed = 0;
  for (int which = 0; which < BROKEN_KINDS; which++) {
    bool should = expected[which].builds & build;
    if (which != BROKEN_NONE && !should) continue; // this build need not detect it
    outcome o = build == ASAN ? run_apart(which) : run(which);
    bool ok = o.found == should && (!o.found || o.how.find(expected[which].words) != std::string::npos);
    printf("%-6s %-32s %s\n", ok ? "ok" : "FAILED", expected[which].name, o.found ? o.how.c_str() : "nothing found");
    *(ok ? &passed : &failed) += 1;
  }
  printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
