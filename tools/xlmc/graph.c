// xlmc graph: drawings of the model or of the graph of a training step. SVG is made by Graphviz's dot.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/report/html.h"
#include "runtime/plan/mesh.h"
#include "tools/common/request.h"
#include "tools/xlmc/xlmc.h"

const char xlmc_graph_usage[] =
    "usage: xlmc graph MODEL.xlm [settings] [--level model|train|partition|plan] "
    "[--format dot|svg|html|json|text] [--rank N | --stage N] [--depth N | --open] [--each] [--only SCOPE] "
    "[--output FILE]\n"
    "  --level model      the model; train: with its backward and the optimizer; partition: of one rank of "
    "the mesh, with its communication; plan: as it is run, fused\n"
    "  --rank N           of which rank (0); --stage N: of the first rank of this pipeline stage\n"
    "  --format html      one self-contained page for a browser, blocks open on click; text: a line per op\n"
    "  --depth N          boxes are blocks N levels deep (0: the outermost); --open: every op\n"
    "  --each             each of equal blocks, as the layers of a model; else one with their number\n"
    "  --only SCOPE       only what lies under this block, as layers.0\n"
    "  --output FILE      without --format, its ending chooses: .svg, .html, .json; else dot\n";

static const struct {
  const char *level, *pass;
  bool train, of_rank;
} levels[] = {{"model", "simplify", false, false},
              {"train", "recompute", true, false},
              {"partition", "pipeline", true, true},
              {"plan", "overlap", true, true}};
enum { LEVELS = sizeof levels / sizeof *levels };

static const struct {
  const char *name;
  void (*write)(const xlm_graph *, const xlm_graph_view *, xlm_text *);
} formats[] = {{"dot", xlm_report_graph_dot},
               {"svg", xlm_report_graph_dot},
               {"html", xlm_report_graph_html},
               {"json", xlm_report_graph_json},
               {"text", xlm_report_graph_text}};
enum { FORMATS = sizeof formats / sizeof *formats };

// Runs `dot -Tsvg` on the text; its output goes to --output or stdout.
static int run_dot(xlmc_job *j, const xlm_text *t) {
  int in[2];
  if (pipe(in)) return XLMC_ENV;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    dup2(in[0], STDIN_FILENO);
    close(in[0]);
    close(in[1]);
    if (j->flags.output)
      execlp("dot", "dot", "-Tsvg", "-o", j->flags.output, (char *)NULL);
    else
      execlp("dot", "dot", "-Tsvg", (char *)NULL);
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
  fputs("xlmc: Graphviz' `dot` did not make the picture; is the package graphviz installed? --format dot "
        "needs no dot\n",
        stderr);
  return XLMC_ENV;
}

static int find_level(const char *name) {
  for (int i = 0; i < LEVELS; i++)
    if (!strcmp(levels[i].level, name)) return i;
  fprintf(stderr, "xlmc: --level %s: a graph has the levels model, train, partition and plan\n", name);
  return -1;
}

static int find_format(const xlmc_job *j) {
  const char *name = j->flags.format, *ending = xlmc_output_ending(j);
  for (int i = 0; i < FORMATS; i++)
    if (!strcmp(formats[i].name, name ? name : ending)) return i;
  bool picture = !strcmp(ending, "png") || !strcmp(ending, "pdf") || !strcmp(ending, "jpg");
  if (!name && !picture) return 0;
  fprintf(stderr, "xlmc: --%s %s: a graph comes as dot, svg, html, json or text\n",
          name ? "format" : "output", name ? name : j->flags.output);
  return -1;
}

static int show(xlmc_job *j, int level, int format) {
  xlm_compile_options o;
  xlm_status s = xlm_request_options(
      j->settings, j->source, XLM_WITH_EVAL | (levels[level].train ? XLM_WITH_TRAIN : 0), 0, &o, &j->err);
  if (s == XLM_OK) s = xlmc_find_rank(j, levels[level].of_rank, "--level partition or plan", &o);
  if (s != XLM_OK) return xlmc_fail(j, s);
  const xlm_graph *g = NULL;
  xlm_compiled c;
  if (!xlmc_compile_with(j, &o, levels[level].pass, &g, &c) || !g) return XLMC_USER;
  xlm_text t = xlm_text_new(j->arena);
  xlm_graph_view view = {
      .depth = j->flags.open ? -1 : j->flags.depth, .only = j->flags.only, .each = j->flags.each, .mesh = &o.mesh};
  s = view.only ? xlm_view_check(g, &view, j->arena, &j->err) : XLM_OK;
  if (s != XLM_OK) return xlmc_fail(j, s);
  formats[format].write(g, &view, &t);
  (void)signal(SIGPIPE, SIG_IGN);
  return !strcmp(formats[format].name, "svg") ? run_dot(j, &t) : xlmc_print(j, t.data, t.n);
}

static int graph(xlmc_job *j) {
  int level = find_level(j->flags.level ? j->flags.level : "model"), format = find_format(j);
  return level < 0 || format < 0 ? XLMC_USER : show(j, level, format);
}

int xlmc_graph(int argc, char *const *argv) {
  return xlmc_run(argc, argv, xlmc_graph_usage, graph);
}
