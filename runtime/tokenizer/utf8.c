// UTF-8: checked once per text, so that the stages behind may rely on it.
#include <string.h>

#include "runtime/tokenizer/tokenizer_priv.h"

size_t xlm_utf8_length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

int32_t xlm_utf8_get(const char *s) {
  const unsigned char *p = (const unsigned char *)s;
  switch (xlm_utf8_length(*p)) {
  case 1:
    return p[0];
  case 2:
    return (p[0] & 31) << 6 | (p[1] & 63);
  case 3:
    return (p[0] & 15) << 12 | (p[1] & 63) << 6 | (p[2] & 63);
  default:
    return (p[0] & 7) << 18 | (p[1] & 63) << 12 | (p[2] & 63) << 6 | (p[3] & 63);
  }
}

// Bytes of the character at p, of at most n; *whole: it is complete and valid. If not: of the longest part
// that may begin a character, at least 1 (Unicode, "maximal subpart").
static size_t measure(const unsigned char *p, size_t n, bool *whole) {
  unsigned char c = p[0], low = 0x80, high = 0xBF;
  *whole = c < 0x80;
  if (c < 0xC2 || c > 0xF4) return 1;
  size_t length = xlm_utf8_length(c), k = 1;
  if (c == 0xE0) low = 0xA0;
  if (c == 0xED) high = 0x9F; // surrogates
  if (c == 0xF0) low = 0x90;
  if (c == 0xF4) high = 0x8F; // above U+10FFFF
  for (; k < length && k < n && p[k] >= low && p[k] <= high; k++) low = 0x80, high = 0xBF;
  *whole = k == length;
  return k;
}

static size_t skip_ascii(const char *s, size_t i, size_t n) {
  uint64_t eight;
  for (; i + 8 <= n; i += 8) {
    memcpy(&eight, s + i, 8);
    if (eight & 0x8080808080808080u) break;
  }
  while (i < n && (unsigned char)s[i] < 0x80) i++;
  return i;
}

bool xlm_utf8_is_valid(const char *s, size_t n) {
  bool whole;
  for (size_t i = 0; (i = skip_ascii(s, i, n)) < n;) {
    i += measure((const unsigned char *)s + i, n - i, &whole);
    if (!whole) return false;
  }
  return true;
}

void xlm_utf8_repair(work *w, const char *s, size_t n, bool each_byte, buffer *b) {
  bool whole;
  b->n = 0;
  for (size_t i = 0; i < n;) {
    size_t k = measure((const unsigned char *)s + i, n - i, &whole);
    if (whole)
      xlm_buffer_add(w, b, s + i, k);
    else
      xlm_buffer_add(w, b, "\xEF\xBF\xBD", 3);
    i += whole || !each_byte ? k : 1;
  }
}

size_t xlm_utf8_last(const char *s, size_t n) {
  do n--;
  while (n && ((unsigned char)s[n] & 0xC0) == 0x80);
  return n;
}

bool xlm_is_space(int32_t c) {
  return c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}
