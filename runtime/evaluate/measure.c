// See measure.h. A measure gives a number per item; a total is made of all of them.
#include "runtime/evaluate/measure.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/text.h"

typedef enum total { MEAN, EXP_MEAN, EXP_WEIGHTED, BITS_WEIGHTED } total;

struct xlm_measure {
  const char *name;
  unsigned types; // of tasks, as a set
  double (*of)(const xlm_item *item, xlm_item_score s);
  int64_t (*weight)(const xlm_item *item); // NULL: all items are alike
  total total;
};

// The first of the largest; length: NULL, or what each is divided by.
static int largest(const xlm_item *item, xlm_item_score s, const int64_t *length) {
  int best = 0;
  double most = 0;
  for (int i = 0; i < item->n; i++) {
    double x = s.loglikelihood[i] / (length ? (double)length[i] : 1);
    if (!i || x > most) best = i, most = x;
  }
  return best;
}

static double is_likeliest(const xlm_item *item, xlm_item_score s) {
  return largest(item, s, NULL) == item->answer;
}

static double is_likeliest_by_character(const xlm_item *item, xlm_item_score s) {
  return largest(item, s, item->characters) == item->answer;
}

static double is_likeliest_by_byte(const xlm_item *item, xlm_item_score s) {
  return largest(item, s, item->bytes) == item->answer;
}

static double is_greedy(const xlm_item *item, xlm_item_score s) {
  (void)item;
  return s.greedy[0];
}

static double loglikelihood(const xlm_item *item, xlm_item_score s) {
  (void)item;
  return s.loglikelihood[0];
}

static int64_t words(const xlm_item *item) {
  return item->words;
}

static int64_t bytes(const xlm_item *item) {
  return item->text_bytes;
}

enum {
  CHOICE = 1 << XLM_TASK_CHOICE,
  PROMPTS = 1 << XLM_TASK_PROMPTS,
  CONTINUATION = 1 << XLM_TASK_CONTINUATION,
  ROLLING = 1 << XLM_TASK_ROLLING
};
static const xlm_measure measures[] = {
    {"acc", CHOICE | PROMPTS, is_likeliest, NULL, MEAN},
    {"acc_norm", CHOICE, is_likeliest_by_character, NULL, MEAN},
    {"acc_bytes", CHOICE, is_likeliest_by_byte, NULL, MEAN},
    {"acc", CONTINUATION, is_greedy, NULL, MEAN},
    {"perplexity", CONTINUATION, loglikelihood, NULL, EXP_MEAN},
    {"word_perplexity", ROLLING, loglikelihood, words, EXP_WEIGHTED},
    {"byte_perplexity", ROLLING, loglikelihood, bytes, EXP_WEIGHTED},
    {"bits_per_byte", ROLLING, loglikelihood, bytes, BITS_WEIGHTED},
};

const char *xlm_measure_name(const xlm_measure *m) {
  return m->name;
}

xlm_status xlm_measure_find(xlm_task_type type, const char *name, const xlm_measure **out, xlm_error *err) {
  char known[256] = "";
  size_t n = 0;
  for (size_t i = 0; i < sizeof measures / sizeof *measures; i++) {
    if (!(measures[i].types >> type & 1)) continue;
    n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", measures[i].name);
    *out = &measures[i];
    if (!strcmp(name, measures[i].name)) return XLM_OK;
  }
  return xlm_fail(err, XLM_USER, "'%s' is not measured by such a task: there are %s", name, known);
}

double xlm_measure_item(const xlm_measure *m, const xlm_item *item, xlm_item_score score) {
  return m->of(item, score);
}

static double error_of_mean(const xlm_measure *m, const xlm_items *items, const xlm_item_score *scores,
                            double mean) {
  double sum = 0, n = (double)items->n;
  if (m->weight || n < 2) return NAN;
  for (int64_t i = 0; i < items->n; i++) {
    double d = m->of(&items->at[i], scores[i]) - mean;
    sum += d * d;
  }
  return sqrt(sum / (n - 1)) / sqrt(n);
}

xlm_measured xlm_measure_all(const xlm_measure *m, const xlm_items *items, const xlm_item_score *scores) {
  double sum = 0, weight = 0;
  for (int64_t i = 0; i < items->n; i++) {
    sum += m->of(&items->at[i], scores[i]);
    weight += m->weight ? (double)m->weight(&items->at[i]) : 1;
  }
  double mean = sum / weight, error = error_of_mean(m, items, scores, mean);
  switch (m->total) {
  case MEAN:
    return (xlm_measured){mean, error};
  case EXP_MEAN:
    return (xlm_measured){exp(-mean), exp(-mean) * error};
  case EXP_WEIGHTED:
    return (xlm_measured){exp(-mean), NAN};
  case BITS_WEIGHTED:
    break;
  }
  return (xlm_measured){-mean / M_LN2, NAN};
}
