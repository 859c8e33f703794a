// See run.h.
#include "tools/watching/run.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/json_parse.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/lock.h"

enum { PIECE = 1 << 16 };

// ---- lines ----

static xlm_run_series *series_of(xlm_run *r, const char *name) {
  for (uint32_t i = 0; i < r->n_series; i++)
    if (!strcmp(r->series[i].name, name)) return &r->series[i];
  XLM_PUSH(r->arena, r->series, r->n_series, r->cap_series,
           (xlm_run_series){.name = xlm_arena_strdup(r->arena, name)});
  return &r->series[r->n_series - 1];
}

static void add_point(xlm_run *r, const char *name, int64_t step, double value) {
  xlm_run_series *s = series_of(r, name);
  uint32_t cap = s->cap, n = s->n;
  XLM_PUSH(r->arena, s->step, n, cap, step);
  XLM_PUSH(r->arena, s->value, s->n, s->cap, isfinite(value) ? value : NAN);
}

static xlm_run_lists *lists_of(xlm_run *r, const char *name) {
  for (uint32_t i = 0; i < r->n_lists; i++)
    if (!strcmp(r->lists[i].name, name)) return &r->lists[i];
  XLM_PUSH(r->arena, r->lists, r->n_lists, r->cap_lists,
           (xlm_run_lists){.name = xlm_arena_strdup(r->arena, name)});
  return &r->lists[r->n_lists - 1];
}

static bool is_list(const json_t *value) {
  size_t n = json_array_size(value);
  for (size_t i = 0; i < n; i++)
    if (!json_is_number(json_array_get(value, i)) && !json_is_null(json_array_get(value, i))) return false;
  return n > 0;
}

// A list of another length than those before it begins anew.
static void add_list(xlm_run *r, const char *name, int64_t step, const json_t *value) {
  xlm_run_lists *l = lists_of(r, name);
  uint32_t width = (uint32_t)json_array_size(value), cap = l->cap, n = l->n;
  if (l->width != width) *l = (xlm_run_lists){.name = l->name, .width = width}, cap = n = 0;
  XLM_PUSH(r->arena, l->step, n, cap, step);
  if (cap > l->cap)
    l->value =
        xlm_arena_grow(r->arena, l->value, (size_t)l->n * width, (size_t)cap * width, sizeof *l->value);
  for (uint32_t i = 0; i < width; i++) {
    const json_t *x = json_array_get(value, i);
    l->value[(size_t)l->n * width + i] = json_is_null(x) ? NAN : (float)json_number_value(x);
  }
  l->n = n, l->cap = cap;
}

static void add_samples(xlm_run *r, int64_t step, const json_t *list) {
  for (size_t i = 0; i < json_array_size(list); i++) {
    const char *prompt = json_string_value(json_object_get(json_array_get(list, i), "prompt"));
    const char *text = json_string_value(json_object_get(json_array_get(list, i), "text"));
    if (!prompt || !text) continue;
    xlm_run_sample s = {step, xlm_arena_strdup(r->arena, prompt), xlm_arena_strdup(r->arena, text)};
    XLM_PUSH(r->arena, r->samples, r->n_samples, r->cap_samples, s);
  }
}

static void add_field(xlm_run *r, const char *key, int64_t step, const json_t *value) {
  if (json_is_number(value) || json_is_null(value))
    add_point(r, key, step, json_is_null(value) ? NAN : json_number_value(value));
  else if (!strcmp(key, "samples"))
    add_samples(r, step, value);
  else if (is_list(value))
    add_list(r, key, step, value);
}

static void go_back_to(xlm_run *r, int64_t step) { // drops what is there from this step on
  for (uint32_t i = 0; i < r->n_series; i++)
    while (r->series[i].n && r->series[i].step[r->series[i].n - 1] >= step) r->series[i].n--;
  for (uint32_t i = 0; i < r->n_lists; i++)
    while (r->lists[i].n && r->lists[i].step[r->lists[i].n - 1] >= step) r->lists[i].n--;
  while (r->n_samples && r->samples[r->n_samples - 1].step >= step) r->n_samples--;
}

static xlm_status add_line(xlm_run *r, const char *text, size_t n, xlm_error *err) {
  json_t *line, *value;
  const char *key;
  if (xlm_json_parse(text, n, 0, r->metrics, &line, err) == XLM_ENV) return XLM_ENV;
  const json_t *step = json_object_get(line, "step");
  int64_t at = json_integer_value(step);
  bool good = json_is_integer(step) && at > 0;
  r->ignored += !good;
  if (good && at <= r->last_step) go_back_to(r, at);
  if (good) r->last_step = at;
  json_object_foreach(line, key, value) {
    if (good && strcmp(key, "step")) add_field(r, key, at, value);
  }
  json_decref(line);
  return XLM_OK;
}

static xlm_status add_lines(xlm_run *r, const char *text, size_t n, size_t *used, xlm_error *err) {
  *used = 0;
  for (const char *end; (end = memchr(text + *used, '\n', n - *used)); *used = (size_t)(end - text) + 1)
    XLM_TRY(add_line(r, text + *used, (size_t)(end - text) - *used, err));
  return XLM_OK;
}

// ---- the file ----

static void
forget(xlm_run *r) { // the file became shorter: a run was resumed from an earlier step, or begun anew
  go_back_to(r, 0);
  r->last_step = r->ignored = 0;
  r->read = 0;
}

