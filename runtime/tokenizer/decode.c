// Decoders: a list of tokens that each step rewrites, until it is joined.
#include "runtime/tokenizer/tokenizer_priv.h"

typedef struct list {
  span *at;
  size_t n;
} list;

static void decode_bytes(xlm_arena *a, list *l) {
  xlm_text all = xlm_text_new(a);
  for (size_t i = 0; i < l->n; i++) {
    span raw;
    if (xlm_alphabet_read(a, l->at[i], &raw))
      xlm_text_addn(&all, raw.at, raw.n);
    else
      xlm_text_addn(&all, l->at[i].at, l->at[i].n);
  }
  l->at[0] = (span){all.data, all.n};
  l->n = 1;
}

// The byte of <0x0A>; -1: another token.
static int byte_of(span s) {
  static const char digits[] = "0123456789ABCDEF0123456789abcdef";
  if (s.n != 6 || memcmp(s.at, "<0x", 3) || s.at[5] != '>') return -1;
  const char *high = memchr(digits, s.at[3], 32), *low = memchr(digits, s.at[4], 32);
  return high && low ? (int)((high - digits) % 16 * 16 + (low - digits) % 16) : -1;
}

static span repaired(xlm_arena *a, xlm_text run) {
  work w = {.arena = a};
  buffer out = {0};
  xlm_utf8_repair(&w, run.data, run.n, true, &out);
  return (span){out.at, out.n};
}

// A run of bytes is a text. If it is not UTF-8, each wrong byte is U+FFFD, or every byte is.
static void decode_fallback(xlm_arena *a, list *l, bool each_byte) {
  size_t n = 0;
  for (size_t i = 0, end; i < l->n; i = end) {
    xlm_text run = xlm_text_new(a);
    for (end = i; end < l->n && byte_of(l->at[end]) >= 0; end++) {
      char byte = (char)byte_of(l->at[end]);
      xlm_text_addn(&run, &byte, 1);
    }
    if (end == i) {
      l->at[n++] = l->at[end++];
    } else if (each_byte || xlm_utf8_is_valid(run.data, run.n)) {
      l->at[n++] = each_byte ? repaired(a, run) : (span){run.data, run.n};
    } else {
      for (; i < end; i++) l->at[n++] = span_of("\xEF\xBF\xBD");
    }
  }
  l->n = n;
}

static void fuse(xlm_arena *a, list *l) {
  xlm_text all = xlm_text_new(a);
  for (size_t i = 0; i < l->n; i++) xlm_text_addn(&all, l->at[i].at, l->at[i].n);
  l->at[0] = (span){all.data, all.n};
  l->n = 1;
}

static void strip(const decode_step *d, list *l) {
  for (size_t i = 0; i < l->n; i++) {
    span *s = &l->at[i];
    for (int64_t k = 0; k < d->first && span_begins(*s, d->text); k++) s->at += d->text.n, s->n -= d->text.n;
    for (int64_t k = 0; k < d->last && s->n >= d->text.n; k++) {
      if (memcmp(s->at + s->n - d->text.n, d->text.at, d->text.n)) break;
      s->n -= d->text.n;
    }
  }
}

static void strip_begin(const decode_step *d, list *l) {
  for (size_t i = 0; i < l->n; i++) {
    span *s = &l->at[i];
    bool has = span_begins(*s, d->text);
    if (has) s->at += d->text.n, s->n -= d->text.n;
    if (s->n || (has && !d->drop)) break;
  }
}

static span replaced(xlm_arena *a, matcher *m, const pattern *p, span s, span by) {
  xlm_text out = xlm_text_new(a);
  size_t at = 0, begin, end;
  while (at < s.n && xlm_pattern_find(p, m, s.at, s.n, at, &begin, &end) > 0 && end > begin) {
    xlm_text_addn(&out, s.at + at, begin - at);
    xlm_text_addn(&out, by.at, by.n);
    at = end;
  }
  xlm_text_addn(&out, s.at + at, s.n - at);
  return (span){out.data, out.n};
}

static void decode_suffix(xlm_arena *a, const decode_step *d, list *l) {
  for (size_t i = 0; i < l->n; i++) {
    span *s = &l->at[i];
    if (s->n < d->text.n || memcmp(s->at + s->n - d->text.n, d->text.at, d->text.n)) continue;
    s->n -= d->text.n;
    if (i + 1 < l->n) *s = span_of(xlm_arena_printf(a, "%.*s ", (int)s->n, s->at));
  }
}

static void run_step(xlm_arena *a, matcher *m, const decode_step *d, list *l) {
  span space = span_of(" "), nothing = span_of("");
  switch (d->kind) {
  case DECODE_BYTE_LEVEL:
    decode_bytes(a, l);
    break;
  case DECODE_BYTE_FALLBACK:
    decode_fallback(a, l, d->drop);
    break;
  case DECODE_FUSE:
    fuse(a, l);
    break;
  case DECODE_STRIP:
    strip(d, l);
    break;
  case DECODE_BEGIN:
    strip_begin(d, l);
    break;
  case DECODE_REPLACE:
    for (size_t i = 0; i < l->n; i++) l->at[i] = replaced(a, m, d->pattern, l->at[i], d->text);
    break;
  case DECODE_METASPACE:
    for (size_t i = 0; i < l->n; i++)
      l->at[i] = replaced(a, m, d->pattern, l->at[i], i || !d->drop ? space : nothing);
    break;
  case DECODE_SUFFIX:
    decode_suffix(a, d, l);
    break;
  }
}

void xlm_tokenizer_decode(const xlm_tokenizer *t, const int32_t *ids, int64_t n, xlm_text *out) {
  xlm_arena *a = xlm_arena_child(out->arena);
  list l = {.at = XLM_NEW_N(a, span, n + 1)};
  matcher m;
  xlm_matcher_new(a, &m);
  for (int64_t i = 0; i < n; i++)
    if (ids[i] >= 0 && ids[i] < t->size && t->piece[ids[i]].at)
      l.at[l.n++] = t->decodes_raw ? t->raw[ids[i]] : t->piece[ids[i]];
  for (int i = 0; i < t->n_decode && l.n; i++) run_step(a, &m, &t->decode[i], &l);
  for (size_t i = 0; i < l.n; i++) {
    if (i && t->joined_by_space) xlm_text_add(out, " ");
    xlm_text_addn(out, l.at[i].at, l.at[i].n);
  }
  xlm_arena_free(a);
}
