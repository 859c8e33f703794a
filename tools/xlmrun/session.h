// What the commands share: from settings to a plan, an executor and filled states.
#ifndef XLM_XLMRUN_SESSION_H
#define XLM_XLMRUN_SESSION_H

#include "compiler/driver/compile.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/exec/team.h"
#include "runtime/train/tracer.h"
#include "tools/common/settings.h"

enum { EXIT_USER = 1, EXIT_ENVIRONMENT = 2, EXIT_DOES_NOT_FIT = 3 };

typedef struct session {
  xlm_arena *arena;
  xlm_run_settings *settings;
  xlm_checkpoint *checkpoint; // source of model, settings and weights; NULL = none
  int64_t before;             // use only checkpoints of earlier steps, since those from here on are damaged
  bool again;                 // start the command over with an older checkpoint
  int lock;                   // on the output folder, until the process ends; -1 = none
  const char *model_path, *model_text;
  const xlm_source *source; // of a model that is compiled here, with the files that it uses
  xlm_compile_options options;
  const xlm_plan *plan;
  const char *saved; // path of the saved plan; NULL: the plan is compiled
  xlm_team *team;
  struct watchdog *watchdog;
  xlm_tracer *tracer; // NULL: no trace
  xlm_store *store;
  bool mpi;      // one rank per process
  bool silent;   // not the process of rank 0, which prints
  int exit_code; // for a failure; set where the status is not specific enough
  bool told;     // the message was already printed (diagnostics)
  xlm_error err;
} session;

typedef xlm_status session_body(session *s);
// Runs a command: reads flags and run file, handles --help and --print-config, runs the body, prints its
// error, cleans up; returns the exit code.
int session_run(char tool, const char *usage, int argc, char *const *argv, session_body *body);

// The steps; each fills s->err on failure.
xlm_status session_open_checkpoint(session *s,
                                   const char *path); // applies its settings, with lower precedence than file
                                                      // and flags
// The model, saved plan or checkpoint given on the command line or in the run file; *path NULL: none. A saved
// plan is opened, so this must be the first step.
xlm_status session_named(session *s, const char **path);
xlm_status session_read_model(session *s, const char *path); // or a saved plan; NULL: the checkpoint's copy
// Compiles the plan with these programs (XLM_WITH_..), or takes the saved one. batch: see
// xlm_request_options.
xlm_status session_compile(session *s, uint32_t programs, int64_t batch);
// The same for decoding, batch texts at once: prefill and decode, or, where there is no such plan (the model
// looks ahead, the backend lacks a kernel), evaluation; *why_not: the reason, else NULL. A saved plan is
// taken as it is.
xlm_status session_compile_decoding(session *s, int64_t batch, const char **why_not);
xlm_status session_open(session *s);                    // ranks and store; states not yet filled
xlm_status session_fill(session *s, bool weights_only); // from the checkpoint, --init-from, or initialisers

bool session_tokens_are_bytes(const session *s);

// The reference for MFU: the matrix-product rate (FLOP/s, in the run's type) of the machines with the run's
// threads, measured on all processes at once in about 0.1 s of each thread. On a GPU it is not measured: the
// peak that --cluster names, else 0 = unknown.
xlm_status session_peak_flops(session *s, double *flops);
bool session_has_own_peak(const session *s); // it is measured
int session_threads(const session *s);       // of all ranks of this process
// Does the plan fit? The fullest rank against --memory-limit or its share of the device's memory; on devices
// that use the host's, the total of this host's ranks against that.
xlm_status session_check_memory(session *s);
// Prints what the first rank takes of the device's own memory, planned and measured; nothing if it has none.
void session_show_memory(const session *s);
// Ranks of this host: the threads of a single process, or as the launcher says; 0 = it does not say.
int session_ranks_here(const session *s);
const char *session_ranks(const session *s); // "  4 ranks = pp 2 x tp 2, NCCL 2.28.9"; "" for one

// Is it a setting of the layout?
bool session_is_layout(xlm_setting_id id);

int command_train(int argc, char *const *argv);
int command_eval(int argc, char *const *argv);
int command_generate(int argc, char *const *argv);
int command_export(int argc, char *const *argv);
int command_bench(int argc, char *const *argv);
int command_data(int argc, char *const *argv);
int command_tokenize(int argc, char *const *argv);
int command_tokenizer(int argc, char *const *argv);
extern const char command_train_usage[], command_eval_usage[], command_generate_usage[],
    command_export_usage[], command_data_usage[], command_tokenizer_usage[], command_bench_usage[],
    command_tokenize_usage[];

#endif
