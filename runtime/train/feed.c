// Feeding. The plan has the role of every input. A rank fills only its part of [batch, seq]; the samples
// depend on step and row.
#include "runtime/train/feed.h"

#include <stdlib.h>
#include <string.h>

static const xlm_dim_info *find_dim(const xlm_rank_plan *rp, const xlm_type *t, const char *name,
                                    int64_t *stride) {
  *stride = 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    const xlm_dim_info *d = &rp->dims[t->dim[i]];
    if (!strcmp(d->name, name)) return d;
    *stride *= d->size;
  }
  return NULL;
}

// The dimension of a whole step's input that a sample does not have.
static bool find_microbatches(const xlm_rank_plan *rp, const xlm_type *t, int64_t *stride) {
  *stride = 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    const xlm_dim_info *d = &rp->dims[t->dim[i]];
    if (strcmp(d->name, "batch") && strcmp(d->name, "seq")) return true;
    *stride *= d->size;
  }
  return false;
}

static xlm_status resolve_tokens(const xlm_rank_plan *rp, const xlm_plan_input *in, const xlm_type *t,
                                 xlm_feed_input *f, xlm_error *err) {
  f->shift = in->shift;
  const xlm_dim_info *batch = find_dim(rp, t, "batch", &f->row_stride);
  f->seq = find_dim(rp, t, "seq", &f->column_stride);
  bool right = batch && f->seq && t->rank == 2 + in->whole_step;
  if (in->whole_step) right = right && find_microbatches(rp, t, &f->microbatch_stride);
  if (right && f->shift <= 1) {
    f->rows = batch->size, f->first_row = batch->offset;
    f->n = xlm_type_elements(t, rp->dims);
    return XLM_OK;
  }
  return xlm_fail(err, XLM_USER,
                  "the input `%s` must have the dimensions [batch, seq] to be filled from token data",
                  in->name);
}

static xlm_status resolve(const xlm_rank_plan *rp, uint32_t index, bool eval, xlm_feed_input *f,
                          xlm_error *err) {
  const xlm_plan_input *in = &rp->inputs[index];
  const xlm_type *t = &rp->tensors[eval ? in->eval_tensor : in->tensor].type;
  *f = (xlm_feed_input){.index = index, .role = in->role, .whole_step = in->whole_step};
  return in->role == XLM_INPUT_TOKENS ? resolve_tokens(rp, in, t, f, err) : XLM_OK;
}

void xlm_feed_close(xlm_feed *f) {
  for (int i = 0; i < f->n; i++) {
    free(f->inputs[i].local);
    f->inputs[i].local = NULL;
  }
  free(f->window);
  f->window = NULL;
}

static xlm_status take_memory(xlm_feed *f, xlm_error *err) {
  bool all = true;
  f->window = malloc(sizeof *f->window * (size_t)(f->samples->seq + 1));
  for (int i = 0; i < f->n; i++)
    if (f->inputs[i].n) all &= (f->inputs[i].local = calloc((size_t)f->inputs[i].n, sizeof(int32_t))) != NULL;
  if (f->window && all) return XLM_OK;
  xlm_feed_close(f);
  return xlm_fail(err, XLM_ENV, "no memory for samples of %lld tokens", (long long)f->samples->seq);
}

xlm_status xlm_feed_open(const xlm_exec *e, const xlm_samples *samples, bool eval, xlm_feed *out,
                         xlm_error *err) {
  const xlm_rank_plan *rp = xlm_exec_rank_plan(e);
  *out = (xlm_feed){.samples = samples, .plan = xlm_exec_plan(e)};
  for (uint32_t i = 0; i < rp->n_inputs; i++) {
    if (!(eval ? rp->inputs[i].eval_tensor : rp->inputs[i].tensor)) continue;
    if (out->n == XLM_MAX_INPUTS)
      return xlm_fail(err, XLM_USER, "the model has more than %d inputs", XLM_MAX_INPUTS);
    XLM_TRY(resolve(rp, i, eval, &out->inputs[out->n++], err));
  }
  return take_memory(out, err);
}

static bool has_row(const xlm_feed_input *in, bool whole_step, int64_t row) {
  return in->n && in->whole_step == whole_step && row >= in->first_row && row < in->first_row + in->rows;
}

static bool wants(const xlm_feed *f, const xlm_exec *e, bool whole_step, int64_t row) {
  for (int i = 0; i < f->n; i++)
    if (has_row(&f->inputs[i], whole_step, row) && xlm_exec_has_input(e, f->inputs[i].index, false))
      return true;
  return false;
}

// Copies a window to row `row` of every input of a microbatch, or of every input of the whole step.
static void fill_row(const xlm_feed *f, const int32_t *window, bool whole_step, int64_t microbatch,
                     int64_t row) {
  for (int i = 0; i < f->n; i++) {
    const xlm_feed_input *in = &f->inputs[i];
    if (!has_row(in, whole_step, row)) continue;
    int32_t *to = in->local + (row - in->first_row) * in->row_stride;
    const int32_t *from = window + in->shift;
    if (whole_step) to += microbatch * in->microbatch_stride;
    for (int64_t c = 0; c < in->seq->size; c++) to[c * in->column_stride] = from[xlm_dim_global(in->seq, c)];
  }
}

static xlm_status put_tokens(const xlm_feed *f, xlm_exec *e, bool eval, bool whole_step, xlm_error *err) {
  for (int i = 0; i < f->n; i++) {
    const xlm_feed_input *in = &f->inputs[i];
    if (!in->n || in->whole_step != whole_step) continue;
    if (!xlm_exec_has_input(e, in->index, eval)) continue; // belongs to another chunk
    XLM_TRY(xlm_exec_put_input(e, in->index, eval, 0, in->local, (size_t)in->n * sizeof *in->local, err));
  }
  return XLM_OK;
}

