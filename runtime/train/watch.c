// See watch.h.
#include "runtime/train/watch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/train/feed.h"

typedef struct xlm_watch_note { // of a value, sent to the other processes; the last of a process is its flag
  int64_t has;
  double value;
} note;

// Sums of one part of the loss over the batches.
typedef struct xlm_watch_part {
  int loss, weight; // indices of watched values; weight -1: all windows have equal weight
  double sum, of;
} part_sum;

int xlm_watch_find(const xlm_watch *w, const char *name) {
  for (int i = 0; i < w->n; i++)
    if (!strcmp(w->at[i].name, name)) return i;
  return -1;
}

static bool is_watched(const xlm_rank_plan *rp, const xlm_plan_output *o, xlm_program_id program) {
  bool number = !rp->tensors[o->tensor].type.rank;
  bool list = program == XLM_PROGRAM_TRAIN && rp->tensors[o->tensor].type.rank == 1;
  return o->program == program && o->role != XLM_OUTPUT_OUTPUT && (number || list);
}

static void add(xlm_watch *w, const xlm_rank_plan *rp, const xlm_plan_output *o) {
  const xlm_type *t = &rp->tensors[o->tensor].type;
  xlm_watched *x = &w->at[w->n++];
  *x = (xlm_watched){.name = o->name, .role = o->role, .n = t->rank ? rp->dims[t->dim[0]].full : 0};
  if (!xlm_team_output(w->team, o->program, o->name, &x->member, &x->output)) x->member = -1;
}

// Lists what is watched of all rank plans in the order of the ranks: the same list in every process.
static xlm_status collect(xlm_watch *w, xlm_program_id program) {
  const xlm_plan *p = xlm_team_plan(w->team);
  size_t most = 1;
  for (uint32_t c = 0; c < p->n_rank_plans; c++) most += p->rank_plans[c]->n_outputs;
  w->at = calloc(most, sizeof *w->at);
  if (!w->at) return XLM_ENV;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_outputs; i++) {
      const xlm_plan_output *o = &p->rank_plans[c]->outputs[i];
      if (is_watched(p->rank_plans[c], o, program) && xlm_watch_find(w, o->name) < 0)
        add(w, p->rank_plans[c], o);
    }
  for (int i = 0; i < w->n; i++) {
    if (w->at[i].n) w->at[i].list = calloc((size_t)w->at[i].n, sizeof(double));
    if (w->at[i].n && !w->at[i].list) return XLM_ENV;
  }
  return XLM_OK;
}

xlm_status xlm_watch_open(xlm_team *team, bool eval, xlm_watch *out, xlm_error *err) {
  int processes = xlm_team_processes(team);
  *out = (xlm_watch){.team = team};
  xlm_status s = collect(out, eval ? XLM_PROGRAM_EVAL : XLM_PROGRAM_TRAIN);
  if (s == XLM_OK) out->notes = calloc(((size_t)processes + 1) * (size_t)(out->n + 1), sizeof *out->notes);
  if (out->notes) out->parts = calloc((size_t)out->n + 1, sizeof *out->parts);
  if (out->parts) return XLM_OK;
  xlm_watch_close(out);
  return xlm_fail(err, XLM_ENV, "no memory for the outputs of %d processes", processes);
}

void xlm_watch_close(xlm_watch *w) {
  for (int i = 0; i < w->n; i++) free(w->at[i].list);
  free(w->at);
  free(w->notes);
  free(w->parts);
  *w = (xlm_watch){.team = w->team};
}

xlm_status xlm_watch_start(xlm_watch *w, int box, xlm_error *err) {
  for (int i = 0; i < w->n; i++)
    if (w->at[i].member >= 0)
      XLM_TRY(xlm_exec_fetch(xlm_team_exec(w->team, w->at[i].member), box, w->at[i].output, err));
  return XLM_OK;
}

static xlm_status fetched(const xlm_watch *w, const xlm_watched *x, int box, double *to, xlm_error *err) {
  return xlm_exec_fetched(xlm_team_exec(w->team, x->member), box, x->output, to, err);
}

xlm_status xlm_watch_read(xlm_watch *w, int box, bool *flag, xlm_error *err) {
  int processes = xlm_team_processes(w->team), each = w->n + 1;
  note *all = w->notes, *mine = &all[processes * each];
  mine[w->n].has = flag && *flag;
  for (int i = 0; i < w->n; i++) {
    mine[i] = (note){.has = w->at[i].member >= 0};
    if (mine[i].has && !w->at[i].n) XLM_TRY(fetched(w, &w->at[i], box, &mine[i].value, err));
  }
  XLM_TRY(xlm_team_share(w->team, mine, (size_t)each * sizeof *mine, all, err));
  if (flag) *flag = all[w->n].has;
  for (int i = 0; i < w->n; i++)
    for (int k = processes - 1; k >= 0; k--) // the first process that has it
      if (all[k * each + i].has) w->at[i].value = all[k * each + i].value, w->at[i].process = k;
  return XLM_OK;
}

xlm_status xlm_watch_read_lists(xlm_watch *w, int box, xlm_error *err) {
  int me = xlm_team_process(w->team);
  for (int i = 0; i < w->n; i++) {
    xlm_watched *x = &w->at[i];
    if (x->n && me == x->process) XLM_TRY(fetched(w, x, box, x->list, err));
    if (x->n) XLM_TRY(xlm_team_hand(w->team, x->process, x->list, (size_t)x->n * sizeof *x->list, err));
  }
  return XLM_OK;
}

// ---- evaluation ----

typedef struct evaluation {
  xlm_feeds *f;
  xlm_watch *w;
  xlm_step_env env;
  int n;
  part_sum *parts; // [n], the watch's
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
  evaluation x = {.f = f, .w = w, .env = env, .parts = w->parts};
  find_parts(&x);
  if (count > windows || count <= 0) count = windows;
  xlm_status s = XLM_OK;
  for (int64_t at = 0; at < count && s == XLM_OK; at += rows)
    s = add_batch(&x, (stretch){at, count - at < rows ? count - at : rows, count}, err);
  *loss = 0;
  *tokens = x.n ? (int64_t)round(x.parts[0].of) : 0;
  for (int i = 0; i < x.n; i++)
    if (x.parts[i].of > 0) *loss += x.parts[i].sum / x.parts[i].of;
  return s;
}
