// What a sequence is given besides its tokens: the inputs of the program encode, filled for some slots and
// computed into their rows of the caches. The rows of the others count 0 and stay as they are.
#include <string.h>

#include "runtime/decode/decoder_priv.h"

// ---- opening

static bool is_known(const encoder *e, const char *name) {
  for (int i = 0; i < e->n_inputs; i++)
    if (!strcmp(e->inputs[i].name, name)) return true;
  return false;
}

// As the plan has it for one sequence: the full sizes, without `batch`.
static void add_input(xlm_arena *a, encoder *e, const xlm_rank_plan *rp, const xlm_plan_input *in) {
  const xlm_type *t = &rp->tensors[in->tensor[XLM_PROGRAM_ENCODE]].type;
  xlm_decoder_input x = {.name = in->name,
                         .source = in->source,
                         .dtype = t->dtype == XLM_I32 ? XLM_I32 : XLM_F32,
                         .vocab = in->vocab,
                         .n = 1};
  for (int k = 0; k < t->rank; k++) {
    const xlm_dim_info *d = &rp->dims[t->dim[k]];
    if (!strcmp(d->name, "batch")) continue;
    x.dim[x.rank] = d->name, x.shape[x.rank++] = d->full;
    x.n *= d->full;
  }
  XLM_PUSH(a, e->inputs, e->n_inputs, e->cap_inputs, x);
}

static int index_of(const encoder *e, const char *name) {
  int i = 0;
  while (strcmp(e->inputs[i].name, name)) i++;
  return i;
}

static void add_parts(xlm_decoder *d, encoder *e, int member, const xlm_rank_plan *rp) {
  for (uint32_t i = 0; i < rp->n_inputs; i++) {
    const xlm_plan_input *in = &rp->inputs[i];
    uint32_t tensor = in->tensor[XLM_PROGRAM_ENCODE];
    if (!tensor || xlm_input_is_scalar(in->role)) continue;
    const xlm_type *t = &rp->tensors[tensor].type;
    encode_part p = {.member = member, .index = i, .rp = rp, .type = t, .n = xlm_type_elements(t, rp->dims)};
    p.input = xlm_input_is_data(in->role) ? index_of(e, in->name) : -1;
    p.bytes = xlm_dtype_bytes(t->dtype);
    p.local = XLM_NEW_N(d->arena, char, (size_t)p.n *p.bytes);
    XLM_PUSH(d->arena, e->parts, e->n_parts, e->cap_parts, p);
  }
}

void encoder_open(xlm_decoder *d) {
  encoder *e = &d->encoder;
  const xlm_plan *plan = xlm_team_plan(d->team);
  for (uint32_t c = 0; c < plan->n_rank_plans; c++) // the same order in every process
    for (uint32_t i = 0; i < plan->rank_plans[c]->n_inputs; i++) {
      const xlm_plan_input *in = &plan->rank_plans[c]->inputs[i];
      if (in->tensor[XLM_PROGRAM_ENCODE] && xlm_input_is_data(in->role) && !is_known(e, in->name))
        add_input(d->arena, e, plan->rank_plans[c], in);
    }
  e->given = XLM_NEW_N(d->arena, const void *const *, d->n_slots);
  for (int m = 0; m < xlm_team_size(d->team); m++)
    add_parts(d, e, m, xlm_exec_rank_plan(xlm_team_exec(d->team, m)));
}

int xlm_decoder_inputs(const xlm_decoder *d, const xlm_decoder_input **out) {
  *out = d->encoder.inputs;
  return d->encoder.n_inputs;
}

// ---- running

static void put_element(const encode_part *p, int64_t to, const void *values, int64_t from) {
  if (p->type->dtype == XLM_F64)
    ((double *)p->local)[to] = (double)((const float *)values)[from];
  else
    memcpy(p->local + to * 4, (const char *)values + from * 4, 4);
}

// This rank's elements of the slots that are given. Of a slot that is not, the last ones stay.
static void fill(const encoder *e, const encode_part *p) {
  for (int64_t i = 0; i < p->n; i++) {
    int64_t rest = i, slot = 0, from = 0, stride = 1;
    for (int k = p->type->rank - 1; k >= 0; k--) {
      const xlm_dim_info *d = &p->rp->dims[p->type->dim[k]];
      int64_t at = xlm_dim_global(d, rest % d->size);
      rest /= d->size;
      if (!strcmp(d->name, "batch")) {
        slot = at;
      } else {
        from += at * stride;
        stride *= d->full;
      }
    }
    if (p->input < 0)
      ((int32_t *)p->local)[i] = e->given[slot] != NULL;
    else if (e->given[slot])
      put_element(p, i, e->given[slot][p->input], from);
  }
}

xlm_status xlm_decoder_encode(xlm_decoder *d, const xlm_decoder_source *sources, int n, xlm_error *err) {
  encoder *e = &d->encoder;
  memset((void *)e->given, 0, (size_t)d->n_slots * sizeof *e->given);
  for (int i = 0; i < n; i++) e->given[sources[i].slot] = sources[i].values;
  for (int i = 0; i < e->n_parts; i++) {
    const encode_part *p = &e->parts[i];
    fill(e, p);
    XLM_TRY(xlm_exec_put_input(xlm_team_exec(d->team, p->member), p->index, XLM_PROGRAM_ENCODE, 0, p->local,
                               (size_t)p->n * p->bytes, err));
  }
  return xlm_team_run(d->team, XLM_PROGRAM_ENCODE, d->env, err);
}
