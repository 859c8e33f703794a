// Ranks of OpenAI's tiktoken: a line for each token, base64 of its bytes and its rank, which is its id. The
// file has neither the pattern nor the special tokens: they belong to the encoding, which is found by the
// file's name (cl100k_base.tiktoken, mine.cl100k_base.tiktoken) or else by the number of its ranks. (Patterns
// and special tokens: tiktoken_ext/openai_public.py.)
#include <stdlib.h>

#include "runtime/base/map.h"
#include "runtime/tokenizer/tokenizer_priv.h"

static const char r50k[] =
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s";
static const char cl100k[] =
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|"
    "\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s";
static const char o200k[] =
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

// GAPS: ranks that a file may leave out, besides as many as it has. Tables are as long as the largest rank.
enum { MOST_SPECIALS = 5, LARGEST_RANK = 1 << 26, GAPS = 1 << 16 };

typedef struct special {
  const char *text;
  int32_t id;
} special;

static const struct encoding {
  const char *name;
  int32_t ranks; // of the published file
  const char *pattern;
  special specials[MOST_SPECIALS + 1]; // the first ends a text
} encodings[] = {
    {"gpt2", 50256, r50k, {{"<|endoftext|>", 50256}}},
    {"r50k_base", 50256, r50k, {{"<|endoftext|>", 50256}}},
    {"p50k_base", 50280, r50k, {{"<|endoftext|>", 50256}}},
    {"cl100k_base",
     100256,
     cl100k,
     {{"<|endoftext|>", 100257},
      {"<|fim_prefix|>", 100258},
      {"<|fim_middle|>", 100259},
      {"<|fim_suffix|>", 100260},
      {"<|endofprompt|>", 100276}}},
    {"o200k_base", 199998, o200k, {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
};
enum { ENCODINGS = sizeof encodings / sizeof *encodings };

typedef struct entry {
  span text; // base64
  int32_t rank;
} entry;

static const struct encoding *find_encoding(const char *path, int64_t ranks) { // NULL: unknown
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  for (int i = 0; i < ENCODINGS; i++)
    if (strstr(name, encodings[i].name)) return &encodings[i];
  for (int i = 0; i < ENCODINGS; i++)
    if (ranks == encodings[i].ranks) return &encodings[i];
  return NULL;
}

static int digit_of(char c) { // of base64
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool decode_base64(xlm_arena *a, span s, span *out) {
  char *at = xlm_arena_alloc(a, s.n / 4 * 3 + 3);
  size_t n = 0;
  uint32_t bits = 0;
  int have = 0;
  while (s.n && s.at[s.n - 1] == '=') s.n--;
  for (size_t i = 0; i < s.n; i++) {
    int d = digit_of(s.at[i]);
    if (d < 0) return false;
    bits = bits << 6 | (uint32_t)d, have += 6;
    if (have >= 8) at[n++] = (char)(bits >> (have -= 8));
  }
  *out = (span){at, n};
  return n > 0;
}

// "IQ== 0"
static bool read_line(const char *s, size_t n, entry *out) {
  const char *space = memchr(s, ' ', n);
  if (!space || space == s) return false;
  out->text = (span){s, (size_t)(space - s)};
  int64_t rank = 0;
  const char *p = space + 1;
  for (; p < s + n && *p >= '0' && *p <= '9' && rank < LARGEST_RANK; p++) rank = rank * 10 + (*p - '0');
  out->rank = (int32_t)rank;
  return p == s + n && p > space + 1 && rank < LARGEST_RANK;
}

static xlm_status read_lines(xlm_tokenizer *t, const xlm_map *map, entry **list, int64_t *count,
                             xlm_error *err) {
  const char *s = (const char *)map->data, *end = s + map->n;
  uint32_t n = 0, cap = 0, line = 1;
  *list = NULL;
  for (const char *stop; s < end; s = stop + 1, line++) {
    entry e;
    stop = memchr(s, '\n', (size_t)(end - s));
    if (!stop) stop = end;
    size_t length = (size_t)(stop - s);
    if (length && s[length - 1] == '\r') length--;
    if (!length) continue;
    if (!read_line(s, length, &e))
      return xlm_fail(err, XLM_USER, "%s:%u: not the base64 of a token and its rank", t->path, line);
    XLM_PUSH(t->arena, *list, n, cap, e);
  }
  *count = n;
  if (n) return XLM_OK;
  return xlm_fail(err, XLM_USER, "%s: no ranks in it", t->path);
}

static int32_t largest_rank(const entry *list, int64_t n) {
  int32_t most = 0;
  for (int64_t i = 0; i < n; i++) most = list[i].rank > most ? list[i].rank : most;
  return most;
}

static int32_t size_of(const struct encoding *e, int32_t most) {
  for (const special *s = e->specials; s->text; s++) most = s->id > most ? s->id : most;
  return most + 1;
}

static xlm_status put_tokens(xlm_tokenizer *t, const entry *list, int64_t n, xlm_error *err) {
  xlm_table_new(t->arena, &t->words, t->raw, t->size);
  for (int64_t i = 0; i < n; i++) {
    int32_t id = list[i].rank;
    if (!decode_base64(t->arena, list[i].text, &t->raw[id]))
      return xlm_fail(err, XLM_USER, "%s: '%.*s' is not base64", t->path, (int)list[i].text.n,
                      list[i].text.at);
    if (t->piece[id].at) return xlm_fail(err, XLM_USER, "%s: rank %d is given twice", t->path, id);
    t->piece[id] = t->raw[id];
    if (xlm_table_put(&t->words, id) >= 0)
      return xlm_fail(err, XLM_USER, "%s: '%.*s' is given twice", t->path, (int)list[i].text.n,
                      list[i].text.at);
  }
  for (int b = 0; b < 256; b++) {
    char byte = (char)b;
    t->byte_token[b] = xlm_table_get(&t->words, &byte, 1);
    if (t->byte_token[b] < 0)
      return xlm_fail(err, XLM_USER, "%s: no rank for the byte 0x%02X, which every text may have", t->path,
                      b);
  }
  return XLM_OK;
}

static xlm_status put_specials(xlm_tokenizer *t, const special *s, xlm_error *err) {
  t->role[XLM_TOKEN_EOS] = t->role[XLM_TOKEN_BOS] = s->id;
  for (; s->text; s++) {
    if (t->piece[s->id].at)
      return xlm_fail(err, XLM_USER, "%s: rank %d is that of the special token %s", t->path, s->id, s->text);
    t->piece[s->id] = t->raw[s->id] = span_of(s->text);
    t->special[s->id] = true;
    xlm_added_put(t->arena, &t->added, (added_token){.text = span_of(s->text), .id = s->id});
  }
  return XLM_OK;
}

static xlm_status read_map(xlm_tokenizer *t, const xlm_map *map, xlm_error *err) {
  entry *list;
  int64_t n;
  XLM_TRY(read_lines(t, map, &list, &n, err));
  const struct encoding *e = find_encoding(t->path, n);
  if (!e)
    return xlm_fail(
        err, XLM_USER,
        "%s: %lld ranks of an unknown encoding; the file's name must have that of the encoding (gpt2, "
        "r50k_base, p50k_base, cl100k_base, o200k_base), as mine.cl100k_base.tiktoken",
        t->path, (long long)n);
  const int32_t largest = largest_rank(list, n);
  if (largest > 2 * n + GAPS)
    return xlm_fail(err, XLM_USER, "%s: rank %d in a file of %lld: ranks count from 0, and few are left out",
                    t->path, largest, (long long)n);
  xlm_tokenizer_resize(t, size_of(e, largest));
  t->byte_level = true;
  XLM_TRY(put_tokens(t, list, n, err));
  uint32_t *rank = XLM_NEW_N(t->arena, uint32_t, t->size);
  for (int32_t i = 0; i < t->size; i++) rank[i] = t->piece[i].at && t->raw[i].n > 1 ? (uint32_t)i : NO_RANK;
  xlm_bpe_find_pairs(t, rank);
  XLM_TRY(put_specials(t, e->specials, err));
  split_step *s = &t->split[t->n_split++];
  *s = (split_step){.kind = SPLIT_PATTERN, .behavior = SPLIT_REMOVED, .invert = true};
  XLM_TRY(xlm_pattern_new(t->arena, e->pattern, strlen(e->pattern), PATTERN_RUST, &s->pattern, err));
  t->whole_words = t->decodes_raw = true;
  t->kind = xlm_arena_printf(t->arena, "byte-level BPE (tiktoken, %s)", e->name);
  return XLM_OK;
}

static void close_map(void *map) {
  xlm_map_close(map);
}

xlm_status xlm_read_tiktoken(xlm_tokenizer *t, xlm_error *err) {
  xlm_map *map = XLM_NEW(t->arena, xlm_map);
  xlm_arena_cleanup *c = xlm_arena_add_cleanup(t->arena, close_map);
  XLM_TRY(xlm_map_open(t->path, map, err));
  c->what = map;
  xlm_status status = read_map(t, map, err);
  xlm_arena_clean_up(c);
  return status;
}
