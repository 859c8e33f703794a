// Added tokens: found in the text before anything else, the leftmost first, of several at a place the
// longest.
#include "runtime/tokenizer/tokenizer_priv.h"

#include <utf8proc.h>

void xlm_added_put(xlm_arena *a, added_set *set, added_token token) {
  if (!set->trie) set->trie = xlm_trie_new(a);
  XLM_PUSH(a, set->at, set->n, set->cap, token);
  xlm_trie_put(a, set->trie, token.text, (int32_t)set->n - 1);
}

// \w: letters, marks, digits, connectors, joiners.
static bool is_word(int32_t c) {
  utf8proc_category_t k = utf8proc_category(c);
  return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC ||
         c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9);
}

static size_t blanks_before(const char *s, size_t n) { // where they begin
  while (n) {
    size_t i = xlm_utf8_last(s, n);
    if (!xlm_is_space(xlm_utf8_get(s + i))) break;
    n = i;
  }
  return n;
}

static size_t blanks_behind(const char *s, size_t i, size_t n) { // where they end
  while (i < n && xlm_is_space(xlm_utf8_get(s + i))) i += xlm_utf8_length((unsigned char)s[i]);
  return i;
}

static bool is_part_of_word(const char *s, size_t begin, size_t end, size_t n) {
  return (begin && is_word(xlm_utf8_get(s + xlm_utf8_last(s, begin)))) ||
         (end < n && is_word(xlm_utf8_get(s + end)));
}

void xlm_added_split(work *w, const added_set *set, const char *s, size_t n, bool first, added_fn *next) {
  size_t done = 0; // everything before is given away
  for (size_t i = 0, length; set->n && i < n;) {
    int32_t k = xlm_trie_may_begin(set->trie, (unsigned char)s[i])
                    ? xlm_trie_longest(set->trie, s + i, n - i, &length)
                    : -1;
    if (k < 0) {
      i++;
      continue;
    }
    const added_token *a = &set->at[k];
    size_t begin = i, end = i += length;
    if (a->single_word && is_part_of_word(s, begin, end, n)) continue;
    if (a->left) begin = blanks_before(s, begin);
    if (begin < done) begin = done; // blanks that the token before has taken
    if (a->right) end = blanks_behind(s, end, n);
    if (done < begin) next(w, s + done, begin - done, first && !done);
    xlm_token_put(w, a->id);
    done = end;
  }
  if (done < n) next(w, s + done, n - done, first && !done);
}
