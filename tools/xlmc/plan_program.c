// Which program of a plan is shown (--program), and which the plan has for it.
#include "tools/xlmc/xlmc.h"

static bool decodes(xlm_program_id p) {
  return p == XLM_PROGRAM_PREFILL || p == XLM_PROGRAM_DECODE || p == XLM_PROGRAM_ENCODE;
}

xlm_status xlmc_find_program(xlmc_job *j, xlm_program_id unset, xlm_program_id *out) {
  const char *name = j->flags.program;
  int p = unset;
  xlm_text all = xlm_text_new(j->arena);
  xlm_enum_list(XLM_ENUM_PROGRAM, 0, &all);
  if (name && !xlm_enum_find(XLM_ENUM_PROGRAM, name, &p))
    return xlm_fail(&j->err, XLM_USER, "--program %s: the programs of a plan are %s", name, all.data);
  *out = (xlm_program_id)p;
  const char *of_steps = j->flags.trace ? "--trace" : j->flags.search ? "--auto" : NULL;
  if (p == XLM_PROGRAM_TRAIN || !of_steps) return XLM_OK;
  if (!name)
    return xlm_fail(&j->err, XLM_USER, "%s is about training steps, and the plan `%s` has none", of_steps,
                    j->plan_path);
  return xlm_fail(&j->err, XLM_USER, "%s is about training steps: leave out --program %s", of_steps, name);
}

uint32_t xlmc_programs_with(xlm_program_id p) {
  if (decodes(p)) return XLM_WITH_PREFILL | XLM_WITH_DECODE | (p == XLM_PROGRAM_ENCODE ? XLM_WITH_ENCODE : 0);
  return p == XLM_PROGRAM_TRAIN ? XLM_WITH_TRAIN | XLM_WITH_EVAL : XLM_WITH_EVAL;
}

int64_t xlmc_sequences(const xlmc_job *j, xlm_program_id p) {
  int64_t n = xlm_setting_int(j->settings, XLM_SET_micro_batch_size);
  return !decodes(p) ? 0 : n > 0 ? n : 1;
}

xlm_status xlmc_need_program(xlmc_job *j, const xlm_plan *plan, xlm_program_id p) {
  const xlm_rank_plan *r = plan->rank_plans[0];
  if (xlm_plan_has(r, p)) return XLM_OK;
  xlm_text has = xlm_text_new(j->arena);
  for (int k = 0; k < XLM_PROGRAMS; k++)
    if (xlm_plan_has(r, (xlm_program_id)k))
      xlm_text_printf(&has, "%s%s", has.n ? ", " : "", xlm_program_name((xlm_program_id)k));
  return xlm_fail(&j->err, XLM_USER, "--program %s: the plan `%s` does not have it; it has %s",
                  xlm_program_name(p), j->plan_path, has.data);
}
