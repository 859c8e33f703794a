// The loss curve as SVG: training loss as a thin line, validation loss as a bold one with points. Axis ticks
// are at 1, 2 or 5 times powers of ten; colours follow the viewer's light or dark setting.
#include "runtime/train/curve.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/file.h"
#include "runtime/base/json_parse.h"

enum { WIDTH = 860, HEIGHT = 480, LEFT = 70, RIGHT = 24, TOP = 56, BOTTOM = 56 };

static void halve(xlm_series *s) {
  for (int i = 0; i < s->n / 2; i++) {
    s->step[i] = s->step[2 * i + 1];
    s->value[i] = (s->value[2 * i] + s->value[2 * i + 1]) / 2;
  }
  s->n /= 2;
  s->per_point *= 2;
}

void xlm_series_add(xlm_series *s, int64_t step, double value) {
  if (!isfinite(value)) return;
  if (!s->per_point) s->per_point = 1;
  if (!s->pending) {
    if (s->n == XLM_CURVE_POINTS) halve(s);
    s->value[s->n++] = 0;
  }
  s->pending++;
  s->value[s->n - 1] += (value - s->value[s->n - 1]) / (double)s->pending;
  s->step[s->n - 1] = (double)step;
  if (s->pending >= s->per_point) s->pending = 0;
}

static xlm_status add_line(xlm_curve *c, const char *text, const char *path, xlm_error *err) {
  json_t *j;
  if (xlm_json_parse(text, strlen(text), 0, path, &j, err) == XLM_ENV) return XLM_ENV;
  const json_t *step = json_object_get(j, "step"), *loss = json_object_get(j, "loss"),
               *val = json_object_get(j, "val_loss");
  if (json_is_integer(step) && json_is_number(loss))
    xlm_series_add(&c->train, json_integer_value(step), json_number_value(loss));
  if (json_is_integer(step) && json_is_number(val))
    xlm_series_add(&c->valid, json_integer_value(step), json_number_value(val));
  json_decref(j);
  return XLM_OK;
}

xlm_status xlm_curve_read(xlm_curve *c, const char *metrics_path, xlm_error *err) {
  struct stat st;
  bool file = !stat(metrics_path, &st) && S_ISREG(st.st_mode); // a pipe cannot be read back
  FILE *f = file ? fopen(metrics_path, "r") : NULL;
  char *line = NULL; // with samples it may be long
  size_t room = 0;
  xlm_status s = XLM_OK;
  memset(c, 0, sizeof *c);
  while (s == XLM_OK && f && getline(&line, &room, f) >= 0) s = add_line(c, line, metrics_path, err);
  free(line);
  if (f) fclose(f);
  return s;
}

typedef struct frame { // the visible range
  double x0, x1, y0, y1;
} frame;

static double place_x(const frame *f, double x) {
  return LEFT + (x - f->x0) / (f->x1 - f->x0) * (WIDTH - LEFT - RIGHT);
}
static double place_y(const frame *f, double y) {
  return HEIGHT - BOTTOM - (y - f->y0) / (f->y1 - f->y0) * (HEIGHT - TOP - BOTTOM);
}

