// A small interpreter of graphs for tests: runs the nodes of an xlm_graph in order on one backend, calling
// kernels exactly as the executor does (workspace, prepare, run), without passes, plan or arena.
//
// It checks more than the executor: every output and workspace is filled with NaN before a kernel runs, guard
// bytes after every buffer are checked, constants must stay unchanged, and an op that may run in place is run
// a second time in place and must give the same bits. On the reference backend every floating-point value is
// f64, whatever the graph says.
#ifndef XLM_TESTS_OPS_RUN_GRAPH_H
#define XLM_TESTS_OPS_RUN_GRAPH_H

#include "compiler/ir/op.h"
#include "runtime/device/kernel.h"

typedef struct run_graph run_graph;

// `error` is set to a sentence when something is wrong (no kernel, guard overwritten); the caller stops
// there.
typedef struct run_options {
  const xlm_backend *backend;
  bool f64;      // the reference backend's types
  bool in_place; // also check in-place execution
  int threads;
  xlm_step_env env;
  bool store;                // sums over microbatches are overwritten, as in the first
  const xlm_backend *others; // runs what the backend has no kernel for; NULL: an error
  void (*watch)(const void *at, size_t bytes, bool on); // memory that kernels access, at its allocation and
                                                        // before its release
  // Kernels run there, on copies of the operands in its memory; NULL: here, on `threads` threads. Its own
  // backend's, not those of `others`.
  const struct xlm_device_kind *device;
  bool own_attention; // as in a target; else by a library, if this machine has it
} run_options;

run_graph *run_graph_new(const xlm_graph *g, run_options o);
void run_graph_free(run_graph *r);
const char *run_graph_error(const run_graph *r); // NULL if there is no error

void run_graph_set(run_graph *r, xlm_val v, const double *values); // converts to the value's element type
void run_graph_get(const run_graph *r, xlm_val v, double *values);
const void *run_graph_bytes(const run_graph *r, xlm_val v, size_t *n);
int64_t run_graph_elements(const run_graph *r, xlm_val v);
void run_graph_run(run_graph *r, xlm_node first, xlm_node end); // nodes [first, end)

#endif
