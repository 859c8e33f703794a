// Mutants of a saved plan, each from its seed alone.
#ifndef XLM_TESTS_MUTATE_JSON_H
#define XLM_TESTS_MUTATE_JSON_H

#include <stdint.h>
#include <string.h>

static uint32_t draw(uint32_t seed, uint32_t counter, uint32_t below) {
  uint64_t z = ((uint64_t)seed << 32 | counter) + 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return (uint32_t)((z ^ z >> 31) % below);
}

static size_t replace(char *text, size_t n, size_t at, size_t length, const char *with) {
  size_t m = strlen(with);
  memmove(text + at + m, text + at + length, n - at - length);
  memcpy(text + at, with, m);
  return n - length + m;
}

static size_t digits(const char *text, size_t n, size_t at) {
  size_t length = 0;
  while (at + length < n && strchr("0123456789", text[at + length])) length++;
  return length;
}

static size_t number_after(const char *text, size_t n, size_t at) {
  while (at < n && !strchr("0123456789", text[at])) at++;
  return at;
}

// Mutant `seed` whose numbers are all of the kind that stand there: one is replaced by another of the text.
// Such a plan mostly reads well.
static inline size_t mutate_number(char *text, size_t n, uint32_t seed) {
  char with[32];
  uint32_t k = 0, edits = 1 + draw(seed, k++, 3);
  for (uint32_t e = 0; e < edits; e++) {
    size_t at = number_after(text, n, draw(seed, k++, (uint32_t)n));
    size_t from =
        number_after(text, n, draw(seed, k++, 2) ? draw(seed, k, (uint32_t)n) : at + 1 + draw(seed, k, 60));
    size_t length = digits(text, n, from);
    k++;
    if (!length || length >= sizeof with) continue;
    memcpy(with, text + from, length);
    with[length] = 0;
    n = replace(text, n, at, digits(text, n, at), with);
  }
  return n;
}

// Mutant `seed` of text, which has room for a few bytes more: a changed byte, another number, a cut, a part
// twice.
static inline size_t mutate(char *text, size_t n, uint32_t seed) {
  static const char *const pieces[] = {
      "0",       "1",    "-1",   "7",  "65535", "4294967296", "9223372036854775807",
      "1e308",   "null", "true", "{}", "[]",    "\"",         "\"x\"",
      "\\u0000", ",",    "]",    "}"};
  uint32_t k = 0, edits = 1 + draw(seed, k++, 2);
  for (uint32_t e = 0; e < edits; e++) {
    size_t at = draw(seed, k++, (uint32_t)n), length = 1 + draw(seed, k++, 30);
    uint32_t action = draw(seed, k++, 8);
    if (length > n - at) length = n - at;
    if (action == 0) return at; // truncation
    if (action == 1)
      text[at] = (char)draw(seed, k++, 256);
    else if (action == 2)
      n = replace(text, n, at, length, "");
    else if (action == 3)
      memmove(text + draw(seed, k++, (uint32_t)(n - length + 1)), text + at, length);
    else { // the next number or word becomes something else
      while (at < n && !strchr("0123456789", text[at])) at++;
      for (length = 0; at + length < n && strchr("0123456789.e", text[at + length]);) length++;
      n = replace(text, n, at, length, pieces[draw(seed, k++, sizeof pieces / sizeof *pieces)]);
    }
  }
  return n;
}

#endif
