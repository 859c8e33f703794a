// From lines to text: aligns cells of consecutive lines of a group, then comments at line ends; then breaks
// long lines after commas, outermost brackets first.
#include <string.h>

#include "compiler/format/format_priv.h"

uint32_t xlm_fmt_width(const char *s, uint32_t n) {
  uint32_t width = 0;
  for (uint32_t i = 0; i < n; i++) width += ((unsigned char)s[i] & 0xC0) != 0x80;
  return width;
}

static uint32_t skip_to_stop(const xlm_fmt_line *l, uint32_t m) {
  while (m < l->n_marks && l->mark[m].depth >= 0) m++;
  return m;
}

// Inserts blanks before the text at mark m and shifts the later marks.
static void insert(xlm_fmt_line *l, uint32_t m, uint32_t blanks) {
  xlm_text t = xlm_text_new(l->text.arena);
  uint32_t at = l->mark[m].at;
  xlm_text_addn(&t, l->text.data, at);
  xlm_text_printf(&t, "%*s", (int)blanks, "");
  xlm_text_addn(&t, l->text.data + at, l->text.n - at);
  l->text = t;
  for (; m < l->n_marks; m++) l->mark[m].at += blanks;
}

static uint32_t column(const xlm_fmt_line *l, uint32_t m) {
  return xlm_fmt_width(l->text.data, l->mark[m].at) + (uint32_t)l->mark[m].gap;
}

// Aligns stop by stop; `stop` has the current mark of each line. Cells that do not fit on a line are ignored.
static void align(xlm_fmt_line *l, uint32_t n, uint32_t *stop) {
  bool more = true;
  for (uint32_t i = 0; i < n; i++) stop[i] = skip_to_stop(&l[i], 0);
  while (more) {
    uint32_t widest = 0;
    for (uint32_t i = 0; i < n; i++) {
      if (stop[i] == l[i].n_marks) continue;
      uint32_t width = column(&l[i], stop[i]);
      if (width > widest && width <= XLM_FMT_WIDTH) widest = width;
    }
    more = false;
    for (uint32_t i = 0; i < n; i++) {
      if (stop[i] == l[i].n_marks) continue;
      uint32_t gap = (uint32_t)l[i].mark[stop[i]].gap, width = column(&l[i], stop[i]);
      insert(&l[i], stop[i], width <= widest ? widest - width + gap : gap);
      stop[i] = skip_to_stop(&l[i], stop[i] + 1);
      more |= stop[i] < l[i].n_marks;
    }
  }
}

static void align_groups(xlm_fmt_lines *lines) {
  for (uint32_t i = 0, n; i < lines->n; i += n) {
    xlm_fmt_line *l = &lines->at[i];
    for (n = 1; i + n < lines->n && l[n].group == l->group && l[n].indent == l->indent && !l[n].blank_before;
         n++)
      continue;
    if (l->group)
      align(l, n, XLM_NEW_N(l->text.arena, uint32_t, n));
    else
      n = 1;
  }
}

// --- wrapping

// Where to break text[from..) if `room` characters fit on the line; 0: nowhere.
static uint32_t break_at(const xlm_fmt_line *l, uint32_t from, uint32_t room, uint32_t *m) {
  uint32_t best = 0, seen = *m, at = from, width = 0;
  int depth = 0;
  for (uint32_t i = seen; i < l->n_marks; i++) {
    const xlm_fmt_mark *k = &l->mark[i];
    if (k->depth < 0 || k->at <= from) continue;
    width += xlm_fmt_width(l->text.data + at, k->at - at);
    at = k->at;
    if (best && width > room) break;
    if (best && k->depth > depth) continue;
    best = k->at;
    depth = k->depth;
    *m = i + 1;
    if (width > room) break;
  }
  return best;
}

static bool fits(const char *s, uint32_t n, uint32_t room) {
  for (uint32_t i = 0, width = 0; i < n; i++)
    if (((unsigned char)s[i] & 0xC0) != 0x80 && ++width > room) return false;
  return true;
}

static uint32_t room_after(int indent) {
  return indent < XLM_FMT_WIDTH ? (uint32_t)(XLM_FMT_WIDTH - indent) : 0;
}

static void wrap(xlm_fmt_line *l) {
  uint32_t n = (uint32_t)l->text.n, from = 0, m = 0, room = room_after(l->indent);
  if (fits(l->text.data, n, room)) return;
  xlm_text t = xlm_text_new(l->text.arena);
  while (!fits(l->text.data + from, n - from, room)) {
    uint32_t end = break_at(l, from, room, &m);
    if (!end) break;
    xlm_text_addn(&t, l->text.data + from, end - from);
    xlm_text_printf(&t, "\n%*s", l->indent + XLM_FMT_CONTINUE, "");
    room = room_after(l->indent + XLM_FMT_CONTINUE);
    for (from = end; from < n && l->text.data[from] == ' '; from++) continue;
  }
  xlm_text_addn(&t, l->text.data + from, n - from);
  l->text = t;
}

// --- comments at line ends

// Number of characters in the last line of its text.
static uint32_t end_column(const xlm_fmt_line *l) {
  const char *last = l->text.n ? memrchr(l->text.data, '\n', l->text.n) : NULL;
  if (!last) return xlm_fmt_width(l->text.data, (uint32_t)l->text.n) + (uint32_t)l->indent;
  return xlm_fmt_width(last + 1, (uint32_t)(l->text.data + l->text.n - last - 1));
}

static void print_line(const xlm_fmt_line *l, uint32_t comment_column, xlm_text *out) {
  if (l->blank_before) xlm_text_add(out, "\n");
  xlm_text_printf(out, "%*s", l->indent, "");
  xlm_text_addn(out, l->text.data, l->text.n);
  uint32_t end = end_column(l);
  if (l->comment)
    xlm_text_printf(out, "%*s%s", end + 2 < comment_column ? (int)(comment_column - end) : 2, "", l->comment);
  xlm_text_add(out, "\n");
}

// Lines with braces have their comment beside them.
static bool has_brace(const xlm_fmt_line *l) {
  return l->text.n && (l->text.data[0] == '}' || l->text.data[l->text.n - 1] == '{');
}

static bool comments_align(const xlm_fmt_line *first, const xlm_fmt_line *l) {
  return l->comment && l->indent == first->indent &&
         (l == first || (!l->blank_before && !has_brace(l) && !has_brace(first)));
}

void xlm_fmt_print(xlm_fmt_lines *lines, xlm_text *out) {
  align_groups(lines);
  for (uint32_t i = 0; i < lines->n; i++) wrap(&lines->at[i]);
  for (uint32_t i = 0, n; i < lines->n; i += n) {
    const xlm_fmt_line *l = &lines->at[i];
    uint32_t widest = 0;
    for (n = 0; i + n < lines->n && comments_align(l, &l[n]); n++)
      if (end_column(&l[n]) + 2 > widest && end_column(&l[n]) <= XLM_FMT_WIDTH)
        widest = end_column(&l[n]) + 2;
    if (!n) n = 1;
    for (uint32_t k = 0; k < n; k++) print_line(&l[k], widest, out);
  }
}
