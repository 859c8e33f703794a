// The loss curve as SVG: the drawn lines match the data, read back using the picture's own axes.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/train/curve.h"

typedef struct axis { // two labelled lines of a scale: pixels and values
  double at[2], value[2];
} axis;

static double value_at(const axis *a, double pixel) {
  return a->value[0] + (pixel - a->at[0]) / (a->at[1] - a->at[0]) * (a->value[1] - a->value[0]);
}

static char *draw(const xlm_curve *c) {
  char path[] = "/tmp/xlm-curve-XXXXXX";
  xlm_error err;
  close(mkstemp(path));
  assert_int_equal(xlm_curve_write(c, "a <title> & more", path, &err), XLM_OK);
  FILE *f = fopen(path, "r");
  char *svg = calloc(1, 1 << 20);
  assert_true(f && fread(svg, 1, (1 << 20) - 1, f) > 0);
  fclose(f);
  unlink(path);
  return svg;
}

// The first and the last label of each axis.
static void read_axes(const char *svg, axis *x, axis *y) {
  int n_x = 0, n_y = 0;
  for (const char *p = svg; (p = strstr(p, "<line class='grid'")); p++) {
    double x1, x2, y1, y2, value;
    bool is_y =
        sscanf(p, "<line class='grid' x1='%lf' x2='%lf' y1='%lf' y2='%lf'/>", &x1, &x2, &y1, &y2) == 4 &&
        y1 == y2;
    assert_int_equal(sscanf(strchr(strstr(p, "<text"), '>'), ">%lf<", &value), 1);
    axis *a = is_y ? y : x;
    int *n = is_y ? &n_y : &n_x, k = *n > 0;
    a->at[k] = is_y ? y1 : x1, a->value[k] = value;
    ++*n;
  }
  assert_true(n_x > 1 && n_y > 1);
}

// Every point of a line is where the series says, to within a pixel.
static void check_line(const char *svg, const char *class, const xlm_series *s) {
  axis x = {0}, y = {0};
  char start[64];
  read_axes(svg, &x, &y);
  snprintf(start, sizeof start, "<polyline class='%s' points='", class);
  const char *p = strstr(svg, start);
  assert_non_null(p);
  p += strlen(start);
  double pixel_x = fabs(value_at(&x, 1) - value_at(&x, 0)), pixel_y = fabs(value_at(&y, 1) - value_at(&y, 0));
  for (int i = 0; i < s->n; i++) {
    char *end;
    double px = strtod(p, &end), py = strtod(end + 1, &end);
    p = end;
    assert_true(fabs(value_at(&x, px) - s->step[i]) <= pixel_x);
    assert_true(fabs(value_at(&y, py) - s->value[i]) <= pixel_y);
  }
  assert_int_equal(p[0], ' ');
  assert_int_equal(p[1], '\'');
}

static void draws_what_it_was_given(void **state) {
  (void)state;
  static xlm_curve c;
  memset(&c, 0, sizeof c);
  for (int64_t step = 1; step <= 37; step++) xlm_series_add(&c.train, step, 2 + 3.0 / (double)step);
  for (int64_t step = 10; step <= 30; step += 10) xlm_series_add(&c.valid, step, 1.5 + 3.0 / (double)step);
  char *svg = draw(&c);
  assert_int_equal(c.train.n, 37);
  assert_true(c.train.step[36] == 37 && c.valid.step[2] == 30);
  check_line(svg, "train", &c.train);
  check_line(svg, "valid", &c.valid);
  assert_non_null(strstr(svg, "a &lt;title> &amp; more"));
  assert_non_null(strstr(svg, "step 20: 1.6500"));
  free(svg);
}

// Too many points to draw: neighbours become their mean, in order, and none is lost.
static void halves_a_long_run(void **state) {
  (void)state;
  static xlm_curve c;
  memset(&c, 0, sizeof c);
  int64_t steps = 5 * XLM_CURVE_POINTS + 3;
  for (int64_t step = 1; step <= steps; step++) xlm_series_add(&c.train, step, (double)step);
  for (int i = 0; i < c.train.n; i++) {
    double first = i ? c.train.step[i - 1] + 1 : 1, mean = (first + c.train.step[i]) / 2;
    assert_true(fabs(c.train.value[i] - mean) < 1e-6);
  }
  assert_true(c.train.step[c.train.n - 1] == (double)steps);
  char *svg = draw(&c);
  check_line(svg, "train", &c.train);
  free(svg);
}

static void refuses_a_full_device(void **state) {
  (void)state;
  static xlm_curve c;
  xlm_error err;
  memset(&c, 0, sizeof c);
  xlm_series_add(&c.train, 1, 1);
  if (access("/dev/full", W_OK)) skip();
  assert_int_equal(xlm_curve_write(&c, "t", "/dev/full", &err), XLM_ENV);
  assert_non_null(strstr(err.text, "No space left"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(draws_what_it_was_given),
                                     cmocka_unit_test(halves_a_long_run),
                                     cmocka_unit_test(refuses_a_full_device)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
