// Feeding. The plan has the role of every input. A rank fills only its part of [batch, ..]; the samples
// depend on step and row.
#include "runtime/train/feed.h"

#include <stdlib.h>
#include <string.h>

static xlm_status does_not_fit(const xlm_plan_input *in, xlm_error *err) {
  return xlm_fail(err, XLM_USER, "the input `%s` has another type or other dimensions than `%s` of the data",
                  in->name, in->source);
}

// Finds `batch`, the microbatches of a whole step, and the dimensions of a sample, whose strides there are
// those of the field.
static bool resolve_dims(const xlm_rank_plan *rp, const xlm_plan_input *in, const xlm_type *t,
                         xlm_feed_input *f) {
  int64_t here = 1, there = 1;
  bool batch = false;
  for (int i = t->rank - 1; i >= 0; i--) {
    const xlm_dim_info *d = &rp->dims[t->dim[i]];
    if (in->whole_step && i == 0) {
      f->microbatch_stride = here;
    } else if (!strcmp(d->name, "batch")) {
      f->rows = d->size, f->first_row = d->offset, f->row_stride = here;
      batch = true;
    } else {
      f->dims[f->n_dims++] = (xlm_feed_dim){d, here, there};
      there *= d->full;
    }
    here *= d->size;
  }
  for (int i = 0; i < f->n_dims / 2; i++) { // outermost first
    xlm_feed_dim d = f->dims[i];
    f->dims[i] = f->dims[f->n_dims - 1 - i];
    f->dims[f->n_dims - 1 - i] = d;
  }
  return batch;
}

// A sequence may be a part of the field.
static bool is_in_field(const xlm_feed_input *f, const xlm_field *field, int64_t shift) {
  if (f->n_dims != field->rank) return false;
  if (field->rank == 1) return shift + f->dims[0].dim->full <= field->shape[0];
  for (int i = 0; i < field->rank; i++)
    if (f->dims[i].dim->full != field->shape[i]) return false;
  return !shift;
}

static xlm_status resolve_data(const xlm_rank_plan *rp, const xlm_plan_input *in, const xlm_type *t,
                               const xlm_samples *samples, xlm_feed_input *f, xlm_error *err) {
  xlm_field field;
  if (!xlm_samples_field(samples, in->source, &field))
    return xlm_fail(err, XLM_USER, "the input `%s` reads `%s`, which the data does not have", in->name,
                    in->source);
  f->dtype = t->dtype;
  bool type = (f->dtype == XLM_I32) == (field.dtype == XLM_I32);
  if (!resolve_dims(rp, in, t, f) || !type || !is_in_field(f, &field, in->shift))
    return does_not_fit(in, err);
  f->first = field.first + in->shift;
  f->n = xlm_type_elements(t, rp->dims);
  return XLM_OK;
}

static xlm_status resolve(const xlm_rank_plan *rp, uint32_t index, xlm_program_id program,
                          const xlm_samples *samples, xlm_feed_input *f, xlm_error *err) {
  const xlm_plan_input *in = &rp->inputs[index];
  const xlm_type *t = &rp->tensors[in->tensor[program]].type;
  *f = (xlm_feed_input){.index = index, .role = in->role, .whole_step = in->whole_step};
  return xlm_input_is_data(in->role) ? resolve_data(rp, in, t, samples, f, err) : XLM_OK;
}

void xlm_feed_close(xlm_feed *f) {
  for (int i = 0; i < f->n; i++) {
    free(f->inputs[i].local);
    f->inputs[i].local = NULL;
  }
  free(f->sample);
  f->sample = NULL;
}

static xlm_status take_memory(xlm_feed *f, xlm_error *err) {
  bool all = true;
  f->sample = malloc(sizeof *f->sample * (size_t)f->samples->cells);
  for (int i = 0; i < f->n; i++) {
    xlm_feed_input *in = &f->inputs[i];
    if (in->n) all &= (in->local = calloc((size_t)in->n, xlm_dtype_bytes(in->dtype))) != NULL;
  }
  if (f->sample && all) return XLM_OK;
  xlm_feed_close(f);
  return xlm_fail(err, XLM_ENV, "no memory for samples of %lld elements", (long long)f->samples->cells);
}

xlm_status xlm_feed_open(const xlm_exec *e, const xlm_samples *samples, bool eval, xlm_feed *out,
                         xlm_error *err) {
  xlm_program_id program = eval ? XLM_PROGRAM_EVAL : XLM_PROGRAM_TRAIN;
  const xlm_rank_plan *rp = xlm_exec_rank_plan(e);
  *out = (xlm_feed){.samples = samples, .plan = xlm_exec_plan(e)};
  for (uint32_t i = 0; i < rp->n_inputs; i++) {
    if (!rp->inputs[i].tensor[program]) continue;
    if (out->n == XLM_MAX_INPUTS)
      return xlm_fail(err, XLM_USER, "the model has more than %d inputs", XLM_MAX_INPUTS);
    XLM_TRY(resolve(rp, i, program, samples, &out->inputs[out->n++], err));
  }
  return take_memory(out, err);
}

static bool has_row(const xlm_feed_input *in, bool whole_step, int64_t row) {
  return in->n && in->whole_step == whole_step && row >= in->first_row && row < in->first_row + in->rows;
}

