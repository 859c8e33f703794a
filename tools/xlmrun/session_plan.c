// The plan of a command: compiled here, or a saved one; what is wrong with it is shown as diagnostics.
#include <stdio.h>
#include <unistd.h>

#include "tools/common/request.h"
#include "tools/common/terminal.h"
#include "tools/xlmrun/live.h"
#include "tools/xlmrun/saved_plan.h"
#include "tools/xlmrun/session_priv.h"

static void show_diagnostics(session *s, const xlm_diags *d) {
  if (!d->n || s->silent) return;
  xlm_text t = xlm_text_new(s->arena);
  live_clear();
  xlm_diag_render(d, xlm_terminal_color(STDERR_FILENO), &t);
  fputs(t.data, stderr);
}

static xlm_status use_saved(session *s, uint32_t programs) {
  XLM_TRY(saved_plan_settle(s, programs));
  XLM_TRY(session_connect(s, &s->plan->mesh));
  XLM_TRY(session_settle_threads(s));
  return session_check_memory(s);
}

// The options of a plan, and the plan; NULL, with errors in d.
static xlm_status compile(session *s, uint32_t programs, int64_t batch, xlm_diags *d) {
  XLM_TRY(session_check_threads(s));
  XLM_TRY(xlm_request_options(s->settings, s->source, programs, batch, &s->options, &s->err));
  s->options.outputs_only = batch > 0;
  XLM_TRY(session_connect(s, &s->options.mesh));
  if (s->mpi) s->options.target.threads = session_process_threads(s);
  if (s->mpi && s->options.memory_limit)
    s->options.memory_limit =
        xlm_request_memory(s->settings, NULL, session_ranks_here(s) ? session_ranks_here(s) : 1);
  xlm_diags_init(d, s->arena, s->source);
  s->plan = xlm_compile(s->arena, s->source, &s->options, d, NULL, NULL).plan;
  return XLM_OK;
}

static xlm_status settle_plan(session *s, const xlm_diags *d) {
  show_diagnostics(s, d);
  if (s->plan) return session_check_memory(s);
  s->told = d->errors > 0;
  return xlm_fail(&s->err, XLM_USER, "'%s' cannot be planned", s->model_path);
}

xlm_status session_compile(session *s, uint32_t programs, int64_t batch) {
  xlm_diags d;
  if (s->saved) return use_saved(s, programs);
  XLM_TRY(compile(s, programs, batch, &d));
  return settle_plan(s, &d);
}

// The first error, with its line.
static const char *reason(session *s, const xlm_diags *d) {
  for (uint32_t i = 0; i < d->n; i++) {
    const xlm_diag *x = &d->at[i];
    if (!xlm_diag_is_error(x->id)) continue;
    if (!x->n_labels) return x->text;
    uint32_t line = xlm_source_line(s->source, x->labels[0].span.begin);
    xlm_model_line at = xlm_text_line(s->source->path, s->source->text, line);
    return xlm_arena_printf(s->arena, "%s (%.*s:%u)", x->text, at.n, at.path, at.line);
  }
  return "";
}

xlm_status session_compile_decoding(session *s, int64_t batch, const char **why_not) {
  xlm_diags d;
  *why_not = NULL;
  bool steps = s->saved && xlm_plan_has(s->plan->rank_plans[0], XLM_PROGRAM_DECODE);
  if (s->saved) return use_saved(s, steps ? XLM_WITH_PREFILL | XLM_WITH_DECODE : XLM_WITH_EVAL);
  XLM_TRY(compile(s, XLM_WITH_PREFILL | XLM_WITH_DECODE, batch, &d));
  if (s->plan) return settle_plan(s, &d);
  *why_not = reason(s, &d);
  return session_compile(s, XLM_WITH_EVAL, batch); // reports what is wrong with the model itself
}
