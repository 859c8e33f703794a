// From settings and a model text to what the compiler is asked for. Shared by xlmc and xlmrun, so that what is planned is
// what is run.
#ifndef XLM_TOOLS_REQUEST_H
#define XLM_TOOLS_REQUEST_H

#include "compiler/planner/compile.h"
#include "tools/common/settings.h"

const char *xlm_request_model(const xlm_run_settings *s); // path of the model file; NULL when none is named
int xlm_request_threads(const xlm_run_settings *s);       // --threads, else the processors this process may use
// --memory-limit in bytes, else the machine's memory; 0 = unknown.
xlm_status xlm_request_memory(const xlm_run_settings *s, uint64_t *bytes, xlm_error *err) XLM_MUST_CHECK;
// Samples of a microbatch and microbatches of a step, from flags, preset and defaults; `model_batch`: what preset or --set
// say of the dim `batch`, 0 = nothing.
xlm_status xlm_request_batch(const xlm_run_settings *s, int64_t model_batch, int64_t *micro, int64_t *microbatches,
                             xlm_error *err) XLM_MUST_CHECK;

// Everything but the backend. Resolves flags that are public names of the model's dims. batch > 0: one microbatch of that many
// samples, whatever the settings say.
xlm_status xlm_request_options(xlm_run_settings *s, const xlm_source *source, bool with_train, bool with_eval, int64_t batch,
                               xlm_compile_options *out, xlm_error *err) XLM_MUST_CHECK;

// An existing file that `path`, which does not exist, was probably meant to be; NULL when none is near.
const char *xlm_near_file(xlm_arena *a, const char *path);

#endif
