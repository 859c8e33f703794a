// SentencePiece models: a message in the wire format of protocol buffers, of which the fields are read that
// encoding and decoding depend on. (sentencepiece_model.proto; normalizer.cc, bpe_model.cc and
// unigram_model.cc of SentencePiece say what they mean.)
#include <math.h>
#include <stdlib.h>

#include "runtime/base/map.h"
#include "runtime/tokenizer/sentencepiece_priv.h"

enum { MODEL_UNIGRAM = 1, MODEL_BPE };
enum { PIECE_NORMAL = 1, PIECE_UNKNOWN, PIECE_CONTROL, PIECE_USER, PIECE_UNUSED, PIECE_BYTE };
enum { LARGEST_VOCABULARY = 1 << 26 };

static const span metaspace = {"\xE2\x96\x81", 3};

typedef struct message { // bytes of one, read from the front
  const unsigned char *at, *end;
} message;

typedef struct field {
  uint64_t number, value; // value: of an integer
  uint32_t bits;          // of a 32-bit number
  message inside;         // of a text or message
} field;

static bool read_integer(message *m, uint64_t *out) {
  *out = 0;
  for (int shift = 0; m->at < m->end && shift < 64; shift += 7) {
    unsigned char c = *m->at++;
    *out |= (uint64_t)(c & 127) << shift;
    if (c < 128) return true;
  }
  return false;
}

// 1: a field, 0: the end, -1: damaged.
static int read_field(message *m, field *f) {
  uint64_t tag, n;
  if (m->at == m->end) return 0;
  if (!read_integer(m, &tag)) return -1;
  *f = (field){.number = tag >> 3};
  switch (tag & 7) {
  case 0:
    return read_integer(m, &f->value) ? 1 : -1;
  case 1:
  case 5:
    n = (tag & 7) == 1 ? 8 : 4;
    if ((uint64_t)(m->end - m->at) < n) return -1;
    memcpy(&f->bits, m->at, 4);
    m->at += n;
    return 1;
  case 2:
    if (!read_integer(m, &n) || (uint64_t)(m->end - m->at) < n) return -1;
    f->inside = (message){m->at, m->at + n};
    m->at += n;
    return 1;
  default:
    return -1;
  }
}

typedef struct piece {
  span text;
  float score;
  uint64_t type;
} piece;

typedef struct file { // what of the model is used
  piece *pieces;
  uint32_t n, cap;
  uint64_t model;
  bool byte_fallback;
  int64_t bos, eos, pad;
  span unk_surface;
  sp_rules rules;
} file;

static span copy(xlm_arena *a, message m) {
  size_t n = (size_t)(m.end - m.at);
  return (span){xlm_arena_strndup(a, (const char *)m.at, n), n};
}

static bool read_piece(xlm_arena *a, message m, file *f) {
  piece p = {.type = PIECE_NORMAL, .text = span_of("")};
  field x;
  int found;
  while ((found = read_field(&m, &x)) > 0) {
    if (x.number == 1) p.text = copy(a, x.inside);
    if (x.number == 2) memcpy(&p.score, &x.bits, 4);
    if (x.number == 3) p.type = x.value;
  }
  XLM_PUSH(a, f->pieces, f->n, f->cap, p);
  return !found && xlm_utf8_is_valid(p.text.at, p.text.n) && f->n < LARGEST_VOCABULARY && !isnan(p.score);
}

static bool read_trainer(xlm_arena *a, message m, file *f) {
  field x;
  int found;
  while ((found = read_field(&m, &x)) > 0) {
    if (x.number == 3) f->model = x.value;
    if (x.number == 24) f->rules.suffix = x.value;
    if (x.number == 35) f->byte_fallback = x.value;
    if (x.number == 41) f->bos = (int32_t)x.value;
    if (x.number == 42) f->eos = (int32_t)x.value;
    if (x.number == 43) f->pad = (int32_t)x.value;
    if (x.number == 44) f->unk_surface = copy(a, x.inside);
  }
  return !found;
}

