// A canvas; see canvas_priv.h.
#include "compiler/verify/canvas_priv.h"

#include <string.h>

uint32_t xlm_canvas_after(const canvas *c, uint64_t begin) {
  uint32_t lo = 0, hi = c->n;
  while (lo < hi) {
    uint32_t mid = (lo + hi) / 2;
    if (c->at[mid].end > begin)
      hi = mid;
    else
      lo = mid + 1;
  }
  return lo;
}

static void replace(xlm_arena *a, canvas *c, uint32_t from, uint32_t to, const paint *with, uint32_t n) {
  while (c->n + n > c->cap) {
    uint32_t cap = c->cap ? c->cap * 2 : 16;
    c->at = xlm_arena_grow(a, c->at, c->n, cap, sizeof *c->at);
    c->cap = cap;
  }
  memmove(c->at + from + n, c->at + to, (c->n - to) * sizeof *c->at);
  memcpy(c->at + from, with, n * sizeof *with);
  c->n = c->n - (to - from) + n;
}

void xlm_canvas_paint(xlm_arena *a, canvas *c, paint p) {
  if (p.begin == p.end) return;
  uint32_t from = xlm_canvas_after(c, p.begin), to = from, n = 0;
  while (to < c->n && c->at[to].begin < p.end) to++;
  paint with[3];
  if (from < to && c->at[from].begin < p.begin) {
    with[n] = c->at[from];
    with[n++].end = p.begin;
  }
  with[n++] = p;
  if (from < to && c->at[to - 1].end > p.end) {
    with[n] = c->at[to - 1];
    with[n++].begin = p.end;
  }
  replace(a, c, from, to, with, n);
}
