// Metrics file; see metrics.h. Each line is one write, so that a reader and a crash see whole lines.
#include "runtime/train/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/map.h"

enum { LINE = 4096 };

static int64_t step_of(const char *line, size_t n) { // -1: no line of ours
  json_t *j = json_loadb(line, n, 0, NULL);
  const json_t *step = json_object_get(j, "step");
  int64_t v = json_is_integer(step) ? json_integer_value(step) : -1;
  json_decref(j);
  return v;
}

// Length of what stays: whole lines up to the first one past `step`.
static size_t kept(const xlm_map *m, int64_t step) {
  const char *text = (const char *)m->data;
  size_t at = 0;
  for (const char *end; (end = memchr(text + at, '\n', m->n - at)); at = (size_t)(end - text) + 1)
    if (step_of(text + at, (size_t)(end - text) - at) > step) break;
  return at;
}

static xlm_status cut(const char *path, int64_t step, xlm_error *err) {
  if (access(path, F_OK)) return XLM_OK;
  xlm_map m;
  XLM_TRY(xlm_map_open(path, &m, err));
  size_t n = kept(&m, step), had = m.n;
  xlm_map_close(&m);
  if (n < had && truncate(path, (off_t)n))
    return xlm_fail(err, XLM_ENV, "cannot shorten '%s': %s", path, strerror(errno));
  return XLM_OK;
}

xlm_status xlm_metrics_open(const char *path, int64_t step, int *fd, xlm_error *err) {
  XLM_TRY(cut(path, step, err));
  *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  return *fd >= 0 ? XLM_OK
                  : xlm_fail(err, XLM_ENV, "cannot open the metrics file '%s': %s", path, strerror(errno));
}

// JSON has no NaN and no infinity.
static int add_number(char *at, size_t room, const char *name, const char *format, double x) {
  char number[40] = "null";
  if (isfinite(x)) snprintf(number, sizeof number, format, x);
  return snprintf(at, room, ", \"%s\": %s", name, number);
}

xlm_status xlm_metrics_write(int fd, const xlm_metrics_line *m, xlm_error *err) {
  char line[LINE];
  size_t n = (size_t)snprintf(line, LINE, "{\"step\": %" PRId64, m->step);
  n += (size_t)add_number(line + n, LINE - n, "loss", "%.9g", m->loss);
  n += (size_t)add_number(line + n, LINE - n, "lr", "%.6g", m->lr);
  n += (size_t)add_number(line + n, LINE - n, "grad_norm", "%.6g", m->grad_norm);
  n += (size_t)snprintf(line + n, LINE - n, ", \"tokens\": %" PRId64, m->tokens);
  n += (size_t)add_number(line + n, LINE - n, "tokens_per_s", "%.6g", m->tokens_per_s);
  n += (size_t)add_number(line + n, LINE - n, "mfu", "%.4g", m->mfu);
  if (!isnan(m->val_loss)) n += (size_t)add_number(line + n, LINE - n, "val_loss", "%.9g", m->val_loss);
  for (int i = 0; i < m->n_extra; i++)
    if (n + strlen(m->extra_name[i]) + 64 < LINE)
      n += (size_t)add_number(line + n, LINE - n, m->extra_name[i], "%.9g", m->extra[i]);
  n += (size_t)snprintf(line + n, LINE - n, "}\n");
  if (write(fd, line, n) == (ssize_t)n) return XLM_OK;
  return xlm_fail(err, XLM_ENV, "cannot write the metrics file: %s", strerror(errno));
}
