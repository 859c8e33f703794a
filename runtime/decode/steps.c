// Decoding over the programs prefill and decode, which keep what earlier tokens left in caches: only new
// tokens are computed, by prefill as long as a slot has many, then by decode. A slot without new tokens has a
// count of 0; one that begins anew starts at 0, where no cache is read, or with what the model has before the
// text, at places below 0: a run has places of it or of the text.
#include <math.h>

#include "runtime/decode/decoder_priv.h"

static double cost_of(const xlm_rank_plan *rp, xlm_program_id id, double share, double flops_per_byte) {
  const xlm_segment *s = &rp->segments[rp->segment_of[id]];
  double flops = 0;
  for (uint32_t i = s->first; i < s->first + s->n; i++)
    flops += fmax(rp->instrs[i].flops * share, rp->instrs[i].bytes * flops_per_byte);
  return flops;
}

bool prefill_pays(const xlm_plan *p, double flops_per_byte, int64_t tokens, double share) {
  const xlm_rank_plan *rp = p->rank_plans[0];
  if (tokens < 2 || flops_per_byte <= 0) return tokens > 1;
  int64_t runs = tokens < p->chunk ? tokens : p->chunk;
  return cost_of(rp, XLM_PROGRAM_PREFILL, share, flops_per_byte) <=
         (double)runs * cost_of(rp, XLM_PROGRAM_DECODE, 1, flops_per_byte);
}

// The most tokens that a slot has left.
static int64_t left(xlm_decoder *d, const xlm_decoder_piece *pieces, int n) {
  int64_t most = 0;
  for (int i = 0; i < n; i++) {
    const decoder_slot *s = &d->slots[pieces[i].slot];
    int64_t rest = s->length - d->rows[pieces[i].slot].start;
    if (rest > most) most = rest;
  }
  return most;
}

static void begin(xlm_decoder *d, const xlm_decoder_piece *pieces, int n) {
  for (int i = 0; i < d->n_slots; i++) d->rows[i] = (row){d->slots[i].tokens, d->slots[i].length, 0};
  for (int i = 0; i < n; i++) {
    int64_t *start = &d->rows[pieces[i].slot].start;
    *start -= pieces[i].n;
    if (!*start) *start = -xlm_team_plan(d->team)->prefix;
  }
}

static void set_counts(xlm_decoder *d, int64_t most) {
  for (int i = 0; i < d->n_slots; i++) {
    row *r = &d->rows[i];
    int64_t rest = (r->start < 0 ? 0 : d->slots[i].length) - r->start;
    r->tokens = d->slots[i].tokens + (r->start < 0 ? 0 : r->start);
    r->count = rest < most ? rest : most;
  }
}

// Of the rows of a run of prefill, those that it computes; see xlm_row_range.
static double share_of_rows(const xlm_decoder *d) {
  int64_t chunk = d->prefill.positions, first = -1, end = 0, most = 0;
  for (int i = 0; i < d->n_slots; i++) {
    int64_t rest = d->slots[i].length - d->rows[i].start;
    if (rest <= 0) continue;
    if (first < 0) first = i;
    end = i + 1, most = rest > most ? rest : most;
  }
  most = most < chunk ? most : chunk;
  return d->leaves_rows ? (double)((end - first) * most) / (double)(d->n_slots * chunk) : 1;
}

// What is before a text is for prefill alone.
static program *next_program(xlm_decoder *d, int64_t most) {
  bool before = false;
  for (int i = 0; i < d->n_slots; i++) before |= d->rows[i].start < 0;
  bool pays = d->prefill_from
                  ? most >= d->prefill_from
                  : prefill_pays(xlm_team_plan(d->team), d->flops_per_byte, most, share_of_rows(d));
  return before || pays ? &d->prefill : &d->decode;
}

static xlm_status read_ends(xlm_decoder *d, program *p, const xlm_decoder_piece *pieces, int n,
                            xlm_error *err) {
  for (int i = 0; i < n; i++) {
    int slot = pieces[i].slot;
    const row *r = &d->rows[slot];
    if (r->count && r->start + r->count == d->slots[slot].length)
      XLM_TRY(program_logits(d, p, slot, r->count - 1, err));
  }
  return XLM_OK;
}

xlm_status run_steps(xlm_decoder *d, const xlm_decoder_piece *pieces, int n, xlm_error *err) {
  begin(d, pieces, n);
  for (int64_t most; (most = left(d, pieces, n)) > 0;) {
    program *p = next_program(d, most);
    set_counts(d, p->positions);
    XLM_TRY(program_run(d, p, err));
    XLM_TRY(read_ends(d, p, pieces, n, err));
    for (int i = 0; i < d->n_slots; i++) d->rows[i].start += d->rows[i].count;
  }
  return XLM_OK;
}
