// See train_text.h.
#include "tools/xlmrun/train_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/xlmrun/live.h"
#include "tools/xlmrun/run_settings.h"
#include "tools/xlmrun/samples.h"
#include "tools/xlmrun/trace.h"

void train_report(void *arg, xlm_loop_event event, const xlm_progress *p, const char *path) {
  char line[512];
  (void)arg;
  if (event == XLM_LOOP_BEGINS)
    live_phase(path);
  else if (event == XLM_LOOP_NOTE)
    live_clear(), fprintf(stderr, "xlmrun: note: %s\n", path);
  else if (event == XLM_LOOP_SAVED)
    live_print("saved %s", path);
  else if (event == XLM_LOOP_SAMPLED)
    samples_show(p);
  else if (event == XLM_LOOP_VALID)
    live_print("step %" PRId64 "/%" PRId64 "  validation loss %.4f", p->m.step, p->max_steps, p->m.val_loss);
  else
    xlm_progress_line(p, live_width(), line, sizeof line);
  if (event == XLM_LOOP_LOGGED)
    live_print("%s", line);
  else if (event == XLM_LOOP_STEP && live_is_shown())
    live_line(line);
}

static uint64_t arena_bytes(const session *s) { // of the local ranks
  uint64_t n = 0;
  for (int i = 0; i < xlm_team_size(s->team); i++) n += xlm_exec_arena_bytes(xlm_team_exec(s->team, i));
  return n;
}

void train_introduce(session *s, const corpus *c, const xlm_loop_options *o) {
  const xlm_plan *p = s->plan;
  int64_t batch = p->batch * p->microbatches;
  live_clear();
  printf("%s%s%s  %s parameters  %s  %s  %" PRId64 " x %" PRId64 " per step, %s%s  %s  %s\n", p->model,
         p->preset ? " " : "", p->preset ? p->preset : "", xlm_text_count(s->arena, p->parameters),
         xlm_dtype_name(p->dtype), corpus_size(s, c), batch, p->seq,
         xlm_text_plural(s->arena, p->microbatches, "microbatch"), session_ranks(s),
         xlm_text_bytes(s->arena, arena_bytes(s)), xlm_text_plural(s->arena, session_threads(s), "thread"));
  corpus_show_mixture(s, c, o->max_steps * batch);
  session_show_memory(s);
  if (o->first_step) printf("resumed from %s at step %" PRId64 "\n", s->checkpoint->path, o->first_step);
  if (o->first_step) run_settings_note_changes(s);
  if (o->first_step >= o->max_steps)
    printf("this run is done: it has all of its %" PRId64 " steps; continue with a larger --max-steps\n",
           o->max_steps);
  const char *before = s->checkpoint ? s->checkpoint->info.text_hash : NULL;
  if (before && strcmp(before, p->text_hash))
    printf("note: the model text or its sizes are not those of the checkpoint\n");
  if (s->checkpoint && *xlm_setting_text(s->settings, XLM_SET_init_from))
    printf("note: the weights are those of the checkpoint; --init-from %s is for a new run\n",
           xlm_setting_text(s->settings, XLM_SET_init_from));
  if (xlm_saver_bytes(o->saver))
    printf("asynchronous saves: copies of the states take %s beside the training\n",
           xlm_text_bytes(s->arena, xlm_saver_bytes(o->saver)));
  run_settings_note_idle(s);
  if (o->schedule.warmup > o->max_steps) // not an error if a long run is done in parts
    printf("note: the warm-up of %" PRId64
           " steps is longer than the run: the rate does not reach its peak\n",
           o->schedule.warmup);
  if (!c->has_valid && o->eval_interval)
    printf("the held-out data is shorter than one sample: no validation\n");
  fflush(stdout);
}

xlm_status train_conclude(session *s, const xlm_loop_options *o, const xlm_loop_result *r, const char *dir,
                          const char *metrics, const char *curve) {
  if (xlm_team_process(s->team)) return XLM_OK;
  const char *title =
      xlm_arena_printf(s->arena, "%s%s%s, %s parameters", s->plan->model, s->plan->preset ? " " : "",
                       s->plan->preset ? s->plan->preset : "", xlm_text_count(s->arena, s->plan->parameters));
  XLM_TRY(xlm_curve_write(o->curve, title, curve, &s->err));
  if (r->early)
    printf("ended at step %" PRId64 ": the validation loss has not fallen in %" PRId64
           " evaluations since step %" PRId64 " (%.4f)\n",
           r->step, r->best.since, r->best.step, r->best.loss);
  if (r->stopped)
    printf("stopped at step %" PRId64 "; continue with: xlmrun train --resume %s\n", r->step, dir);
  printf("checkpoint %s\nmetrics    %s\nloss curve %s\n", *r->checkpoint ? r->checkpoint : dir, metrics,
         curve);
  if (o->keep_best && r->best.step)
    printf("best       %s/best: validation loss %.4f at step %" PRId64 "\n", dir, r->best.loss, r->best.step);
  session_show_memory(s); // with the graphs
  session_show_trace(s);
  return XLM_OK;
}
