// Selects the next token: softmax at a temperature over the candidates of top-k and top-p.
#include "tools/xlmrun/choose.h"

#include <math.h>
#include <stdlib.h>

static int likelier(const void *a, const void *b) { // ties are broken by token id, so that the order is
                                                    // deterministic
  const choice *x = a, *y = b;
  if (x->p != y->p) return x->p < y->p ? 1 : -1;
  return (x->token > y->token) - (x->token < y->token);
}

static int32_t likeliest(const float *logits, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; i++)
    if (logits[i] > logits[best]) best = i;
  return (int32_t)best;
}

// Fills in sorted probabilities (up to a factor) of all tokens; returns their sum.
static double fill(const float *logits, int64_t n, double temperature, choice *c) {
  float top = logits[likeliest(logits, n)];
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    c[i] = (choice){(float)exp((logits[i] - top) / temperature), (int32_t)i};
    sum += c[i].p;
  }
  qsort(c, (size_t)n, sizeof *c, likelier);
  return sum;
}

int32_t choose_token(const float *logits, int64_t n, double temperature, int64_t top_k, double top_p,
                     double unit, choice *c) {
  if (temperature <= 0) return likeliest(logits, n);
  double all = fill(logits, n, temperature, c), kept = 0, at = 0;
  int64_t most = top_k > 0 && top_k < n ? top_k : n, count = 0;
  while (count < most && (count == 0 || kept < top_p * all)) kept += c[count++].p;
  for (int64_t i = 0; i < count; i++) {
    at += c[i].p;
    if (unit * kept <= at) return c[i].token;
  }
  return c[count - 1].token;
}