static xlm_status put_scalars(const xlm_feed *f, xlm_exec *e, xlm_error *err) {
  for (int i = 0; i < f->n; i++) {
    const xlm_feed_input *in = &f->inputs[i];
    const double value[XLM_INPUT_ROLES] = {[XLM_INPUT_LR] = f->lr, [XLM_INPUT_STEP] = (double)(f->step + 1)};
    if (in->role == XLM_INPUT_TOKENS || !xlm_exec_has_input(e, in->index, false)) continue;
    XLM_TRY(xlm_exec_put_scalar(e, in->index, false, value[in->role], err));
  }
  return XLM_OK;
}

// From the prefetch, or read now if there is none.
static xlm_status find_window(xlm_feed *f, int64_t row_of_step, const int32_t **out, xlm_error *err) {
  *out = f->ahead ? xlm_prefetch_window(f->ahead, row_of_step) : f->window;
  if (f->ahead) return XLM_OK;
  int64_t first = f->step * f->plan->microbatches * f->plan->batch;
  return xlm_samples_shuffled(f->samples, first + row_of_step, f->window, err);
}

static xlm_status fill_rows(xlm_feed *f, const xlm_exec *e, bool whole_step, int64_t microbatch,
                            xlm_error *err) {
  for (int64_t row = 0; row < f->plan->batch; row++) {
    const int32_t *window;
    if (!wants(f, e, whole_step, row)) continue;
    XLM_TRY(find_window(f, microbatch * f->plan->batch + row, &window, err));
    fill_row(f, window, whole_step, microbatch, row);
  }
  return XLM_OK;
}

xlm_status xlm_feed_step(void *arg, xlm_exec *e, int64_t microbatch, xlm_error *err) {
  xlm_feed *f = arg;
  bool whole_step = microbatch < 0;
  int64_t first = whole_step ? 0 : microbatch, end = whole_step ? f->plan->microbatches : microbatch + 1;
  if (whole_step) XLM_TRY(put_scalars(f, e, err));
  for (int64_t m = first; m < end; m++) XLM_TRY(fill_rows(f, e, whole_step, m, err));
  return put_tokens(f, e, false, whole_step, err);
}

xlm_status xlm_feed_window(xlm_feed *f, int64_t row, int64_t at, xlm_error *err) {
  XLM_TRY(xlm_samples_window(f->samples, at, f->window, err));
  fill_row(f, f->window, false, 0, row);
  return XLM_OK;
}

xlm_status xlm_feed_eval(const xlm_feed *f, xlm_exec *e, xlm_error *err) {
  return put_tokens(f, e, true, false, err);
}

// ---- of a team ----

// Marks the rows of a step that some rank here has, in its microbatches or in inputs of the whole step, which
// have the same rows.
static void mark_rows(const xlm_feed *f, bool *needed) {
  for (int i = 0; i < f->n; i++)
    for (int64_t m = 0; m < f->plan->microbatches; m++)
      for (int64_t row = 0; row < f->inputs[i].rows; row++)
        needed[m * f->plan->batch + f->inputs[i].first_row + row] = true;
}

static xlm_status read_ahead(xlm_feeds *f, const xlm_samples *samples, xlm_error *err) {
  const xlm_plan *p = xlm_team_plan(f->team);
  int64_t rows = p->batch * p->microbatches;
  bool *needed = calloc((size_t)rows + 1, sizeof *needed);
  if (!needed) return xlm_fail(err, XLM_ENV, "no memory for the rows of a step");
  for (int i = 0; i < f->n; i++) mark_rows(&f->at[i], needed);
  xlm_status s = xlm_prefetch_open(samples, rows, needed, &f->ahead, err);
  free(needed);
  for (int i = 0; s == XLM_OK && i < f->n; i++) f->at[i].ahead = f->ahead;
  return s;
}

xlm_status xlm_feeds_open(xlm_team *team, const xlm_samples *samples, bool eval, xlm_feeds *out,
                          xlm_error *err) {
  int n = xlm_team_size(team);
  *out = (xlm_feeds){.team = team};
  out->at = calloc((size_t)n, sizeof *out->at);
  out->args = calloc((size_t)n, sizeof *out->args);
  if (!out->at || !out->args) return xlm_fail(err, XLM_ENV, "no memory for the feeds of %d ranks", n);
  for (; out->n < n; out->n++) {
    out->args[out->n] = &out->at[out->n];
    XLM_TRY(xlm_feed_open(xlm_team_exec(team, out->n), samples, eval, &out->at[out->n], err));
  }
  return eval ? XLM_OK : read_ahead(out, samples, err);
}

void xlm_feeds_close(xlm_feeds *f) {
  xlm_prefetch_close(f->ahead);
  for (int i = 0; i < f->n; i++) xlm_feed_close(&f->at[i]);
  free(f->at);
  free(f->args);
  *f = (xlm_feeds){0};
}

xlm_status xlm_feeds_step(xlm_feeds *f, uint64_t seed, int64_t step, double lr, xlm_error *err) {
  const xlm_plan *p = xlm_team_plan(f->team);
  xlm_step_env env = {.seed = seed, .step = step, .first_row = step * p->batch * p->microbatches};
  XLM_TRY(xlm_prefetch_take(f->ahead, step, err));
  for (int i = 0; i < f->n; i++) f->at[i].step = step, f->at[i].lr = lr;
  return xlm_team_step(f->team, env, xlm_feed_step, f->args, err);
}
