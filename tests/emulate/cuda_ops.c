// Every op case with the CUDA backend's kernels, emulated, compared with the float64 reference; all thread
// orders must give the same bits. Built three times: plain, with the address sanitizer, with every access
// checked for races.
// The large cases take most of the time, so each build has a third of them; with a PATTERN or
// XLM_EXHAUSTIVE=1: all.
// `test_cuda_ops [PATTERN]`: only cases whose "op.name" contains PATTERN.
// `test_cuda_ops PATTERN KERNELS.so`: uses the kernels that KERNELS.so has instead (test_broken_kernels.sh).
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cuda/attend_cudnn.h"
#include "tests/emulate/emulated.h"
#include "tests/ops/run_op.h"

static int begin(int way) {
  emulated_order(way - 1);
  xlm_cudnn_part_bytes = way == 2   ? 1
                         : way == 3 ? 3 * 128 * 128 * 2
                                    : 512 << 20; // the same bits in any parts
  return 1;
}

static void *library;

static void *symbol_of(xlm_op_id op, const char *what) { // of the library; NULL: it has none
  char symbol[96];
  snprintf(symbol, sizeof symbol, "xlm_cuda_%s%s", what, xlm_op_name(op));
  return dlsym(library, symbol);
}

static const xlm_kernel *find(const char *arch, xlm_op_id op) {
  static xlm_kernel others[XLM_OP_COUNT];
  const xlm_kernel *k = xlm_backend_find("cuda")->find(arch, op);
  void *run = library && k ? symbol_of(op, "") : NULL, *prepare = run ? symbol_of(op, "prepare_") : NULL;
  if (!run) return k;
  others[op] = *k;
  memcpy(&others[op].run, &run, sizeof run);
  if (prepare) memcpy(&others[op].prepare, &prepare, sizeof prepare);
  return &others[op];
}

#if defined(EMULATE_ASAN)
enum { WAYS = 1, SHARE = 1 };
#elif defined(EMULATE_RACES)
enum { WAYS = 2, SHARE = 2 };
#else
enum { WAYS = EMULATED_ORDERS, SHARE = 0 };
#endif
static bool all_cases;

static bool is_left_out(const op_case *c) { // it is another build's
  static int large;
  return op_case_is_large(c) && large++ % 3 != SHARE && !all_cases;
}

static bool takes(const op_case *c) { // what has a kernel
  if (is_left_out(c)) return false;
  xlm_op_id op = xlm_op_at(c->op)->flags & XLM_OPF_ELEMENTWISE ? XLM_OP_FUSED : c->op;
  return xlm_backend_find("cuda")->find(NULL, op) && (op == XLM_OP_FUSED || !getenv("XLM_TEST_NVRTC"));
}

int main(int argc, char **argv) {
  all_cases = argc > 1 || getenv("XLM_EXHAUSTIVE");
  xlm_backend backend = *xlm_backend_find("cuda");
  backend.find = find;
  if (argc > 2 && !(library = dlopen(argv[2], RTLD_NOW))) return fprintf(stderr, "%s\n", dlerror()), 1;
  const op_subject cuda = {.backend = &backend,
                           .others = xlm_backend_find("cpu"),
                           .ways = WAYS,
                           .begin = begin,
                           .way = "order of threads",
                           .watch = emulated_watch};
  op_compare(&cuda);
  return op_cases_main("CUDA ops", argc > 1 ? argv[1] : NULL, takes);
}
