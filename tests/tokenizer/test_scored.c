// Vocabularies with scores: merging by them, written down here once more, makes the ids of the tokenizer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "runtime/tokenizer/tokenizer.h"

#define FOLDER XLM_SOURCE_DIR "/tests/tokenizer/"

enum { MOST = 4096 };

typedef struct piece {
  const char *at;
  size_t n;
  int32_t id;
} piece;

typedef struct vocabulary {
  xlm_arena *a;
  xlm_tokenizer *t;
  xlm_scored s;
  piece *sorted;
  int32_t n;
} vocabulary;

static int by_bytes(const void *x, const void *y) {
  const piece *a = x, *b = y;
  int c = memcmp(a->at, b->at, a->n < b->n ? a->n : b->n);
  return c ? c : (a->n > b->n) - (a->n < b->n);
}

static xlm_status open_vocabulary(vocabulary *v, const char *file, xlm_error *err) {
  char path[512];
  snprintf(path, sizeof path, FOLDER "%s", file);
  *v = (vocabulary){.a = xlm_arena_new(0)};
  assert_non_null(v->a);
  if (xlm_tokenizer_open(path, &v->t, err) != XLM_OK) fail_msg("%s", err->text);
  xlm_status status = xlm_tokenizer_scored(v->t, v->a, &v->s, err);
  if (status != XLM_OK) return status;
  v->sorted = XLM_NEW_N(v->a, piece, xlm_tokenizer_size(v->t));
  for (int32_t i = 0; i < xlm_tokenizer_size(v->t); i++) {
    piece p = {.id = i};
    if ((p.at = xlm_tokenizer_piece(v->t, i, &p.n))) v->sorted[v->n++] = p;
  }
  qsort(v->sorted, (size_t)v->n, sizeof *v->sorted, by_bytes);
  return XLM_OK;
}

static void close_vocabulary(vocabulary *v) {
  xlm_tokenizer_close(v->t);
  xlm_arena_free(v->a);
}

static int32_t find(const vocabulary *v, const char *s, size_t n) {
  piece key = {s, n, 0}, *p = bsearch(&key, v->sorted, (size_t)v->n, sizeof key, by_bytes);
  return p ? p->id : -1;
}

// ---- merging ----

