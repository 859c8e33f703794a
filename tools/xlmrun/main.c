// xlmrun: train, evaluate, generate, benchmark. Exit codes: 0 done, 1 user error, 2 failure of the
// environment (or diverged training), 3 the run does not fit in memory, 130 interrupted.
#include <stdio.h>
#include <string.h>

#include "tools/common/streams.h"
#include "tools/xlmrun/session.h"

static int command_settings(int argc, char *const *argv) {
  (void)argc, (void)argv;
  xlm_arena *a = xlm_arena_new(0);
  if (!a || !XLM_ARENA_TRY(a)) return fputs("xlmrun: no memory\n", stderr), EXIT_ENVIRONMENT;
  xlm_text t = xlm_text_new(a);
  xlm_settings_document(&t);
  fputs(t.data, stdout);
  xlm_arena_free(a);
  return 0;
}

static const struct {
  const char *name;
  int (*run)(int argc, char *const *argv);
  const char *help;
} commands[] = {
    {"train", command_train, "train a model on text or tokens; go on with a run"},
    {"eval", command_eval, "loss and perplexity of a checkpoint on held-out data"},
    {"generate", command_generate, "let a checkpoint write"},
    {"export", command_export, "weights as files of other tools"},
    {"bench", command_bench, "tokens per second, and where the time goes"},
    {"tokenize", command_tokenize, "make files of tokens out of text, JSON lines and tables"},
    {"settings", command_settings, "all settings of all commands, as a Markdown table"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void show_help(FILE *out) {
  fprintf(out, "usage: xlmrun COMMAND ... (xlmrun COMMAND --help lists its flags)\n\n");
  for (int i = 0; i < COMMANDS; i++) fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
}

static int unknown(const char *name) {
  const char *names[COMMANDS];
  for (int i = 0; i < COMMANDS; i++) names[i] = commands[i].name;
  const char *near = xlm_text_nearest(name, names, COMMANDS);
  fprintf(stderr, "xlmrun: unknown command '%s'%s%s%s\n", name, near ? "; did you mean '" : "",
          near ? near : "", near ? "'?" : "");
  show_help(stderr);
  return EXIT_USER;
}

static int run(int argc, char **argv) {
  if (argc < 2) return show_help(stderr), EXIT_USER;
  for (int i = 0; i < COMMANDS; i++)
    if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 2, argv + 2);
  if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-v")) return puts("xlmrun 0.1"), 0;
  if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
    return show_help(stdout), 0;
  return unknown(argv[1]);
}

int main(int argc, char **argv) {
  xlm_streams_open();
  return xlm_streams_close("xlmrun", run(argc, argv));
}
