// See score.h. For every scored token each rank finds, over its part of the vocabulary, the largest logit,
// the sum of exp(logit - largest) and the logit of the token itself; from these of all parts follows log
// softmax(logits)[token].
#include "runtime/evaluate/score.h"

#include <math.h>
#include <string.h>

#include "runtime/base/bf16.h"
#include "runtime/base/pool.h"
#include "runtime/exec/text_part.h"

enum { ROOM = 1 << 22 }; // elements of logits that are reduced at a time

typedef struct partial { // of a scored token, over [first, first + n) of the vocabulary; n = 0: nothing
  double sum;            // of exp(logit - most)
  float most, target;    // target: the token's logit, where first <= token < first + n
  int32_t best;          // the first id with the largest logit
  int32_t first, n;
} partial;

typedef struct query { // a scored token
  int64_t row, position;
  int32_t target;
} query;

struct xlm_scorer {
  xlm_arena *arena;
  xlm_team *team;
  xlm_step_env env;
  int64_t window, vocab, batch;
  xlm_text_part *inputs, *logits;
  int n_inputs, n_logits;
  query *queries;
  int64_t n_queries;
  int members;         // local ranks
  partial *here, *all; // [query][member]; of all processes
};

// ---- opening

static void find_inputs(xlm_scorer *s, int m, const xlm_rank_plan *rp) {
  for (uint32_t i = 0; i < rp->n_inputs; i++) {
    const xlm_plan_input *in = &rp->inputs[i];
    xlm_text_part p = {.member = m, .index = i, .with = xlm_filling_of(in)};
    uint32_t tensor = in->tensor[XLM_PROGRAM_EVAL];
    if (!p.with || !tensor || !xlm_text_part_of(rp, &rp->tensors[tensor].type, &p) || !p.seq) continue;
    p.n = xlm_type_elements(p.type, rp->dims);
    p.local = XLM_NEW_N(s->arena, char, (size_t)p.n *p.bytes);
    s->inputs[s->n_inputs++] = p;
  }
}

static int64_t positions_at_once(const xlm_text_part *p) {
  return p->n < ROOM ? ROOM / p->n : 1;
}

static void find_logits(xlm_scorer *s, int m, const xlm_rank_plan *rp, const char *name) {
  for (uint32_t i = 0; i < rp->n_outputs; i++) {
    xlm_text_part p = {.member = m, .index = i};
    if (!xlm_is_logits(rp, &rp->outputs[i], XLM_PROGRAM_EVAL) || strcmp(rp->outputs[i].name, name) ||
        !xlm_text_part_of(rp, &rp->tensors[rp->outputs[i].tensor].type, &p))
      continue;
    p.n = (p.vocab->size - 1) * p.vocab_stride + 1;
    p.local = XLM_NEW_N(s->arena, char, (size_t)(p.n * positions_at_once(&p)) * p.bytes);
    s->logits[s->n_logits++] = p;
  }
}

xlm_scorer *xlm_scorer_new(xlm_arena *a, xlm_team *team, uint64_t seed) {
  xlm_scorer *s = XLM_NEW(a, xlm_scorer);
  *s = (xlm_scorer){.arena = a, .team = team, .env = {.seed = seed}, .members = xlm_team_size(team)};
  xlm_text_part whole;
  const char *name = xlm_find_logits(xlm_team_plan(team), XLM_PROGRAM_EVAL, &whole);
  s->window = whole.seq->full, s->vocab = whole.vocab->full, s->batch = whole.batch->full;
  uint32_t inputs = 0;
  for (int m = 0; m < s->members; m++) inputs += xlm_exec_rank_plan(xlm_team_exec(team, m))->n_inputs;
  s->inputs = XLM_NEW_N(a, xlm_text_part, inputs);
  s->logits = XLM_NEW_N(a, xlm_text_part, s->members);
  for (int m = 0; m < s->members; m++) {
    const xlm_rank_plan *rp = xlm_exec_rank_plan(xlm_team_exec(team, m));
    find_inputs(s, m, rp);
    find_logits(s, m, rp, name);
  }
  int64_t most = s->batch * s->window;
  s->queries = XLM_NEW_N(a, query, most);
  s->here = XLM_NEW_N(a, partial, most * s->members);
  s->all = XLM_NEW_N(a, partial, most * s->members * xlm_team_processes(team));
  return s;
}

int64_t xlm_scorer_batch(const xlm_scorer *s) {
  return s->batch;
}

// ---- tokens in

static void fill_row(const xlm_text_part *p, const xlm_row *row, int32_t *to) {
  for (int64_t c = 0; c < p->seq->size; c++) {
    int64_t at = xlm_dim_global(p->seq, c);
    int32_t token = row && at < row->n - 1 ? row->tokens[at] : 0;
    to[c * p->seq_stride] = p->with == XLM_FILL_POSITIONS ? (int32_t)at : p->with == XLM_FILL_TOKENS ? token : 0;
  }
}

static xlm_status put_rows(xlm_scorer *s, const xlm_row *rows, int64_t n, xlm_error *err) {
  for (int i = 0; i < s->n_inputs; i++) {
    const xlm_text_part *p = &s->inputs[i];
    for (int64_t b = 0; b < (p->batch ? p->batch->size : 1); b++) {
      int64_t row = p->batch ? xlm_dim_global(p->batch, b) : 0;
      fill_row(p, row < n ? &rows[row] : NULL, (int32_t *)p->local + b * p->batch_stride);
    }
    XLM_TRY(xlm_exec_put_input(xlm_team_exec(s->team, p->member), p->index, XLM_PROGRAM_EVAL, 0, p->local,
                               (size_t)p->n * p->bytes, err));
  }
  return XLM_OK;
}

