// xlmc plan: the complete plan, as a page or as JSON (docs/plan.md).
#include <stdio.h>
#include <string.h>

#include "compiler/report/report.h"
#include "tools/common/request.h"
#include "tools/xlmc/xlmc.h"

static const char usage[] = "usage: xlmc plan MODEL.xlm [settings] [--format text|json] [--output FILE]\n"
                            "  --format json   the plan itself, every tensor and instruction (docs/plan.md)\n";

// A plan for fewer ranks than were asked for would be a wrong answer.
static xlm_status check_ranks(xlmc_job *j, const xlm_plan *p) {
  static const xlm_setting_id axes[] = {XLM_SET_tp, XLM_SET_pp, XLM_SET_dp, XLM_SET_ep, XLM_SET_cp};
  int64_t asked = 1;
  for (size_t i = 0; i < sizeof axes / sizeof *axes; i++) asked *= xlm_setting_int(j->settings, axes[i]);
  if (asked == p->n_ranks) return XLM_OK;
  return xlm_fail(&j->err, XLM_USER, "%lld ranks were asked for; this version plans for one", (long long)asked);
}

int xlmc_plan(int argc, char **argv) {
  xlmc_job j;
  int code;
  if (!xlmc_open(&j, argc, argv, usage, &code)) return code;
  const char *format = j.flags.format ? j.flags.format : "text";
  if (strcmp(format, "text") && strcmp(format, "json")) {
    fprintf(stderr, "xlmc: --format %s: a plan comes as text or json\n", format);
    return xlmc_close(&j, XLMC_USER);
  }
  uint64_t limit = 0;
  xlm_status s = xlm_request_memory(j.settings, &limit, &j.err);
  if (s != XLM_OK) return xlmc_close(&j, xlmc_fail(&j, s));
  xlm_compiled c;
  if (!xlmc_compile(&j, true, true, NULL, NULL, &c)) return xlmc_close(&j, XLMC_USER);
  s = check_ranks(&j, c.plan);
  if (s != XLM_OK) return xlmc_close(&j, xlmc_fail(&j, s));
  xlm_text t = xlm_text_new(j.arena);
  xlm_report_options o = {.memory_limit = limit, .with_train = true};
  if (!strcmp(format, "json")) xlm_plan_print_json(c.plan, &t);
  else xlm_report_plan_text(c.plan, &o, &t);
  code = xlmc_print(&j, t.data, t.n);
  bool fits = !limit || c.plan->classes[0]->arena_bytes <= limit;
  if (!fits) fputs("xlmc: try a smaller --micro-batch-size or --seq-length, or --recompute full\n", stderr);
  return xlmc_close(&j, code != XLMC_OK ? code : fits ? XLMC_OK : XLMC_DOES_NOT_FIT);
}
