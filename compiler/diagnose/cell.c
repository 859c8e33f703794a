// One character of source as a terminal shows it: tabs become blanks, unsafe bytes are escaped.
#include <stdio.h>
#include <string.h>

#include "compiler/diagnose/render_priv.h"

enum { TAB = 4 };

// Decodes one character; n: its length in bytes, 0 for invalid UTF-8.
static uint32_t decode(const char *text, uint32_t left, uint32_t *n) {
  const unsigned char *s = (const unsigned char *)text;
  *n = 1;
  if (s[0] < 0x80) return s[0];
  uint32_t length = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
  uint32_t c = s[0] & (0xFFu >> (length + 1));
  *n = 0;
  if (s[0] < 0xC2 || s[0] > 0xF4 || length > left) return 0;
  for (uint32_t i = 1; i < length; i++) {
    if ((s[i] & 0xC0) != 0x80) return 0;
    c = c << 6 | (s[i] & 0x3F);
  }
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (c < least[length] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000)) return 0;
  *n = length;
  return c;
}

typedef struct range {
  uint32_t first, last;
} range;

static bool within(uint32_t c, const range *r) {
  for (; r->last; r++)
    if (c >= r->first && c <= r->last) return true;
  return false;
}

static bool
is_control(uint32_t c) { // includes bidirectional overrides, which can make a line look like another
  static const range r[] = {
      {0, 0x1F},        {0x7F, 0x9F}, {0x200E, 0x200F}, {0x202A, 0x202E}, {0x2066, 0x2069},
      {0xFEFF, 0xFEFF}, {0, 0}};
  return within(c, r);
}

static uint32_t columns(uint32_t c) {
  static const range none[] = {{0x300, 0x36F}, {0x200B, 0x200D}, {0x20D0, 0x20F0}, {0xFE00, 0xFE0F}, {0, 0}};
  static const range two[] = {
      {0x1100, 0x115F}, {0x2E80, 0xA4CF}, {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},
      {0xFF00, 0xFF60}, {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}, {0, 0}};
  return c < 0x300 ? 1 : within(c, none) ? 0 : within(c, two) ? 2 : 1;
}

uint32_t xlm_cell_show(const char *text, uint32_t left, uint32_t column, char cell[XLM_CELL],
                       uint32_t *width) {
  uint32_t n, c = decode(text, left, &n);
  if (n && c == '\t') {
    *width = TAB - column % TAB;
    memcpy(cell, "    ", TAB);
    cell[*width] = 0;
  } else if (!n || c < 0x80) {
    bool hidden = !n || is_control(c);
    if (hidden)
      snprintf(cell, XLM_CELL, "\\x%02x", (unsigned char)text[0]);
    else
      cell[0] = text[0], cell[1] = 0;
    *width = hidden ? 4 : 1;
  } else if (is_control(c)) {
    *width = (uint32_t)snprintf(cell, XLM_CELL, "\\u{%x}", c);
  } else {
    memcpy(cell, text, n);
    cell[n] = 0;
    *width = columns(c);
  }
  return n ? n : 1;
}
