// Texts as Python sees them; see task_priv.h. Texts are valid UTF-8.
#include <string.h>
#include <utf8proc.h>

#include "runtime/evaluate/task_priv.h"

static int32_t character(const char *s, size_t *n) {
  utf8proc_int32_t c;
  utf8proc_ssize_t got = utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &c);
  *n = got > 0 ? (size_t)got : 1;
  return got > 0 ? c : (unsigned char)*s;
}

static bool is_space(int32_t c) {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

size_t space_at(const char *s) {
  size_t n;
  return *s && is_space(character(s, &n)) ? n : 0;
}

const char *text_strip_left(xlm_arena *a, const char *s) {
  (void)a;
  for (size_t n; (n = space_at(s)); s += n)
    ;
  return s;
}

const char *text_strip(xlm_arena *a, const char *s) {
  const char *first = text_strip_left(a, s), *end = first;
  for (const char *p = first; *p;) {
    size_t n;
    bool space = is_space(character(p, &n));
    p += n;
    if (!space) end = p;
  }
  return xlm_arena_strndup(a, first, (size_t)(end - first));
}

const char *text_capitalize(xlm_arena *a, const char *s) {
  xlm_text t = xlm_text_new(a);
  for (const char *p = s; *p;) {
    size_t n;
    utf8proc_uint8_t bytes[4];
    int32_t c = character(p, &n);
    c = p == s ? utf8proc_totitle(c) : utf8proc_tolower(c);
    xlm_text_addn(&t, (const char *)bytes, (size_t)utf8proc_encode_char(c, bytes));
    p += n;
  }
  return t.data;
}

int64_t text_words(const char *s) {
  int64_t words = 1;
  for (bool inside = false; *s;) {
    size_t n = space_at(s);
    words += n && !inside;
    inside = n > 0;
    if (!n) character(s, &n);
    s += n;
  }
  return words;
}

int64_t text_characters(const char *s) {
  int64_t n = 0;
  for (; *s; s++) n += ((unsigned char)*s & 0xC0) != 0x80;
  return n;
}

bool text_is_utf8(const char *s, size_t n) {
  for (size_t i = 0; i < n;) {
    utf8proc_int32_t c;
    utf8proc_ssize_t got = utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(n - i), &c);
    if (got <= 0 || !c) return false;
    i += (size_t)got;
  }
  return true;
}
