// Text: a growing string in an arena; formatting of numbers for display; nearest names for suggestions.
#include "runtime/base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

xlm_text xlm_text_new(xlm_arena *a) {
  return (xlm_text){.arena = a, .data = ""};
}

static void reserve(xlm_text *t, size_t extra) {
  size_t need = t->n + extra + 1;
  if (need <= t->cap) return;
  size_t cap = t->cap ? t->cap * 2 : 256;
  while (cap < need) cap *= 2;
  t->data = xlm_arena_grow(t->arena, t->data, t->n, cap, 1);
  t->cap = cap;
}

void xlm_text_addn(xlm_text *t, const char *s, size_t n) {
  reserve(t, n);
  if (n) memcpy(t->data + t->n, s, n);
  t->n += n;
  t->data[t->n] = 0;
}

void xlm_text_add_html(xlm_text *t, const char *s) {
  for (; *s; s++) {
    if (*s == '<')
      xlm_text_add(t, "&lt;");
    else if (*s == '&')
      xlm_text_add(t, "&amp;");
    else
      xlm_text_addn(t, s, 1);
  }
}

void xlm_text_add(xlm_text *t, const char *s) {
  xlm_text_addn(t, s, strlen(s));
}

void xlm_text_printf(xlm_text *t, const char *fmt, ...) {
  va_list ap, ap2;
  va_start(ap, fmt);
  va_copy(ap2, ap);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (n > 0) {
    reserve(t, (size_t)n);
    vsnprintf(t->data + t->n, (size_t)n + 1, fmt, ap2);
    t->n += (size_t)n;
  }
  va_end(ap2);
}

void xlm_text_pad(xlm_text *t, size_t column) {
  size_t width = 0;
  for (size_t i = t->n; i > 0 && t->data[i - 1] != '\n'; i--)
    width += ((unsigned char)t->data[i - 1] & 0xC0) != 0x80; // count characters, not UTF-8 bytes
  for (; width < column; width++) xlm_text_addn(t, " ", 1);
}

void xlm_text_double(xlm_text *t, double x) {
  char buf[40];
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(buf, sizeof buf, "%.*g", digits, x);
    if (strtod(buf, NULL) == x || isnan(x)) break;
  }
  xlm_text_add(t, buf);
}

const char *xlm_text_bytes(xlm_arena *a, uint64_t bytes) {
  static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double v = (double)bytes;
  int u = 0;
  for (; v >= 1023.995 && u < 5; u++) v /= 1024;
  return u ? xlm_arena_printf(a, "%.2f %s", v, unit[u]) : xlm_arena_printf(a, "%d B", (int)bytes);
}

const char *xlm_text_count(xlm_arena *a, double n) {
  static const char *const unit[] = {"", " k", " M", " B", " T", " P", " E"};
  int u = 0;
  for (; fabs(n) >= (u ? 999.5 : 999.95) && u < 6; u++) n /= 1000;
  return xlm_arena_printf(a, u ? "%.3g%s" : "%.4g%s", n, unit[u]);
}

const char *xlm_text_thousands(xlm_arena *a, int64_t n) {
  char raw[32], out[48];
  snprintf(raw, sizeof raw, "%lld", (long long)n);
  size_t len = strlen(raw), o = 0;
  for (size_t i = 0; i < len; i++) {
    out[o++] = raw[i];
    size_t left = len - 1 - i;
    if (left && left % 3 == 0 && raw[i] != '-') out[o++] = ',';
  }
  return xlm_arena_strndup(a, out, o);
}

const char *xlm_text_plural(xlm_arena *a, int64_t n, const char *noun) {
  size_t length = strlen(noun);
  bool hisses =
      length && (strchr("sx", noun[length - 1]) || (length > 1 && !strcmp(noun + length - 2, "ch")));
  return xlm_arena_printf(a, "%s %s%s", xlm_text_thousands(a, n), noun, n == 1 ? "" : hisses ? "es" : "s");
}

int xlm_text_distance(const char *a, const char *b) {
  int la = (int)strnlen(a, 63), lb = (int)strnlen(b, 63);
  int d[3][64];
  for (int j = 0; j <= lb; j++) d[0][j] = j;
  for (int i = 1; i <= la; i++) {
    int *cur = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
    cur[0] = i;
    for (int j = 1; j <= lb; j++) {
      int best = up[j - 1] + (a[i - 1] != b[j - 1]);
      if (up[j] + 1 < best) best = up[j] + 1;
      if (cur[j - 1] + 1 < best) best = cur[j - 1] + 1;
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < best)
        best = up2[j - 2] + 1;
      cur[j] = best;
    }
  }
  return d[la % 3][lb];
}

const char *xlm_text_nearest(const char *name, const char *const *candidates, size_t n) {
  const char *best = NULL;
  int length = (int)strlen(name), limit = length / 3;
  int best_d = length < 2 ? 1 : (limit < 1 ? 1 : limit) + 1; // one letter resembles any other
  for (size_t i = 0; i < n; i++) {
    int dist = xlm_text_distance(name, candidates[i]);
    if (dist < best_d) best_d = dist, best = candidates[i];
  }
  return best;
}

size_t xlm_text_character(const unsigned char *s, size_t n) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t size = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0;
  if (size < 2 || size > n) return size == 1;
  uint32_t code = *s & (0xFFu >> (size + 1));
  for (size_t i = 1; i < size; i++) {
    if (s[i] >> 6 != 2) return 0;
    code = code << 6 | (s[i] & 63);
  }
  bool wrong = code < least[size] || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF;
  return wrong ? 0 : size;
}
