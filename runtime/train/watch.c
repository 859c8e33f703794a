// See watch.h.
#include "runtime/train/watch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/train/feed.h"

typedef struct xlm_watch_note { // sent to the other processes
  int32_t flag, has[XLM_MAX_WATCHED];
  double value[XLM_MAX_WATCHED];
} note;

static bool knows(const xlm_watch *w, const char *name) {
  return xlm_watch_find(w, name) >= 0;
}

int xlm_watch_find(const xlm_watch *w, const char *name) {
  for (int i = 0; i < w->n; i++)
    if (!strcmp(w->at[i].name, name)) return i;
  return -1;
}

// Lists all scalars of all rank plans in the order of the ranks: the same list in every process.
static void collect(xlm_watch *w, xlm_program_id program) {
  const xlm_plan *p = xlm_team_plan(w->team);
  for (uint32_t c = 0; c < p->n_rank_plans; c++) {
    const xlm_rank_plan *rp = p->rank_plans[c];
    for (uint32_t i = 0; i < rp->n_outputs && w->n < XLM_MAX_WATCHED; i++) {
      const xlm_plan_output *o = &rp->outputs[i];
      if (o->program != program || rp->tensors[o->tensor].type.rank || knows(w, o->name)) continue;
      w->at[w->n] = (xlm_watched){.name = o->name, .role = o->role};
      xlm_watched *x = &w->at[w->n++];
      if (!xlm_team_output(w->team, program, o->name, &x->member, &x->output)) x->member = -1;
    }
  }
}

xlm_status xlm_watch_open(xlm_team *team, bool eval, xlm_watch *out, xlm_error *err) {
  *out = (xlm_watch){.team = team};
  out->notes = calloc((size_t)xlm_team_processes(team) + 1, sizeof *out->notes);
  if (!out->notes)
    return xlm_fail(err, XLM_ENV, "no memory for the outputs of %d processes", xlm_team_processes(team));
  collect(out, eval ? XLM_PROGRAM_EVAL : XLM_PROGRAM_TRAIN);
  return XLM_OK;
}

void xlm_watch_close(xlm_watch *w) {
  free(w->notes);
  w->notes = NULL;
}

xlm_status xlm_watch_start(xlm_watch *w, int box, xlm_error *err) {
  for (int i = 0; i < w->n; i++)
    if (w->at[i].member >= 0)
      XLM_TRY(xlm_exec_fetch_scalar(xlm_team_exec(w->team, w->at[i].member), box, w->at[i].output, err));
  return XLM_OK;
}

xlm_status xlm_watch_read(xlm_watch *w, int box, bool *flag, xlm_error *err) {
  int processes = xlm_team_processes(w->team);
  note *all = w->notes, *mine = &w->notes[processes];
  mine->flag = flag && *flag;
  for (int i = 0; i < w->n; i++) {
    mine->has[i] = w->at[i].member >= 0;
    mine->value[i] = 0;
    if (mine->has[i])
      XLM_TRY(xlm_exec_fetched_scalar(xlm_team_exec(w->team, w->at[i].member), box, w->at[i].output,
                                      &mine->value[i], err));
  }
  XLM_TRY(xlm_team_share(w->team, mine, sizeof *mine, all, err));
  if (flag) *flag = all[0].flag;
  for (int i = 0; i < w->n; i++)
    for (int k = processes - 1; k >= 0; k--) // the first process that has it
      if (all[k].has[i]) w->at[i].value = all[k].value[i];
  return XLM_OK;
}

// ---- evaluation ----

// Sums of one part of the loss over the batches.
typedef struct part_sum {
  int loss, weight; // indices of watched values; weight -1: all windows have equal weight
  double sum, of;
} part_sum;

typedef struct evaluation {
  xlm_feeds *f;
  xlm_watch *w;
  xlm_step_env env;
  int n;
  part_sum parts[XLM_MAX_WATCHED];
} evaluation;

