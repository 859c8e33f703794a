// Text of any bytes made safe for a terminal; see visible.h.
#include "tools/xlmrun/visible.h"

#include <string.h>

// Bytes of the character at s; 0: it is cut off; -1: no character.
static int length_of(const unsigned char *s, size_t n) {
  int length = *s < 0x80 ? 1 : *s < 0xC2 ? -1 : *s < 0xE0 ? 2 : *s < 0xF0 ? 3 : *s < 0xF5 ? 4 : -1;
  for (int i = 1; i < length; i++) {
    if ((size_t)i == n) return 0;
    unsigned char low = 0x80, high = 0xBF;
    if (i == 1 && *s == 0xE0) low = 0xA0;
    if (i == 1 && *s == 0xED) high = 0x9F;
    if (i == 1 && *s == 0xF0) low = 0x90;
    if (i == 1 && *s == 0xF4) high = 0x8F;
    if (s[i] < low || s[i] > high) return -1;
  }
  return length;
}

static void add_character(xlm_text *out, const unsigned char *s, int length, bool line) {
  bool c1 = length == 2 && *s == 0xC2 && s[1] < 0xA0; // the other control characters
  bool c0 = length == 1 && (*s < 0x20 || *s == 0x7F);
  if (c0 && (*s == '\n' || *s == '\t')) {
    xlm_text_add(out, !line ? (*s == '\n' ? "\n" : "\t") : *s == '\n' ? "\\n" : "\\t");
    return;
  }
  if (c0 || c1)
    xlm_text_printf(out, "\\x%02x", c1 ? s[1] : *s);
  else
    xlm_text_addn(out, (const char *)s, (size_t)length);
}

static size_t add(xlm_text *out, const char *s, size_t n, bool end, bool line) {
  size_t i = 0;
  while (i < n) {
    const unsigned char *p = (const unsigned char *)s + i;
    int length = length_of(p, n - i);
    if (!length && !end) break;
    if (length > 0)
      add_character(out, p, length, line);
    else
      xlm_text_add(out, "\xEF\xBF\xBD");
    i += length > 0 ? (size_t)length : 1;
  }
  return i;
}

size_t visible_add(xlm_text *out, const char *s, size_t n, bool end) {
  return add(out, s, n, end, false);
}

void visible_line(xlm_text *out, const char *s, size_t n) {
  add(out, s, n, true, true);
}