static double tick_of(double range, int most) { // 1, 2 or 5 times a power of ten
  double raw = range / most, power = pow(10, floor(log10(raw))), lead = raw / power;
  return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

static void include(frame *f, const xlm_series *s) {
  for (int i = 0; i < s->n; i++) {
    f->x1 = fmax(f->x1, s->step[i]);
    f->y0 = fmin(f->y0, s->value[i]);
    f->y1 = fmax(f->y1, s->value[i]);
  }
}

static frame frame_of(const xlm_curve *c) {
  frame f = {0, 1, INFINITY, -INFINITY};
  include(&f, &c->train);
  include(&f, &c->valid);
  if (f.y0 > f.y1) f.y0 = 0, f.y1 = 1;
  if (f.y1 - f.y0 < 1e-6) f.y0 -= 0.5, f.y1 += 0.5;
  double tick = tick_of(f.y1 - f.y0, 6);
  f.y0 = floor(f.y0 / tick) * tick, f.y1 = ceil(f.y1 / tick) * tick;
  return f;
}

static void draw_axes(FILE *out, const frame *f) {
  double tick = tick_of(f->y1 - f->y0, 6);
  for (double y = f->y0; y < f->y1 + tick / 2; y += tick)
    fprintf(out,
            "<line class='grid' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/><text x='%d' y='%.1f' "
            "text-anchor='end'>%.4g</text>\n",
            LEFT, WIDTH - RIGHT, place_y(f, y), place_y(f, y), LEFT - 8, place_y(f, y) + 4,
            fabs(y) < tick / 2 ? 0 : y);
  tick = fmax(1, tick_of(f->x1 - f->x0, 8));
  for (double x = 0; x <= f->x1; x += tick)
    fprintf(out,
            "<line class='grid' x1='%.1f' x2='%.1f' y1='%d' y2='%d'/><text x='%.1f' y='%d' "
            "text-anchor='middle'>%.10g</text>\n",
            place_x(f, x), place_x(f, x), HEIGHT - BOTTOM, HEIGHT - BOTTOM + 5, place_x(f, x),
            HEIGHT - BOTTOM + 20, x);
  fprintf(out, "<text x='%d' y='%d' text-anchor='middle'>step</text>\n", (LEFT + WIDTH - RIGHT) / 2,
          HEIGHT - 12);
  fprintf(out,
          "<text transform='translate(18 %d) rotate(-90)' text-anchor='middle'>loss, nats per token</text>\n",
          (TOP + HEIGHT - BOTTOM) / 2);
}

static void draw_series(FILE *out, const frame *f, const xlm_series *s, const char *class, int dots) {
  if (!s->n) return;
  fprintf(out, "<polyline class='%s' points='", class);
  for (int i = 0; i < s->n; i++) fprintf(out, "%.1f,%.1f ", place_x(f, s->step[i]), place_y(f, s->value[i]));
  fprintf(out, "'/>\n");
  for (int i = 0; i < s->n && dots; i++)
    fprintf(out, "<circle class='%s' cx='%.1f' cy='%.1f' r='3'><title>step %.10g: %.4f</title></circle>\n",
            class, place_x(f, s->step[i]), place_y(f, s->value[i]), s->step[i], s->value[i]);
}

static void draw_legend(FILE *out, const xlm_curve *c) {
  const xlm_series *series[] = {&c->train, &c->valid};
  static const char *const name[] = {"training", "validation"}, *const class[] = {"train", "valid"};
  for (int i = 0, x = LEFT; i < 2; i++) {
    if (!series[i]->n) continue;
    fprintf(out,
            "<line class='%s' x1='%d' x2='%d' y1='42' y2='42'/><text x='%d' y='46'>%s, last %.4f</text>\n",
            class[i], x, x + 24, x + 30, name[i], series[i]->value[series[i]->n - 1]);
    x += 210;
  }
}

static void write_text(FILE *out, const char *s) {
  for (; *s; s++) {
    if (*s == '<')
      fputs("&lt;", out);
    else if (*s == '&')
      fputs("&amp;", out);
    else
      fputc(*s, out);
  }
}

static const char style[] =
    "<style>svg{background:#fff;font:13px "
    "system-ui,sans-serif}text{fill:#333}.title{font-size:16px;font-weight:600}"
    ".grid{stroke:#ddd}polyline,line.train,line.valid{fill:none;stroke-linejoin:round}"
    ".train{stroke:#4a7fb5;stroke-width:1.5}.valid{stroke:#d1603d;stroke-width:2.5}circle.valid{fill:#d1603d;"
    "stroke:none}"
    "@media(prefers-color-scheme:dark){svg{background:#16181c}text{fill:#ccc}.grid{stroke:#33363c}}</"
    "style>\n";

static void draw(FILE *out, const xlm_curve *c, const char *title) {
  frame f = frame_of(c);
  fprintf(out, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d'>\n%s",
          WIDTH, HEIGHT, WIDTH, HEIGHT, style);
  fprintf(out, "<text class='title' x='%d' y='24'>", LEFT);
  write_text(out, title);
  fprintf(out, "</text>\n");
  draw_legend(out, c);
  draw_axes(out, &f);
  draw_series(out, &f, &c->train, "train", 0);
  draw_series(out, &f, &c->valid, "valid", c->valid.n <= 60);
  fprintf(out, "</svg>\n");
}

xlm_status xlm_curve_write(const xlm_curve *c, const char *title, const char *path, xlm_error *err) {
  char *text = NULL;
  size_t n = 0;
  FILE *out = open_memstream(&text, &n);
  if (out) draw(out, c, title);
  bool drawn = out && !fclose(out);
  xlm_status s =
      drawn ? xlm_file_replace(path, text, n, err) : xlm_fail(err, XLM_ENV, "no memory for the loss curve");
  free(text);
  return s;
}
