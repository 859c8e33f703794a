// Kernels made at load (ops/cuda/generated.h), by the host's C compiler: the source and a prelude that gives its words a
// meaning on a CPU. They run under the emulator like all others, whose functions they call through a table. What was compiled
// is kept in the build's folder. Kernels are compiled with the sanitizer of this build, or with the calls of races.cpp.
// XLM_TEST_NVRTC=sm_80,..: the real NVRTC must take the source for these cards, too.
#include "ops/cuda/cuda.h"
#include "ops/cuda/generated.h"
#include "ops/cuda/nvrtc.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include "runtime/base/hash.h"
#include "tests/emulate/emulate.h"

// What kernels call of the emulator; the prelude has the same.
struct emulator {
  void (*barrier)(const char *file, int line);
  float (*shuffle_xor)(float x, int bits, const char *file, int line);
  void *(*shared)(const void *declaration, size_t bytes, const char *file, int line);
};

struct xlm_generated {
  void (*run)(const void *operands, int64_t block, int64_t thread, int64_t blocks);
};

namespace {

const char prelude[] = R"(
#include <math.h>
#include <string.h>
typedef unsigned short u16;
typedef unsigned int u32;
typedef long long i64;
#define FUNCTION static inline __attribute__((unused))
#define ALIGN(n) _Alignas(n)
FUNCTION float float_of(u32 u) { float f; memcpy(&f, &u, 4); return f; }
FUNCTION u32 u32_of(float f) { u32 u; memcpy(&u, &f, 4); return u; }
FUNCTION u16 down(float x) {
  u32 u = u32_of(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (u16)((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
}
FUNCTION u32 pair(float x, float y) { return down(x) | (u32)down(y) << 16; }
const struct emulator {
  void (*barrier)(const char *file, int line);
  float (*shuffle_xor)(float x, int bits, const char *file, int line);
  void *(*shared)(const void *declaration, unsigned long bytes, const char *file, int line);
} *emulator;
#define BARRIER() emulator->barrier("a generated kernel", __LINE__)
#define SHUFFLE_XOR(x, bits) emulator->shuffle_xor(x, bits, "a generated kernel", __LINE__)
#define SHARED(type, name, n)                                                                       \
  static const char name##_declaration = 0;                                                         \
  type *name = emulator->shared(&name##_declaration, (n) * sizeof(type), "a generated kernel", __LINE__)
#define STORE(to, from) (*(to) = (from))
#define UNROLL
#define BLOCK block
#define THREAD thread
#define BLOCKS blocks
#define KERNEL(operands, threads, blocks_held)                                                      \
  static void kernel(operands p, i64 block, i64 thread, i64 blocks);                                \
  void run(const void *p, i64 block, i64 thread, i64 blocks) {                                      \
    kernel(*(const operands *)p, block, thread, blocks);                                            \
  }                                                                                                 \
  static void kernel(operands p, i64 block, i64 thread, i64 blocks)
)";

#if defined(EMULATE_ASAN)
const char flags[] = "-O0 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all";
#elif defined(EMULATE_RACES)
const char flags[] = "-O1 -g1 -fsanitize=thread";
#else
const char flags[] = "-O1";
#endif

float shuffle_xor(float x, int bits, const char *file, int line) { return __shfl_xor_sync(~0u, x, bits, 32, file, line); }
const emulator functions = {emu_barrier, shuffle_xor, emu_shared};

std::mutex lock;
std::map<std::string, xlm_generated> loaded; // by source

std::string folder() {
  std::string dir = XLM_BINARY_DIR "/generated";
  mkdir(dir.c_str(), 0777);
  return dir;
}

xlm_status compile(const std::string &text, const std::string &object, xlm_error *err) {
  std::string file = object + "." + std::to_string(getpid()) + ".c", made = file + ".so";
  FILE *f = fopen(file.c_str(), "w");
  if (!f || fputs(text.c_str(), f) < 0 || fclose(f)) return xlm_fail(err, XLM_ENV, "cannot write %s", file.c_str());
  // Linked without the sanitizers' own runtime: that is this program's, or races.cpp.
  std::string command = std::string("cc -std=gnu11 -w -fPIC -ffp-contract=off ") + flags + " -c -o " + made + ".o " + file +
                        " && cc -shared -o " + made + " " + made + ".o -lm && rm " + made + ".o && mv " + made + " " + object;
  if (system(command.c_str())) return xlm_fail(err, XLM_ENV, "a generated kernel does not compile: %s", file.c_str());
  unlink(file.c_str());
  return XLM_OK;
}

xlm_status compile_for_cards(const char *source, xlm_error *err) {
  std::string archs = getenv("XLM_TEST_NVRTC") ? getenv("XLM_TEST_NVRTC") : "";
  xlm_arena *a = xlm_arena_new(0);
  xlm_status s = a ? XLM_OK : xlm_fail(err, XLM_ENV, "no memory");
  for (size_t at = 0, end; s == XLM_OK && at < archs.size(); at = end + 1) {
    end = std::min(archs.find(',', at), archs.size());
    xlm_nvrtc_image image = {NULL, 0};
    s = xlm_nvrtc_compile(source, archs.substr(at, end - at).c_str(), a, &image, err);
    if (s == XLM_OK && !image.bytes) s = xlm_fail(err, XLM_ENV, "NVRTC made nothing");
  }
  xlm_arena_free(a);
  return s;
}

} // namespace

void xlm_generated_request(const char *) {}

xlm_status xlm_generated_load(const char *source, xlm_generated **out, xlm_error *err) {
  std::lock_guard<std::mutex> hold(lock);
  std::string text = std::string(prelude) + source;
  auto known = loaded.find(text);
  if (known != loaded.end()) return *out = &known->second, XLM_OK;
  XLM_TRY(compile_for_cards(source, err));
  std::string key = text + flags;
  char name[64];
  snprintf(name, sizeof name, "/%016llx.so", (unsigned long long)xlm_hash_bytes(key.data(), key.size()));
  std::string object = folder() + name;
  if (access(object.c_str(), R_OK)) XLM_TRY(compile(text, object, err));
  void *library = dlopen(object.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) return xlm_fail(err, XLM_ENV, "%s", dlerror());
  *out = &loaded[text];
  *(void **)&(*out)->run = dlsym(library, "run");
  *(const emulator **)dlsym(library, "emulator") = &functions;
  return XLM_OK;
}

namespace {
struct pending { // a launch on a stream
  xlm_generated kernel;
  unsigned blocks, threads;
  std::vector<char> operands;
};

void run_thread(const void *arg) {
  const pending *p = (const pending *)arg;
  p->kernel.run(p->operands.data(), emu_now.block.x, emu_now.thread.x, emu_now.grid_dim.x);
}

const char *run_pending(void *arg) {
  const pending *p = (const pending *)arg;
  return emu_launch("a kernel made at load", p->blocks, p->threads, 0, run_thread, p);
}

void drop_pending(void *arg) { delete (pending *)arg; }
} // namespace

xlm_status xlm_generated_launch(const xlm_generated *k, const xlm_call *c, unsigned blocks, unsigned threads,
                                const void *operands, size_t bytes) {
  const char *from = (const char *)operands;
  pending now = {*k, blocks, threads, std::vector<char>(from, from + bytes)};
  void *stream = xlm_cuda_stream(c);
  const char *wrong = stream ? emu_enqueue(stream, "a kernel made at load", run_pending, drop_pending, new pending(now))
                             : run_pending(&now);
  return wrong ? xlm_fail(c->err, XLM_ENV, "%s", wrong) : XLM_OK;
}

int64_t xlm_generated_most_blocks(void) {
  return emu_most_blocks();
}
