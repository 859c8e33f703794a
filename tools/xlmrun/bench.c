// xlmrun bench: speed of training steps on synthetic tokens, relative to the machine's matrix-product peak,
// and the distribution of time.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/data/data.h"
#include "runtime/plan/streams.h"
#include "runtime/train/feed.h"
#include "runtime/train/watch.h"
#include "tools/xlmrun/corpus.h"
#include "tools/xlmrun/trace.h"
#include "runtime/base/clock.h"

const char command_bench_usage[] = "usage: xlmrun bench MODEL.xlm [flags]\n"
                            "       xlmrun bench PLAN.json [flags]    what `xlmc plan --format json` wrote";

typedef struct group { // instructions of one op
  xlm_op_id op;
  double seconds, flops, bytes, count;
} group;

static int slowest(const void *a, const void *b) {
  const group *x = a, *y = b;
  return x->seconds != y->seconds ? (x->seconds < y->seconds ? 1 : -1)
                                  : strcmp(xlm_op_name(x->op), xlm_op_name(y->op));
}

static int gather(const xlm_rank_plan *rp, const double *seconds, int64_t steps, group *groups) {
  int n = 0;
  for (uint32_t s = 0; s < rp->n_segments; s++) {
    double runs = (double)xlm_plan_runs(rp, s) * (double)steps;
    for (uint32_t i = rp->segments[s].first; runs > 0 && i < rp->segments[s].first + rp->segments[s].n; i++) {
      const xlm_instr *in = &rp->instrs[i];
      int k = 0;
      while (k < n && groups[k].op != in->op) k++;
      if (k == n) groups[n++] = (group){.op = in->op};
      groups[k].seconds += seconds[i];
      groups[k].flops += in->flops * runs;
      groups[k].bytes += in->bytes * runs;
      groups[k].count += runs;
    }
  }
  qsort(groups, (size_t)n, sizeof *groups, slowest);
  return n;
}

static bool communicates(xlm_op_id op) {
  return xlm_stream_of(op) == XLM_STREAM_COMM;
}

// Prints the bytes that rank 0 sent over each axis, and those in the plan.
static void show_traffic(session *s, const uint64_t *before, int64_t steps) {
  const xlm_comm *c = xlm_team_comm(s->team, 0);
  for (int i = 0; c && i < c->mesh.n; i++) {
    uint64_t sent = (c->bytes_sent[i] - before[i]) / (uint64_t)steps;
    if (sent) printf("%-4s sends %s per step\n", c->mesh.axis[i], xlm_text_bytes(s->arena, sent));
  }
}

static void show_row(const char *what, double seconds, double total, int64_t steps, const char *note) {
  printf("%-20s %8s %6.1f%% %12.3f%s\n", what, "", 100 * seconds / total, 1e3 * seconds / (double)steps,
         note);
}

static void show_profile(session *s, const double *seconds, int64_t steps, double total) {
  const xlm_rank_plan *rp = xlm_exec_rank_plan(xlm_team_exec(s->team, 0));
  group *groups = XLM_NEW_N(s->arena, group, rp->n_instrs);
  int n = gather(rp, seconds, steps, groups);
  double rest = total, talk = 0;
  if (s->plan->n_ranks > 1) printf("\nrank 0 of %u", s->plan->n_ranks);
  printf("\n%-20s %8s %7s %12s %10s %10s\n", "op", "per step", "share", "ms per step", "GFLOP/s", "GB/s");
  for (int i = 0; i < n; i++) {
    const group *g = &groups[i];
    rest -= g->seconds;
    if (communicates(g->op)) talk += g->seconds;
    printf("%-20s %8.0f %6.1f%% %12.3f %10.1f %10.1f\n", xlm_op_name(g->op), g->count / (double)steps,
           100 * g->seconds / total, 1e3 * g->seconds / (double)steps, g->flops / g->seconds / 1e9,
           g->bytes / g->seconds / 1e9);
  }
  if (s->plan->n_ranks > 1)
    show_row("(communication)", talk, total, steps, "  with the waiting for other ranks");
  if (rest < 0)
    show_row("(at the same time)", -rest, total, steps, "  of it, beside kernels");
  else
    show_row("(between)", rest, total, steps, "");
}

// Steps as training takes them: on a device that runs behind the host, one is begun before the values of the
// last are read.
typedef struct pace {
  xlm_feeds feeds;
  xlm_watch seen;
  int64_t begun, step; // of these, ended
} pace;

static xlm_status begin_step(session *s, pace *p) {
  XLM_TRY(xlm_tracer_before(s->tracer, p->begun + 1, &s->err));
  XLM_TRY(xlm_feeds_step(&p->feeds, s->options.seed, p->begun, 1e-5, &s->err));
  return xlm_watch_start(&p->seen, (int)(p->begun++ % XLM_BOXES), &s->err);
}

static xlm_status end_step(session *s, pace *p) {
  XLM_TRY(xlm_watch_read(&p->seen, (int)(p->step++ % XLM_BOXES), NULL, &s->err));
  return xlm_tracer_after(s->tracer, &s->err);
}

