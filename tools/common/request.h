// From settings and a model text to what the compiler is asked for. Shared by xlmc and xlmrun, so that what
// is planned is what is run.
#ifndef XLM_TOOLS_REQUEST_H
#define XLM_TOOLS_REQUEST_H

#include "compiler/parse/ast.h"
#include "compiler/cost/cluster.h"
#include "compiler/driver/compile.h"
#include "tools/common/settings.h"

// The model (or saved plan) that is named without a flag, by --model or in the run file; NULL: none. Two
// different ones on the command line are an error.
xlm_status xlm_request_model(const xlm_run_settings *s, const char **path, xlm_error *err) XLM_MUST_CHECK;
// Flags that are public names of the model's dims become `set` entries.
xlm_status xlm_request_names(xlm_run_settings *s, const xlm_source *source, xlm_error *err) XLM_MUST_CHECK;
int xlm_request_processors(void);                   // that this process may use
int xlm_request_threads(const xlm_run_settings *s); // --threads, else the processors this process may use
// What a rank may take, in bytes: --memory-limit, else its share of this machine's memory when `here` ranks
// run on it; 0 = unknown.
uint64_t xlm_request_memory(const xlm_run_settings *s, int64_t here);
// The mesh: pp, dp, ep, cp, the model's own axes, tp, those with more than one rank. `ast`: to find that the
// rules of the model name the axes that were asked for; may be NULL.
xlm_status xlm_request_mesh(const xlm_run_settings *s, const xlm_ast *ast, xlm_mesh *out,
                            xlm_error *err) XLM_MUST_CHECK;
const char *xlm_request_mesh_text(xlm_arena *a, const xlm_mesh *m); // "pp 2 x tp 2"; "1 rank"
int64_t xlm_request_axis(const xlm_mesh *m, const char *name);      // its size; 1 when there is none
// Samples of a microbatch over the whole mesh and microbatches of a step, from flags, preset and defaults;
// `model_batch`: what preset or --set say of the dim `batch`, 0 = nothing; ranks: data-parallel ones, over
// which a batch is split.
xlm_status xlm_request_batch(const xlm_run_settings *s, int64_t model_batch, int64_t ranks, int64_t stages,
                             int64_t *batch, int64_t *microbatches, xlm_error *err) XLM_MUST_CHECK;
// Parameter groups of --group or the run file.
xlm_status xlm_request_groups(xlm_run_settings *s, const xlm_param_group **out, int *n,
                              xlm_error *err) XLM_MUST_CHECK;
// The target: --arch, else what XLM_CPU_ISA says, else the best of this machine. cluster: its own, of which
// --arch may choose another arch; NULL = none. Threads are those of this process, shared by `ranks`.
xlm_status xlm_request_target(const xlm_run_settings *s, const xlm_cluster *cluster, int64_t ranks,
                              xlm_compile_options *o, xlm_error *err) XLM_MUST_CHECK;
// Everything, for this machine. source: of the model; NULL when there is none. Resolves flags that are public
// names of the model's dims. batch > 0: one microbatch of that many samples per data-parallel rank, whatever
// the settings say. Threads are those of this process, shared by the ranks of the mesh; whoever runs one rank
// per process sets the target's threads anew.
xlm_status xlm_request_options(xlm_run_settings *s, const xlm_source *source, bool with_train, bool with_eval,
                               int64_t batch, xlm_compile_options *out, xlm_error *err) XLM_MUST_CHECK;

// The cluster of this name (clusters/NAME.yaml) or in this file.
xlm_status xlm_request_cluster(xlm_arena *a, const char *model_path, const char *name, xlm_cluster *out,
                               xlm_error *err) XLM_MUST_CHECK;

// An existing file that `path`, which does not exist, was probably meant to be; NULL when none is near.
const char *xlm_near_file(xlm_arena *a, const char *path);

#endif
