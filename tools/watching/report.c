// See report.h. The data is an object {runs: [{name, .., series: {FIELD: {step: [..], value: [..]}}}]};
// report.js describes what it draws of it.
#include "tools/watching/report.h"

#include <math.h>
#include <string.h>

#include "runtime/base/json.h"
#include "tools/watching/report_priv.h"

// ---- series ----

typedef struct thinner { // hands on which points stay
  const xlm_run_series *s;
  uint32_t *at;
  uint32_t n;
} thinner;

static void keep_stretch(thinner *t, uint32_t begin, uint32_t end) {
  const double *v = t->s->value;
  uint32_t low = begin, high = begin;
  for (uint32_t i = begin; i < end; i++) {
    if (isnan(v[low]) || v[i] < v[low]) low = i;
    if (isnan(v[high]) || v[i] > v[high]) high = i;
  }
  uint32_t first = low < high ? low : high, second = low < high ? high : low;
  t->at[t->n++] = first;
  if (second != first) t->at[t->n++] = second;
}

static thinner thinned(xlm_arena *a, const xlm_run_series *s) {
  thinner t = {.s = s,
               .at = XLM_NEW_N(a, uint32_t, s->n < XLM_REPORT_POINTS ? s->n + 1 : XLM_REPORT_POINTS + 4)};
  uint64_t stretches = XLM_REPORT_POINTS / 2;
  if (s->n <= XLM_REPORT_POINTS) {
    for (; t.n < s->n; t.n++) t.at[t.n] = t.n;
    return t;
  }
  t.at[t.n++] = 0;
  for (uint64_t i = 0; i < stretches; i++)
    keep_stretch(&t, (uint32_t)(1 + i * (s->n - 2) / stretches),
                 (uint32_t)(1 + (i + 1) * (s->n - 2) / stretches));
  t.at[t.n++] = s->n - 1;
  return t;
}

static void put_series(xlm_json *j, xlm_arena *a, const xlm_run_series *s) {
  thinner t = thinned(a, s);
  xlm_json_object(j, s->name, XLM_JSON_DENSE);
  xlm_json_array(j, "step", XLM_JSON_DENSE);
  for (uint32_t i = 0; i < t.n; i++) xlm_json_put_int(j, NULL, s->step[t.at[i]]);
  xlm_json_close(j);
  xlm_json_array(j, "value", XLM_JSON_DENSE);
  for (uint32_t i = 0; i < t.n; i++) xlm_json_put_rounded(j, NULL, s->value[t.at[i]], 13);
  xlm_json_close(j);
  xlm_json_close(j);
}

// ---- lists and samples ----

// Of n, spread evenly with the first and the last; k < most.
static uint32_t spread(uint32_t n, uint32_t most, uint32_t k) {
  return n <= most ? k : (uint32_t)((uint64_t)k * (n - 1) / (most - 1));
}

static uint32_t lines_of_lists(const xlm_run *r) { // at most, of each
  uint64_t width = 1;
  for (uint32_t i = 0; i < r->n_lists; i++) width += r->lists[i].width;
  uint64_t most = XLM_REPORT_CELLS / width;
  return most < 2 ? 2 : most < XLM_REPORT_LISTS ? (uint32_t)most : XLM_REPORT_LISTS;
}

static void put_lists(xlm_json *j, const xlm_run_lists *l, uint32_t most) {
  uint32_t n = l->n < most ? l->n : most;
  xlm_json_object(j, l->name, XLM_JSON_DENSE);
  xlm_json_array(j, "step", XLM_JSON_DENSE);
  for (uint32_t k = 0; k < n; k++) xlm_json_put_int(j, NULL, l->step[spread(l->n, most, k)]);
  xlm_json_close(j);
  xlm_json_array(j, "values", XLM_JSON_DENSE);
  for (uint32_t k = 0; k < n; k++) {
    const float *v = l->value + (size_t)spread(l->n, most, k) * l->width;
    xlm_json_array(j, NULL, XLM_JSON_DENSE);
    for (uint32_t i = 0; i < l->width; i++) xlm_json_put_rounded(j, NULL, (double)v[i], 9);
    xlm_json_close(j);
  }
  xlm_json_close(j);
  xlm_json_close(j);
}

static bool begins_step(const xlm_run *r, uint32_t i) {
  return i == 0 || r->samples[i].step != r->samples[i - 1].step;
}

