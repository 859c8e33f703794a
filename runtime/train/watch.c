// See watch.h.
#include "runtime/train/watch.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/train/feed.h"

typedef struct xlm_watch_note { // what a process tells the others
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

// All scalars of all classes, in the order of the ranks: the same list in every process.
static void collect(xlm_watch *w, bool eval) {
  const xlm_plan *p = xlm_team_plan(w->team);
  for (uint32_t c = 0; c < p->n_classes; c++) {
    const xlm_rank_plan *rp = p->classes[c];
    for (uint32_t i = 0; i < rp->n_outputs && w->n < XLM_MAX_WATCHED; i++) {
      const xlm_plan_output *o = &rp->outputs[i];
      if (o->eval != eval || rp->tensors[o->tensor].type.rank || knows(w, o->name)) continue;
      w->at[w->n] = (xlm_watched){.name = o->name, .role = o->role};
      xlm_watched *x = &w->at[w->n++];
      if (!xlm_team_output(w->team, o->name, &x->member, &x->output)) x->member = -1;
    }
  }
}

xlm_status xlm_watch_open(xlm_team *team, bool eval, xlm_watch *out, xlm_error *err) {
  *out = (xlm_watch){.team = team};
  out->notes = calloc((size_t)xlm_team_processes(team) + 1, sizeof *out->notes);
  if (!out->notes)
    return xlm_fail(err, XLM_ENV, "no memory for the outputs of %d processes", xlm_team_processes(team));
  collect(out, eval);
  return XLM_OK;
}

void xlm_watch_close(xlm_watch *w) {
  free(w->notes);
  w->notes = NULL;
}

static double read_local(const xlm_watch *w, const xlm_watched *x) {
  xlm_exec *e = xlm_team_exec(w->team, x->member);
  const xlm_rank_plan *rp = xlm_exec_rank_plan(e);
  const void *at = xlm_exec_output(e, x->output);
  bool wide = rp->tensors[rp->outputs[x->output].tensor].type.dtype == XLM_F64;
  return wide ? *(const double *)at : *(const float *)at;
}

xlm_status xlm_watch_read(xlm_watch *w, bool *flag, xlm_error *err) {
  int processes = xlm_team_processes(w->team);
  note *all = w->notes, *mine = &w->notes[processes];
  mine->flag = flag && *flag;
  for (int i = 0; i < w->n; i++) {
    mine->has[i] = w->at[i].member >= 0;
    mine->value[i] = mine->has[i] ? read_local(w, &w->at[i]) : 0;
  }
  XLM_TRY(xlm_team_share(w->team, mine, sizeof *mine, all, err));
  if (flag) *flag = all[0].flag;
  for (int i = 0; i < w->n; i++)
    for (int k = processes - 1; k >= 0; k--) // the first process that has it
      if (all[k].has[i]) w->at[i].value = all[k].value[i];
  return XLM_OK;
}

// ---- evaluation ----

// The model's own loss is the one at top level; a model that has losses in blocks only gives their sum.
static double loss_of(const xlm_watch *w) {
  int top = xlm_watch_find(w, "eval.loss");
  double all = 0;
  for (int i = 0; i < w->n; i++)
    if (!strcmp(w->at[i].role, "loss")) all += w->at[i].value;
  return top >= 0 ? w->at[top].value : all;
}

// A batch that has more rows than there are windows takes some of them twice.
static xlm_status put_batch(xlm_feeds *f, int64_t batch, int64_t batches, int64_t *valid, xlm_error *err) {
  int64_t rows = xlm_team_plan(f->team)->batch, windows = f->at[0].samples->n, n;
  *valid = 0;
  for (int64_t row = 0; row < rows; row++) {
    int64_t at = (batch * rows + row) * windows / (batches * rows);
    for (int i = 0; i < f->n; i++)
      XLM_TRY(xlm_feed_window(&f->at[i], xlm_team_exec(f->team, i), row, at, &n, err));
    *valid += n;
  }
  return XLM_OK;
}

xlm_status xlm_evaluate(xlm_feeds *f, xlm_watch *w, xlm_step_env env, int64_t batches, double *loss,
                        int64_t *tokens, xlm_error *err) {
  int64_t rows = xlm_team_plan(f->team)->batch, windows = f->at[0].samples->n;
  int64_t most = windows / rows > 0 ? windows / rows : 1;
  if (batches > most || batches <= 0) batches = most;
  double sum = 0;
  *tokens = 0;
  for (int64_t b = 0; b < batches; b++) {
    int64_t valid;
    XLM_TRY(put_batch(f, b, batches, &valid, err));
    XLM_TRY(xlm_team_eval(f->team, env, err));
    XLM_TRY(xlm_watch_read(w, NULL, err));
    sum += loss_of(w) * (double)valid;
    *tokens += valid;
  }
  *loss = *tokens ? sum / (double)*tokens : 0;
  return XLM_OK;
}
