// Kernels made at load (ops/cuda/generated.h), by the host's C compiler: the source, a prelude that gives its words a meaning
// on a CPU, and a loop over blocks and threads. What was compiled is kept in the build's folder. With the address sanitizer
// the kernels are compiled with it, too. XLM_TEST_NVRTC=sm_80,..: the real NVRTC must take the source for these cards, too.
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

struct xlm_generated {
  void (*launch)(const void *operands, uint32_t blocks, int down);
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
#define BLOCK block
#define THREAD thread
#define BLOCKS blocks
#define KERNEL(operands)                                                                            \
  static void kernel(operands p, i64 block, i64 thread, i64 blocks);                                \
  void launch(const void *p, u32 blocks, int down) {                                                \
    operands o;                                                                                     \
    memcpy(&o, p, sizeof o);                                                                        \
    for (i64 i = 0, n = (i64)blocks * 256; i < n; i++) {                                            \
      i64 at = down ? n - 1 - i : i;                                                                \
      kernel(o, at / 256, at % 256, blocks);                                                        \
    }                                                                                               \
  }                                                                                                 \
  static void kernel(operands p, i64 block, i64 thread, i64 blocks)
)";

#ifdef EMULATE_ASAN
const char flags[] = "-O0 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all";
#else
const char flags[] = "-O1";
#endif

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
  std::string command = std::string("cc -std=gnu11 -w -fPIC -shared -ffp-contract=off ") + flags + " -o " + made + " " + file +
                        " -lm && mv " + made + " " + object;
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
  *(void **)&(*out)->launch = dlsym(library, "launch");
  return XLM_OK;
}

namespace {
struct pending { // a launch on a stream
  xlm_generated kernel;
  unsigned blocks;
  bool down;
  std::vector<char> operands;
};

const char *run_pending(void *arg) {
  const pending *p = (const pending *)arg;
  p->kernel.launch(p->operands.data(), p->blocks, p->down);
  return NULL;
}

void drop_pending(void *arg) { delete (pending *)arg; }
} // namespace

xlm_status xlm_generated_launch(const xlm_generated *k, const xlm_call *c, unsigned blocks, const void *operands,
                                size_t bytes) {
  const char *from = (const char *)operands;
  pending now = {*k, blocks, emu_most_blocks() == 2, std::vector<char>(from, from + bytes)};
  void *stream = xlm_cuda_stream(c);
  const char *wrong = stream ? emu_enqueue(stream, "a kernel made at load", run_pending, drop_pending, new pending(now))
                             : run_pending(&now);
  return wrong ? xlm_fail(c->err, XLM_ENV, "%s", wrong) : XLM_OK;
}

int64_t xlm_generated_most_blocks(void) {
  return emu_most_blocks();
}
