// The estimate of a plan on a cluster, as text: of a training step, or of a run of other programs.
#include "compiler/report/plan_page.h"

static void step(const xlm_plan *p, const xlm_plan_page *o, xlm_text *t) {
  const xlm_estimate *e = o->estimate;
  xlm_arena *a = t->arena;
  xlm_text_printf(t, "\nestimate on %s  ", o->cluster->name);
  if (e->schedule->stages > 1) xlm_text_printf(t, "bubble %.1f %%   ", 100 * e->bubble);
  xlm_text_printf(t, "step %s   %s tokens/s", xlm_report_seconds(a, e->step),
                  xlm_text_count(a, e->tokens_per_second));
  if (p->n_ranks > 1)
    xlm_text_printf(t, ", %s per rank", xlm_text_count(a, e->tokens_per_second / p->n_ranks));
  xlm_text_printf(t, "   %.1f %% MFU\n", 100 * e->mfu);
  xlm_text_printf(t, "  the busiest rank computes for %s (%s with every kernel at its bound)",
                  xlm_report_seconds(a, e->compute), xlm_report_seconds(a, e->floor));
  if (e->communication > 0) {
    xlm_text_printf(t, " and communicates for %s", xlm_report_seconds(a, e->communication));
    xlm_text_printf(t,
                    ";\n  a collective runs beside kernels when its operands are there and its memory is "
                    "free; one after the "
                    "other the step takes %s",
                    xlm_report_seconds(a, e->step_serial));
  }
  xlm_text_add(t, "\n");
}

static void run(const xlm_plan *p, const xlm_cluster *c, xlm_program_id program, xlm_text *t) {
  xlm_arena *a = t->arena;
  xlm_run_estimate e = xlm_estimate_run(p, c, program, a);
  if (!(e.seconds > 0)) return;
  xlm_text_printf(t, "  %-6s %s   %s tokens/s", xlm_report_run_name(program),
                  xlm_report_seconds(a, e.seconds), xlm_text_count(a, e.tokens_per_second));
  if (p->n_ranks > 1)
    xlm_text_printf(t, ", %s per rank", xlm_text_count(a, e.tokens_per_second / p->n_ranks));
  xlm_text_printf(t, "   kernels %s (%s with every kernel at its bound)", xlm_report_seconds(a, e.compute),
                  xlm_report_seconds(a, e.floor));
  if (e.communication > 0) xlm_text_printf(t, ", communication %s", xlm_report_seconds(a, e.communication));
  xlm_text_add(t, "\n");
}

void xlm_report_estimate(const xlm_plan *p, const xlm_plan_page *o, xlm_text *t) {
  if (o->estimate) step(p, o, t);
  if (!o->cluster || o->program == XLM_PROGRAM_TRAIN) return;
  xlm_text_printf(t, "\nestimate on %s, of a run with sequences of full length\n", o->cluster->name);
  if (o->program == XLM_PROGRAM_EVAL)
    run(p, o->cluster, o->program, t);
  else
    for (int i = XLM_PROGRAM_DECODE; i >= XLM_PROGRAM_PREFILL; i--) run(p, o->cluster, (xlm_program_id)i, t);
}