// Up to step `last`. *best: the shortest time from the end of one to the end of the next.
static xlm_status run_steps(session *s, pace *p, int64_t last, double *best) {
  bool traces = s->tracer && !xlm_tracer_written(s->tracer);
  int64_t ahead = xlm_team_runs_behind(s->team) && !traces ? 1 : 0;
  while (p->step < last) {
    double start = xlm_clock_seconds();
    while (p->begun < last && p->begun <= p->step + ahead) XLM_TRY(begin_step(s, p));
    XLM_TRY(end_step(s, p));
    *best = fmin(*best, xlm_clock_seconds() - start);
  }
  return XLM_OK;
}

static void show_speed(session *s, double mean, double best, double peak) {
  const xlm_plan *p = s->plan;
  double tokens = (double)(p->batch * p->microbatches * p->seq), flops = p->model_flops_per_token * tokens;
  printf("%s%s%s  %s parameters  %s  %" PRId64 " x %" PRId64 " tokens per step, %s%s  %s\n", p->model,
         p->preset ? " " : "", p->preset ? p->preset : "", xlm_text_count(s->arena, p->parameters),
         xlm_dtype_name(p->dtype), p->batch * p->microbatches, p->seq,
         xlm_text_plural(s->arena, p->microbatches, "microbatch"), session_ranks(s),
         xlm_text_plural(s->arena, session_threads(s), "thread"));
  printf("%.0f tokens/s   %.1f ms/step (best %.1f)   %.1f GFLOP/s of the model", tokens / mean, 1e3 * mean,
         1e3 * best, flops / mean / 1e9);
  if (peak > 0)
    printf("   %.1f%% MFU (peak %.0f GFLOP/s, %s)", 100 * flops / mean / peak, peak / 1e9,
           session_has_own_peak(s) ? "measured" : xlm_setting_text(s->settings, XLM_SET_cluster));
  printf("\n");
}

// Every rank is timed, though only the first is shown: a device runs timed instructions one by one, and ranks
// that communicate must do alike.
static double *start_profile(session *s) {
  double *first = NULL;
  for (int i = xlm_team_size(s->team); i-- > 0;) {
    xlm_exec *e = xlm_team_exec(s->team, i);
    first = XLM_NEW_N(s->arena, double, xlm_exec_rank_plan(e)->n_instrs);
    xlm_exec_profile(e, first);
  }
  return first;
}

static xlm_status measure(session *s, pace *p) {
  int64_t steps = xlm_setting_int(s->settings, XLM_SET_steps),
          warmup = xlm_setting_int(s->settings, XLM_SET_warmup);
  double best = INFINITY, peak, *seconds = NULL;
  uint64_t before[XLM_MAX_AXES] = {0};
  bool profile = xlm_setting_bool(s->settings, XLM_SET_profile);
  XLM_TRY(session_open_trace(s, warmup + steps));
  XLM_TRY(session_peak_flops(s, &peak));
  XLM_TRY(run_steps(s, p, warmup, &best));
  if (xlm_team_comm(s->team, 0)) memcpy(before, xlm_team_comm(s->team, 0)->bytes_sent, sizeof before);
  if (profile) seconds = start_profile(s);
  double begin = xlm_clock_seconds();
  best = INFINITY;
  XLM_TRY(run_steps(s, p, warmup + steps, &best));
  double total = xlm_clock_seconds() - begin;
  show_speed(s, total / (double)steps, best, peak);
  session_show_memory(s);
  show_traffic(s, before, steps);
  if (profile) show_profile(s, seconds, steps, total);
  XLM_TRY(xlm_tracer_finish(s->tracer, &s->err));
  session_show_trace(s);
  return XLM_OK;
}

static xlm_status run(session *s, const xlm_data *data) {
  xlm_samples samples;
  pace p = {0};
  xlm_data_part all = {data, 0, xlm_data_tokens(data)};
  XLM_TRY(xlm_samples_open(all, s->plan->seq, 1, "synthetic", &samples, &s->err));
  XLM_TRY(session_open(s));
  XLM_TRY(session_fill(s, false));
  XLM_TRY(xlm_watch_open(s->team, false, &p.seen, &s->err));
  xlm_status status = xlm_feeds_open(s->team, &samples, false, &p.feeds, &s->err);
  if (status == XLM_OK) status = measure(s, &p);
  xlm_feeds_close(&p.feeds);
  xlm_watch_close(&p.seen);
  return status;
}

static xlm_status bench(session *s) {
  xlm_data *data;
  const char *model;
  XLM_TRY(session_named(s, &model));
  XLM_TRY(session_read_model(s, model));
  XLM_TRY(session_compile(s, XLM_WITH_TRAIN, 0));
  XLM_TRY(corpus_synthetic(s, 1000, 0, 1, &data));
  xlm_status status = run(s, data);
  xlm_data_close(data);
  return status;
}

int command_bench(int argc, char *const *argv) {
  return session_run('b', command_bench_usage, argc, argv, bench);
}
