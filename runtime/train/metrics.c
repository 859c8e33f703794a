// The metrics file; see metrics.h. Each line is one write, so that readers see whole lines even after a
// crash.
#include "runtime/train/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/json_parse.h"
#include "runtime/base/map.h"

enum { LINE = 1 << 16 }; // room for numbers

static xlm_status look_at(const char *path, const char *line, size_t n, int64_t *out, double *elapsed_s,
                          xlm_error *err) {
  json_t *j;
  xlm_status s = xlm_json_parse(line, n, 0, path, &j, err);
  const json_t *step = json_object_get(j, "step"), *elapsed = json_object_get(j, "elapsed_s");
  *out = json_is_integer(step) ? json_integer_value(step) : -1; // -1: no line of ours
  *elapsed_s = json_number_value(elapsed);                      // 0 if it is none
  json_decref(j);
  return s == XLM_ENV ? s : XLM_OK;
}

// *out: length of the part to keep, whole lines up to the first one past `last`; *elapsed_s: of its last
// line.
static xlm_status length_up_to(const char *path, const xlm_map *m, int64_t last, size_t *out,
                               double *elapsed_s, xlm_error *err) {
  const char *text = (const char *)m->data;
  int64_t step;
  double elapsed;
  *out = 0;
  for (const char *end; (end = memchr(text + *out, '\n', m->n - *out)); *out = (size_t)(end - text) + 1) {
    XLM_TRY(look_at(path, text + *out, (size_t)(end - text) - *out, &step, &elapsed, err));
    if (step > last) break;
    if (elapsed > *elapsed_s) *elapsed_s = elapsed;
  }
  return XLM_OK;
}

static xlm_status cut(const char *path, int64_t step, double *elapsed_s, xlm_error *err) {
  struct stat st;
  if (stat(path, &st) || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) return XLM_OK; // or a device
  xlm_map m;
  XLM_TRY(xlm_map_open(path, &m, err));
  size_t n, had = m.n;
  xlm_status s = length_up_to(path, &m, step, &n, elapsed_s, err);
  xlm_map_close(&m);
  XLM_TRY(s);
  if (n < had && truncate(path, (off_t)n))
    return xlm_fail(err, XLM_ENV, "cannot shorten '%s': %s", path, strerror(errno));
  return XLM_OK;
}

xlm_status xlm_metrics_open(const char *path, int64_t step, int *fd, double *elapsed_s, xlm_error *err) {
  *elapsed_s = 0;
  XLM_TRY(cut(path, step, elapsed_s, err));
  *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
  if (*fd < 0 && errno == ENXIO)
    return xlm_fail(err, XLM_ENV, "cannot open the metrics file '%s': it is a pipe without a reader", path);
  if (*fd >= 0) fcntl(*fd, F_SETFL, O_APPEND); // writes block on a slow reader
  return *fd >= 0 ? XLM_OK
                  : xlm_fail(err, XLM_ENV, "cannot open the metrics file '%s': %s", path, strerror(errno));
}

typedef struct line {
  char *text;
  size_t n, room;
} line;

static xlm_status add(void *arg, const char *bytes, size_t n, xlm_error *err) {
  line *l = arg;
  if (n >= l->room - l->n)
    return xlm_fail(err, XLM_USER, "a line of metrics has no room for the model's metrics");
  memcpy(l->text + l->n, bytes, n);
  l->n += n;
  return XLM_OK;
}

static void put_members(xlm_json *j, const xlm_metrics_line *m) {
  xlm_json_put_int(j, "step", m->step);
  xlm_json_put_rounded(j, "loss", m->loss, 9);
  xlm_json_put_rounded(j, "lr", m->lr, 6);
  xlm_json_put_rounded(j, "grad_norm", m->grad_norm, 6);
  xlm_json_put_int(j, "tokens", m->tokens);
  xlm_json_put_rounded(j, "tokens_per_s", m->tokens_per_s, 6);
  xlm_json_put_rounded(j, "mfu", m->mfu, 4);
  xlm_json_put_rounded(j, "step_s", m->step_s, 6);
  xlm_json_put_rounded(j, "elapsed_s", m->elapsed_s, 9);
  xlm_json_put_rounded(j, "time", m->time, 13);
  xlm_json_put_int(j, "memory_bytes", (int64_t)m->memory_bytes);
  if (m->device_bytes) xlm_json_put_int(j, "device_bytes", (int64_t)m->device_bytes);
  if (m->skipped >= 0) xlm_json_put_int(j, "skipped", m->skipped);
  if (!isnan(m->val_loss)) xlm_json_put_rounded(j, "val_loss", m->val_loss, 9);
}

static void put_item(xlm_json *j, double x) { // counts without a point
  enum { EXACT = 1 << 30 };
  if (fabs(x) < EXACT && x == floor(x))
    xlm_json_put_int(j, NULL, (int64_t)x);
  else
    xlm_json_put_rounded(j, NULL, x, 6);
}

static void put_own(xlm_json *j, const xlm_metrics_own *m) {
  if (!m->n) {
    xlm_json_put_rounded(j, m->name, *m->values, 9);
    return;
  }
  xlm_json_array(j, m->name, XLM_JSON_DENSE);
  for (int64_t i = 0; i < m->n; i++) put_item(j, m->values[i]);
  xlm_json_close(j);
}

static void put_samples(xlm_json *j, const xlm_metrics_line *m) {
  xlm_json_array(j, "samples", XLM_JSON_ROW);
  for (int i = 0; i < m->n_samples; i++) {
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, "prompt", m->samples[i].prompt);
    xlm_json_put_text(j, "text", m->samples[i].text);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

static xlm_status write_line(int fd, const xlm_metrics_line *m, line *l, xlm_error *err) {
  xlm_json j;
  xlm_json_to_sink(&j, add, l, err);
  xlm_json_object(&j, NULL, XLM_JSON_ROW);
  put_members(&j, m);
  for (int i = 0; i < m->n_own; i++) put_own(&j, &m->own[i]);
  if (m->n_samples) put_samples(&j, m);
  xlm_json_close(&j);
  XLM_TRY(xlm_json_finish(&j));
  l->text[l->n++] = '\n';
  return xlm_fd_write(fd, l->text, l->n, "the metrics file", err);
}

// Of the model's metrics and the samples; of a text every byte may become six.
static size_t more_room(const xlm_metrics_line *m) {
  enum { NUMBER = 24, NAMES = 64 };
  size_t n = 0;
  for (int i = 0; i < m->n_own; i++) n += 6 * strlen(m->own[i].name) + NUMBER * (size_t)(m->own[i].n + 1);
  for (int i = 0; i < m->n_samples; i++)
    n += NAMES + 6 * (strlen(m->samples[i].prompt) + strlen(m->samples[i].text));
  return n;
}

xlm_status xlm_metrics_write(int fd, const xlm_metrics_line *m, xlm_error *err) {
  char numbers[LINE];
  line l = {.text = numbers, .room = LINE};
  size_t more = more_room(m);
  if (more < LINE / 2) return write_line(fd, m, &l, err);
  l.room += more;
  l.text = malloc(l.room);
  if (!l.text) return xlm_fail(err, XLM_ENV, "no memory to write lists and samples to the metrics");
  xlm_status s = write_line(fd, m, &l, err);
  free(l.text);
  return s;
}