static bool wants(const xlm_feed *f, const xlm_exec *e, bool whole_step, int64_t row) {
  for (int i = 0; i < f->n; i++)
    if (has_row(&f->inputs[i], whole_step, row) &&
        xlm_exec_has_input(e, f->inputs[i].index, XLM_PROGRAM_TRAIN))
      return true;
  return false;
}

static void put_cell(const xlm_feed_input *in, int64_t at, int32_t cell) {
  if (in->dtype != XLM_F64) {
    ((int32_t *)in->local)[at] = cell;
    return;
  }
  float x;
  memcpy(&x, &cell, sizeof x);
  ((double *)in->local)[at] = (double)x;
}

// Copies the local part of dimensions [k, n_dims).
static void copy_dims(const xlm_feed_input *in, int k, const int32_t *from, int64_t to) {
  if (k == in->n_dims) {
    put_cell(in, to, *from);
    return;
  }
  const xlm_feed_dim *d = &in->dims[k];
  bool last = k == in->n_dims - 1;
  for (int64_t i = 0; i < d->dim->size; i++) {
    const int32_t *at = from + xlm_dim_global(d->dim, i) * d->there;
    if (last)
      put_cell(in, to + i * d->here, *at);
    else
      copy_dims(in, k + 1, at, to + i * d->here);
  }
}

// Copies a sample to row `row` of every input of a microbatch, or of every input of the whole step.
static void fill_row(const xlm_feed *f, const int32_t *sample, bool whole_step, int64_t microbatch,
                     int64_t row) {
  for (int i = 0; i < f->n; i++) {
    const xlm_feed_input *in = &f->inputs[i];
    if (!has_row(in, whole_step, row)) continue;
    int64_t to =
        (row - in->first_row) * in->row_stride + (whole_step ? microbatch * in->microbatch_stride : 0);
    copy_dims(in, 0, sample + in->first, to);
  }
}

static xlm_status put_data(const xlm_feed *f, xlm_exec *e, xlm_program_id program, bool whole_step,
                           xlm_error *err) {
  for (int i = 0; i < f->n; i++) {
    const xlm_feed_input *in = &f->inputs[i];
    if (!in->n || in->whole_step != whole_step) continue;
    if (!xlm_exec_has_input(e, in->index, program)) continue; // belongs to another chunk
    XLM_TRY(xlm_exec_put_input(e, in->index, program, 0, in->local,
                               (size_t)in->n * xlm_dtype_bytes(in->dtype), err));
  }
  return XLM_OK;
}

static xlm_status put_scalars(const xlm_feed *f, xlm_exec *e, xlm_error *err) {
  for (int i = 0; i < f->n; i++) {
    const xlm_feed_input *in = &f->inputs[i];
    const double value[XLM_INPUT_ROLES] = {[XLM_INPUT_LR] = f->lr, [XLM_INPUT_STEP] = (double)(f->step + 1)};
    if (xlm_input_is_data(in->role) || !xlm_exec_has_input(e, in->index, XLM_PROGRAM_TRAIN)) continue;
    XLM_TRY(xlm_exec_put_scalar(e, in->index, XLM_PROGRAM_TRAIN, value[in->role], err));
  }
  return XLM_OK;
}

// From the prefetch, or read now if there is none.
static xlm_status find_sample(xlm_feed *f, int64_t row_of_step, const int32_t **out, xlm_error *err) {
  *out = f->ahead ? xlm_prefetch_window(f->ahead, row_of_step) : f->sample;
  if (f->ahead) return XLM_OK;
  int64_t first = f->step * f->plan->microbatches * f->plan->batch;
  return xlm_samples_shuffled(f->samples, first + row_of_step, f->sample, err);
}

static xlm_status fill_rows(xlm_feed *f, const xlm_exec *e, bool whole_step, int64_t microbatch,
                            xlm_error *err) {
  for (int64_t row = 0; row < f->plan->batch; row++) {
    const int32_t *sample;
    if (!wants(f, e, whole_step, row)) continue;
    XLM_TRY(find_sample(f, microbatch * f->plan->batch + row, &sample, err));
    fill_row(f, sample, whole_step, microbatch, row);
  }
  return XLM_OK;
}

xlm_status xlm_feed_step(void *arg, xlm_exec *e, int64_t microbatch, xlm_error *err) {
  xlm_feed *f = arg;
  bool whole_step = microbatch < 0;
  int64_t first = whole_step ? 0 : microbatch, end = whole_step ? f->plan->microbatches : microbatch + 1;
  if (whole_step) XLM_TRY(put_scalars(f, e, err));
  for (int64_t m = first; m < end; m++) XLM_TRY(fill_rows(f, e, whole_step, m, err));
  return put_data(f, e, false, whole_step, err);
}

xlm_status xlm_feed_window(xlm_feed *f, int64_t row, int64_t at, xlm_error *err) {
  XLM_TRY(xlm_samples_window(f->samples, at, f->sample, err));
  fill_row(f, f->sample, false, 0, row);
  return XLM_OK;
}

xlm_status xlm_feed_eval(const xlm_feed *f, xlm_exec *e, xlm_error *err) {
  return put_data(f, e, true, false, err);
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
