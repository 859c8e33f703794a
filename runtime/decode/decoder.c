// Slots, and what decoding takes of a plan: its inputs and its logits; see decoder.h.
#include "runtime/decode/decoder.h"

#include <math.h>
#include <string.h>

#include "runtime/decode/decoder_priv.h"

// ---- what the plan has ----

static xlm_status no_logits(const xlm_decoder *d, const xlm_plan *p, xlm_program_id id, xlm_error *err) {
  const char *other = xlm_other_output(p, id, d->arena);
  if (other)
    return xlm_fail(
        err, XLM_USER,
        "the model generates no text: its output %s, and tokens are chosen from an output with "
        "the dimensions batch, seq and the vocabulary; `xlmrun eval` computes its loss and metrics",
        other);
  return xlm_fail(err, XLM_USER,
                  "the model has no output [batch, seq, vocab] to choose tokens from: add `output logits`");
}

static xlm_status find_logits(xlm_decoder *d, const xlm_plan *p, xlm_program_id id, xlm_error *err) {
  xlm_text_part whole;
  d->logits_name = xlm_find_logits(p, id, &whole);
  if (!d->logits_name) return no_logits(d, p, id, err);
  d->vocab = whole.vocab->full;
  d->n_slots = (int)whole.batch->full;
  return XLM_OK;
}

// Marks the tensors of a rank that its logits, and what it sends to other ranks, depend on.
static void mark_needed(const xlm_rank_plan *rp, xlm_program_id id, const char *logits, bool *needed) {
  const xlm_segment *s = &rp->segments[rp->segment_of[id]];
  for (uint32_t i = 0; i < rp->n_outputs; i++)
    if (rp->outputs[i].program == id && !strcmp(rp->outputs[i].name, logits))
      needed[rp->outputs[i].tensor] = true;
  for (uint32_t i = s->first + s->n; i-- > s->first;) {
    const xlm_instr *in = &rp->instrs[i];
    bool used = in->n_out == 0; // a send
    for (int k = 0; k < in->n_out; k++) used |= needed[in->out[k]];
    for (int k = 0; used && k < in->n_in; k++) needed[in->in[k]] = true;
  }
}

static xlm_status check_rank(xlm_arena *a, const xlm_rank_plan *rp, xlm_program_id id, const char *logits,
                             bool *tokens, xlm_error *err) {
  bool *needed = XLM_NEW_N(a, bool, rp->n_tensors);
  mark_needed(rp, id, logits, needed);
  for (uint32_t i = 0; i < rp->n_inputs; i++) {
    const xlm_plan_input *in = &rp->inputs[i];
    *tokens |= in->role == XLM_INPUT_TOKENS;
    bool counts = in->tensor[id] && needed[in->tensor[id]] && xlm_input_is_data(in->role);
    if (!counts || xlm_filling_of(in)) continue;
    return xlm_fail(
        err, XLM_USER,
        "the outputs depend on the input `%s` at every place, and generate has only the tokens so far there: "
        "what else a model reads may not lie along `seq`",
        in->name);
  }
  return XLM_OK;
}

// The model reads a stream of tokens, and its logits depend on nothing that a text does not give.
static xlm_status check_inputs(const xlm_decoder *d, const xlm_plan *p, xlm_program_id id, xlm_error *err) {
  xlm_arena *a = xlm_arena_child(d->arena);
  xlm_status other = XLM_OK;
  bool tokens = false;
  for (uint32_t c = 0; c < p->n_rank_plans && other == XLM_OK; c++)
    other = check_rank(a, p->rank_plans[c], id, d->logits_name, &tokens, err);
  xlm_arena_free(a);
  if (tokens) return other;
  return xlm_fail(err, XLM_USER,
                  "`generate` continues a stream of tokens, and no input of the model is one (`input "
                  "tokens[batch, seq] of vocab`): it reads records");
}

static void take_memory(xlm_decoder *d) {
  int64_t n = d->n_slots * d->vocab, processes = xlm_team_processes(d->team);
  d->slots = XLM_NEW_N(d->arena, decoder_slot, d->n_slots);
  d->rows = XLM_NEW_N(d->arena, row, d->n_slots);
  for (int i = 0; i < d->n_slots; i++) d->slots[i].tokens = XLM_NEW_N(d->arena, int32_t, d->seq);
  d->here = XLM_NEW_N(d->arena, float, n);
  if (processes > 1) d->all = XLM_NEW_N(d->arena, float, n *processes);
}

