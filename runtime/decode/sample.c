// Selects the next token; see sample.h.
//
// No filter sorts the vocabulary: top-k finds the k-th largest logit, before any exponential; top-p adds up
// probabilities in buckets, and orders the tokens of the bucket where it ends.
#include "runtime/decode/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/exp.h"

enum { BLOCK = 256, LANES = 16, LIKELIEST = 127 << 3 };

xlm_sampler xlm_sampler_new(xlm_arena *a, int64_t vocab) {
  return (xlm_sampler){.vocab = vocab,
                       .logits = XLM_NEW_N(a, float, vocab),
                       .seen = XLM_NEW_N(a, uint8_t, vocab),
                       .values = XLM_NEW_N(a, float, vocab),
                       .list = XLM_NEW_N(a, xlm_candidate, vocab)};
}

// The logits with the penalty: those given, if there is none.
static const float *penalized(xlm_sampler *s, double penalty, const float *logits, const int32_t *text,
                              int64_t n) {
  if (penalty == 1 || !n) return logits;
  memcpy(s->logits, logits, sizeof *logits * (size_t)s->vocab);
  memset(s->seen, 0, (size_t)s->vocab);
  for (int64_t i = 0; i < n; i++) {
    int32_t token = text[i];
    if (token < 0 || token >= s->vocab || s->seen[token]) continue;
    double x = s->logits[token];
    s->logits[token] = (float)(x < 0 ? x * penalty : x / penalty);
    s->seen[token] = 1;
  }
  return s->logits;
}

static float largest(const float *x, int64_t n) {
  float lane[LANES], most = -INFINITY;
  int64_t i = 0;
  for (int l = 0; l < LANES; l++) lane[l] = most;
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
  for (int l = 0; l < LANES; l++) most = lane[l] > most ? lane[l] : most;
  for (; i < n; i++) most = x[i] > most ? x[i] : most;
  return most;
}

// The first of the largest; what is not a number is not looked at.
static int32_t likeliest(const float *x, int64_t n) {
  int64_t from = 0;
  float most = -INFINITY;
  for (int64_t i = 0; i < n; i += BLOCK) {
    float here = largest(x + i, n - i < BLOCK ? n - i : BLOCK);
    if (here > most) most = here, from = i;
  }
  for (int64_t i = from; i < n && i < from + BLOCK; i++)
    if (x[i] == most) return (int32_t)i;
  return (int32_t)from;
}

// ---- the k-th largest ----

// The heap's root is the least; its place `i` holds a value that may be too large for it.
static void sink(float *heap, int64_t n, int64_t i) {
  float x = heap[i];
  for (int64_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= x) break;
    heap[i] = heap[child];
  }
  heap[i] = x;
}

// 0 < k < n. heap: room for k.
static float kth_largest(const float *x, int64_t n, int64_t k, float *heap) {
  for (int64_t i = 0; i < k; i++) heap[i] = isnan(x[i]) ? -INFINITY : x[i];
  for (int64_t i = k / 2 - 1; i >= 0; i--) sink(heap, k, i);
  for (int64_t i = k; i < n; i++)
    if (x[i] > heap[0]) heap[0] = x[i], sink(heap, k, 0);
  return heap[0];
}

// ---- candidates, with probabilities up to a factor that makes the likeliest 1 ----

typedef struct choice {
  xlm_sampler *s;
  const xlm_sample_options *o;
  const float *x; // logits
  float top;      // the largest
  int64_t n;      // of the list
} choice;

static double sum_of(const xlm_candidate *list, int64_t n) {
  double part[4] = {0};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int l = 0; l < 4; l++) part[l] += list[i + l].p;
  for (; i < n; i++) part[0] += list[i].p;
  return part[0] + part[1] + (part[2] + part[3]);
}

