// See writer.h.
#include "tools/xlmrun/writer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/xlmrun/visible.h"

void writer_open(writer *w, xlm_arena *a) {
  *w = (writer){.text = xlm_text_new(a), .terminal = isatty(STDOUT_FILENO)};
}

void writer_stop_at(writer *w, const char *const *stops, int n) {
  w->stops = stops, w->n_stops = stops ? n : 0, w->from = w->text.n;
}

static void show(writer *w, size_t end, bool last) {
  if (end <= w->shown) return;
  const char *s = w->text.data + w->shown;
  size_t n = end - w->shown;
  if (w->terminal) {
    xlm_arena *a = xlm_arena_child(w->text.arena);
    xlm_text out = xlm_text_new(a);
    n = visible_add(&out, s, n, last);
    fwrite(out.data, 1, out.n, stdout);
    xlm_arena_free(a);
  } else {
    fwrite(s, 1, n, stdout);
  }
  w->shown += n;
  fflush(stdout);
}

void writer_go_live(writer *w) {
  w->live = true;
  show(w, w->from, false);
}

// Where the first stop text begins, or -1; *hold: where one may begin that is not complete.
static int64_t find_stop(const writer *w, size_t *hold) {
  *hold = w->text.n;
  for (size_t at = w->from; at < w->text.n; at++)
    for (int i = 0; i < w->n_stops; i++) {
      size_t n = strlen(w->stops[i]), have = w->text.n - at < n ? w->text.n - at : n;
      if (!n || memcmp(w->text.data + at, w->stops[i], have)) continue;
      if (have == n) return (int64_t)at;
      if (at < *hold) *hold = at;
    }
  return -1;
}

bool writer_add(writer *w, const char *s, size_t n) {
  size_t hold;
  xlm_text_addn(&w->text, s, n);
  int64_t stop = find_stop(w, &hold);
  if (stop >= 0) w->text.n = (size_t)stop;
  if (w->live) show(w, stop >= 0 ? (size_t)stop : hold, false);
  w->from = stop >= 0 ? w->text.n : hold;
  return stop >= 0;
}

void writer_close(writer *w) {
  show(w, w->text.n, true);
  putchar('\n');
}
