// xlmc: the compiler's command line.
#include "tools/common/command.h"
#include "tools/common/streams.h"
#include "tools/xlmc/xlmc.h"

static const xlm_command commands[] = {
    {"check", xlmc_check, "errors, or a summary of the model", 'p', xlmc_check_usage},
    {"fmt", xlmc_fmt, "the canonical text (--write: in place; --check: exit 1 if it differs)", 0,
     xlmc_fmt_usage},
    {"plan", xlmc_plan, "memory, FLOPs and kernels of a run; exits with 3 if it does not fit", 'p',
     xlmc_plan_usage},
    {"graph", xlmc_graph, "the graph as dot, svg or json", 'p', xlmc_graph_usage},
    {"dump", xlmc_dump, "the IR as text after a pass", 'p', xlmc_dump_usage},
    {"opt", xlmc_opt, "runs passes on IR text", 'p', xlmc_opt_usage},
    {"explain", xlmc_explain, "the meaning of a diagnostic's code", 0, xlmc_explain_usage},
    {"ops", xlmc_ops, "the reference of all operations, as Markdown", 0, xlmc_ops_usage},
    {"lsp", xlmc_lsp, "a language server, for editors", 0, xlmc_lsp_usage},
};
static const char *const exits[] = {"0 done", "1 a mistake in the model or on the command line",
                                    "2 a failure of the environment: memory, files",
                                    "3 the plan does not fit in memory", NULL};
static const xlm_hint hints[] = {{"train", "`xlmrun train` trains"},
                                 {"eval", "`xlmrun eval` evaluates"},
                                 {"generate", "`xlmrun generate` generates"},
                                 {"bench", "`xlmrun bench` measures"},
                                 {"run", "`xlmrun train` trains"},
                                 {"models", "`xlmc --version` names the folder of the shipped models"},
                                 {"list", "`xlmc --version` names the folder of the shipped models"},
                                 {"ls", "`xlmc --version` names the folder of the shipped models"},
                                 {"presets", "`xlmc check MODEL --preset ?` lists a model's presets"},
                                 {"validate", "`xlmc check` finds errors"},
                                 {"lint", "`xlmc check` finds errors"},
                                 {"compile", "`xlmc plan` compiles"},
                                 {"format", "`xlmc fmt` formats"},
                                 {NULL}};
static const xlm_program program = {
    "xlmc",   "checks, formats, plans and draws language models written as text",
    commands, sizeof commands / sizeof *commands,
    exits,    hints};

int main(int argc, char **argv) {
  xlm_streams_open();
  return xlm_streams_close("xlmc", xlm_program_run(&program, argc, argv));
}
