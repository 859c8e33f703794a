// The lines of the formatted text in the order of the source, with its comments and single blank lines.
//
// Comments are processed in source order. Before a line is written, all comments that start before the end of
// its head are written above it (so a comment in the middle of a statement moves above it); one that follows
// on the same line stays there.
#include <string.h>

#include "compiler/format/format_priv.h"

// Is there a blank line and nothing else between two places of the source?
static bool blank_between(const xlm_formatter *f, uint32_t from, uint32_t to) {
  int newlines = 0;
  for (uint32_t i = from; i < to; i++) {
    char c = f->source->text[i];
    if (!strchr(" \t\r\n", c)) return false;
    newlines += c == '\n';
  }
  return newlines >= 2;
}

xlm_fmt_line *xlm_fmt_begin(xlm_formatter *f, int group, uint32_t begin) {
  xlm_fmt_line l = {.text = xlm_text_new(f->arena), .indent = f->indent, .group = group};
  l.blank_before = !f->first && (f->blank || blank_between(f, f->done, begin));
  f->first = f->blank = false;
  XLM_PUSH(f->arena, f->lines.at, f->lines.n, f->lines.cap, l);
  return &f->lines.at[f->lines.n - 1];
}

static const char *comment_text(const xlm_formatter *f, const xlm_comment *c) {
  return xlm_arena_strndup(f->arena, f->source->text + c->span.begin, c->span.end - c->span.begin);
}

void xlm_fmt_comments_before(xlm_formatter *f, uint32_t begin, uint32_t end) {
  for (; f->comment && f->comment->span.begin < end; f->comment = f->comment->next) {
    if (f->comment->span.begin > begin && blank_between(f, f->done, begin)) f->blank = true;
    xlm_fmt_line *l = xlm_fmt_begin(f, 0, f->comment->span.begin);
    xlm_text_add(&l->text, comment_text(f, f->comment));
    f->done = f->comment->span.end;
  }
}

void xlm_fmt_end(xlm_formatter *f, uint32_t end, uint32_t limit) {
  f->done = end;
  const xlm_comment *c = f->comment;
  if (!c || c->span.begin >= limit || c->span.begin >= f->limit) return;
  if (memchr(f->source->text + end, '\n', c->span.begin - end)) return;
  f->lines.at[f->lines.n - 1].comment = comment_text(f, c);
  f->done = c->span.end;
  f->comment = c->next;
}

xlm_fmt_line *xlm_fmt_begin_simple(xlm_formatter *f, const xlm_stmt *s, int group) {
  xlm_fmt_comments_before(f, s->span.begin, s->span.end);
  return xlm_fmt_begin(f, group, s->span.begin);
}

xlm_fmt_line *xlm_fmt_begin_head(xlm_formatter *f, const xlm_stmt *s) {
  xlm_fmt_comments_before(f, s->span.begin, s->body.begin);
  return xlm_fmt_begin(f, 0, s->span.begin);
}

// ---- braces ----

xlm_fmt_line *xlm_fmt_end_braces(xlm_formatter *f, uint32_t close, uint32_t upto) {
  xlm_fmt_comments_before(f, upto, upto);
  f->indent -= XLM_FMT_INDENT;
  f->blank = false;
  f->first = true; // no blank line before `}`
  xlm_fmt_line *l = xlm_fmt_begin(f, 0, close);
  f->first = false;
  xlm_fmt_add(l, "}");
  return l;
}

void xlm_fmt_open_braces(xlm_formatter *f, uint32_t open, uint32_t limit) {
  xlm_fmt_end(f, open + 1, limit);
  f->indent += XLM_FMT_INDENT;
  f->first = true;
}

void xlm_fmt_close_braces(xlm_formatter *f, uint32_t end) {
  xlm_fmt_end_braces(f, end - 1, end - 1);
  xlm_fmt_end(f, end, UINT32_MAX);
}
