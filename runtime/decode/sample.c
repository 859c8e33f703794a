// Selects the next token; see sample.h.
//
// The tokens that top-k and top-p leave are the first of all tokens by falling probability, and so are those
// of min-p. A heap gives them in this order, so that the vocabulary need not be sorted; without top-k and
// top-p no order is needed.
#include "runtime/decode/sample.h"

#include <math.h>
#include <string.h>

xlm_sampler xlm_sampler_new(xlm_arena *a, int64_t vocab) {
  return (xlm_sampler){.vocab = vocab,
                       .logits = XLM_NEW_N(a, float, vocab),
                       .seen = XLM_NEW_N(a, uint8_t, vocab),
                       .list = XLM_NEW_N(a, xlm_candidate, vocab)};
}

static void penalize(xlm_sampler *s, double penalty, const int32_t *text, int64_t n) {
  if (penalty == 1) return;
  memset(s->seen, 0, (size_t)s->vocab);
  for (int64_t i = 0; i < n; i++) {
    int32_t token = text[i];
    if (token < 0 || token >= s->vocab || s->seen[token]) continue;
    double x = s->logits[token];
    s->logits[token] = (float)(x < 0 ? x * penalty : x / penalty);
    s->seen[token] = 1;
  }
}

static int32_t likeliest(const float *logits, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; i++)
    if (logits[i] > logits[best]) best = i;
  return (int32_t)best;
}

// Fills in the probabilities of all tokens, up to a factor that makes the likeliest 1.
static void fill(xlm_sampler *s, double temperature) {
  double top = s->logits[likeliest(s->logits, s->vocab)];
  for (int64_t i = 0; i < s->vocab; i++)
    s->list[i] = (xlm_candidate){exp((s->logits[i] - top) / temperature), (int32_t)i};
}

// ---- a heap at the end of the list, its root the likeliest, the list's front the candidates taken out ----

static bool comes_before(xlm_candidate a, xlm_candidate b) {
  return a.p != b.p ? a.p > b.p : a.token < b.token;
}

// The heap's entry i is list[n - 1 - i].
static void sink(xlm_candidate *list, int64_t n, int64_t size, int64_t i) {
  for (int64_t child; (child = 2 * i + 1) < size; i = child) {
    if (child + 1 < size && comes_before(list[n - 2 - child], list[n - 1 - child])) child++;
    xlm_candidate *up = &list[n - 1 - i], *down = &list[n - 1 - child], swap = *up;
    if (!comes_before(*down, *up)) return;
    *up = *down, *down = swap;
  }
}

static void make_heap(xlm_candidate *list, int64_t n) {
  for (int64_t i = n / 2 - 1; i >= 0; i--) sink(list, n, n, i);
}

// Appends the heap's root to the `taken` candidates in front of it.
static void take_out(xlm_candidate *list, int64_t n, int64_t taken) {
  xlm_candidate root = list[n - 1];
  list[n - 1] = list[taken]; // the last entry of the heap
  list[taken] = root;
  if (n - taken > 1) sink(list, n, n - taken - 1, 0);
}

// ---- the filters ----

static double sum_of(const xlm_candidate *list, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += list[i].p;
  return sum;
}

// Orders the list as far as the filters need it and returns how many of its tokens are left.
static int64_t filter_ordered(xlm_candidate *list, int64_t n, const xlm_sample_options *o) {
  int64_t taken = 0, count = 0;
  double all = sum_of(list, n), before = 0;
  make_heap(list, n);
  if (o->top_k > 0 && o->top_k < n) {
    while (taken < o->top_k || (taken < n && list[n - 1].p == list[taken - 1].p)) take_out(list, n, taken++);
    all = sum_of(list, taken), n = taken;
  }
  while (count < n) {
    if (count == taken) take_out(list, n, taken++);
    if (count && (before >= o->top_p * all || list[count].p < o->min_p)) break;
    before += list[count++].p;
  }
  return count;
}

static int64_t filter_any(xlm_candidate *list, int64_t n, double min_p) {
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++)
    if (list[i].p >= min_p) list[count++] = list[i];
  return count;
}

int64_t xlm_sample_candidates(xlm_sampler *s, const xlm_sample_options *o, const float *logits,
                              const int32_t *text, int64_t n) {
  memcpy(s->logits, logits, sizeof *logits * (size_t)s->vocab);
  penalize(s, o->repetition_penalty, text, n);
  if (o->temperature <= 0) {
    s->list[0] = (xlm_candidate){1, likeliest(s->logits, s->vocab)};
    return 1;
  }
  fill(s, o->temperature);
  bool ordered = o->top_p < 1 || (o->top_k > 0 && o->top_k < s->vocab);
  int64_t count = ordered ? filter_ordered(s->list, s->vocab, o) : filter_any(s->list, s->vocab, o->min_p);
  double sum = sum_of(s->list, count);
  for (int64_t i = 0; i < count; i++) s->list[i].p /= sum;
  return count;
}

int32_t xlm_sample(xlm_sampler *s, const xlm_sample_options *o, const float *logits, const int32_t *text,
                   int64_t n, double unit) {
  int64_t count = xlm_sample_candidates(s, o, logits, text, n);
  double at = 0;
  for (int64_t i = 0; i < count; i++) {
    at += s->list[i].p;
    if (unit <= at) return s->list[i].token;
  }
  return s->list[count - 1].token;
}