// A piece at a time, longer if a line is.
static xlm_status read_on(xlm_run *r, int fd, bool *changed, xlm_error *err) {
  size_t room = PIECE, used = 1;
  char *text = malloc(room);
  xlm_status s = text ? XLM_OK : xlm_fail(err, XLM_ENV, "no memory to read '%s'", r->metrics);
  while (s == XLM_OK && used) {
    ssize_t n = pread(fd, text, room, (off_t)r->read);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) s = xlm_fail(err, XLM_ENV, "cannot read '%s': %s", r->metrics, strerror(errno));
    if (n <= 0) break;
    s = add_lines(r, text, (size_t)n, &used, err);
    r->read += used;
    *changed |= used > 0;
    if (used || (size_t)n < room) continue;
    char *bigger = realloc(text, room *= 2);
    if (!bigger) s = xlm_fail(err, XLM_ENV, "no memory to read '%s'", r->metrics);
    text = bigger ? bigger : text, used = 1;
  }
  free(text);
  return s;
}

xlm_status xlm_run_update(xlm_run *r, bool *changed, xlm_error *err) {
  struct stat st;
  *changed = false;
  if (r->folder && !xlm_run_goes_on(r)) // it may have ended: the card says how
    XLM_TRY(xlm_card_read(r->arena, r->folder, &r->card, &r->has_card, err));
  if (stat(r->metrics, &st) || !S_ISREG(st.st_mode)) return XLM_OK; // not yet, or a pipe
  int fd = open(r->metrics, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return xlm_fail(err, xlm_file_kind(errno), "cannot read '%s': %s", r->metrics, strerror(errno));
  if ((uint64_t)st.st_size < r->read) forget(r), *changed = true;
  xlm_status s = read_on(r, fd, changed, err);
  close(fd);
  return s;
}

// ---- the run ----

static xlm_status find_metrics(xlm_run *r, xlm_error *err) {
  XLM_TRY(xlm_card_read(r->arena, r->folder, &r->card, &r->has_card, err));
  const char *own = xlm_arena_printf(r->arena, "%s/metrics.jsonl", r->folder), *said = r->card.metrics;
  bool moved = access(own, F_OK) == 0; // with its folder, or where it always was
  r->metrics = moved || !*said ? own : said;
  if (r->has_card || moved || xlm_checkpoint_exists(r->folder)) return XLM_OK;
  return xlm_fail(err, XLM_USER,
                  "'%s' is no training run: it has neither run.json nor metrics.jsonl nor checkpoints",
                  r->path);
}

static const char *without_slashes(xlm_arena *a, const char *path) {
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  return xlm_arena_strndup(a, path, n);
}

static const char *name_of(xlm_arena *a, const char *path) {
  char *full = strcmp(path, ".") && strcmp(path, "..") ? NULL : realpath(path, NULL);
  if (full) path = xlm_arena_strdup(a, full);
  free(full);
  const char *slash = strrchr(path, '/');
  return slash && slash[1] ? slash + 1 : path;
}

xlm_status xlm_run_open(xlm_arena *a, const char *path, xlm_run **out, xlm_error *err) {
  struct stat st;
  bool changed;
  xlm_run *r = XLM_NEW(a, xlm_run);
  path = without_slashes(a, path);
  *r = (xlm_run){.arena = a, .path = path, .name = name_of(a, path), .metrics = path};
  r->card = (xlm_card){.model = "", .preset = "", .layout = "", .device = "", .metrics = "", .ended = ""};
  if (stat(path, &st)) return xlm_fail(err, XLM_USER, "there is no run '%s': %s", path, strerror(errno));
  if (S_ISDIR(st.st_mode)) {
    r->folder = path;
    XLM_TRY(find_metrics(r, err));
  } else if (!S_ISREG(st.st_mode))
    return xlm_fail(err, XLM_USER, "'%s' is neither a run's folder nor a metrics file", path);
  XLM_TRY(xlm_run_update(r, &changed, err));
  if (!r->folder && !r->last_step && st.st_size)
    return xlm_fail(err, XLM_USER, "'%s' is no metrics file: it has no line {\"step\": ..}", path);
  *out = r;
  return XLM_OK;
}

bool xlm_run_goes_on(const xlm_run *r) {
  return r->folder && xlm_lock_is_held(r->folder);
}

const char *xlm_run_state(const xlm_run *r) {
  if (xlm_run_goes_on(r)) return "running";
  if (!r->has_card) return "";
  if (!*r->card.ended) return "interrupted";
  return strcmp(r->card.ended, "early") ? r->card.ended : "ended early";
}

const xlm_run_series *xlm_run_field(const xlm_run *r, const char *name) {
  for (uint32_t i = 0; i < r->n_series; i++)
    if (!strcmp(r->series[i].name, name) && r->series[i].n) return &r->series[i];
  return NULL;
}

double xlm_run_last(const xlm_run *r, const char *name) {
  const xlm_run_series *s = xlm_run_field(r, name);
  return s ? s->value[s->n - 1] : NAN;
}

double xlm_run_lowest(const xlm_run *r, const char *name, int64_t *step) {
  const xlm_run_series *s = xlm_run_field(r, name);
  double low = NAN;
  *step = 0;
  for (uint32_t i = 0; s && i < s->n; i++)
    if (!isnan(s->value[i]) && !(s->value[i] >= low)) low = s->value[i], *step = s->step[i];
  return low;
}