static size_t length_of(unsigned char c) {
  return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static int merge_once(const vocabulary *v, piece *x, int n) {
  int best = -1;
  float score = 0;
  for (int i = 0; i + 1 < n; i++) {
    int32_t id = find(v, x[i].at, x[i].n + x[i + 1].n);
    if (id < 0 || (best >= 0 && v->s.score[id] <= score)) continue;
    best = i, score = v->s.score[id];
  }
  if (best < 0) return n;
  x[best].n += x[best + 1].n;
  memmove(x + best + 1, x + best + 2, (size_t)(n - best - 2) * sizeof *x);
  return n - 1;
}

static int64_t put_bytes(const vocabulary *v, const piece *x, int32_t *out) {
  char name[8];
  for (size_t k = 0; k < x->n; k++) {
    snprintf(name, sizeof name, "<0x%02X>", (unsigned char)x->at[k]);
    out[k] = find(v, name, 6);
  }
  return (int64_t)x->n;
}

static int64_t encode(const vocabulary *v, const char *text, int32_t *out) {
  static char s[3 * MOST];
  static piece x[MOST];
  size_t bytes = 0;
  int n = 0, before = 0;
  int64_t ids = 0;
  if (v->s.space_first) memcpy(s, "\xE2\x96\x81", 3), bytes = 3;
  for (; *text; text++)
    if (*text == ' ')
      memcpy(s + bytes, "\xE2\x96\x81", 3), bytes += 3;
    else
      s[bytes++] = *text;
  for (size_t at = 0; at < bytes; at += x[n - 1].n)
    x[n++] = (piece){s + at, length_of((unsigned char)s[at]), 0};
  while (before != n) before = n, n = merge_once(v, x, n);
  for (int i = 0; i < n; i++) {
    int32_t id = find(v, x[i].at, x[i].n);
    if (id < 0)
      ids += put_bytes(v, &x[i], out + ids);
    else
      out[ids++] = id;
  }
  return ids;
}

// ---- the tests ----

// Texts with tokens that are found before merges are another subject.
static bool has_tokens(const vocabulary *v, const char *text) {
  for (int32_t i = 0; i < v->n; i++) {
    xlm_piece_kind kind = v->s.kind[v->sorted[i].id];
    bool found_first = kind == XLM_PIECE_CONTROL || kind == XLM_PIECE_USER || kind == XLM_PIECE_UNKNOWN;
    if (found_first && memmem(text, strlen(text), v->sorted[i].at, v->sorted[i].n)) return true;
  }
  return false;
}

static void same_ids(const char *file, bool spaces_in_front) {
  vocabulary v;
  xlm_error err;
  json_error_t why;
  json_t *all = json_load_file(FOLDER "texts.json", JSON_ALLOW_NUL, &why), *one;
  size_t i;
  int compared = 0;
  if (open_vocabulary(&v, file, &err) != XLM_OK) fail_msg("%s", err.text);
  json_array_foreach(json_object_get(all, "texts"), i, one) {
    const char *text = json_string_value(one);
    size_t n = json_string_length(one);
    int32_t ids[MOST];
    xlm_tokens want = {0};
    if (!n || strlen(text) != n || has_tokens(&v, text) || (!spaces_in_front && *text == ' ')) continue;
    assert_int_equal(xlm_tokenizer_encode(v.t, text, n, &want, &err), XLM_OK);
    int64_t have = encode(&v, text, ids);
    for (int64_t k = 0; k < have && k < want.n; k++)
      if (ids[k] != want.at[k])
        fail_msg("%s, text %zu: id %d is %d, not %d", file, i, (int)k, ids[k], want.at[k]);
    assert_int_equal(have, want.n);
    xlm_tokens_free(&want);
    compared++;
  }
  assert_true(compared > 10);
  json_decref(all);
  close_vocabulary(&v);
}

static void test_scores_make_the_ids(void **state) {
  (void)state;
  same_ids("llama2.json", true);
  same_ids("llama2_new.json", false); // it puts no second space in front
  same_ids("gemma.json", true);
  same_ids("sp_llama.model", true);
}

static void test_kinds(void **state) {
  (void)state;
  vocabulary v;
  xlm_error err;
  assert_int_equal(open_vocabulary(&v, "gemma.json", &err), XLM_OK);
  assert_false(v.s.space_first);
  assert_int_equal(v.s.kind[find(&v, "<bos>", 5)], XLM_PIECE_CONTROL);
  assert_int_equal(v.s.kind[find(&v, "<unk>", 5)], XLM_PIECE_UNKNOWN);
  assert_int_equal(v.s.kind[find(&v, "\n\n", 2)], XLM_PIECE_USER);
  assert_int_equal(v.s.kind[find(&v, "<0x0A>", 6)], XLM_PIECE_BYTE);
  assert_int_equal(v.s.kind[find(&v, "e", 1)], XLM_PIECE_NORMAL);
  close_vocabulary(&v);
}

static void test_others_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *file, *why;
  } rows[] = {{"gpt2.json", "merges bytes"},
              {"small.gpt2.tiktoken", "merges bytes"},
              {"sp_unigram.model", "is a unigram model"},
              {"metaspace.json", "has no piece for each byte"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    vocabulary v;
    xlm_error err;
    assert_int_equal(open_vocabulary(&v, rows[i].file, &err), XLM_USER);
    if (!strstr(err.text, rows[i].why)) fail_msg("%s: %s", rows[i].file, err.text);
    close_vocabulary(&v);
  }
}

// Merges that scores cannot say: a piece that none makes, though it is made of two; another order.
static void refuse_merges(void (*change)(json_t *merges)) {
  char folder[] = "/tmp/xlm-scored-XXXXXX", path[64];
  json_error_t why;
  xlm_error err;
  xlm_tokenizer *t;
  xlm_scored s;
  xlm_arena *a = xlm_arena_new(0);
  json_t *all = json_load_file(FOLDER "gemma.json", JSON_ALLOW_NUL, &why);
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  change(json_object_get(json_object_get(all, "model"), "merges"));
  assert_int_equal(json_dump_file(all, path, 0), 0);
  if (xlm_tokenizer_open(path, &t, &err) != XLM_OK) fail_msg("%s", err.text);
  assert_int_equal(xlm_tokenizer_scored(t, a, &s, &err), XLM_USER);
  assert_non_null(strstr(err.text, "has merges that are not an order of its pieces"));
  xlm_tokenizer_close(t);
  xlm_arena_free(a);
  json_decref(all);
  assert_true(!unlink(path) && !rmdir(folder));
}

static void drop_last(json_t *merges) {
  json_array_remove(merges, json_array_size(merges) - 1);
}

static void reverse(json_t *merges) {
  size_t n = json_array_size(merges);
  for (size_t i = 0; i < n / 2; i++) {
    json_t *x = json_incref(json_array_get(merges, i));
    json_array_set(merges, i, json_array_get(merges, n - 1 - i));
    json_array_set_new(merges, n - 1 - i, x);
  }
}

static void test_merges_without_an_order(void **state) {
  (void)state;
  refuse_merges(drop_last);
  refuse_merges(reverse);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_scores_make_the_ids), cmocka_unit_test(test_kinds),
                                     cmocka_unit_test(test_others_are_refused),
                                     cmocka_unit_test(test_merges_without_an_order)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
