// A program of the plan on all local ranks: its inputs from rows of tokens, its logits.
#include <string.h>

#include "runtime/base/bf16.h"
#include "runtime/decode/decoder_priv.h"

// ---- opening

static void add_inputs(xlm_decoder *d, program *p, int member, const xlm_rank_plan *rp) {
  for (uint32_t i = 0; i < rp->n_inputs; i++) {
    const xlm_plan_input *in = &rp->inputs[i];
    xlm_text_part x = {.member = member, .index = i, .with = xlm_filling_of(in)};
    if (!in->tensor[p->id] || xlm_input_is_scalar(in->role)) continue;
    if (!xlm_text_part_of(rp, &rp->tensors[in->tensor[p->id]].type, &x)) continue;
    x.n = xlm_type_elements(x.type, rp->dims);
    x.local = XLM_NEW_N(d->arena, char, (size_t)x.n *x.bytes);
    p->inputs[p->n_inputs++] = x;
  }
}

static void add_logits(xlm_decoder *d, program *p, int member, const xlm_rank_plan *rp) {
  for (uint32_t i = 0; i < rp->n_outputs; i++) {
    xlm_text_part x = {.member = member, .index = i};
    if (!xlm_is_logits(rp, &rp->outputs[i], p->id) || strcmp(rp->outputs[i].name, d->logits_name)) continue;
    if (!xlm_text_part_of(rp, &rp->tensors[rp->outputs[i].tensor].type, &x)) continue;
    x.n = (x.vocab->size - 1) * x.vocab_stride + 1;
    x.local = XLM_NEW_N(d->arena, char, (size_t)x.n *x.bytes);
    p->logits[p->n_logits++] = x;
  }
}

void program_open(xlm_decoder *d, xlm_program_id id, program *out) {
  const xlm_plan *plan = xlm_team_plan(d->team);
  int n = xlm_team_size(d->team);
  uint32_t inputs = 0;
  for (int m = 0; m < n; m++) inputs += xlm_exec_rank_plan(xlm_team_exec(d->team, m))->n_inputs;
  *out = (program){.id = id,
                   .inputs = XLM_NEW_N(d->arena, xlm_text_part, inputs),
                   .logits = XLM_NEW_N(d->arena, xlm_text_part, n),
                   .positions = id == XLM_PROGRAM_PREFILL  ? plan->chunk
                                : id == XLM_PROGRAM_DECODE ? 1
                                                           : plan->seq};
  for (int m = 0; m < n; m++) {
    const xlm_rank_plan *rp = xlm_exec_rank_plan(xlm_team_exec(d->team, m));
    add_inputs(d, out, m, rp);
    add_logits(d, out, m, rp);
  }
}

// ---- inputs

static int32_t cell(const row *r, xlm_filling with, int64_t at) {
  if (with == XLM_FILL_TOKENS) return r->start >= 0 && at < r->count ? r->tokens[at] : 0;
  return (int32_t)(with == XLM_FILL_POSITIONS ? r->start + at
                   : with == XLM_FILL_STARTS  ? r->start
                                              : r->count);
}

static void fill_row(const xlm_text_part *p, const row *r, int32_t *to) {
  for (int64_t c = 0; c < (p->seq ? p->seq->size : 1); c++)
    to[c * p->seq_stride] = cell(r, p->with, p->seq ? xlm_dim_global(p->seq, c) : 0);
}

// Inputs that the logits do not depend on, such as targets of the loss, are zero.
static void fill(const xlm_decoder *d, const xlm_text_part *p) {
  if (p->with == XLM_FILL_NOTHING || p->with == XLM_FILL_ZEROS) return;
  for (int64_t b = 0; b < p->batch->size; b++)
    fill_row(p, &d->rows[xlm_dim_global(p->batch, b)], (int32_t *)p->local + b * p->batch_stride);
}

xlm_status program_run(xlm_decoder *d, program *p, xlm_error *err) {
  for (int i = 0; i < p->n_inputs; i++) {
    const xlm_text_part *x = &p->inputs[i];
    fill(d, x);
    XLM_TRY(xlm_exec_put_input(xlm_team_exec(d->team, x->member), x->index, p->id, 0, x->local,
                               (size_t)x->n * x->bytes, err));
  }
  return xlm_team_run(d->team, p->id, d->env, err);
}

// ---- logits

static float element(const xlm_text_part *p, int64_t at) {
  if (p->type->dtype == XLM_BF16) return xlm_bf16_to_f32(((const uint16_t *)p->local)[at]);
  return p->type->dtype == XLM_F64 ? (float)((const double *)p->local)[at] : ((const float *)p->local)[at];
}

// f32 side by side, as most models have them: read where they belong.
static xlm_status read_run(xlm_decoder *d, const xlm_text_part *x, int64_t first, float *to, xlm_error *err) {
  return xlm_exec_get_output(xlm_team_exec(d->team, x->member), x->index, (size_t)first * x->bytes,
                             to + x->vocab->offset, (size_t)x->n * x->bytes, err);
}

static xlm_status read_elements(xlm_decoder *d, const xlm_text_part *x, int64_t first, float *to,
                                xlm_error *err) {
  XLM_TRY(xlm_exec_get_output(xlm_team_exec(d->team, x->member), x->index, (size_t)first * x->bytes, x->local,
                              (size_t)x->n * x->bytes, err));
  for (int64_t v = 0; v < x->vocab->size; v++)
    to[xlm_dim_global(x->vocab, v)] = element(x, v * x->vocab_stride);
  return XLM_OK;
}

xlm_status program_logits(xlm_decoder *d, program *p, int slot, int64_t position, xlm_error *err) {
  for (int k = 0; k < p->n_logits; k++) {
    const xlm_text_part *x = &p->logits[k];
    int64_t r = xlm_dim_local(x->batch, slot), at = x->seq->full == 1 ? 0 : xlm_dim_local(x->seq, position);
    if (r < 0 || at < 0) continue;
    int64_t first = r * x->batch_stride + at * x->seq_stride;
    bool run = x->type->dtype == XLM_F32 && x->vocab_stride == 1 && !x->vocab->tail;
    XLM_TRY((run ? read_run : read_elements)(d, x, first, d->slots[slot].logits, err));
  }
  return XLM_OK;
}
