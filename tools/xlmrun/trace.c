// The trace of a run; see trace.h.
#include "tools/xlmrun/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "compiler/report/trace.h"
#include "tools/common/request.h"

enum { MOST_STEPS = 1000 }; // all are recorded before anything is written

static bool read_range(const char *text, int64_t *first, int64_t *last) {
  char *end;
  *first = *last = strtoll(text, &end, 10);
  if (end == text) return false;
  if (*end == ':') {
    text = end + 1;
    *last = strtoll(text, &end, 10);
  }
  return end != text && !*end && *first >= 1 && *last >= *first;
}

static xlm_status find_steps(session *s, int64_t steps, xlm_tracer_options *o) {
  const char *text = xlm_setting_text(s->settings, XLM_SET_trace_steps);
  if (!read_range(text, &o->first, &o->last))
    return xlm_fail(&s->err, XLM_USER,
                    "--trace-steps: '%s' is no range of steps, as in 2:3 (FIRST:LAST, counted from 1)", text);
  if (o->last - o->first >= MOST_STEPS)
    return xlm_fail(&s->err, XLM_USER, "--trace-steps: %s are too many to keep; at most %d", text,
                    MOST_STEPS);
  if (o->first > steps)
    return xlm_fail(&s->err, XLM_USER,
                    "--trace-steps: the trace would begin with step %" PRId64 " and this run has %" PRId64
                    "; give --trace-steps 1, or more steps",
                    o->first, steps);
  return XLM_OK;
}

typedef struct planned {
  const xlm_plan *plan;
  xlm_cluster cluster;
  xlm_estimate estimate;
} planned;

static void add_planned(void *arg, xlm_arena *a, xlm_json *j) {
  const planned *p = arg;
  xlm_report_trace_events(p->plan, &p->cluster, &p->estimate, a, j);
}

// Adds the planned step, in the process that writes.
static xlm_status plan_events(session *s, xlm_tracer_options *o) {
  const char *name = xlm_setting_text(s->settings, XLM_SET_cluster);
  if (!*name || xlm_team_process(s->team)) return XLM_OK;
  planned *p = XLM_NEW(s->arena, planned);
  p->plan = s->plan;
  XLM_TRY(xlm_request_cluster(s->arena, s->model_path, name, &p->cluster, &s->err));
  p->estimate = xlm_estimate_plan(s->plan, &p->cluster, s->arena);
  o->planned = add_planned, o->planned_arg = p;
  return XLM_OK;
}

xlm_status session_open_trace(session *s, int64_t steps) {
  xlm_tracer_options o = {.path = xlm_setting_text(s->settings, XLM_SET_trace)};
  if (!*o.path && *xlm_setting_text(s->settings, XLM_SET_cluster) && session_has_own_peak(s))
    return xlm_fail(&s->err, XLM_USER, "--cluster goes with --trace FILE: it puts the planned step into it");
  if (!*o.path) return XLM_OK;
  XLM_TRY(find_steps(s, steps, &o));
  XLM_TRY(plan_events(s, &o));
  if (xlm_tracer_open(s->team, &o, &s->tracer, &s->err) == XLM_OK) return XLM_OK;
  return xlm_fail_in(&s->err, "--trace");
}

void session_show_trace(const session *s) {
  if (!s->tracer) return;
  if (xlm_tracer_written(s->tracer))
    printf("trace      %s\n", xlm_setting_text(s->settings, XLM_SET_trace));
  else
    printf("no trace: the run ended before its first traced step\n");
}
