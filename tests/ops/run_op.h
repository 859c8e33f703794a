// The op test runner: the definition of cases and of the files that contain them.
//
// A file tests/ops/cases_NAME.c (one per group of ops) exports `const op_cases cases_NAME`; the build
// collects these files, test_ops.c runs them, test_complete.c requires at least one case per op. A case
// builds a small graph:
//
//   static void softmax_middle(op_test *t) {
//     xlm_val x = op_leaf(t, "x[batch 2, seq 5, hidden 3]");
//     xlm_attr_list l = op_attrs(t);
//     op_put_dims(t, &l, XLM_A_over, "seq");
//     op_out(t, xlm_emit(&t->b, XLM_OP_SOFTMAX, &x, 1, &l));
//   }
//   static const op_case table[] = {{"middle", XLM_OP_SOFTMAX, softmax_middle, .bf16 = true}, ...};
//   const op_cases cases_softmax = {table, sizeof table / sizeof *table};
//
// For each case the runner compares
// - cpu (f32, and bf16 where the case says so) with the float64 reference: every output, every gradient;
// - 1, 2 and 3 threads, and in-place with out-of-place execution: the same bits;
// - the gradient rule, run in float64 on the reference backend with random upstream gradients, with central
//   differences of sum(out * dout), for every operand that requires a gradient.
// Leaf values are rounded to what the graph's element types can represent, so all runs use the same numbers.
#ifndef XLM_TESTS_OPS_RUN_OP_H
#define XLM_TESTS_OPS_RUN_OP_H

#include "compiler/ir/op.h"
#include "runtime/device/kernel.h"

enum { OP_MAX_LEAVES = 16, OP_MAX_OUTS = 8 };

typedef struct op_leaf_info {
  xlm_val val;
  bool grad;
  double *values;
} op_leaf_info;

typedef struct op_out_info {
  xlm_val val, dout; // dout: 0 = no gradient flows from here
} op_out_info;

typedef struct op_test {
  xlm_build b;      // emit with it
  xlm_dtype dtype;  // of ordinary leaves: F32 or BF16
  xlm_step_env env; // the case may change it
  const struct op_case *the_case;
  int n_leaves, n_outs;
  op_leaf_info leaf[OP_MAX_LEAVES];
  op_out_info out[OP_MAX_OUTS];
} op_test;

typedef struct op_case {
  const char *name; // shown as "op.name"
  xlm_op_id op;     // what it covers
  void (*build)(op_test *t);
  bool bf16;       // also with bf16 leaves
  bool no_grad;    // do not differentiate (ops without a gradient; optimizer updates)
  double tol;      // cpu f32 against reference, relative to |value| + rms; 0 = 1e-5
  double tol_bf16; // 0 = 2e-2
  double tol_grad; // finite differences; 0 = 1e-6
  double eps;      // step of finite differences; 0 = 1e-5
} op_case;

typedef struct op_cases {
  const op_case *at;
  int n;
} op_cases;

// Takes seconds where kernels for GPUs run on the CPU.
bool op_case_is_large(const op_case *c);

extern const op_cases *const op_case_files[]; // NULL at the end; written by CMake from tests/ops/cases_*.c

// Leaves. `decl` is a name and dims, sizes at their first use: "x[batch 2, seq 3, hidden 8]", "s[]". Values
// are a function of the name and the type alone. (C does not order the arguments of one call: give sizes
// wherever it matters.)
xlm_val op_leaf(op_test *t, const char *decl); // random in [-1.5, 1.5], requires a gradient
xlm_val op_leaf_range(op_test *t, const char *decl, double lo, double hi); // the same in [lo, hi]
xlm_val op_leaf_f32(op_test *t, const char *decl, double lo, double hi);   // the same, f32 in bf16 runs too
xlm_val op_fixed(op_test *t, const char *decl, double lo, double hi);      // f32, requires no gradient
xlm_val op_ints(op_test *t, const char *decl, int lo, int hi);             // i32 in [lo, hi)
xlm_val op_data(op_test *t, const char *decl, const double *values);       // f32 as given, requires no
                                                                           // gradient
xlm_val op_int_data(op_test *t, const char *decl, const int *values);      // i32 as given
xlm_val op_state(op_test *t, const char *decl, double lo,
                 double hi); // a `state` leaf, f32, requires no gradient

// Outputs to compare; a gradient flows from op_out's, none from op_out_const's (and never from integers).
void op_out(op_test *t, xlm_val v);
void op_out_const(op_test *t, xlm_val v);

// Attributes and dims.
xlm_attr_list op_attrs(op_test *t);
void op_put_dims(op_test *t, xlm_attr_list *l, xlm_attr_key key,
                 const char *dims);          // "seq hidden"; "name 5" creates
xlm_dim op_dim(op_test *t, const char *dim); // "seq" or "seq 5"

// What is compared with the reference. By default: the CPU backend with 1, 2 and 3 threads.
typedef struct op_subject {
  const xlm_backend *backend;
  const xlm_backend *others;            // runs what the backend has no kernel for; NULL: an error
  int ways;                             // to run it, from 1, which must give the same bits
  int (*begin)(int way);                // makes a way the current one; returns the number of threads
  const char *way;                      // what differs: "threads"
  const struct xlm_device_kind *device; // where the backend's kernels run; NULL: on this machine's processors
  bool own_attention;                   // as in a target; else by a library, if this machine has it
  void (*watch)(const void *at, size_t bytes, bool on); // see run_graph.h
} op_subject;
void op_compare(const op_subject *s); // from now on; owned by the caller

// Runs one case; NULL or what went wrong (in `a`).
const char *op_case_run(const op_case *c, xlm_arena *a);

// Runs all cases whose "op.name" contains `pattern` (NULL: any) and that `takes` accepts (NULL: all) as a
// cmocka group; returns the exit code.
int op_cases_main(const char *group, const char *pattern, bool (*takes)(const op_case *c));

// Marks every op that the case's graph and its gradients contain: covered[XLM_OP_COUNT].
void op_case_cover(const op_case *c, xlm_arena *a, bool *covered);

#endif
