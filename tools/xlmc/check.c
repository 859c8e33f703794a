// xlmc check: prints all errors, or a summary of the model. Does not require a loss, so that a model under
// construction can be checked.
#include <string.h>

#include "compiler/report/report.h"
#include "runtime/base/json.h"
#include "tools/xlmc/xlmc.h"

const char xlmc_check_usage[] =
    "usage: xlmc check MODEL.xlm [--preset NAME] [--set NAME=VALUE] [settings] [--format text|json] "
    "[--output FILE]\n"
    "  --format json   diagnostics and the model's parameters as data, whether there are errors or not\n";

static void as_json(xlmc_job *j, const xlm_graph *g, xlm_text *t) {
  xlm_json out;
  xlm_json_to_text(&out, t);
  xlm_json_object(&out, NULL, XLM_JSON_LINES);
  xlm_report_diags_json(&j->diags, "diagnostics", &out);
  if (g)
    xlm_report_model_json(g, j->arena, "model", &out);
  else
    xlm_json_put_null(&out, "model");
  xlm_json_close(&out);
  xlm_text_add(t, "\n");
}

static int check(xlmc_job *j) {
  xlm_compiled c;
  const xlm_graph *g = NULL;
  const char *format = j->flags.format ? j->flags.format : xlmc_output_ending(j);
  bool json = !strcmp(format, "json");
  if (j->flags.format && !json && strcmp(format, "text") != 0)
    return xlmc_fail(j, xlm_fail(&j->err, XLM_USER, "--format %s: a check comes as text or json", format));
  j->diags_are_output = json;
  bool ok = xlmc_compile(j, XLM_WITH_EVAL, "simplify", &g, &c);
  if (!ok && !(json && j->diags.errors)) return XLMC_USER;
  xlm_text t = xlm_text_new(j->arena);
  if (json)
    as_json(j, ok ? g : NULL, &t);
  else if (g)
    xlm_report_model_text(g, &t);
  int code = json ? xlmc_print(j, t.data, t.n) : xlmc_print_report(j, t.data, t.n);
  return code != XLMC_OK ? code : ok ? XLMC_OK : XLMC_USER;
}

int xlmc_check(int argc, char *const *argv) {
  return xlmc_run(argc, argv, xlmc_check_usage, check);
}
