// xlmc: the compiler's command line.
#include <stdio.h>
#include <string.h>

#include "tools/common/streams.h"
#include "tools/xlmc/xlmc.h"

static const struct {
  const char *name;
  int (*run)(int, char **);
  const char *what;
} commands[] = {
    {"check", xlmc_check, "errors, or a summary of the model"},
    {"fmt", xlmc_fmt, "the canonical text (--write: in place; --check: exit 1 if it differs)"},
    {"plan", xlmc_plan, "memory, FLOPs and kernels of a run; exits with 3 if it does not fit"},
    {"graph", xlmc_graph, "the graph as dot, svg or json"},
    {"dump", xlmc_dump, "the IR as text after a pass"},
    {"opt", xlmc_opt, "runs passes on IR text"},
    {"explain", xlmc_explain, "the meaning of a diagnostic's code"},
    {"ops", xlmc_ops, "the reference of all operations, as Markdown"},
    {"lsp", xlmc_lsp, "a language server, for editors"},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void usage(FILE *f) {
  fputs("usage: xlmc COMMAND MODEL.xlm [flags]\n\n", f);
  for (int i = 0; i < COMMANDS; i++) fprintf(f, "  %-8s %s\n", commands[i].name, commands[i].what);
  fputs("\n`xlmc COMMAND --help` lists the flags of a command.\n", f);
}

static int unknown(const char *name) {
  const char *names[COMMANDS];
  for (int i = 0; i < COMMANDS; i++) names[i] = commands[i].name;
  const char *near = xlm_text_nearest(name, names, COMMANDS);
  size_t n = strlen(name);
  if (n > 4 && !strcmp(name + n - 4, ".xlm")) {
    fprintf(stderr, "xlmc: the command comes before the model, as in `xlmc check %s`\n", name);
    return XLMC_USER;
  }
  fprintf(stderr, "xlmc: there is no command `%s`", name);
  if (near) fprintf(stderr, "; did you mean `%s`?", near);
  fputs("\n", stderr);
  if (!near) usage(stderr);
  return XLMC_USER;
}

static int run(int argc, char **argv) {
  if (argc < 2) {
    usage(stderr);
    return XLMC_USER;
  }
  if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
    usage(stdout);
    return XLMC_OK;
  }
  if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-v")) {
    puts("xlmc 0.1");
    return XLMC_OK;
  }
  for (int i = 0; i < COMMANDS; i++)
    if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 2, argv + 2);
  return unknown(argv[1]);
}

int main(int argc, char **argv) {
  xlm_streams_open();
  return xlm_streams_close("xlmc", run(argc, argv));
}