// The parts are the losses at top level; if a model has losses only in blocks, the part is their sum.
static void find_parts(evaluation *x) {
  static const char prefix[] = "eval.", top[] = "eval.loss";
  for (int level = 0; level < 2 && !x->n; level++)
    for (int i = 0; i < x->w->n; i++) {
      const char *name = x->w->at[i].name;
      if (x->w->at[i].role != XLM_OUTPUT_LOSS || (!level && strncmp(name, top, strlen(top)))) continue;
      char weight[256];
      snprintf(weight, sizeof weight, "%sweight/%s", prefix, name + strlen(prefix));
      x->parts[x->n++] = (part_sum){.loss = i, .weight = xlm_watch_find(x->w, weight)};
    }
}

// Windows [first, first + n) of `count` that are spread evenly over the held-out ones; the remaining rows of
// a batch repeat the last of them.
typedef struct stretch {
  int64_t first, n, count;
} stretch;

static xlm_status put_batch(xlm_feeds *f, stretch x, xlm_error *err) {
  int64_t rows = xlm_team_plan(f->team)->batch, windows = f->at[0].samples->n;
  for (int64_t row = 0; row < rows; row++) {
    int64_t at = (x.first + (row < x.n ? row : x.n - 1)) * windows / x.count;
    for (int i = 0; i < f->n; i++) XLM_TRY(xlm_feed_window(&f->at[i], row, at, err));
  }
  for (int i = 0; i < f->n; i++) XLM_TRY(xlm_feed_eval(&f->at[i], xlm_team_exec(f->team, i), err));
  return XLM_OK;
}

// One pass over a batch; its parts are added with weight `times`.
static xlm_status pass(evaluation *x, stretch s, double times, xlm_error *err) {
  const xlm_plan *plan = xlm_team_plan(x->f->team);
  XLM_TRY(put_batch(x->f, s, err));
  XLM_TRY(xlm_team_run(x->f->team, XLM_PROGRAM_EVAL, x->env, err));
  XLM_TRY(xlm_watch_start(x->w, 0, err));
  XLM_TRY(xlm_watch_read(x->w, 0, NULL, err));
  for (int i = 0; i < x->n; i++) {
    part_sum *p = &x->parts[i];
    double of = p->weight < 0 ? (double)(plan->batch * plan->seq) : x->w->at[p->weight].value;
    if (of == 0) continue; // nothing in this batch counts
    p->sum += x->w->at[p->loss].value * (of * times);
    p->of += of * times;
  }
  return XLM_OK;
}

// If rows were filled up with the last window, a second pass with only that window gives its loss, which is
// subtracted; so models need not handle rows that do not count.
static xlm_status add_batch(evaluation *x, stretch s, xlm_error *err) {
  int64_t rows = xlm_team_plan(x->f->team)->batch;
  XLM_TRY(pass(x, s, 1, err));
  if (s.n == rows) return XLM_OK;
  return pass(x, (stretch){s.first + s.n - 1, 1, s.count}, -(double)(rows - s.n) / (double)rows, err);
}

xlm_status xlm_evaluate(xlm_feeds *f, xlm_watch *w, xlm_step_env env, int64_t count, double *loss,
                        int64_t *tokens, xlm_error *err) {
  int64_t rows = xlm_team_plan(f->team)->batch, windows = f->at[0].samples->n;
  evaluation x = {.f = f, .w = w, .env = env};
  find_parts(&x);
  if (count > windows || count <= 0) count = windows;
  for (int64_t at = 0; at < count; at += rows)
    XLM_TRY(add_batch(&x, (stretch){at, count - at < rows ? count - at : rows, count}, err));
  *loss = 0;
  *tokens = x.n ? (int64_t)round(x.parts[0].of) : 0;
  for (int i = 0; i < x.n; i++)
    if (x.parts[i].of > 0) *loss += x.parts[i].sum / x.parts[i].of;
  return XLM_OK;
}
