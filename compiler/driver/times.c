// Times of passes; see times.h.
#include "compiler/driver/times.h"

#include <string.h>

#include "runtime/base/status.h"

void xlm_times_add(xlm_times *t, const char *name, int64_t runs, int64_t nodes, double seconds) {
  if (!t) return;
  int i = 0;
  while (i < t->n && strcmp(t->at[i].name, name)) i++;
  XLM_ASSERT(i < XLM_TIMES, "more than %d kinds of steps", XLM_TIMES);
  if (i == t->n) t->at[t->n++].name = name;
  t->at[i].runs += runs;
  t->at[i].nodes += nodes;
  t->at[i].seconds += seconds;
}

void xlm_times_print(const xlm_times *t, xlm_text *out) {
  double all = 0;
  for (int i = 0; i < t->n; i++) all += t->at[i].seconds;
  xlm_text_add(out, "pass               runs       nodes     seconds   share\n");
  for (int i = 0; i < t->n; i++) {
    const struct xlm_time *s = &t->at[i];
    xlm_text_printf(out, "%-16s %6lld  %10lld  %10.4f  %5.1f %%\n", s->name, (long long)s->runs,
                    (long long)s->nodes, s->seconds, all > 0 ? 100 * s->seconds / all : 0);
  }
  xlm_text_printf(out, "%-16s %6s  %10s  %10.4f\n", "all", "", "", all);
}
