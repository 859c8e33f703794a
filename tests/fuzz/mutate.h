// Mutants of a text, each from its seed alone.
#ifndef XLM_TESTS_MUTATE_H
#define XLM_TESTS_MUTATE_H

#include <stdint.h>
#include <string.h>

static uint32_t draw(uint32_t seed, uint32_t counter, uint32_t below) {
  uint64_t z = ((uint64_t)seed << 32 | counter) + 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return (uint32_t)((z ^ z >> 31) % below);
}

static size_t mutate(char *text, size_t n, size_t room, uint32_t seed) {
  static const char *const pieces[] = {
      "(",      ")",  "[",    "]",        "{",    "}",   "\n",      "\"",         "#",      ",",
      "=",      "~",  "->",   "..",       "-",    "if ", "else ",   "over ",      "as ",    "block f(",
      "param ", "1e", "\xFF", "\xC3\xA9", "not ", " + ", "0 of 3 ", "where free", "\n\n\n", "# c\n"};
  uint32_t k = 0, edits = 1 + draw(seed, k++, 3);
  for (uint32_t e = 0; e < edits; e++) {
    size_t at = draw(seed, k++, (uint32_t)n), length = 1 + draw(seed, k++, 12), action = draw(seed, k++, 4);
    if (length > n - at) length = n - at;
    if (action == 0) { // delete
      memmove(text + at, text + at + length, n - at - length);
      n -= length;
    } else if (action == 1) { // insert a piece
      const char *piece = pieces[draw(seed, k++, sizeof pieces / sizeof *pieces)];
      size_t m = strlen(piece);
      if (n + m > room) continue;
      memmove(text + at + m, text + at, n - at);
      memcpy(text + at, piece, m);
      n += m;
    } else if (action == 2) { // change a byte
      text[at] = (char)draw(seed, k++, 256);
    } else { // copy a part over another
      size_t from = draw(seed, k++, (uint32_t)n);
      if (length > n - from) length = n - from;
      memmove(text + at, text + from, length);
    }
  }
  return n;
}

#endif