// Lists the tokens of at least `least`, by id.
static void take(choice *c, float least) {
  xlm_sampler *s = c->s;
  const double top = c->top, factor = fmin(1 / c->o->temperature, 1e300);
  int64_t n = 0;
  for (int64_t i = 0; i < s->vocab; i++) {
    s->list[n].token = (int32_t)i, s->values[n] = c->x[i];
    n += c->x[i] >= least;
  }
  for (int64_t i = 0; i < n; i++) s->values[i] = xlm_exp((float)((s->values[i] - top) * factor));
  for (int64_t i = 0; i < n; i++) s->list[i].p = s->values[i];
  c->n = n;
}

// Eighths of octaves; LIKELIEST is that of 1.
static int bucket_of(double p) {
  return (int)(xlm_bits_of_f32((float)p) >> 20);
}

static int by_falling_p(const void *a, const void *b) {
  const xlm_candidate *x = a, *y = b;
  return x->p != y->p ? (x->p < y->p) - (x->p > y->p) : (x->token > y->token) - (x->token < y->token);
}

// The bucket in which the likeliest tokens reach `mass`; *before: the sum of the buckets above it.
static int bucket_that_reaches(const choice *c, double mass, double *before) {
  double sum[LIKELIEST + 1] = {0};
  int b = LIKELIEST;
  for (int64_t i = 0; i < c->n; i++) sum[bucket_of(c->s->list[i].p)] += c->s->list[i].p;
  for (*before = 0; b > 0 && *before + sum[b] < mass; b--) *before += sum[b];
  return b;
}

// Leaves the tokens before which, by falling probability, less than `mass` lies, and at least one. Only those
// of the last bucket have to be ordered.
static void leave_likely(choice *c, double mass) {
  xlm_candidate *list = c->s->list, swap;
  double before;
  const int last = bucket_that_reaches(c, mass, &before);
  int64_t n = 0, m = 0; // of the buckets above, and with the last
  for (int64_t i = 0; i < c->n; i++)
    if (bucket_of(list[i].p) >= last) list[m++] = list[i];
  for (int64_t i = 0; i < m; i++)
    if (bucket_of(list[i].p) > last) swap = list[n], list[n++] = list[i], list[i] = swap;
  qsort(list + n, (size_t)(m - n), sizeof *list, by_falling_p);
  while (n < m && (!n || before < mass)) before += list[n++].p;
  c->n = n;
}

static void leave_at_least(choice *c, double p) {
  int64_t n = 0;
  for (int64_t i = 0; i < c->n; i++)
    if (c->s->list[i].p >= p) c->s->list[n++] = c->s->list[i];
  c->n = n;
}

static choice choose(xlm_sampler *s, const xlm_sample_options *o, const float *logits, const int32_t *text,
                     int64_t n) {
  choice c = {.s = s, .o = o, .x = penalized(s, o->repetition_penalty, logits, text, n)};
  int32_t best = likeliest(c.x, s->vocab);
  c.top = c.x[best];
  if (o->temperature <= 0 || !isfinite(c.top)) {
    s->list[0] = (xlm_candidate){1, best}, c.n = 1;
    return c;
  }
  bool some = o->top_k > 0 && o->top_k < s->vocab;
  take(&c, some ? kth_largest(c.x, s->vocab, o->top_k, s->values) : -INFINITY);
  if (o->top_p < 1) leave_likely(&c, o->top_p * sum_of(s->list, c.n));
  if (o->min_p > 0) leave_at_least(&c, o->min_p);
  return c;
}

int64_t xlm_sample_candidates(xlm_sampler *s, const xlm_sample_options *o, const float *logits,
                              const int32_t *text, int64_t n) {
  choice c = choose(s, o, logits, text, n);
  double sum = sum_of(s->list, c.n);
  for (int64_t i = 0; i < c.n; i++) s->list[i].p /= sum;
  return c.n;
}

int32_t xlm_sample(xlm_sampler *s, const xlm_sample_options *o, const float *logits, const int32_t *text,
                   int64_t n, double unit) {
  choice c = choose(s, o, logits, text, n);
  double at = 0, until = unit * sum_of(s->list, c.n);
  for (int64_t i = 0; i < c.n; i++) {
    at += s->list[i].p;
    if (until <= at) return s->list[i].token;
  }
  return s->list[c.n - 1].token;
}