static bool read_normalizer(xlm_arena *a, message m, file *f) {
  field x;
  int found;
  while ((found = read_field(&m, &x)) > 0) {
    if (x.number == 2 && !xlm_charsmap_read(a, copy(a, x.inside), &f->rules.map)) return false;
    if (x.number == 3) f->rules.dummy_prefix = x.value;
    if (x.number == 4) f->rules.single_spaces = x.value;
    if (x.number == 5) f->rules.escapes = x.value;
  }
  return !found;
}

static bool read_model(xlm_arena *a, message m, file *f) {
  field x;
  int found;
  while ((found = read_field(&m, &x)) > 0) {
    if (x.number == 1 && !read_piece(a, x.inside, f)) return false;
    if (x.number == 2 && !read_trainer(a, x.inside, f)) return false;
    if (x.number == 3 && !read_normalizer(a, x.inside, f)) return false;
  }
  return !found && f->n;
}

static xlm_status put_piece(xlm_tokenizer *t, const file *f, int32_t id, xlm_error *err) {
  const piece *p = &f->pieces[id];
  t->piece[id] = t->raw[id] = p->text;
  switch (p->type) {
  case PIECE_NORMAL:
    if (p->text.n) xlm_table_put(&t->words, id);
    return XLM_OK;
  case PIECE_UNKNOWN:
    t->unk = id, t->raw[id] = f->unk_surface;
    return XLM_OK;
  case PIECE_CONTROL:
    t->special[id] = true, t->raw[id] = span_of("");
    return XLM_OK;
  case PIECE_USER:
    if (!t->rules->user) t->rules->user = xlm_trie_new(t->arena);
    xlm_trie_put(t->arena, t->rules->user, p->text, id);
    if (f->model == MODEL_BPE && p->text.n)
      xlm_added_put(t->arena, &t->added_normalized, (added_token){.text = p->text, .id = id});
    return XLM_OK;
  case PIECE_BYTE:
    for (int b = 0; b < 256; b++)
      if (span_is(p->text, span_of(xlm_arena_printf(t->arena, "<0x%02X>", b)))) t->byte_token[b] = id;
    return XLM_OK;
  default:
    return xlm_fail(err, XLM_USER, "%s: piece %d, '%.*s', is of type %llu, which is not supported", t->path,
                    id, (int)p->text.n, p->text.at, (unsigned long long)p->type);
  }
}

static int by_score(const void *a, const void *b) { // the highest first
  float x = *(const float *)a, y = *(const float *)b;
  return (x < y) - (x > y);
}

static bool is_one_character(span s) {
  return s.n == xlm_utf8_length((unsigned char)*s.at);
}

// Merges go by score: pieces of the same score have the same rank.
static void find_pairs(xlm_tokenizer *t, const file *f) {
  float *scores = XLM_NEW_N(t->arena, float, f->n);
  uint32_t *rank = XLM_NEW_N(t->arena, uint32_t, f->n), n = 0;
  for (uint32_t i = 0; i < f->n; i++) scores[i] = f->pieces[i].score;
  qsort(scores, f->n, sizeof *scores, by_score);
  for (uint32_t i = 0; i < f->n; i++)
    if (!n || scores[i] != scores[n - 1]) scores[n++] = scores[i];
  for (uint32_t i = 0; i < f->n; i++) {
    const piece *p = &f->pieces[i];
    bool merged = p->type == PIECE_NORMAL && p->text.n && !is_one_character(p->text);
    const float *at = bsearch(&p->score, scores, n, sizeof *scores, by_score);
    rank[i] = merged ? (uint32_t)(at - scores) : NO_RANK;
  }
  xlm_bpe_find_pairs(t, rank);
  xlm_bpe_find_cut(t);
}

static void put_unigram(xlm_tokenizer *t, const file *f) {
  unigram *u = t->unigram = XLM_NEW(t->arena, unigram);
  float least = INFINITY, most = -INFINITY;
  t->model = xlm_unigram_text;
  u->trie = xlm_trie_new(t->arena);
  u->score = XLM_NEW_N(t->arena, float, f->n);
  u->is_user = XLM_NEW_N(t->arena, bool, f->n);
  for (uint32_t i = 0; i < f->n; i++) {
    const piece *p = &f->pieces[i];
    u->score[i] = p->score, u->is_user[i] = p->type == PIECE_USER;
    if (p->type == PIECE_NORMAL || u->is_user[i]) xlm_trie_put(t->arena, u->trie, p->text, (int32_t)i);
    if (p->type == PIECE_NORMAL && p->score < least) least = p->score;
    if (p->type == PIECE_NORMAL && p->score > most) most = p->score;
  }
  u->unknown = least - 10.0f; // kUnkPenalty
  u->most = most;
}

