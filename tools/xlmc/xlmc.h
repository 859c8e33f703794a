// xlmc: check, format, plan and show models. Each command is a file; this header has what they share.
#ifndef XLM_XLMC_XLMC_H
#define XLM_XLMC_XLMC_H

#include "compiler/driver/passes.h"
#include "tools/common/settings.h"

enum { XLMC_OK = 0, XLMC_USER = 1, XLMC_ENV = 2, XLMC_DOES_NOT_FIT = 3 };

typedef struct xlmc_flags { // xlmc's own flags; all others are settings of the run
  const char *format, *level, *after, *output, *only, *cluster, *devices, *trace, *rank, *stage, *pass,
      *program;
  int depth, chunk;
  bool write, check, open, each, help, search, time_passes;
} xlmc_flags;

typedef struct xlmc_job {
  xlm_arena *arena;
  xlmc_flags flags;
  xlm_run_settings *settings;
  const xlm_source *source; // with the files that it uses
  const char *text;         // of the model's file: n bytes
  size_t n;
  bool shipped;          // it lies elsewhere than its path says
  const char *plan_path; // of a saved plan instead of a model; NULL: none
  const xlm_plan *plan;
  bool diags_are_output; // not printed as messages
  xlm_diags diags;
  xlm_error err;
} xlmc_job;

// Runs a command: removes xlmc's own flags from argv, reads the rest as settings, opens the model and calls
// `command`. The arena's recovery point is in its frame: when memory runs out anywhere, it prints a message
// and returns XLMC_ENV. Returns the exit code.
int xlmc_run(int argc, char *const *argv, const char *usage, int (*command)(xlmc_job *j));
// Prints the diagnostics to stderr; returns the exit code for them.
int xlmc_tell(xlmc_job *j);
int xlmc_fail(xlmc_job *j, xlm_status s); // prints err
// Compiles according to the settings. dump_after: see xlm_compile.
bool xlmc_compile(xlmc_job *j, uint32_t programs, const char *dump_after, const xlm_graph **dump,
                  xlm_compiled *out);
// Compiles with these options.
bool xlmc_compile_with(xlmc_job *j, const xlm_compile_options *o, const char *dump_after,
                       const xlm_graph **dump, xlm_compiled *out);
// Finds a pass by name; otherwise j->err lists the known ones.
xlm_status xlmc_find_pass(xlmc_job *j, const char *name, size_t n, xlm_pass_id *id) XLM_MUST_CHECK;
// Finds the rank selected by --rank or --stage; of_rank: does the graph at `where` belong to a rank?
xlm_status xlmc_find_rank(xlmc_job *j, bool of_rank, const char *where,
                          xlm_compile_options *o) XLM_MUST_CHECK;
// The program that --program names, or `unset`.
xlm_status xlmc_find_program(xlmc_job *j, xlm_program_id unset, xlm_program_id *out) XLM_MUST_CHECK;
// The programs of the plan in which it is shown, a set of XLM_WITH_..: training is evaluated, and decoding
// begins with a prefill.
uint32_t xlmc_programs_with(xlm_program_id p);
// The sequences that a data-parallel rank decodes at once; 0: as training has it (xlm_request_options).
int64_t xlmc_sequences(const xlmc_job *j, xlm_program_id p);
xlm_status xlmc_need_program(xlmc_job *j, const xlm_plan *plan, xlm_program_id p) XLM_MUST_CHECK;
// The ending of --output, as "html"; "" if there is none.
const char *xlmc_output_ending(const xlmc_job *j);
int xlmc_print(xlmc_job *j, const char *text, size_t n); // to --output or stdout
// The same for text that only people read: it fits the terminal.
int xlmc_print_report(xlmc_job *j, const char *text, size_t n);

int xlmc_check(int argc, char *const *argv);
int xlmc_fmt(int argc, char *const *argv);
int xlmc_plan(int argc, char *const *argv);
int xlmc_graph(int argc, char *const *argv);
int xlmc_dump(int argc, char *const *argv);
int xlmc_opt(int argc, char *const *argv);
int xlmc_explain(int argc, char *const *argv);
int xlmc_ops(int argc, char *const *argv);
int xlmc_lsp(int argc, char *const *argv);

extern const char xlmc_check_usage[], xlmc_fmt_usage[], xlmc_plan_usage[], xlmc_graph_usage[],
    xlmc_dump_usage[], xlmc_opt_usage[], xlmc_explain_usage[], xlmc_ops_usage[], xlmc_lsp_usage[];

#endif
