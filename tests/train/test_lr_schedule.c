// Learning rates, the progress line, the metrics file and the loss curve.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/plan/metric_field.h"
#include "runtime/train/curve.h"
#include "runtime/train/metrics.h"
#include "runtime/train/progress.h"
#include "runtime/train/lr_schedule.h"

static void expect_rate(const xlm_schedule *s, int64_t step, double want) {
  double got = xlm_schedule_rate(s, step);
  if (fabs(got - want) > 1e-12)
    fail_msg("%s: step %d: %.15g, want %.15g", xlm_schedule_name(s->kind), (int)step, got, want);
}

static void test_rates(void **state) {
  (void)state;
  static const struct {
    xlm_schedule_kind kind;
    double at_35, at_60, at_85, at_110; // 10 warm-up steps of 110
  } rows[] = {
      {XLM_COSINE, 0.1 + 0.9 * 0.5 * (1 + 0.70710678118654752), 0.55,
       0.1 + 0.9 * 0.5 * (1 - 0.70710678118654752), 0.1},
      {XLM_LINEAR, 0.775, 0.55, 0.325, 0.1},
      {XLM_CONSTANT, 1, 1, 1, 1},
      {XLM_WSD, 1, 1, 0.1 + 0.9 * 0.625, 0.1},
  };
  for (int i = 0; i < XLM_SCHEDULES; i++) {
    xlm_schedule_kind parsed;
    assert_true(xlm_schedule_parse(xlm_schedule_name(rows[i].kind), &parsed) && parsed == rows[i].kind);
    xlm_schedule s = {.kind = rows[i].kind, .peak = 1, .min = 0.1, .steps = 110, .warmup = 10, .decay = 40};
    expect_rate(&s, 0, 0.1), expect_rate(&s, 4, 0.5), expect_rate(&s, 9, 1), expect_rate(&s, 10, 1);
    expect_rate(&s, 35, rows[i].at_35), expect_rate(&s, 60, rows[i].at_60),
        expect_rate(&s, 85, rows[i].at_85);
    expect_rate(&s, 110, rows[i].at_110), expect_rate(&s, 500, rows[i].at_110);
    for (int64_t t = 10; t < 110; t++)
      assert_true(xlm_schedule_rate(&s, t + 1) <= xlm_schedule_rate(&s, t) + 1e-15);
    s = (xlm_schedule){
        .kind = rows[i].kind, .peak = 1, .min = 0.1, .steps = 5, .warmup = 5}; // nothing but warm-up
    expect_rate(&s, 4, 1), expect_rate(&s, 5, 1);
  }
  xlm_schedule_kind k;
  assert_false(xlm_schedule_parse("cosin", &k));
}

static void test_progress(void **state) {
  (void)state;
  xlm_progress p = {.m = {.step = 120,
                          .loss = 2.34567,
                          .lr = 3e-4,
                          .tokens_per_s = 15320,
                          .mfu = 0.412,
                          .val_loss = NAN,
                          .skipped = -1,
                          .memory_bytes = 3u << 29},
                    .max_steps = 1000,
                    .seconds_left = 700};
  char line[256];
  int n = xlm_progress_line(&p, 200, line, sizeof line);
  assert_string_equal(
      line, "step 120/1000  loss 2.3457  lr 3.00e-04  15.3k tok/s  41.2% MFU  1.50 GiB  12 min left");
  assert_int_equal(n, strlen(line));
  for (int width = 1; width < 200; width++) {
    assert_in_range(xlm_progress_line(&p, width, line, sizeof line), 1, width);
    assert_true((int)strlen(line) <= width);
    if (width >= 30) assert_non_null(strstr(line, "loss 2.3457"));
  }
  xlm_progress_line(&p, 60, line, sizeof line);
  assert_null(strstr(line, "GiB"));
  assert_non_null(strstr(line, "left"));
  static const struct {
    double seconds;
    const char *text;
  } times[] = {{0, "0 s"}, {59.6, "60 s"}, {600, "10 min"}, {12000, "3 h 20 min"}, {187200, "2 d 4 h"}};
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
    xlm_progress_time(times[i].seconds, line, sizeof line);
    assert_string_equal(line, times[i].text);
  }
}

static void read_all(const char *path, char *out, size_t room) {
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  out[fread(out, 1, room - 1, f)] = 0;
  fclose(f);
}

static void write_step(int fd, int64_t step, double loss, double val) {
  static const xlm_metrics_sample sample = {"On", "ce"};
  static const double balance = 1.5, load[] = {4, 0, 2};
  static const xlm_metrics_own own[] = {{"balance", 0, &balance}, {"load", 3, load}};
  xlm_metrics_line m = {.step = step,
                        .tokens = step * 100,
                        .loss = loss,
                        .lr = 1e-3,
                        .grad_norm = 0.5,
                        .tokens_per_s = 1000,
                        .mfu = 0.25,
                        .val_loss = val,
                        .step_s = 0.125,
                        .elapsed_s = (double)step * 2,
                        .time = 1.7e9 + (double)step + 0.123,
                        .memory_bytes = 5000,
                        .device_bytes = step == 21 ? 7 : 0,
                        .skipped = step == 21 ? 3 : -1,
                        .n_samples = step == 21,
                        .samples = &sample,
                        .n_own = 2,
                        .own = own};
  assert_int_equal(xlm_metrics_write(fd, &m, NULL), XLM_OK);
}

