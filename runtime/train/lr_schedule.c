// Learning-rate schedules; see lr_schedule.h.
#include "runtime/train/lr_schedule.h"

#include <math.h>
#include <string.h>

// Each shape maps the fraction of the time after warm-up to the fraction of the way from min to peak.
static double cosine(double done, double decay) {
  (void)decay;
  return 0.5 * (1 + cos(M_PI * done));
}

static double linear(double done, double decay) {
  (void)decay;
  return 1 - done;
}

static double constant(double done, double decay) {
  (void)done, (void)decay;
  return 1;
}

static double wsd(double done, double decay) {
  return done <= 1 - decay ? 1 : (1 - done) / decay;
}

static const struct {
  const char *name;
  double (*shape)(double done, double decay);
} table[XLM_SCHEDULES] = {[XLM_COSINE] = {"cosine", cosine},
                          [XLM_LINEAR] = {"linear", linear},
                          [XLM_CONSTANT] = {"constant", constant},
                          [XLM_WSD] = {"wsd", wsd}};

const char *xlm_schedule_name(xlm_schedule_kind k) {
  return table[k].name;
}

bool xlm_schedule_parse(const char *name, xlm_schedule_kind *out) {
  for (int i = 0; i < XLM_SCHEDULES; i++)
    if (!strcmp(name, table[i].name)) {
      *out = (xlm_schedule_kind)i;
      return true;
    }
  return false;
}

double xlm_schedule_rate(const xlm_schedule *s, int64_t step) {
  if (s->kind == XLM_SWEEP)
    return s->peak * pow(s->min / s->peak, (double)step / fmax(1, (double)s->steps - 1));
  if (step < s->warmup) return s->peak * (double)(step + 1) / (double)s->warmup;
  double span = (double)(s->steps - s->warmup);
  if (span <= 0) return s->peak;
  double done = fmin((double)(step - s->warmup) / span, 1);
  return s->min + (s->peak - s->min) * table[s->kind].shape(done, fmin((double)s->decay / span, 1));
}
