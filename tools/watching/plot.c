// See plot.h. Every column of points has the mean of the values in its stretch of steps, and a line from its
// lowest to its highest value, so that outliers are seen.
#include "tools/watching/plot.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum { LEFT = 10, WIDE = 512, HIGH = 256 }; // LEFT: columns of the values' axis
enum { DOTS_X = 2, DOTS_Y = 4 };            // points of a character

typedef struct canvas {
  const xlm_plot *p;
  int width, height;              // in points
  double low, high;               // of the values
  double from, to;                // of the steps
  unsigned char dots[HIGH][WIDE]; // by character, as in Unicode's braille patterns
  unsigned char second[HIGH][WIDE];
} canvas;

static void stretch_range(canvas *c, const xlm_run_series *s) {
  for (uint32_t i = 0; s && i < s->n; i++) {
    if (isnan(s->value[i])) continue;
    if (isnan(c->low) || s->value[i] < c->low) c->low = s->value[i];
    if (isnan(c->high) || s->value[i] > c->high) c->high = s->value[i];
  }
  if (s && s->n && (double)s->step[s->n - 1] > c->to) c->to = (double)s->step[s->n - 1];
}

static void find_ranges(canvas *c) {
  c->low = c->high = NAN;
  c->from = 0, c->to = 1;
  stretch_range(c, c->p->first);
  stretch_range(c, c->p->second);
  if (isnan(c->low)) c->low = 0, c->high = 1;
  if (c->high - c->low < 1e-9 * fabs(c->high)) c->high += 0.5 * fabs(c->high), c->low -= 0.5 * fabs(c->low);
  if (c->high <= c->low) c->high = c->low + 1;
}

static int x_of(const canvas *c, int64_t step) {
  return (int)lround((double)step / c->to * (c->width - 1));
}
static int y_of(const canvas *c, double value) { // from above
  return (int)lround((c->high - value) / (c->high - c->low) * (c->height - 1));
}

static void dot(unsigned char dots[HIGH][WIDE], int x, int y) {
  static const unsigned char bit[DOTS_Y][DOTS_X] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
  dots[y / DOTS_Y][x / DOTS_X] |= bit[y % DOTS_Y][x % DOTS_X];
}

static void line(canvas *c, int x0, int y0, int x1, int y1) {
  int n = x1 - x0 > abs(y1 - y0) ? x1 - x0 : abs(y1 - y0);
  for (int i = 0; i <= n; i++)
    dot(c->dots, n ? x0 + (int)lround((double)i * (x1 - x0) / n) : x0,
        n ? y0 + (int)lround((double)i * (y1 - y0) / n) : y0);
}

typedef struct column { // of the points of one x
  int x;
  uint32_t n;
  double sum, low, high;
} column;

// A line to the mean of this column; a gap where a value is not finite.
static void end_column(canvas *c, const column *k, int *before_x, int *before_y) {
  if (!k->n) return;
  int y = y_of(c, k->sum / k->n);
  line(c, k->x, y_of(c, k->high), k->x, y_of(c, k->low));
  if (*before_x >= 0) line(c, *before_x, *before_y, k->x, y);
  *before_x = k->x, *before_y = y;
}

static void draw_line(canvas *c, const xlm_run_series *s) {
  column k = {.x = -1};
  int x = -1, y = 0;
  for (uint32_t i = 0; s && i < s->n; i++) {
    double v = s->value[i];
    if (isnan(v) || x_of(c, s->step[i]) != k.x) {
      end_column(c, &k, &x, &y);
      k = (column){.x = x_of(c, s->step[i]), .low = v, .high = v};
    }
    if (isnan(v)) {
      x = -1;
      continue;
    }
    k.n++, k.sum += v;
    k.low = fmin(k.low, v), k.high = fmax(k.high, v);
  }
  end_column(c, &k, &x, &y);
}

static void draw_points(canvas *c, const xlm_run_series *s) {
  for (uint32_t i = 0; s && i < s->n; i++)
    if (!isnan(s->value[i])) dot(c->second, x_of(c, s->step[i]), y_of(c, s->value[i]));
}

// ---- text ----

static void put_character(const canvas *c, int row, int at, xlm_text *out) {
  unsigned char first = c->dots[row][at], second = c->second[row][at], both = first | second;
  if (c->p->ascii) {
    xlm_text_add(out, second ? "o" : first ? "*" : " ");
    return;
  }
  unsigned code = 0x2800u + both;
  if (!both) {
    xlm_text_add(out, " ");
    return;
  }
  if (second && c->p->color) xlm_text_add(out, "\033[33m");
  xlm_text_addn(
      out, (char[]){(char)(0xe0 | code >> 12), (char)(0x80 | (code >> 6 & 63)), (char)(0x80 | (code & 63))},
      3);
  if (second && c->p->color) xlm_text_add(out, "\033[0m");
}

static void put_rows(const canvas *c, xlm_text *out) {
  int rows = c->height / DOTS_Y, columns = c->width / DOTS_X;
  for (int r = 0; r < rows; r++) {
    bool said = r == 0 || r == rows - 1 || r == rows / 2;
    double value = c->high - (c->high - c->low) *
                                 (r * DOTS_Y + (r == 0          ? 0
                                                : r == rows - 1 ? DOTS_Y - 1
                                                                : 1.5)) /
                                 (c->height - 1);
    if (said)
      xlm_text_printf(out, "%*.*g ", LEFT - 2, 4, fabs(value) < 1e-12 ? 0 : value);
    else
      xlm_text_printf(out, "%*s", LEFT - 1, "");
    xlm_text_add(out, c->p->ascii ? "|" : "│");
    int last = columns;
    while (last > 0 && !c->dots[r][last - 1] && !c->second[r][last - 1]) last--;
    for (int k = 0; k < last; k++) put_character(c, r, k, out);
    xlm_text_add(out, "\n");
  }
}

static void put_axis(const canvas *c, xlm_text *out) {
  int columns = c->width / DOTS_X;
  xlm_text_printf(out, "%*s%s", LEFT - 1, "", c->p->ascii ? "+" : "└");
  for (int i = 0; i < columns; i++) xlm_text_add(out, c->p->ascii ? "-" : "─");
  xlm_text_printf(out, "\n%*s0%*" PRId64 "\n", LEFT, "", columns - 1, (int64_t)c->to);
}

void xlm_plot_print(const xlm_plot *p, xlm_text *out) {
  canvas *c = XLM_NEW(out->arena, canvas);
  int columns = p->columns - LEFT, rows = p->rows - 2;
  columns = columns < 10 ? 10 : columns > WIDE ? WIDE : columns;
  rows = rows < 3 ? 3 : rows > HIGH ? HIGH : rows;
  *c = (canvas){.p = p, .width = columns * DOTS_X, .height = rows * DOTS_Y};
  find_ranges(c);
  draw_line(c, p->first);
  draw_points(c, p->second);
  put_rows(c, out);
  put_axis(c, out);
}
