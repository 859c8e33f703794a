// xlmc check: prints all errors, or a summary of the model. Does not require a loss, so that a model under
// construction can be checked.
#include "compiler/report/report.h"
#include "tools/xlmc/xlmc.h"

const char xlmc_check_usage[] =
    "usage: xlmc check MODEL.xlm [--preset NAME] [--set NAME=VALUE] [settings] [--output FILE]\n";

static int check(xlmc_job *j) {
  xlm_compiled c;
  const xlm_graph *g = NULL;
  if (!xlmc_compile(j, false, true, "simplify", &g, &c)) return XLMC_USER;
  xlm_text t = xlm_text_new(j->arena);
  if (g) xlm_report_model_text(g, &t);
  return xlmc_print(j, t.data, t.n);
}

int xlmc_check(int argc, char *const *argv) {
  return xlmc_run(argc, argv, xlmc_check_usage, check);
}
