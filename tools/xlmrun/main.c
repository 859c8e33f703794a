// xlmrun: train, evaluate, generate, benchmark.
#include <stdio.h>
#include <unistd.h>

#include "runtime/base/share.h"
#include "tools/common/command.h"
#include "tools/common/streams.h"
#include "tools/xlmrun/session.h"
#include "tools/xlmrun/view.h"

static int command_settings(int argc, char *const *argv) {
  if (argc)
    return fprintf(stderr, "xlmrun: settings takes no arguments: what is `%s`?\n", argv[0]), EXIT_USER;
  xlm_arena *a = xlm_arena_new(0);
  if (!a || !XLM_ARENA_TRY(a)) return fputs("xlmrun: no memory\n", stderr), EXIT_ENVIRONMENT;
  xlm_text t = xlm_text_new(a);
  xlm_settings_document(&t);
  fputs(t.data, stdout);
  xlm_arena_free(a);
  return 0;
}

static const xlm_command commands[] = {
    {"train", command_train, "train a model on text or tokens; go on with a run", 't', command_train_usage},
    {"eval", command_eval, "loss and perplexity of a checkpoint on held-out data; HellaSwag, ARC and the like", 'e', command_eval_usage},
    {"generate", command_generate, "let a checkpoint write", 'g', command_generate_usage},
    {"export", command_export, "weights as files of other tools", 'x', command_export_usage},
    {"bench", command_bench, "tokens per second, and where the time goes", 'b', command_bench_usage},
    {"data", command_data, "what is in files of text, documents, tokens or records", 'd', command_data_usage},
    {"tokenize", command_tokenize, "make files of tokens out of text, JSON lines and tables", 'k',
     command_tokenize_usage},
    {"watch", command_watch, "follow a run: a plot in the terminal", 0, command_watch_usage},
    {"runs", command_runs, "training runs and their checkpoints, as a table", 0, command_runs_usage},
    {"report", command_report, "a page for a browser over runs: curves, settings that differ", 0,
     command_report_usage},
    {"tokenizer", command_tokenizer, "train a tokenizer; what one makes of a text", 'v',
     command_tokenizer_usage},
    {"settings", command_settings, "all settings of all commands, as a Markdown table"},
};
static const char *const exits[] = {
    "0 done",
    "1 a mistake in the model, the settings or on the command line",
    "2 a failure of the environment: memory, files, MPI, a device, another rank; or training that diverged",
    "3 the run does not fit in memory",
    "130 interrupted",
    NULL};
static const xlm_hint hints[] = {{"check", "`xlmc check` finds errors in models"},
                                 {"plan", "`xlmc plan` shows memory and kernels of a run"},
                                 {"graph", "`xlmc graph` draws models"},
                                 {"fmt", "`xlmc fmt` formats models"},
                                 {"resume", "`xlmrun train --resume` continues a run"},
                                 {"finetune", "`xlmrun train MODEL --init-from WEIGHTS` starts from weights"},
                                 {"sample", "`xlmrun generate` lets a checkpoint write"},
                                 {"infer", "`xlmrun generate` lets a checkpoint write"},
                                 {"chat", "`xlmrun generate` lets a checkpoint write"},
                                 {"test", "`xlmrun eval` evaluates a checkpoint"},
                                 {"evaluate", "`xlmrun eval` evaluates a checkpoint"},
                                 {"tasks", "`xlmrun eval --tasks list` shows evaluation tasks"},
                                 {"benchmark", "`xlmrun bench` measures"},
                                 {"convert", "`xlmrun export` writes files of other tools"},
                                 {"gguf", "`xlmrun export --format gguf` writes a file for llama.cpp"},
                                 {"plot", "`xlmrun report` draws curves of runs"},
                                 {"prepare", "`xlmrun tokenize` makes files of tokens"},
                                 {NULL}};
static const xlm_program program = {"xlmrun",
                                    "trains, evaluates and measures language models, and lets them write",
                                    commands,
                                    sizeof commands / sizeof *commands,
                                    exits,
                                    hints,
                                    xlm_comm_mpi_built};

// A package has xlmrun without MPI, which not everyone has, and apart from it the same program with MPI.
// Under mpirun and srun that one takes this one's place; returns if there is none.
static void become_program_for_mpi(char **argv) {
  xlm_arena *a = xlm_arena_new(0);
  if (a && XLM_ARENA_TRY(a)) {
    const char *path = xlm_share_program(a, "xlmrun");
    if (path) execv(path, argv);
  }
  xlm_arena_free(a);
}

int main(int argc, char **argv) {
  if (!xlm_comm_mpi_built() && xlm_comm_started() > 1) become_program_for_mpi(argv);
  xlm_streams_open();
  return xlm_streams_close("xlmrun", xlm_program_run(&program, argc, argv));
}
