// SentencePiece's normalization: texts replaced by others with the longest match, and rules for spaces.
#include "runtime/tokenizer/sentencepiece_priv.h"

static const span metaspace = {"\xE2\x96\x81", 3};

bool xlm_charsmap_read(xlm_arena *a, span bytes, charsmap *out) {
  uint32_t n;
  *out = (charsmap){0};
  if (!bytes.n) return true;
  if (bytes.n < 4) return false;
  memcpy(&n, bytes.at, 4);
  if (n > bytes.n - 4 || n % 4 || n < 4 || bytes.n - 4 == n || bytes.at[bytes.n - 1]) return false;
  uint32_t *unit = xlm_arena_alloc(a, n);
  memcpy(unit, bytes.at + 4, n);
  *out = (charsmap){unit, n / 4, {bytes.at + 4 + n, bytes.n - 4 - n}};
  return true;
}

static size_t offset_of(uint32_t unit) {
  return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

size_t xlm_charsmap_find(const charsmap *m, const char *s, size_t n, span *out) {
  size_t longest = 0, value = 0;
  for (size_t k = 0, at = m->n ? offset_of(m->unit[0]) : 0; k < n && m->n; k++) {
    at ^= (unsigned char)s[k];
    if (at >= m->n || (m->unit[at] & (1u << 31 | 0xff)) != (unsigned char)s[k]) break;
    bool has_leaf = m->unit[at] >> 8 & 1;
    at ^= offset_of(m->unit[at]);
    if (!has_leaf || at >= m->n) continue;
    longest = k + 1, value = m->unit[at] & 0x7fffffff;
  }
  if (longest && value < m->texts.n) *out = span_of(m->texts.at + value);
  return value < m->texts.n ? longest : 0;
}

// The next characters and what they become; returns how many bytes they are.
static size_t next_text(const sp_rules *r, const char *s, size_t n, span *out) {
  size_t length;
  if (r->user && xlm_trie_longest(r->user, s, n, &length) >= 0) return *out = (span){s, length}, length;
  if (!r->map.n && (unsigned char)*s < 0x80) return *out = (span){s, 1}, 1;
  length = xlm_charsmap_find(&r->map, s, n, out);
  if (length) return length;
  length = xlm_utf8_length((unsigned char)*s);
  if (length <= n && xlm_utf8_is_valid(s, length)) return *out = (span){s, length}, length;
  *out = span_of("\xEF\xBF\xBD");
  return 1;
}

static void put_space(work *w, const sp_rules *r, buffer *out) {
  span space = r->escapes ? metaspace : span_of(" ");
  xlm_buffer_add(w, out, space.at, space.n);
}

static void put_text(work *w, const sp_rules *r, span s, buffer *out) {
  for (size_t i = 0, to; i < s.n; i = to) {
    const char *space = memchr(s.at + i, ' ', s.n - i);
    to = space ? (size_t)(space - s.at) : s.n;
    xlm_buffer_add(w, out, s.at + i, to - i);
    if (space) put_space(w, r, out), to++;
  }
}

static void drop_spaces_at_end(const sp_rules *r, buffer *out) {
  span space = r->escapes ? metaspace : span_of(" ");
  while (out->n >= space.n && !memcmp(out->at + out->n - space.n, space.at, space.n)) out->n -= space.n;
}

void xlm_sp_normalize(work *w, const char *s, size_t n, buffer *out) {
  const sp_rules *r = w->t->rules;
  span text;
  size_t i = 0, length;
  for (; r->single_spaces && i < n; i += length) {
    length = next_text(r, s + i, n - i, &text);
    if (!span_is(text, span_of(" "))) break;
  }
  if (i == n) return;
  if (r->dummy_prefix && !r->suffix) put_space(w, r, out);
  bool after_space = r->single_spaces;
  for (; i < n; i += length) {
    length = next_text(r, s + i, n - i, &text);
    while (after_space && text.n && *text.at == ' ') text.at++, text.n--;
    if (!text.n) continue;
    put_text(w, r, text, out);
    after_space = r->single_spaces && text.at[text.n - 1] == ' ';
  }
  if (r->single_spaces) drop_spaces_at_end(r, out);
  if (r->dummy_prefix && r->suffix) put_space(w, r, out);
}
