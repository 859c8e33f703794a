// Mixtures: samples of several sources by weight. The order of the sources is one period, repeated: a
// schedule for the "chairman assignment problem" (R. Tijdeman, Discrete Mathematics 32, 1980). After every
// sample the number of those of a source differs from its share by at most 1 - 1/(2n - 2), which no order
// beats. With weights as whole numbers c of a period of p samples all of it is exact integer arithmetic.
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "runtime/data/data_priv.h"

enum { LONGEST_PERIOD = 65536 };

struct xlm_mixture {
  int n;
  const xlm_samples *sources;
  int64_t period, *count; // of a period: its samples, and those of each source
  uint32_t *source;       // [period]
  int64_t *before;        // [period]: samples of the same source before it in the period
};

const xlm_samples *xlm_mixture_find(const xlm_mixture *m, int64_t *index) {
  int64_t at = *index % m->period;
  uint32_t k = m->source[at];
  *index = *index / m->period * m->count[k] + m->before[at];
  return &m->sources[k];
}

// Whole numbers in the proportion of the weights; the smallest that are, to nine digits.
static bool fits(const double *share, int n, int64_t period, int64_t *count) {
  int64_t sum = 0;
  for (int k = 0; k < n; k++) {
    double exact = share[k] * (double)period;
    count[k] = llround(exact);
    sum += count[k];
    if (fabs(exact - (double)count[k]) > 1e-9 * (double)period || !count[k]) return false;
  }
  return sum == period;
}

// Shares that no period has are rounded: down, then one more for those that lost most; none gets less than
// one.
static void round_shares(const double *share, int n, int64_t period, int64_t *count) {
  int64_t left = period;
  for (int k = 0; k < n; k++) {
    count[k] = (int64_t)(share[k] * (double)period);
    if (!count[k]) count[k] = 1;
    left -= count[k];
  }
  for (; left; left -= left > 0 ? 1 : -1) {
    int best = -1;
    double most = -INFINITY;
    for (int k = 0; k < n; k++) {
      double lost = (share[k] * (double)period - (double)count[k]) * (left > 0 ? 1 : -1);
      if (lost > most && (left > 0 || count[k] > 1)) most = lost, best = k;
    }
    count[best] += left > 0 ? 1 : -1;
  }
}

static void choose_period(xlm_mixture *m, const double *share) {
  for (m->period = 1; m->period <= LONGEST_PERIOD; m->period++)
    if (fits(share, m->n, m->period, m->count)) return;
  m->period = LONGEST_PERIOD;
  round_shares(share, m->n, m->period, m->count);
}

// Tijdeman's rule for sample i (from 0): among the sources that are behind their share by 1/(2n - 2) or more
// once it is counted, the one that would be behind by the bound soonest. In units of 1/(p (2n - 2)).
static int next_source(const xlm_mixture *m, const int64_t *used, int64_t i) {
  int64_t unit = m->n > 1 ? 2 * m->n - 2 : 1, soonest = 0;
  int best = -1;
  for (int k = 0; k < m->n; k++) {
    int64_t behind = unit * (m->count[k] * (i + 1) - used[k] * m->period),
            due = (unit - 1) * m->period - behind;
    if (behind < m->period || (best >= 0 && due * m->count[best] >= soonest * m->count[k])) continue;
    soonest = due, best = k;
  }
  return best;
}

static void arrange(xlm_mixture *m, xlm_arena *a) {
  int64_t *used = XLM_NEW_N(a, int64_t, m->n);
  m->source = XLM_NEW_N(a, uint32_t, m->period);
  m->before = XLM_NEW_N(a, int64_t, m->period);
  for (int64_t i = 0; i < m->period; i++) {
    int k = next_source(m, used, i);
    XLM_ASSERT(k >= 0, "no source for sample %" PRId64, i);
    m->source[i] = (uint32_t)k;
    m->before[i] = used[k]++;
  }
}

static bool same_tensors(const xlm_samples *a, const xlm_samples *b) {
  return a->cells == b->cells && a->window == b->window && a->part.data->records == b->part.data->records;
}

// The samples, in order, before the first that its source does not have.
static int64_t length_of(const xlm_mixture *m) {
  int64_t n = INT64_MAX;
  for (int64_t i = 0; i < m->period; i++) {
    uint32_t k = m->source[i];
    int64_t all = m->sources[k].n;
    if (m->before[i] != all % m->count[k]) continue; // not where this source ends
    int64_t end = all / m->count[k] * m->period + i;
    if (end < n) n = end;
  }
  return n;
}

xlm_status xlm_samples_mix(xlm_arena *a, const xlm_samples *sources, const double *weights, int n,
                           xlm_samples *out, xlm_error *err) {
  xlm_mixture *m = XLM_NEW(a, xlm_mixture);
  double *share = XLM_NEW_N(a, double, n), sum = 0;
  xlm_samples *own = XLM_NEW_N(a, xlm_samples, n);
  memcpy(own, sources, sizeof *own * (size_t)n);
  for (int k = 0; k < n; k++) sum += weights[k];
  for (int k = 0; k < n; k++) {
    share[k] = weights[k] / sum;
    if (!same_tensors(&sources[k], &sources[0]))
      return xlm_fail(err, XLM_USER, "'%s' and '%s' cannot be mixed: their samples are not of the same kind",
                      xlm_data_first(sources[0].part.data), xlm_data_first(sources[k].part.data));
  }
  *m = (xlm_mixture){.n = n, .sources = own, .count = XLM_NEW_N(a, int64_t, n)};
  choose_period(m, share);
  arrange(m, a);
  *out = sources[0];
  out->mixture = m;
  out->n = length_of(m);
  return XLM_OK;
}

int xlm_samples_sources(const xlm_samples *s) {
  return s->mixture ? s->mixture->n : 1;
}

int64_t xlm_samples_drawn(const xlm_samples *s, int k, int64_t count, int64_t *all) {
  const xlm_mixture *m = s->mixture;
  *all = m ? m->sources[k].n : s->n;
  if (!m) return count;
  int64_t drawn = count / m->period * m->count[k];
  for (int64_t i = 0; i < count % m->period; i++) drawn += m->source[i] == (uint32_t)k;
  return drawn;
}
