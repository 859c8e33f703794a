// xlmc check: all mistakes, or the model on one screen. Needs no loss, so that a model under construction can
// be checked.
#include "compiler/report/report.h"
#include "tools/xlmc/xlmc.h"

static const char usage[] =
    "usage: xlmc check MODEL.xlm [--preset NAME] [--set NAME=VALUE] [settings] [--output FILE]\n";

int xlmc_check(int argc, char **argv) {
  xlmc_job j;
  int code;
  if (!xlmc_open(&j, argc, argv, usage, &code)) return code;
  xlm_compiled c;
  const xlm_graph *g = NULL;
  if (!xlmc_compile(&j, false, true, "simplify", &g, &c)) return xlmc_close(&j, XLMC_USER);
  xlm_text t = xlm_text_new(j.arena);
  if (g) xlm_report_model_text(g, &t);
  return xlmc_close(&j, xlmc_print(&j, t.data, t.n));
}
