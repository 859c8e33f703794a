// Pre-tokenizers: parts of a text that are encoded by themselves. Each step gives its parts to the next as it
// finds them; the last gives words to the model.
#include "runtime/tokenizer/tokenizer_priv.h"

typedef struct splitter {
  work *w;
  const split_step *step;
  int next;
  const char *s;
  bool first;            // s is the begin of the text
  size_t begin, end;     // a part that may grow
  bool pending, matched; // there is one; the last range was a match
} splitter;

static void give(splitter *p, size_t begin, size_t end) {
  if (begin < end) xlm_split_from(p->w, p->next, p->s + begin, end - begin, p->first && !begin);
}

static void flush(splitter *p) {
  if (p->pending) give(p, p->begin, p->end);
  p->pending = false;
}

static void hold(splitter *p, size_t begin, size_t end, bool matched) {
  flush(p);
  p->begin = begin, p->end = end, p->pending = true, p->matched = matched;
}

// The next range of the text, all of a match or all between two.
static void add_range(splitter *p, size_t begin, size_t end, bool matches) {
  bool joins = false;
  switch (p->step->behavior) {
  case SPLIT_REMOVED:
    if (!matches) give(p, begin, end);
    return;
  case SPLIT_ISOLATED:
    give(p, begin, end);
    return;
  case SPLIT_MERGED_WITH_PREVIOUS:
    joins = matches && !p->matched;
    break;
  case SPLIT_MERGED_WITH_NEXT:
    joins = !matches && p->matched;
    break;
  case SPLIT_CONTIGUOUS:
    joins = matches == p->matched;
    break;
  }
  if (!p->pending || !joins) {
    hold(p, begin, end, matches);
    return;
  }
  p->end = end, p->matched = matches;
}

static void split_by_pattern(splitter *p, size_t n) {
  size_t at = 0, begin, end;
  for (size_t from = 0; from < n && p->w->status == XLM_OK;) {
    int found = xlm_pattern_find(p->step->pattern, &p->w->matcher, p->s, n, from, &begin, &end);
    if (found < 0)
      p->w->status = xlm_fail(p->w->err, XLM_ENV,
                              "the tokenizer's pattern takes too much memory for a text of %zu bytes", n);
    if (found <= 0) break;
    if (end == begin) { // nothing is found before the next character
      from = begin < n ? begin + xlm_utf8_length((unsigned char)p->s[begin]) : n;
      continue;
    }
    if (at < begin) add_range(p, at, begin, p->step->invert);
    add_range(p, begin, end, !p->step->invert);
    at = from = end;
  }
  if (at < n && p->w->status == XLM_OK) add_range(p, at, n, p->step->invert);
  flush(p);
}

static void prefix_space(work *w, int i, const char *s, size_t n, bool first) {
  buffer *b = &w->stage[i];
  if (*s == ' ') {
    xlm_split_from(w, i + 1, s, n, first);
    return;
  }
  b->n = 0;
  xlm_buffer_add(w, b, " ", 1);
  xlm_buffer_add(w, b, s, n);
  xlm_split_from(w, i + 1, b->at, b->n, first);
}

static void put_metaspace(work *w, int i, const char *s, size_t n, bool first) {
  const split_step *step = &w->t->split[i];
  buffer *b = &w->stage[i];
  span all = {s, n};
  bool has = *s == ' ' || span_begins(all, step->text);
  b->n = 0;
  if (!has && (step->scheme == PREPEND_ALWAYS || (step->scheme == PREPEND_FIRST && first)))
    xlm_buffer_add(w, b, step->text.at, step->text.n);
  for (size_t from = 0, to; from < n; from = to) {
    const char *space = memchr(s + from, ' ', n - from);
    to = space ? (size_t)(space - s) : n;
    xlm_buffer_add(w, b, s + from, to - from);
    if (space) xlm_buffer_add(w, b, step->text.at, step->text.n), to++;
  }
  xlm_split_from(w, i + 1, b->at, b->n, first);
}

void xlm_split_from(work *w, int i, const char *s, size_t n, bool first) {
  if (!n) return;
  if (i == w->t->n_split) {
    w->t->model(w, s, n);
    return;
  }
  const split_step *step = &w->t->split[i];
  splitter p = {.w = w, .step = step, .next = i + 1, .s = s, .first = first};
  switch (step->kind) {
  case SPLIT_PATTERN:
    split_by_pattern(&p, n);
    return;
  case SPLIT_PREFIX_SPACE:
    prefix_space(w, i, s, n, first);
    return;
  case SPLIT_METASPACE:
    put_metaspace(w, i, s, n, first);
    return;
  }
}