static xlm_status put_decoder(xlm_tokenizer *t, xlm_error *err) {
  decode_step *d = t->decode;
  *d++ = (decode_step){.kind = DECODE_BYTE_FALLBACK, .drop = true};
  if (t->rules->dummy_prefix || t->rules->single_spaces)
    *d++ = (decode_step){.kind = DECODE_BEGIN, .text = metaspace, .drop = t->rules->single_spaces};
  *d = (decode_step){.kind = DECODE_REPLACE, .text = span_of(" ")};
  XLM_TRY(xlm_pattern_new(t->arena, metaspace.at, metaspace.n, PATTERN_LITERAL, &d->pattern, err));
  t->n_decode = (int)(d - t->decode) + 1;
  t->decodes_raw = true;
  return XLM_OK;
}

static int32_t role_of(const xlm_tokenizer *t, int64_t id) {
  return id >= 0 && id < t->size && t->special[id] ? (int32_t)id : -1;
}

static xlm_status put_model(xlm_tokenizer *t, const file *f, xlm_error *err) {
  if (f->model != MODEL_BPE && f->model != MODEL_UNIGRAM)
    return xlm_fail(err, XLM_USER,
                    "%s: model_type is %llu, which is not supported: only BPE (2) and unigram (1) are",
                    t->path, (unsigned long long)f->model);
  xlm_tokenizer_resize(t, (int32_t)f->n);
  xlm_table_new(t->arena, &t->words, t->raw, t->size);
  t->rules = XLM_NEW(t->arena, sp_rules);
  *t->rules = f->rules;
  t->prefix = t->suffix = span_of("");
  t->fuse_unk = true, t->byte_fallback = f->byte_fallback;
  memset(t->byte_token, 0xff, sizeof t->byte_token);
  for (uint32_t i = 0; i < f->n; i++) XLM_TRY(put_piece(t, f, (int32_t)i, err));
  if (t->unk < 0) return xlm_fail(err, XLM_USER, "%s: no piece for what is unknown", t->path);
  t->normal[t->n_normal++] = (normal_step){.kind = NORMAL_SENTENCEPIECE};
  if (f->model == MODEL_BPE)
    find_pairs(t, f);
  else
    put_unigram(t, f);
  t->kind = f->model == MODEL_BPE ? "BPE (SentencePiece)" : "unigram (SentencePiece)";
  t->role[XLM_TOKEN_BOS] = role_of(t, f->bos), t->role[XLM_TOKEN_EOS] = role_of(t, f->eos);
  t->role[XLM_TOKEN_PAD] = role_of(t, f->pad), t->role[XLM_TOKEN_UNK] = t->unk;
  return put_decoder(t, err);
}

static void close_map(void *map) {
  xlm_map_close(map);
}

xlm_status xlm_read_sentencepiece(xlm_tokenizer *t, xlm_error *err) {
  xlm_map *map = XLM_NEW(t->arena, xlm_map);
  xlm_arena_cleanup *c = xlm_arena_add_cleanup(t->arena, close_map);
  file f = {.model = MODEL_UNIGRAM,
            .bos = 1,
            .eos = 2,
            .pad = -1,
            .unk_surface = span_of(" \xE2\x81\x87 "),
            .rules = {.dummy_prefix = true, .single_spaces = true, .escapes = true}};
  XLM_TRY(xlm_map_open(t->path, map, err));
  c->what = map;
  bool whole = read_model(t->arena, (message){map->data, map->data + map->n}, &f);
  xlm_arena_clean_up(c);
  if (!whole) return xlm_fail(err, XLM_USER, "%s: not a SentencePiece model, or damaged", t->path);
  return put_model(t, &f, err);
}