static void put_sample(xlm_json *j, const xlm_run_sample *s) {
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  xlm_json_put_int(j, "step", s->step);
  xlm_json_put_text(j, "prompt", s->prompt);
  xlm_json_put_text(j, "text", s->text);
  xlm_json_close(j);
}

static void put_samples(xlm_json *j, const xlm_run *r) {
  uint32_t steps = 0, at = 0, kept = 0; // steps that have samples; the present one; of these shown
  for (uint32_t i = 0; i < r->n_samples; i++) steps += begins_step(r, i);
  xlm_json_array(j, "samples", XLM_JSON_DENSE);
  for (uint32_t i = 0; i < r->n_samples; i++) {
    if (i && begins_step(r, i)) kept += at++ == spread(steps, XLM_REPORT_SAMPLES, kept);
    if (at == spread(steps, XLM_REPORT_SAMPLES, kept)) put_sample(j, &r->samples[i]);
  }
  xlm_json_close(j);
}

// ---- runs ----

// Paths of several runs may end alike; then all of them are shown whole.
static bool names_differ(xlm_run *const *runs, int n) {
  for (int i = 0; i < n; i++)
    for (int k = 0; k < i; k++)
      if (!strcmp(runs[i]->name, runs[k]->name)) return false;
  return true;
}

static void put_card(xlm_json *j, const xlm_card *c) {
  xlm_json_put_text(j, "model", c->model);
  xlm_json_put_text(j, "preset", c->preset);
  xlm_json_put_text(j, "layout", c->layout);
  xlm_json_put_text(j, "device", c->device);
  xlm_json_put_real(j, "parameters", c->parameters);
  xlm_json_put_int(j, "maxSteps", c->max_steps);
  xlm_json_object(j, "settings", XLM_JSON_DENSE);
  for (int i = 0; i < c->n_settings; i++) xlm_json_put_text(j, c->settings[i].key, c->settings[i].value);
  xlm_json_close(j);
}

static void put_run(xlm_json *j, const xlm_run *r, const char *name) {
  int64_t step;
  double low = xlm_run_lowest(r, "val_loss", &step);
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  xlm_json_put_text(j, "name", name);
  xlm_json_put_text(j, "path", r->path);
  xlm_json_put_text(j, "state", xlm_run_state(r));
  xlm_json_put_int(j, "step", r->last_step);
  xlm_json_put_int(j, "ignored", r->ignored);
  put_card(j, &r->card);
  if (step) xlm_json_put_rounded(j, "bestLoss", low, 13);
  if (step) xlm_json_put_int(j, "bestStep", step);
  xlm_json_object(j, "series", XLM_JSON_DENSE);
  for (uint32_t i = 0; i < r->n_series; i++)
    if (r->series[i].n) put_series(j, r->arena, &r->series[i]);
  xlm_json_close(j);
  xlm_json_object(j, "lists", XLM_JSON_DENSE);
  for (uint32_t i = 0; i < r->n_lists; i++)
    if (r->lists[i].n) put_lists(j, &r->lists[i], lines_of_lists(r));
  xlm_json_close(j);
  put_samples(j, r);
  xlm_json_close(j);
}

// ---- the page ----

void xlm_report_page(xlm_run *const *runs, int n, const char *title, xlm_text *t) {
  xlm_json j;
  bool short_names = names_differ(runs, n);
  xlm_text_add(t, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                  "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
  xlm_text_add_html(t, title);
  xlm_text_printf(t, "</title>\n<style>\n%s</style>\n</head>\n<body>\n", xlm_report_style);
  xlm_text_add(t, "<noscript>This page draws itself with a script; its data is JSON in the page.</noscript>\n"
                  "<script type=\"application/json\" id=\"data\">");
  xlm_json_to_text(&j, t);
  xlm_json_for_html(&j);
  xlm_json_object(&j, NULL, XLM_JSON_DENSE);
  xlm_json_put_text(&j, "title", title);
  xlm_json_array(&j, "runs", XLM_JSON_LINES);
  for (int i = 0; i < n; i++) put_run(&j, runs[i], short_names ? runs[i]->name : runs[i]->path);
  xlm_json_close(&j);
  xlm_json_close(&j);
  bool written = xlm_json_finish(&j) == XLM_OK;
  XLM_ASSERT(written, "a text in an arena takes everything");
  xlm_text_printf(t, "</script>\n<script>\n\"use strict\";\n%s", xlm_report_script);
  xlm_text_add(
      t,
      "showRuns(JSON.parse(document.getElementById(\"data\").textContent));\n</script>\n</body>\n</html>\n");
}
