// What a plan reads of a sample, from the inputs of all its ranks: a rank of a pipeline has only some of
// them.
#include <string.h>

#include "runtime/train/feed.h"

enum { MOST = 64 };

typedef struct fields {
  xlm_field *at;
  int n;
} fields;

static xlm_status disagree(const xlm_plan_input *in, xlm_error *err) {
  return xlm_fail(err, XLM_USER, "two inputs of the plan read `%s` with different types or dimensions",
                  in->source);
}

// The program that reads it from samples; decoding is fed otherwise.
static xlm_program_id of_samples(const xlm_plan_input *in) {
  return in->tensor[XLM_PROGRAM_TRAIN] ? XLM_PROGRAM_TRAIN : XLM_PROGRAM_EVAL;
}

// Not one of decoding alone.
static bool is_of_samples(const xlm_plan_input *in) {
  return in->tensor[of_samples(in)] != 0;
}

// An input's own field: the dimensions of a sample; a sequence begins at 0.
static xlm_field field_of(const xlm_rank_plan *rp, const xlm_plan_input *in) {
  const xlm_type *t = &rp->tensors[in->tensor[of_samples(in)]].type;
  xlm_field x = {.name = in->source, .dtype = t->dtype == XLM_I32 ? XLM_I32 : XLM_F32, .bound = in->vocab};
  for (int i = in->whole_step; i < t->rank; i++) {
    const xlm_dim_info *d = &rp->dims[t->dim[i]];
    if (strcmp(d->name, "batch")) x.shape[x.rank++] = d->full;
  }
  if (x.rank == 1) x.shape[0] += in->shift;
  return x;
}

static xlm_status join(xlm_field *have, const xlm_field *x, const xlm_plan_input *in, xlm_error *err) {
  if (have->dtype != x->dtype || have->rank != x->rank) return disagree(in, err);
  for (int i = 0; i < x->rank; i++) {
    if (x->rank > 1 && have->shape[i] != x->shape[i]) return disagree(in, err);
    if (x->shape[i] > have->shape[i]) have->shape[i] = x->shape[i];
  }
  if (x->bound && (!have->bound || x->bound < have->bound)) have->bound = x->bound;
  return XLM_OK;
}

static xlm_status add_input(fields *f, const xlm_rank_plan *rp, const xlm_plan_input *in, xlm_error *err) {
  xlm_field x = field_of(rp, in);
  for (int i = 0; i < f->n; i++)
    if (!strcmp(f->at[i].name, x.name)) return join(&f->at[i], &x, in, err);
  if (f->n == MOST) return xlm_fail(err, XLM_USER, "the model reads more than %d tensors of a sample", MOST);
  f->at[f->n++] = x;
  return XLM_OK;
}

xlm_status xlm_plan_data(const xlm_plan *p, xlm_arena *a, xlm_data_options *out, xlm_error *err) {
  fields f = {.at = XLM_NEW_N(a, xlm_field, MOST)};
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    for (uint32_t i = 0; i < p->rank_plans[c]->n_inputs; i++) {
      const xlm_rank_plan *rp = p->rank_plans[c];
      if (xlm_input_is_data(rp->inputs[i].role) && is_of_samples(&rp->inputs[i]))
        XLM_TRY(add_input(&f, rp, &rp->inputs[i], err));
    }
  *out = (xlm_data_options){.fields = f.at, .n_fields = f.n};
  for (int i = 0; i < f.n; i++) {
    xlm_field *x = &f.at[i];
    x->n = 1;
    for (int k = 0; k < x->rank; k++)
      if (__builtin_mul_overflow(x->n, x->shape[k], &x->n) || x->n > INT32_MAX)
        return xlm_fail(err, XLM_USER, "a sample has more than %d elements of `%s`", INT32_MAX, x->name);
    if (!strcmp(x->name, "tokens")) out->vocab = x->bound;
    if (x->rank == 1 && x->n - p->seq > out->ahead) out->ahead = x->n - p->seq;
  }
  return XLM_OK;
}
