// xlmc graph: drawings of the model or of the graph of a training step. SVG is made by Graphviz' dot.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/report/report.h"
#include "tools/xlmc/xlmc.h"

static const char usage[] =
    "usage: xlmc graph MODEL.xlm [settings] [--level model|train|plan] [--format dot|svg|json] [--depth N | --open]\n"
    "  --level model   the model; train: with its backward and the optimizer; plan: as it is run, fused\n"
    "  --depth N       boxes are blocks N levels deep (0: the outermost); --open: every op\n"
    "  --only SCOPE    only what lies under this block, as layers.0\n  --output FILE\n";

static const struct {
  const char *level, *pass;
  bool train;
} levels[] = {{"model", "simplify", false}, {"train", "recompute", true}, {"plan", "fuse", true}};

// Feeds the text to `dot -Tsvg`, whose output goes to --output or stdout.
static int run_dot(xlmc_job *j, const xlm_text *t) {
  int in[2];
  if (pipe(in)) return XLMC_ENV;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    dup2(in[0], STDIN_FILENO);
    close(in[0]);
    close(in[1]);
    if (j->flags.output) execlp("dot", "dot", "-Tsvg", "-o", j->flags.output, (char *)NULL);
    else execlp("dot", "dot", "-Tsvg", (char *)NULL);
    _exit(127);
  }
  close(in[0]);
  bool ok = child > 0;
  for (size_t at = 0; ok && at < t->n;) {
    ssize_t n = write(in[1], t->data + at, t->n - at);
    if (n < 0 && errno != EINTR) ok = false;
    if (n > 0) at += (size_t)n;
  }
  close(in[1]);
  int status = 0;
  if (child > 0) waitpid(child, &status, 0);
  if (ok && WIFEXITED(status) && WEXITSTATUS(status) == 0) return XLMC_OK;
  fputs("xlmc: Graphviz' `dot` did not make the picture; is the package graphviz installed? --format dot needs no dot\n", stderr);
  return XLMC_ENV;
}

int xlmc_graph(int argc, char **argv) {
  xlmc_job j;
  int code;
  if (!xlmc_open(&j, argc, argv, usage, &code)) return code;
  const char *format = j.flags.format ? j.flags.format : "dot", *level = j.flags.level ? j.flags.level : "model";
  size_t l = 0;
  while (l < sizeof levels / sizeof *levels && strcmp(levels[l].level, level)) l++;
  bool known = !strcmp(format, "dot") || !strcmp(format, "svg") || !strcmp(format, "json");
  if (l == sizeof levels / sizeof *levels || !known) {
    fprintf(stderr, "xlmc: --%s %s: %s\n", known ? "level" : "format", known ? level : format,
            known ? "a graph has the levels model, train and plan" : "a graph comes as dot, svg or json");
    return xlmc_close(&j, XLMC_USER);
  }
  const xlm_graph *g = NULL;
  xlm_compiled c;
  if (!xlmc_compile(&j, levels[l].train, true, levels[l].pass, &g, &c) || !g) return xlmc_close(&j, XLMC_USER);
  xlm_text t = xlm_text_new(j.arena);
  xlm_graph_view view = {.depth = j.flags.open ? -1 : j.flags.depth, .only = j.flags.only};
  if (!strcmp(format, "json")) xlm_report_graph_json(g, &t);
  else xlm_report_graph_dot(g, &view, &t);
  (void)signal(SIGPIPE, SIG_IGN);
  code = !strcmp(format, "svg") ? run_dot(&j, &t) : xlmc_print(&j, t.data, t.n);
  return xlmc_close(&j, code);
}