static void choose_way(xlm_decoder *d, bool steps) {
  encoder_open(d);
  if (steps) {
    program_open(d, XLM_PROGRAM_PREFILL, &d->prefill);
    program_open(d, XLM_PROGRAM_DECODE, &d->decode);
    const xlm_exec *e = xlm_team_exec(d->team, 0);
    d->flops_per_byte = xlm_exec_device(e)->flops_per_byte;
    d->leaves_rows = xlm_exec_leaves_rows(xlm_team_plan(d->team), XLM_PROGRAM_PREFILL);
  } else {
    program_open(d, XLM_PROGRAM_EVAL, &d->eval);
  }
  d->run = steps ? run_steps : run_window;
}

xlm_status xlm_decoder_open(xlm_arena *a, xlm_team *team, uint64_t seed, xlm_decoder **out, xlm_error *err) {
  const xlm_plan *plan = xlm_team_plan(team);
  bool steps = xlm_plan_has(plan->rank_plans[0], XLM_PROGRAM_DECODE);
  xlm_program_id id = steps ? XLM_PROGRAM_DECODE : XLM_PROGRAM_EVAL;
  xlm_decoder *d = XLM_NEW(a, xlm_decoder);
  *d = (xlm_decoder){.arena = a, .team = team, .env = {.seed = seed}, .seq = plan->seq};
  XLM_TRY(find_logits(d, plan, id, err));
  XLM_TRY(check_inputs(d, plan, id, err));
  take_memory(d);
  choose_way(d, steps);
  *out = d;
  return XLM_OK;
}

// ---- slots ----

int xlm_decoder_slots(const xlm_decoder *d) {
  return d->n_slots;
}
int64_t xlm_decoder_vocab(const xlm_decoder *d) {
  return d->vocab;
}
int64_t xlm_decoder_context(const xlm_decoder *d) {
  return d->seq;
}
int64_t xlm_decoder_length(const xlm_decoder *d, int slot) {
  return d->slots[slot].length;
}

static uint64_t bytes_of(const xlm_decoder *d, const program *p) {
  uint64_t n = 0;
  for (int i = 0; i < p->n_logits; i++) {
    const xlm_text_part *x = &p->logits[i];
    n += xlm_type_bytes(x->type, xlm_exec_rank_plan(xlm_team_exec(d->team, x->member))->dims);
  }
  return n;
}

static uint64_t bytes_of_caches(const xlm_decoder *d) {
  uint64_t n = 0;
  for (int m = 0; m < xlm_team_size(d->team); m++) {
    const xlm_rank_plan *rp = xlm_exec_rank_plan(xlm_team_exec(d->team, m));
    for (uint32_t i = 0; i < rp->n_states; i++)
      if (rp->states[i].role == XLM_ROLE_CACHE) n += rp->tensors[rp->states[i].tensor].bytes;
  }
  return n;
}

uint64_t xlm_decoder_bytes(const xlm_decoder *d) {
  return bytes_of_caches(d) + bytes_of(d, &d->eval) + bytes_of(d, &d->prefill) + bytes_of(d, &d->decode);
}

void xlm_decoder_reset(xlm_decoder *d, int slot) {
  d->slots[slot].length = 0;
}

static void append(xlm_decoder *d, const xlm_decoder_piece *p, float *logits) {
  decoder_slot *s = &d->slots[p->slot];
  XLM_ASSERT(p->n > 0 && s->length + p->n <= d->seq, "%lld tokens for slot %d, which has %lld",
             (long long)p->n, p->slot, (long long)s->length);
  memcpy(s->tokens + s->length, p->tokens, sizeof *s->tokens * (size_t)p->n);
  s->length += p->n;
  s->logits = logits;
}

// Every number is in one process at least; what a process lacks is NaN.
static xlm_status gather(xlm_decoder *d, size_t n, xlm_error *err) {
  int processes = xlm_team_processes(d->team);
  if (processes == 1) return XLM_OK;
  XLM_TRY(xlm_team_share(d->team, d->here, n * sizeof *d->here, d->all, err));
  for (int k = processes - 1; k >= 0; k--)
    for (size_t i = 0; i < n; i++)
      if (!isnan(d->all[(size_t)k * n + i])) d->here[i] = d->all[(size_t)k * n + i];
  return XLM_OK;
}

xlm_status xlm_decoder_put(xlm_decoder *d, const xlm_decoder_piece *pieces, int n, xlm_error *err) {
  for (int i = 0; i < d->n_slots; i++) d->slots[i].logits = NULL;
  for (int64_t i = 0; d->all && i < n * d->vocab; i++) d->here[i] = NAN;
  for (int i = 0; i < n; i++) append(d, &pieces[i], d->here + i * d->vocab);
  XLM_TRY(d->run(d, pieces, n, err));
  return gather(d, (size_t)(n * d->vocab), err);
}

const float *xlm_decoder_logits(const xlm_decoder *d, int slot) {
  return d->slots[slot].logits;
}
