// See run_schedule.h.
#include "tools/xlmrun/run_schedule.h"

#include <inttypes.h>
#include <math.h>

#include "tools/xlmrun/run_settings.h"

static const char *where_of(const session *s, xlm_setting_id id) {
  return s->settings->value[id].where;
}

static xlm_status check_schedule(session *s, xlm_schedule *c) {
  bool wsd = c->kind == XLM_WSD;
  if (c->min > c->peak && run_settings_given(s, XLM_SET_min_lr))
    return xlm_fail(&s->err, XLM_USER, "%s: %g lies above the learning rate of %g, its peak",
                    where_of(s, XLM_SET_min_lr), c->min, c->peak);
  if (c->min > c->peak) c->min = c->peak;
  if (wsd && c->warmup + c->decay > c->steps && run_settings_given(s, XLM_SET_decay_ratio))
    return xlm_fail(&s->err, XLM_USER,
                    "%s: %" PRId64 " steps of decay and %" PRId64 " of warm-up are more than the %" PRId64
                    " of the run",
                    where_of(s, XLM_SET_decay_ratio), c->decay, c->warmup, c->steps);
  return XLM_OK;
}

xlm_status run_schedule_find(session *s, xlm_schedule *c) {
  const xlm_run_settings *r = s->settings;
  *c = (xlm_schedule){.peak = xlm_setting_float(r, XLM_SET_learning_rate),
                      .min = xlm_setting_float(r, XLM_SET_min_lr),
                      .steps = xlm_setting_int(r, XLM_SET_max_steps)};
  bool known = xlm_schedule_parse(xlm_setting_text(r, XLM_SET_lr_schedule), &c->kind);
  XLM_ASSERT(known, "schedule %s", xlm_setting_text(r, XLM_SET_lr_schedule));
  c->warmup = (int64_t)llround(xlm_setting_float(r, XLM_SET_warmup_ratio) * (double)c->steps);
  if (xlm_setting_given(r, XLM_SET_warmup_steps)) c->warmup = xlm_setting_int(r, XLM_SET_warmup_steps);
  c->decay = (int64_t)llround(xlm_setting_float(r, XLM_SET_decay_ratio) * (double)c->steps);
  return check_schedule(s, c);
}
