// A vocabulary as tools have it that merge by scores of pieces (SentencePiece, llama.cpp): of all neighbours
// that together are a piece, those of the highest score are merged first, of several the leftmost. Merges of
// a tokenizer.json are another rule: only neighbours that are listed are merged. The two agree if the pairs
// that follow from the order of the pieces (bpe_ranks.c) are listed, in the same order.
#include <stdlib.h>

#include "runtime/tokenizer/sentencepiece_priv.h"

static const span metaspace = {"\xE2\x96\x81", 3}, space = {" ", 1};

typedef enum prefix_kind { PREFIX_NEVER, PREFIX_FIRST, PREFIX_EACH } prefix_kind; // each part between tokens

static xlm_status refuse(const xlm_tokenizer *t, const char *why, xlm_error *err) {
  return xlm_fail(err, XLM_USER, "%s: no scores of pieces do what it does: it %s", t->path, why);
}

// ---- the text before merges ----

static bool is_replaced(const normal_step *s) {
  return s->kind == NORMAL_REPLACE && xlm_pattern_is(s->pattern, space.at) && span_is(s->text, metaspace);
}

// No piece begins with a space but has another before it.
static bool words_stay_apart(const xlm_tokenizer *t) {
  for (uint64_t i = 0; i <= t->pairs.mask; i++)
    if (t->pairs.at[i].key && span_begins(t->raw[(t->pairs.at[i].key - 1) & 0xffffffff], metaspace))
      return false;
  return true;
}

static bool splits_at_spaces(const xlm_tokenizer *t, prefix_kind *prefix) {
  const split_step *s = t->split;
  static const prefix_kind of[] = {
      [PREPEND_ALWAYS] = PREFIX_EACH, [PREPEND_FIRST] = PREFIX_FIRST, [PREPEND_NEVER] = PREFIX_NEVER};
  if (!t->n_split || s->kind != SPLIT_METASPACE || !span_is(s->text, metaspace)) return false;
  *prefix = of[s->scheme];
  if (t->n_split == 1) return true;
  return t->n_split == 2 && s[1].kind == SPLIT_PATTERN && xlm_pattern_is(s[1].pattern, metaspace.at) &&
         s[1].behavior == SPLIT_MERGED_WITH_NEXT && !s[1].invert && words_stay_apart(t);
}

// Does the text only get metaspaces for its spaces, and perhaps one in front?
static bool find_prefix(const xlm_tokenizer *t, prefix_kind *prefix) {
  const normal_step *n = t->normal, *end = n + t->n_normal;
  const sp_rules *r = t->rules;
  if (r) {
    *prefix = r->dummy_prefix ? PREFIX_FIRST : PREFIX_NEVER;
    return !r->map.n && !r->single_spaces && r->escapes && !(r->dummy_prefix && r->suffix);
  }
  if (n == end) return splits_at_spaces(t, prefix);
  bool prepends = n->kind == NORMAL_PREPEND && span_is(n->text, metaspace);
  *prefix = prepends ? PREFIX_EACH : PREFIX_NEVER;
  if (n + prepends + 1 != end || !is_replaced(n + prepends)) return false;
  for (int i = 0; i < t->n_split; i++) // no space is left
    if (t->split[i].kind != SPLIT_PATTERN || !xlm_pattern_is(t->split[i].pattern, space.at)) return false;
  return true;
}

// ---- kinds ----

static bool put_users(const xlm_tokenizer *t, const added_set *set, xlm_scored *out) {
  bool any = false;
  for (uint32_t i = 0; i < set->n; i++) {
    int32_t id = set->at[i].id;
    if (t->special[id] || id == t->unk) continue;
    out->kind[id] = XLM_PIECE_USER, any = true;
  }
  return any;
}

static xlm_status put_kinds(const xlm_tokenizer *t, prefix_kind prefix, xlm_scored *out, xlm_error *err) {
  for (int32_t i = 0; i < t->size; i++)
    out->kind[i] = !t->piece[i].at ? XLM_PIECE_UNUSED
                   : i == t->unk   ? XLM_PIECE_UNKNOWN
                   : t->special[i] ? XLM_PIECE_CONTROL
                                   : XLM_PIECE_NORMAL;
  for (int b = 0; b < 256; b++) out->kind[t->byte_token[b]] = XLM_PIECE_BYTE;
  bool before = put_users(t, &t->added, out), behind = put_users(t, &t->added_normalized, out);
  if ((prefix == PREFIX_FIRST && before) || (prefix != PREFIX_NEVER && behind))
    return refuse(t, "has added tokens behind which no space is put", err);
  return XLM_OK;
}

// ---- the order of pieces ----

typedef struct order { // ranks of merges, by id
  uint32_t *rank, *first, *last;
} order;