// ---- logits out

typedef struct reduction { // of positions that were read, by the threads of a rank
  const xlm_scorer *s;
  const xlm_text_part *p;
  const int64_t *query; // [n]
  int64_t n;
} reduction;

static float logit(const xlm_text_part *p, const char *from, int64_t v) {
  int64_t at = v * p->vocab_stride;
  return p->type->dtype == XLM_BF16 ? xlm_bf16_to_f32(((const uint16_t *)from)[at])
                                    : ((const float *)from)[at];
}

static partial reduce(const xlm_text_part *p, const char *from, int32_t target) {
  int64_t n = p->vocab->size, best = 0, own = target - p->vocab->offset;
  float most = logit(p, from, 0);
  for (int64_t v = 1; v < n; v++)
    if (logit(p, from, v) > most) most = logit(p, from, v), best = v;
  double sum = 0;
  for (int64_t v = 0; v < n; v++) sum += (double)expf(logit(p, from, v) - most);
  return (partial){.sum = sum,
                   .most = most,
                   .target = own >= 0 && own < n ? logit(p, from, own) : 0,
                   .best = (int32_t)(p->vocab->offset + best),
                   .first = (int32_t)p->vocab->offset,
                   .n = (int32_t)n};
}

static void reduce_some(void *arg, int worker, int workers) {
  const reduction *r = arg;
  int64_t from, to;
  xlm_pool_range(r->n, worker, workers, &from, &to);
  for (int64_t i = from; i < to; i++) {
    int64_t q = r->query[i];
    r->s->here[q * r->s->members + r->p->member] =
        reduce(r->p, r->p->local + (size_t)(i * r->p->n) * r->p->bytes, r->s->queries[q].target);
  }
}

// The element of the local tensor where the logits of a query begin; -1: they are elsewhere.
static int64_t place_of(const xlm_text_part *p, const query *q) {
  int64_t b = xlm_dim_local(p->batch, q->row), c = xlm_dim_local(p->seq, q->position);
  return b < 0 || c < 0 ? -1 : b * p->batch_stride + c * p->seq_stride;
}

static xlm_status reduce_part(xlm_scorer *s, const xlm_text_part *p, xlm_error *err) {
  enum { MOST = 256 };
  int64_t room = positions_at_once(p), which[MOST];
  xlm_exec *e = xlm_team_exec(s->team, p->member);
  reduction r = {s, p, which, 0};
  for (int64_t q = 0; q < s->n_queries; q++) {
    int64_t at = place_of(p, &s->queries[q]);
    if (at >= 0) {
      XLM_TRY(xlm_exec_get_output(e, p->index, (size_t)at * p->bytes,
                                  p->local + (size_t)(r.n * p->n) * p->bytes, (size_t)p->n * p->bytes, err));
      which[r.n++] = q;
    }
    if (r.n == room || r.n == MOST || (r.n && q == s->n_queries - 1)) {
      xlm_pool_run(xlm_exec_pool(e), reduce_some, &r);
      r.n = 0;
    }
  }
  return XLM_OK;
}

// ---- scores

// The part of a query that begins at id `first`; ranks that hold the same are alike.
static const partial *part_at(const xlm_scorer *s, int64_t q, int64_t first) {
  for (int k = 0; k < xlm_team_processes(s->team); k++)
    for (int m = 0; m < s->members; m++) {
      const partial *x = &s->all[(k * s->n_queries + q) * s->members + m];
      if (x->n && x->first == first) return x;
    }
  return NULL;
}

static void score(const xlm_scorer *s, int64_t q, xlm_row *row) {
  int32_t target = s->queries[q].target, best = 0;
  double most = 0, sum = 0, own = 0;
  for (int64_t v = 0; v < s->vocab;) {
    const partial *x = part_at(s, q, v);
    XLM_ASSERT(x, "no rank has the logits from id %lld on", (long long)v);
    if (!v || (double)x->most > most) {
      sum = v ? sum * exp(most - (double)x->most) : 0;
      most = (double)x->most, best = x->best;
    }
    sum += x->sum * exp((double)x->most - most);
    if (target >= x->first && target < x->first + x->n) own = (double)x->target;
    v += x->n;
  }
  row->loglikelihood += own - most - log(sum);
  row->greedy = row->greedy && best == target;
}

static void ask(xlm_scorer *s, xlm_row *rows, int64_t n) {
  s->n_queries = 0;
  for (int64_t r = 0; r < n; r++) {
    rows[r].loglikelihood = 0, rows[r].greedy = true;
    for (int64_t i = rows[r].n - rows[r].scored; i < rows[r].n; i++)
      s->queries[s->n_queries++] = (query){r, i - 1, rows[r].tokens[i]};
  }
}

xlm_status xlm_scorer_run(xlm_scorer *s, xlm_row *rows, int64_t n, xlm_error *err) {
  ask(s, rows, n);
  size_t partials = (size_t)(s->n_queries * s->members);
  memset(s->here, 0, partials * sizeof *s->here);
  XLM_TRY(put_rows(s, rows, n, err));
  XLM_TRY(xlm_team_run(s->team, XLM_PROGRAM_EVAL, s->env, err));
  for (int i = 0; i < s->n_logits; i++) XLM_TRY(reduce_part(s, &s->logits[i], err));
  XLM_TRY(xlm_team_share(s->team, s->here, partials * sizeof *s->here, s->all, err));
  for (int64_t q = 0; q < s->n_queries; q++) score(s, q, &rows[s->queries[q].row]);
  return XLM_OK;
}
