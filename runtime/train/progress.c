// The progress line; see progress.h.
#include "runtime/train/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PARTS = 8, PART = 48 };

void xlm_progress_time(double seconds, char *out, int room) {
  int64_t s = (int64_t)(seconds + 0.5), minutes = (s + 30) / 60, hours = minutes / 60;
  if (s < 100)
    snprintf(out, (size_t)room, "%" PRId64 " s", s);
  else if (minutes < 100)
    snprintf(out, (size_t)room, "%" PRId64 " min", minutes);
  else if (hours < 48)
    snprintf(out, (size_t)room, "%" PRId64 " h %" PRId64 " min", hours, minutes % 60);
  else
    snprintf(out, (size_t)room, "%" PRId64 " d %" PRId64 " h", hours / 24, hours % 24);
}

static void count(double n, char out[PART], const char *unit) {
  const char *scale = n >= 1e6 ? "M" : n >= 1e4 ? "k" : "";
  double shown = n >= 1e6 ? n / 1e6 : n >= 1e4 ? n / 1e3 : n;
  snprintf(out, PART, shown < 100 && *scale ? "%.1f%s %s" : "%.0f%s %s", shown, scale, unit);
}

// The parts of the line in order; empty ones are not shown.
static void write_parts(const xlm_progress *p, char part[PARTS][PART]) {
  char left[PART / 2];
  memset(part, 0, PARTS * PART);
  snprintf(part[0], PART, "step %" PRId64 "/%" PRId64, p->m.step, p->max_steps);
  snprintf(part[1], PART, p->m.skipped > 0 ? "loss %.4f (%" PRId64 " skipped)" : "loss %.4f", p->m.loss,
           p->m.skipped);
  if (!isnan(p->m.val_loss)) snprintf(part[2], PART, "val %.4f", p->m.val_loss);
  snprintf(part[3], PART, "lr %.2e", p->m.lr);
  count(p->m.tokens_per_s, part[4], "tok/s");
  if (p->m.mfu > 0) snprintf(part[5], PART, "%.1f%% MFU", 100 * p->m.mfu);
  snprintf(part[6], PART, "%.2f GiB", (double)p->m.memory_bytes / (1 << 30));
  if (p->seconds_left < 0) return;
  xlm_progress_time(p->seconds_left, left, sizeof left);
  snprintf(part[7], PART, "%s left", left);
}

int xlm_progress_line(const xlm_progress *p, int width, char *out, int room) {
  static const int drop_order[] = {6, 3, 5, 4, 7, 2};
  char part[PARTS][PART];
  write_parts(p, part);
  for (size_t drop = 0;; drop++) {
    int n = 0;
    for (int i = 0; i < PARTS; i++) n += part[i][0] ? (int)strlen(part[i]) + (n ? 2 : 0) : 0;
    if (n <= width || drop == sizeof drop_order / sizeof *drop_order) break;
    part[drop_order[drop]][0] = 0;
  }
  int n = 0;
  for (int i = 0; i < PARTS && n < room - 1; i++)
    if (part[i][0]) n += snprintf(out + n, (size_t)(room - n), "%s%s", n ? "  " : "", part[i]);
  if (n > width && width > 0 && width < room) out[n = width] = 0;
  return n;
}
