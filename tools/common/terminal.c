// See terminal.h. A character is one column: the texts have no wide ones.
#include "tools/common/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { USUAL = 80, NARROWEST = 20, WIDEST = 120, FARTHEST = 42 };

static bool is_dumb(void) {
  const char *term = getenv("TERM");
  return !term || !*term || !strcmp(term, "dumb");
}

bool xlm_terminal_color(int fd) {
  const char *none = getenv("NO_COLOR");
  return isatty(fd) && !is_dumb() && !(none && *none);
}

int xlm_terminal_width(int fd) {
  const char *columns = getenv("COLUMNS");
  struct winsize w;
  if (!isatty(fd)) return 0;
  int n = columns ? atoi(columns) : 0;
  if (n <= 0) n = !ioctl(fd, TIOCGWINSZ, &w) && w.ws_col ? w.ws_col : USUAL;
  return n < NARROWEST ? NARROWEST : n;
}

static bool begins_character(char c) {
  return ((unsigned char)c & 0xC0) != 0x80;
}

static size_t columns(const char *line, size_t n) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) count += begins_character(line[i]);
  return count;
}

// Bytes of the first `most` columns.
static size_t bytes(const char *line, size_t n, size_t most) {
  size_t i = 0, count = 0;
  while (i < n && (count < most || !begins_character(line[i]))) count += begins_character(line[i++]);
  return i;
}

// Where the words begin that follow the line's gap; without one, where the line begins, and two columns more
// for a form of a usage text.
static size_t hanging(const char *line, size_t n) {
  size_t indent = strncmp(line, "usage: ", 7) ? strspn(line, " ") : 7, gap = 0;
  for (size_t i = indent; i + 2 < n && i < FARTHEST; i++)
    if (line[i] == ' ' && line[i + 1] == ' ' && line[i + 2] != ' ') gap = i + 2;
  return gap ? gap : indent == 7 ? indent + 2 : indent;
}

// Bytes of the part that stands on a line of `most` columns: broken at a blank, else after a `|`; other words
// stay whole.
static size_t part(const char *line, size_t n, size_t most) {
  size_t end = bytes(line, n, most), indent = strspn(line, " ");
  if (end == n) return n;
  for (size_t cut = end; cut > indent; cut--)
    if (line[cut] == ' ') return cut;
  for (size_t cut = end; cut > indent; cut--)
    if (line[cut - 1] == '|') return cut;
  return end + strcspn(line + end, " \n");
}

static void wrap_line(const char *line, size_t n, size_t width, xlm_text *out) {
  size_t hang = hanging(line, n), most = width;
  if (hang + NARROWEST > width) hang = 4;
  for (;;) {
    size_t next = part(line, n, most), end = next;
    while (end > 0 && line[end - 1] == ' ') end--;
    while (next < n && line[next] == ' ') next++;
    xlm_text_addn(out, line, end);
    xlm_text_add(out, "\n");
    if (next >= n) return;
    xlm_text_printf(out, "%*s", (int)hang, "");
    line += next, n -= next, most = width - hang;
  }
}

void xlm_terminal_wrap(const char *text, int width, xlm_text *out) {
  for (size_t n; *text; text += n, text += *text == '\n')
    n = strcspn(text, "\n"), wrap_line(text, n, (size_t)width, out);
}

// A row of a table has gaps, and so has the row beside it; a line of prose may have some, too.
static bool is_row(const char *line, const char *end) {
  int gaps = 0;
  for (const char *c = line + (line < end && *line == ' '); c + 2 < end && *c != '\n'; c++)
    gaps += c[0] != ' ' && c[1] == ' ' && c[2] == ' ';
  return gaps >= 3;
}

static const char *next_line(const char *line, const char *end) {
  const char *stop = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
  return stop ? stop + 1 : end;
}

void xlm_terminal_fit(const char *text, size_t n, int width, xlm_text *out) {
  const char *end = text + n;
  bool before = false;
  for (const char *line = text, *next; line < end; line = next) {
    next = next_line(line, end);
    size_t length = (size_t)(next - line) - (next[-1] == '\n');
    bool row = is_row(line, end), cut = row && (before || is_row(next, end));
    before = row;
    if (cut && columns(line, length) > (size_t)width) {
      xlm_text_addn(out, line, bytes(line, length, (size_t)width - 2));
      xlm_text_add(out, "..\n");
    } else {
      wrap_line(line, length, (size_t)width, out);
    }
  }
}

void xlm_terminal_help(xlm_arena *a, const char *text) {
  int width = xlm_terminal_width(STDOUT_FILENO);
  xlm_text t = xlm_text_new(a);
  xlm_terminal_wrap(text, !width ? USUAL : width < WIDEST ? width : WIDEST, &t);
  fputs(t.data, stdout);
}
