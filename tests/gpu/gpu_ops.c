// Every op case on a card, in its own memory, compared with the float64 reference; runs must give the same
// bits. Attention that cuDNN computes is compared with our own kernels, too. Exit code 77: there is no card.
// On the fake card it is test_gpu_ops, with XLM_SMALL_CASES: without the large cases, which test_cuda_ops has. `gpu_ops [PATTERN]`: only cases whose "op.name" contains PATTERN.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/device/cuda/cuda.h"
#include "tests/ops/run_op.h"

static int begin(int way) {
  (void)way;
  return 1;
}

static bool takes(const op_case *c) { // what has a kernel, and none of the others in its graph
  static bool covered[XLM_OP_COUNT];
  if (getenv("XLM_SMALL_CASES") && op_case_is_large(c)) return false;
  const xlm_backend *cuda = xlm_backend_find("cuda");
  xlm_arena *a = xlm_arena_new(0);
  XLM_ASSERT(a, "no memory");
  for (int op = 0; op < XLM_OP_COUNT; op++) covered[op] = false;
  op_case_cover(c, a, covered);
  xlm_arena_free(a);
  for (int op = 0; op < XLM_OP_COUNT; op++) {
    const xlm_op *o = xlm_op_at((xlm_op_id)op);
    bool kernel = covered[op] && !o->facts.leaf && !(o->flags & (XLM_OPF_VIEW | XLM_OPF_ELEMENTWISE)) &&
                  xlm_backend_find("cpu")->find(NULL, (xlm_op_id)op);
    if (kernel && !cuda->find(NULL, (xlm_op_id)op)) return false;
  }
  return true;
}

static bool takes_attention(const op_case *c) {
  return takes(c) && (c->op == XLM_OP_ATTEND || c->op == XLM_OP_ATTEND_BWD);
}

static bool names_attention(const char *pattern) {
  char name[96];
  for (int f = 0; op_case_files[f]; f++)
    for (int i = 0; i < op_case_files[f]->n; i++) {
      const op_case *c = &op_case_files[f]->at[i];
      snprintf(name, sizeof name, "%s.%s", xlm_op_at(c->op)->name, c->name);
      if (strstr(name, pattern) && takes_attention(c)) return true;
    }
  return false;
}

int main(int argc, char **argv) {
  const xlm_backend *cuda = xlm_backend_find("cuda");
  xlm_error err = {0};
  if (xlm_device_cuda_eager.check(&err) != XLM_OK) return fprintf(stderr, "%s\n", err.text), 77;
  op_subject card = {
      .backend = cuda, .ways = 3, .begin = begin, .way = "runs", .device = &xlm_device_cuda_eager};
  op_compare(&card);
  int failed = op_cases_main("ops on the card", argc > 1 ? argv[1] : NULL, takes);
  if (!cuda->has_attention(cuda->here())) return printf("cuDNN: none for this card\n"), failed;
  const char *pattern = argc > 1 ? argv[1] : "whole";
  if (!names_attention(pattern)) return failed;
  card.own_attention = true;
  return op_cases_main("attention by our own kernels", pattern, takes_attention) || failed;
}