static void widen(order *o, int32_t id, uint32_t rank) {
  if (rank < o->first[id]) o->first[id] = rank;
  if (o->last[id] == NO_RANK || rank > o->last[id]) o->last[id] = rank;
}

static int by_rank(const void *a, const void *b) {
  const uint32_t *x = *(uint32_t *const *)a, *y = *(uint32_t *const *)b;
  return (*x > *y) - (*x < *y);
}

// Are the pairs of `scored` merges of t, in the order of their pieces?
static bool has_merges(const xlm_tokenizer *t, const pairs *scored, order *o, xlm_arena *a) {
  uint32_t **sorted = XLM_NEW_N(a, uint32_t *, t->size), n = 0, last = 0;
  for (uint64_t i = 0; i <= scored->mask; i++) {
    const pair_entry *e = &scored->at[i];
    if (!e->key) continue;
    const pair_entry *own =
        xlm_pairs_get(&t->pairs, (int32_t)((e->key - 1) >> 32), (int32_t)((e->key - 1) & 0xffffffff));
    if (!own || own->id != e->id) return false;
    widen(o, e->id, own->rank);
  }
  for (int32_t i = 0; i < t->size; i++)
    if (o->rank[i] != NO_RANK) sorted[n++] = &o->rank[i];
  qsort(sorted, n, sizeof *sorted, by_rank);
  for (uint32_t i = 0; i < n; i++) {
    size_t id = (size_t)(sorted[i] - o->rank);
    if (o->first[id] == NO_RANK) continue; // nothing makes it
    if (i && o->first[id] < last) return false;
    last = o->last[id];
  }
  return true;
}

// Would scores make a piece that no merge makes?
static bool makes_more(const xlm_tokenizer *t, const order *o, const xlm_scored *s, xlm_arena *a) {
  work w = {.arena = a, .t = t};
  for (int32_t i = 0; i < t->size; i++) {
    span x = t->raw[i];
    if (s->kind[i] != XLM_PIECE_NORMAL || o->rank[i] != NO_RANK || xlm_table_get(&t->words, x.at, x.n) != i)
      continue;
    if (xlm_bpe_merge(&w, x.at, x.n) == 2) return true;
  }
  return false;
}

static bool agrees(const xlm_tokenizer *t, order *o, const xlm_scored *s, xlm_arena *a) {
  if (t->rules) return true; // it is merged by scores
  xlm_tokenizer scored = *t;
  scored.arena = a;
  xlm_bpe_find_pairs(&scored, o->rank);
  return has_merges(t, &scored.pairs, o, a) && !makes_more(t, o, s, a);
}

static xlm_status put_scores(const xlm_tokenizer *t, xlm_scored *out, xlm_error *err) {
  xlm_arena *a = xlm_arena_child(t->arena);
  order o = {XLM_NEW_N(a, uint32_t, t->size), XLM_NEW_N(a, uint32_t, t->size),
             XLM_NEW_N(a, uint32_t, t->size)};
  for (int32_t i = 0; i < t->size; i++) o.rank[i] = o.first[i] = o.last[i] = NO_RANK;
  for (uint64_t i = 0; i <= t->pairs.mask; i++) {
    const pair_entry *e = &t->pairs.at[i];
    if (e->key && e->rank < o.rank[e->id]) o.rank[e->id] = e->rank;
  }
  for (int32_t i = 0; i < t->size; i++)
    out->score[i] = o.rank[i] == NO_RANK ? XLM_SCORE_LAST : -(float)o.rank[i];
  bool same = agrees(t, &o, out, a);
  xlm_arena_free(a);
  return same ? XLM_OK : refuse(t, "has merges that are not an order of its pieces", err);
}

// ---- all ----

static const char *why_not(const xlm_tokenizer *t) {
  if (t->byte_level) return "merges bytes, not characters";
  if (t->unigram) return "is a unigram model";
  if (t->whole_words || t->prefix.n || t->suffix.n) return "has words or affixes that are not merged";
  for (int b = 0; b < 256; b++)
    if (!t->byte_fallback || t->byte_token[b] < 0) return "has no piece for each byte";
  return NULL;
}

xlm_status xlm_tokenizer_scored(const xlm_tokenizer *t, xlm_arena *a, xlm_scored *out, xlm_error *err) {
  const char *why = why_not(t);
  prefix_kind prefix;
  if (why) return refuse(t, why, err);
  if (!find_prefix(t, &prefix)) return refuse(t, "changes or splits the text by rules of its own", err);
  *out = (xlm_scored){.score = XLM_NEW_N(a, float, t->size), .kind = XLM_NEW_N(a, xlm_piece_kind, t->size)};
  out->space_first = prefix != PREFIX_NEVER;
  XLM_TRY(put_kinds(t, prefix, out, err));
  return put_scores(t, out, err);
}
