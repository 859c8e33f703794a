// Small versions of the shipped models, trained for a few steps: shared by end-to-end tests.
//
// A `toy` is a compiled model with its executor, filled states and a feeder of synthetic tokens. Everything
// of a toy is in its arena. Failures end the test (cmocka's fail_msg).
#ifndef XLM_TESTS_TRAIN_UTIL_H
#define XLM_TESTS_TRAIN_UTIL_H

#include "compiler/driver/compile.h"
#include "runtime/state/store.h"
#include "runtime/exec/exec.h"
#include "runtime/train/feed.h"

enum { TOY_MODELS = 20, TEST_MODELS = 6 };
extern const char *const toy_models[TOY_MODELS];   // "llama", "gpt2", ...
extern const char *const test_models[TEST_MODELS]; // in tests/layouts: "counts", ...

typedef struct toy_options {
  const char *model;
  const char *sets;            // "balance=0 window=4": on top of the toy sizes
  xlm_dtype dtype;             // F64: the reference backend
  int64_t batch, microbatches; // batch: of one microbatch
  int64_t seq;                 // 0: 32
  xlm_recompute recompute;
  int threads;
  bool with_eval;
  const xlm_lora *lora; // n_lora adapters
  int n_lora;
} toy_options;

toy_options toy_defaults(const char *model); // f32, 1 x 2 samples of 32 tokens, recompute none, 1 thread

typedef struct toy {
  xlm_arena *arena;
  const xlm_plan *plan;
  xlm_exec *exec;
  xlm_store *store;
  xlm_data *data;
  xlm_samples samples;
  xlm_feed feed;
  int64_t step;      // done
  double loss, norm; // of the last step
} toy;

// The model text of models/NAME.xlm.
const xlm_source *toy_source(xlm_arena *a, const char *model);
// Compiles for the backend of the dtype and the device (NULL: see toy_backend); fails the test with the
// rendered diagnostics.
const xlm_plan *toy_plan_on(const char *device, xlm_arena *a, const xlm_source *source,
                            const xlm_compile_options *o);
const xlm_plan *toy_plan(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o); // device NULL
xlm_compile_options toy_compile_options(xlm_arena *a, const toy_options *o);

// The given device with its kernels; NULL: the one that XLM_TEST_DEVICE names, else the CPU.
xlm_backend toy_backend(const char *device);

toy *toy_open(const toy_options *o);
// One step on always the same batch, at learning rate lr.
void toy_step(toy *t, double lr);
void toy_close(toy *t);

#endif
