// Saved plans; see saved_plan.h.
#include "tools/xlmrun/saved_plan.h"

#include <string.h>

#include "tools/common/request.h"

xlm_status saved_plan_open(session *s, const char *path) {
  XLM_TRY(xlm_plan_file_read(s->arena, path, &s->plan, &s->err));
  s->saved = path;
  s->model_path = s->plan->source_path;
  s->model_text = s->plan->source_text;
  return XLM_OK;
}

// ---- settings ----

static const char *value_in(const xlm_plan *p, xlm_setting_id id) {
  xlm_setting_id of;
  for (uint32_t i = 0; i < p->n_settings; i++)
    if (xlm_settings_find_path(p->settings[i].key, &of) && of == id) return p->settings[i].value;
  return "";
}

// Resolves flags that are public names of the model, which the plan lists.
static xlm_status resolve_flags(session *s) {
  xlm_public_name *names = NULL;
  uint32_t n = 0, cap = 0;
  for (uint32_t i = 0; i < s->plan->n_config; i++) {
    const xlm_plan_config *c = &s->plan->config[i];
    XLM_PUSH(s->arena, names, n, cap, ((xlm_public_name){c->name, c->name}));
    for (int k = 0; k < c->n_aliases; k++)
      XLM_PUSH(s->arena, names, n, cap, ((xlm_public_name){c->alias[k], c->name}));
  }
  return xlm_settings_resolve(s->settings, names, (int)n, &s->err);
}

static const char *on_one_line(session *s, const char *list) {
  char *text = xlm_arena_strdup(s->arena, list);
  for (char *c = text; *c; c++)
    if (*c == '\n') *c = ' ';
  return text;
}

// The run file with which the plan was made may be given again, but not flags for settings of the plan.
static xlm_status refuse_given(session *s, xlm_setting_id id) {
  const xlm_setting_value *v = &s->settings->value[id];
  const char *given = xlm_settings_whole(s->settings, id), *fixed = value_in(s->plan, id);
  if (v->source <= XLM_FROM_CHECKPOINT || (v->source == XLM_FROM_FILE && !strcmp(given, fixed)))
    return XLM_OK;
  return xlm_fail(&s->err, XLM_USER,
                  "%s: the plan '%s' fixes it%s%s%s: leave it out, or make the plan again with `xlmc plan`",
                  v->where, s->saved, *fixed ? " (" : "", on_one_line(s, fixed), *fixed ? ")" : "");
}

static xlm_status take_setting(session *s, const xlm_plan_setting *x) {
  xlm_setting_id id;
  if (!xlm_settings_find_path(x->key, &id) || !xlm_settings_makes_plan(id))
    return xlm_fail(&s->err, XLM_USER, "'%s': `%s` is not a setting of a plan", s->saved, x->key);
  return xlm_settings_put_whole(s->settings, id, x->value, XLM_FROM_FLAG, s->saved, &s->err);
}

static xlm_status take_seed(session *s) { // a run may choose another seed; a checkpoint has its own
  if (s->settings->value[XLM_SET_seed].source == XLM_FROM_DEFAULT)
    XLM_TRY(xlm_settings_put(s->settings, XLM_SET_seed,
                             xlm_arena_printf(s->arena, "%lld", (long long)s->plan->seed),
                             XLM_FROM_CHECKPOINT, s->saved, &s->err));
  s->options.seed = (uint64_t)xlm_setting_int(s->settings, XLM_SET_seed);
  return XLM_OK;
}

// ---- programs ----

static xlm_status lacks(session *s, xlm_program_id p, uint32_t programs) {
  if (p == XLM_PROGRAM_TRAIN)
    return xlm_fail(&s->err, XLM_USER, "'%s' has no schedule: it is not a plan for training", s->saved);
  if (programs & XLM_WITH_TRAIN)
    return xlm_fail(&s->err, XLM_USER, "'%s' has no program `%s`: give --eval-interval 0", s->saved,
                    xlm_program_name(p));
  return xlm_fail(&s->err, XLM_USER, "'%s' has no program `%s`: make it with `xlmc plan --program %s`",
                  s->saved, xlm_program_name(p), xlm_program_name(p));
}

static xlm_status need_programs(session *s, uint32_t programs) {
  for (uint32_t c = 0; c < s->plan->n_rank_plans; c++)
    for (int p = 0; p < XLM_PROGRAMS; p++)
      if (programs >> p & 1 && !xlm_plan_has(s->plan->rank_plans[c], (xlm_program_id)p))
        return lacks(s, (xlm_program_id)p, programs);
  return XLM_OK;
}

static xlm_status refuse_arch(session *s) { // the plan names its kernels
  const char *asked = xlm_setting_text(s->settings, XLM_SET_arch);
  if (!*asked || !strcmp(asked, s->plan->target.arch)) return XLM_OK;
  return xlm_fail(&s->err, XLM_USER,
                  "%s %s: the plan '%s' is for %s: make the plan again with `xlmc plan --arch %s`",
                  s->settings->value[XLM_SET_arch].where, asked, s->saved, s->plan->target.arch, asked);
}

xlm_status saved_plan_settle(session *s, uint32_t programs) {
  XLM_TRY(resolve_flags(s));
  XLM_TRY(refuse_arch(s));
  for (int i = 0; i < XLM_SETTING_COUNT; i++)
    if (xlm_settings_makes_plan((xlm_setting_id)i)) XLM_TRY(refuse_given(s, (xlm_setting_id)i));
  for (uint32_t i = 0; i < s->plan->n_settings; i++) XLM_TRY(take_setting(s, &s->plan->settings[i]));
  bool never = programs & XLM_WITH_TRAIN && !xlm_setting_int(s->settings, XLM_SET_eval_interval);
  XLM_TRY(need_programs(s, never ? programs & ~(uint32_t)XLM_WITH_EVAL : programs));
  s->options.mesh = s->plan->mesh;
  return take_seed(s);
}

void saved_plan_hide_settings(xlm_run_settings *r) {
  for (int i = 0; i < XLM_SETTING_COUNT; i++)
    if (xlm_settings_makes_plan((xlm_setting_id)i) ||
        (i == XLM_SET_seed && r->value[i].source == XLM_FROM_DEFAULT))
      r->value[i] = (xlm_setting_value){.where = "", .text = ""};
}