static void test_metrics(void **state) {
  (void)state;
  char path[] = "/tmp/xlm-test-metrics-XXXXXX", text[4096];
  double elapsed = -1;
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  close(fd);
  assert_int_equal(xlm_metrics_open(path, 0, &fd, &elapsed, NULL), XLM_OK);
  assert_true(elapsed == 0);
  write_step(fd, 10, 1.23456789123, NAN);
  write_step(fd, 20, NAN, 1.5);
  write_step(fd, 30, 1, NAN);
  assert_int_equal(write(fd, "{\"step\": 40, \"lo", 16), 16); // killed here
  close(fd);
  assert_int_equal(xlm_metrics_open(path, 20, &fd, &elapsed, NULL), XLM_OK);
  assert_true(elapsed == 40); // not of the lines that were dropped
  write_step(fd, 21, 3, NAN);
  close(fd);
  read_all(path, text, sizeof text);
  assert_string_equal(
      text,
      "{\"step\": 10, \"loss\": 1.23456789, \"lr\": 0.001, \"grad_norm\": 0.5, \"tokens\": 1000, "
      "\"tokens_per_s\": "
      "1000.0, \"mfu\": 0.25, \"step_s\": 0.125, \"elapsed_s\": 20.0, \"time\": 1700000010.123, "
      "\"memory_bytes\": 5000, \"balance\": 1.5, \"load\": [4,0,2]}\n"
      "{\"step\": 20, \"loss\": null, \"lr\": 0.001, \"grad_norm\": 0.5, \"tokens\": 2000, \"tokens_per_s\": "
      "1000.0, \"mfu\": 0.25, \"step_s\": 0.125, \"elapsed_s\": 40.0, \"time\": 1700000020.123, "
      "\"memory_bytes\": 5000, \"val_loss\": 1.5, \"balance\": 1.5, \"load\": [4,0,2]}\n"
      "{\"step\": 21, \"loss\": 3.0, \"lr\": 0.001, \"grad_norm\": 0.5, \"tokens\": 2100, \"tokens_per_s\": "
      "1000.0, \"mfu\": 0.25, \"step_s\": 0.125, \"elapsed_s\": 42.0, \"time\": 1700000021.123, "
      "\"memory_bytes\": 5000, \"device_bytes\": 7, \"skipped\": 3, \"balance\": 1.5, \"load\": [4,0,2], "
      "\"samples\": [{\"prompt\": \"On\", \"text\": \"ce\"}]}\n");
  for (char *key = text; (key = strpbrk(key, "{,"));
       key++) { // a model's own metrics have none of these names
    char name[32];
    if (sscanf(key + 1, " \"%31[a-z_]\"", name) != 1) continue;
    if (!strcmp(name, "prompt") || !strcmp(name, "text")) continue; // of a sample
    assert_int_equal(xlm_is_metric_field(name), strcmp(name, "balance") && strcmp(name, "load"));
  }
  static xlm_curve c;
  assert_int_equal(xlm_curve_read(&c, path, NULL), XLM_OK);
  assert_true(c.train.n == 2 && c.train.value[1] == 3 && c.train.step[1] == 21);
  assert_true(c.valid.n == 1 && c.valid.value[0] == 1.5);
  unlink(path);
}

static void test_curve(void **state) {
  (void)state;
  static xlm_curve c;
  double first = 0;
  for (int i = 1; i <= 10 * XLM_CURVE_POINTS + 3; i++) {
    xlm_series_add(&c.train, i, 10.0 / i);
    if (i <= 16) first += 10.0 / i / 16;
  }
  xlm_series_add(&c.train, 1, NAN);
  assert_in_range(c.train.n, XLM_CURVE_POINTS / 2, XLM_CURVE_POINTS);
  assert_int_equal(c.train.per_point, 16);
  assert_true(fabs(c.train.value[0] - first) < 1e-9 && c.train.step[0] == 16);
  assert_true(c.train.step[c.train.n - 1] == 10 * XLM_CURVE_POINTS + 3);
  xlm_series_add(&c.valid, 5000, 0.5);
  char path[] = "/tmp/xlm-test-curve-XXXXXX";
  static char text[100000];
  close(mkstemp(path));
  assert_int_equal(xlm_curve_write(&c, "a < b & c", path, NULL), XLM_OK);
  read_all(path, text, sizeof text);
  assert_non_null(strstr(text, "a &lt; b &amp; c"));
  assert_non_null(strstr(text, "validation, last 0.5000"));
  assert_non_null(strstr(text, "<polyline class='train'"));
  assert_non_null(strstr(text, "</svg>"));
  assert_null(strstr(text, "nan"));
  static xlm_curve empty;
  assert_int_equal(xlm_curve_write(&empty, "", path, NULL), XLM_OK);
  read_all(path, text, sizeof text);
  assert_null(strstr(text, "nan"));
  assert_null(strstr(text, "inf"));
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rates),
      cmocka_unit_test(test_progress),
      cmocka_unit_test(test_metrics),
      cmocka_unit_test(test_curve),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
