// From settings and a model text to compiler options. Shared by xlmc and xlmrun, so that the plan shown is
// the plan run.
#ifndef XLM_TOOLS_REQUEST_H
#define XLM_TOOLS_REQUEST_H

#include "compiler/parse/ast.h"
#include "compiler/cost/cluster.h"
#include "compiler/driver/compile.h"
#include "runtime/device/device.h"
#include "tools/common/settings.h"

// The model (or saved plan) given as an argument, by --model or in the run file; NULL: none. Two different
// ones on the command line are an error.
xlm_status xlm_request_model(const xlm_run_settings *s, const char **path, xlm_error *err) XLM_MUST_CHECK;
typedef struct xlm_model_file {
  const char *path, *place; // as it is called in messages and plans, and where it lies
} xlm_model_file;
// The file of a model: `named` itself; where there is no such file, with `.xlm` added, in models/, or shipped
// (runtime/base/share.h): `llama`, `models/llama.xlm`. A shipped model is called models/.. wherever it lies,
// so that its plan is the same on every machine. When there is none, both are `named`.
xlm_model_file xlm_request_file(xlm_arena *a, const char *named);
// Is it a saved plan? By its name (.json) or, for files that are not models, by its first character `{`.
bool xlm_plan_file_is(const char *path);
// Reads and verifies one.
xlm_status xlm_plan_file_read(xlm_arena *a, const char *path, const xlm_plan **out,
                              xlm_error *err) XLM_MUST_CHECK;
// Turns flags that are public names of the model's dims into `set` entries.
xlm_status xlm_request_names(xlm_run_settings *s, const xlm_source *source, xlm_error *err) XLM_MUST_CHECK;
// The public names of the model's dims and lets, and their own; 0 of a text with errors.
int xlm_request_public_names(const xlm_run_settings *s, const xlm_source *source,
                             const xlm_public_name **out);
int xlm_request_processors(void);                   // available to this process
int xlm_request_threads(const xlm_run_settings *s); // --threads, else xlm_request_processors
// Memory available to a rank, in bytes: --memory-limit, else its share of the memory of the device (of this
// machine, if that has none of its own) if `here` ranks run on it; 0 = unknown. on: the device; NULL = as
// --device says.
uint64_t xlm_request_memory(const xlm_run_settings *s, const xlm_device_kind *on, int64_t here);
// The mesh: pp, dp, ep, cp, the model's own axes, tp, those with more than one rank. `ast`: to check that the
// model's shard rules name the requested axes; may be NULL.
xlm_status xlm_request_mesh(const xlm_run_settings *s, const xlm_ast *ast, xlm_mesh *out,
                            xlm_error *err) XLM_MUST_CHECK;
const char *xlm_request_mesh_text(xlm_arena *a, const xlm_mesh *m); // "pp 2 x tp 2"; "1 rank"
int64_t xlm_request_axis(const xlm_mesh *m, const char *name);      // its size; 1 if there is no such axis
// Samples of a microbatch over the whole mesh, and microbatches per step, from flags, preset and defaults.
// `model_batch`: the dim `batch` from preset or --set, 0 = not set. ranks: the number of data-parallel ones,
// over which a batch is split.
xlm_status xlm_request_batch(const xlm_run_settings *s, int64_t model_batch, int64_t ranks, int64_t stages,
                             int64_t *batch, int64_t *microbatches, xlm_error *err) XLM_MUST_CHECK;
// Parameter groups of --group or the run file.
xlm_status xlm_request_groups(xlm_run_settings *s, const xlm_param_group **out, int *n,
                              xlm_error *err) XLM_MUST_CHECK;
// Adapters of --lora or the run file.
xlm_status xlm_request_lora(const xlm_run_settings *s, const xlm_lora **out, int *n, xlm_error *err) XLM_MUST_CHECK;
// The target: --arch, else XLM_CPU_ISA, else the best of this machine. cluster: plans for its target, whose
// arch --arch may replace; NULL = none. Threads are those of this process, shared by `ranks`.
xlm_status xlm_request_target(const xlm_run_settings *s, const xlm_cluster *cluster, int64_t ranks,
                              xlm_compile_options *o, xlm_error *err) XLM_MUST_CHECK;
// All options, for this machine. source: of the model; NULL if there is none. Resolves flags that are public
// names of the model's dims. batch > 0: one microbatch of that many samples per data-parallel rank,
// overriding the settings. Threads are those of this process, shared by the ranks of the mesh; with one rank
// per process the caller must set the target's threads itself.
xlm_status xlm_request_options(xlm_run_settings *s, const xlm_source *source, uint32_t programs,
                               int64_t batch, xlm_compile_options *out, xlm_error *err) XLM_MUST_CHECK;

// The cluster with this name (clusters/NAME.yaml, here, beside the models or shipped) or in this file.
xlm_status xlm_request_cluster(xlm_arena *a, const char *model_path, const char *name, xlm_cluster *out,
                               xlm_error *err) XLM_MUST_CHECK;

// The existing file that was probably meant by `path`, which does not exist; NULL when none is similar.
const char *xlm_near_file(xlm_arena *a, const char *path);
const char *xlm_shipped_models(xlm_arena *a); // "deepseek, diffllama, .."; "": there are none

#endif
