// Normalizers: a text after all steps, each of which writes to the other of two buffers. The forms of Unicode
// are those of utf8proc.
#include "runtime/tokenizer/sentencepiece_priv.h"

#include <stdlib.h>
#include <utf8proc.h>

typedef struct normalizer {
  work *w;
  buffer *out;
} normalizer;

static void put_character(normalizer *z, int32_t c) {
  utf8proc_uint8_t s[4];
  utf8proc_ssize_t n = utf8proc_encode_char(c, s);
  xlm_buffer_add(z->w, z->out, (const char *)s, (size_t)n);
}

// Blocks of characters that the composing forms leave alone, that are no marks and that join nothing before
// them: most of what texts have, so that the tables need not be asked.
static bool is_inert(int32_t c, bool compatible) {
  if (c < 0x300) return c < 0x80 || !compatible;
  if (c < 0x3041)
    return (c >= 0x3B1 && c <= 0x3C9) || (c >= 0x400 && c <= 0x482) || (c >= 0x627 && c <= 0x64A) ||
           (c >= 0x904 && c <= 0x939) || (c >= 0x93E && c <= 0x94C) || (c >= 0x3001 && c <= 0x3002) ||
           (c >= 0x2012 && c <= 0x2016) || (c >= 0x2018 && c <= 0x2023);
  return (c >= 0x4E00 && c <= 0x9FFF) || c <= 0x3096 || (c >= 0x30A1 && c <= 0x30FA) ||
         (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0x1F300 && c <= 0x1FAFF);
}

// The end of the run from i on that stays as it is: its last character may be joined by what is behind.
static size_t end_of_inert(const char *s, size_t i, size_t n, bool compatible) {
  size_t before = i;
  while (i < n) {
    if (!is_inert(xlm_utf8_get(s + i), compatible)) return before;
    before = i;
    i += xlm_utf8_length((unsigned char)s[i]);
  }
  return n;
}

static size_t end_of_other(const char *s, size_t i, size_t n, bool compatible) {
  do i += xlm_utf8_length((unsigned char)s[i]);
  while (i < n && !is_inert(xlm_utf8_get(s + i), compatible));
  return i;
}

static void put_form(normalizer *z, const char *s, size_t n, utf8proc_option_t options) {
  bool compatible = options & UTF8PROC_COMPAT, composes = options & UTF8PROC_COMPOSE;
  for (size_t i = 0, end; i < n; i = end) {
    end = composes ? end_of_inert(s, i, n, compatible) : i;
    xlm_buffer_add(z->w, z->out, s + i, end - i);
    if (end > i) continue;
    end = composes ? end_of_other(s, i, n, compatible) : n;
    utf8proc_uint8_t *form;
    utf8proc_ssize_t k = utf8proc_map((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(end - i), &form,
                                      options | UTF8PROC_STABLE);
    if (k < 0) xlm_arena_exhausted(z->w->arena, n); // the text is valid
    xlm_buffer_add(z->w, z->out, (const char *)form, (size_t)k);
    free(form);
  }
}

static void put_lowercase(normalizer *z, const char *s, size_t n) {
  for (size_t i = 0; i < n; i += xlm_utf8_length((unsigned char)s[i])) {
    int32_t c = xlm_utf8_get(s + i);
    put_character(z, c == 0x130 ? 'i' : utf8proc_tolower(c));
    if (c == 0x130) put_character(z, 0x307); // the only letter that becomes two
  }
}

static void put_without_accents(normalizer *z, const char *s, size_t n) {
  for (size_t i = 0; i < n; i += xlm_utf8_length((unsigned char)s[i])) {
    int32_t c = xlm_utf8_get(s + i);
    utf8proc_category_t k = utf8proc_category(c);
    if (k != UTF8PROC_CATEGORY_MN && k != UTF8PROC_CATEGORY_MC && k != UTF8PROC_CATEGORY_ME)
      put_character(z, c);
  }
}

static void put_replaced(normalizer *z, const normal_step *step, const char *s, size_t n) {
  size_t at = 0, begin, end;
  work *w = z->w;
  for (size_t from = 0;
       from < n && xlm_pattern_find(step->pattern, &w->matcher, s, n, from, &begin, &end) > 0;) {
    if (end > begin) {
      xlm_buffer_add(w, z->out, s + at, begin - at);
      xlm_buffer_add(w, z->out, step->text.at, step->text.n);
      at = from = end;
    } else
      from = begin < n ? begin + xlm_utf8_length((unsigned char)s[begin]) : n;
  }
  xlm_buffer_add(w, z->out, s + at, n - at);
}

static span strip(span s, bool left, bool right) {
  while (left && s.n && xlm_is_space(xlm_utf8_get(s.at))) {
    size_t k = xlm_utf8_length((unsigned char)*s.at);
    s.at += k, s.n -= k;
  }
  while (right && s.n) {
    size_t i = xlm_utf8_last(s.at, s.n);
    if (!xlm_is_space(xlm_utf8_get(s.at + i))) break;
    s.n = i;
  }
  return s;
}

static span run_step(work *w, const normal_step *step, span s, buffer *out) {
  static const utf8proc_option_t form[] = {[NORMAL_NFC] = UTF8PROC_COMPOSE,
                                           [NORMAL_NFD] = UTF8PROC_DECOMPOSE,
                                           [NORMAL_NFKC] = UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
                                           [NORMAL_NFKD] = UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT};
  normalizer z = {w, out};
  out->n = 0;
  switch (step->kind) {
  case NORMAL_NFC:
  case NORMAL_NFD:
  case NORMAL_NFKC:
  case NORMAL_NFKD:
    put_form(&z, s.at, s.n, form[step->kind]);
    break;
  case NORMAL_LOWERCASE:
    put_lowercase(&z, s.at, s.n);
    break;
  case NORMAL_STRIP_ACCENTS:
    put_without_accents(&z, s.at, s.n);
    break;
  case NORMAL_STRIP:
    return strip(s, step->left, step->right);
  case NORMAL_PREPEND:
    xlm_buffer_add(w, out, step->text.at, step->text.n);
    xlm_buffer_add(w, out, s.at, s.n);
    break;
  case NORMAL_REPLACE:
    put_replaced(&z, step, s.at, s.n);
    break;
  case NORMAL_SENTENCEPIECE:
    xlm_sp_normalize(w, s.at, s.n, out);
    break;
  }
  return (span){out->at, out->n};
}

span xlm_normalize(work *w, const char *s, size_t n) {
  span text = {s, n};
  for (int i = 0; i < w->t->n_normal && text.n; i++) {
    bool first_holds =
        w->normal[0].at && text.at >= w->normal[0].at && text.at < w->normal[0].at + w->normal[0].cap;
    text = run_step(w, &w->t->normal[i], text, &w->normal[first_holds]);
  }
  return text;
}

span xlm_normalize_text(const xlm_tokenizer *t, span s) {
  if (!t->n_normal) return s;
  xlm_arena *a = xlm_arena_child(t->arena);
  work w = {.arena = a, .t = t};
  xlm_matcher_new(a, &w.matcher);
  span out = xlm_normalize(&w, s.at, s.n);
  out.at = out.n ? xlm_arena_strndup(t->arena, out.at, out.n) : "";
  xlm_arena_free(a);
  return out;
}
