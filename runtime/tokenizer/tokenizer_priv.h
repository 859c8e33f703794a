// Internals of tokenizers, shared by the files of this folder.
//
// Encoding is a chain of stages, each of which calls the next for every part that it finds: added tokens,
// normalizers, pre-tokenizers, the model. A text is thus read once, and no lists of parts are made.
#ifndef XLM_TOKENIZER_TOKENIZER_PRIV_H
#define XLM_TOKENIZER_TOKENIZER_PRIV_H

#include "runtime/tokenizer/pattern_priv.h"
#include "runtime/tokenizer/table_priv.h"
#include "runtime/tokenizer/tokenizer.h"

// Steps before the model, in the order in which they run.
typedef enum normal_kind {
  NORMAL_NFC,
  NORMAL_NFD,
  NORMAL_NFKC,
  NORMAL_NFKD,
  NORMAL_LOWERCASE,
  NORMAL_STRIP_ACCENTS,
  NORMAL_STRIP,   // left, right
  NORMAL_PREPEND, // text
  NORMAL_REPLACE, // pattern by text
  NORMAL_SENTENCEPIECE,
} normal_kind;

typedef struct normal_step {
  normal_kind kind;
  span text;
  const pattern *pattern;
  bool left, right;
} normal_step;

typedef enum split_kind {
  SPLIT_PATTERN,
  SPLIT_PREFIX_SPACE, // a space before a part that has none
  SPLIT_METASPACE,    // spaces are replaced by `text`, which may be put in front
} split_kind;

typedef enum split_behavior {
  SPLIT_REMOVED,
  SPLIT_ISOLATED,
  SPLIT_MERGED_WITH_PREVIOUS,
  SPLIT_MERGED_WITH_NEXT,
  SPLIT_CONTIGUOUS,
} split_behavior;

typedef enum prepend_scheme { PREPEND_ALWAYS, PREPEND_FIRST, PREPEND_NEVER } prepend_scheme;

typedef struct split_step {
  split_kind kind;
  const pattern *pattern;
  split_behavior behavior;
  bool invert; // what the pattern matches counts as what lies between matches
  span text;
  prepend_scheme scheme;
} split_step;

typedef enum decode_kind {
  DECODE_BYTE_LEVEL,
  DECODE_BYTE_FALLBACK,
  DECODE_FUSE,
  DECODE_STRIP,     // up to first (start) and last (stop) times `text`
  DECODE_BEGIN,     // drops `text` from the first token, from all until the text has begun if `drop`
  DECODE_REPLACE,   // pattern by text
  DECODE_METASPACE, // text by a space; in the first token by nothing if `drop`
  DECODE_SUFFIX,    // text at the end of a token is a space
} decode_kind;

typedef struct decode_step {
  decode_kind kind;
  const pattern *pattern;
  span text;
  int64_t first, last;
  bool drop; // DECODE_BYTE_FALLBACK: U+FFFD for each wrong byte, not for all
} decode_step;

typedef struct added_token {
  span text; // as it is searched for
  int32_t id;
  bool left, right, single_word; // takes blanks on the left, on the right; is no part of a word
} added_token;

typedef struct added_set {
  added_token *at;
  uint32_t n, cap;
  trie *trie; // of the texts; values are indexes
} added_set;

enum { LONGEST_STEPS = 16 }; // of each kind

typedef struct sp_rules sp_rules; // sentencepiece_priv.h
typedef struct unigram unigram;

// The last stage: what becomes of a word.
typedef void model_fn(struct xlm_token_work *w, const char *s, size_t n);

struct xlm_tokenizer {
  xlm_arena *arena;
  const char *path, *kind;
  uint64_t hash, serial; // serial: unlike that of any other tokenizer of this process
  int32_t size;
  span *piece; // [size] as the file spells it; at = NULL: not in use
  span *raw;   // [size] the bytes that it stands for, where that is another spelling; else as piece
  bool *special;
  int32_t role[4];

  added_set added, added_normalized; // found in the text as it is; after normalization
  normal_step normal[LONGEST_STEPS];
  split_step split[LONGEST_STEPS];
  decode_step decode[LONGEST_STEPS];
  int n_normal, n_split, n_decode;
  bool decodes_raw;     // tokens are their raw bytes before the steps, not their pieces
  bool joined_by_space; // no decoder: tokens are shown one by one
  int32_t *before, *behind;
  int n_before, n_behind;

  // the model
  model_fn *model;
  void *model_arg; // while words are counted
  table words;     // raw -> id, of tokens that a word may become
  pairs pairs;
  int64_t merges;
  bool byte_level;                           // a symbol is a byte, else a character
  bool byte_fallback, fuse_unk, whole_words; // whole_words: a word in the vocabulary is not merged
  bool cut; // no merge crosses the begin of a metaspace after another character: words may be cut there
  int32_t unk;
  int32_t byte_token[256]; // of a byte: its symbol, or its fallback; -1 = none
  span prefix, suffix;     // of a character inside a word, of its last
  unigram *unigram;        // the model, if it is not BPE
  sp_rules *rules;         // SentencePiece's normalization, which repairs UTF-8 itself; NULL: another
};

typedef struct buffer {
  char *at;
  size_t n, cap;
} buffer;

typedef struct merge_memory { // of symbols of a word
  int32_t *id;
  uint32_t *rank, *next, *prev;
  uint64_t *heap; // rank above position
  size_t cap, heap_cap, heap_n;
} merge_memory;

enum { WORD_BYTES = 37, WORD_IDS = 6 };
typedef struct word_entry { // one cache line
  int32_t id[WORD_IDS];
  int8_t n; // 0: free
  uint8_t bytes;
  char at[WORD_BYTES + 1];
} word_entry;

struct xlm_token_work {
  uint64_t serial;
  xlm_arena *arena;
  const xlm_tokenizer *t;
  xlm_tokens *out;
  xlm_error *err;
  xlm_status status; // of the first stage that failed
  word_entry *cache;
  matcher matcher;
  merge_memory merge;
  void *path; // unigram.c
  size_t path_cap;
  buffer repaired, normal[2], stage[LONGEST_STEPS];
};

typedef struct xlm_token_work work;

// encode.c
void xlm_token_put(work *w, int32_t id);
void xlm_buffer_add(work *w, buffer *b, const char *s, size_t n);
// utf8.c: false: text is not UTF-8 and was repaired into b.
bool xlm_utf8_is_valid(const char *s, size_t n);
void xlm_utf8_repair(work *w, const char *s, size_t n, bool each_byte, buffer *b);
size_t xlm_utf8_length(unsigned char lead); // of a character in valid text
int32_t xlm_utf8_get(const char *s);        // the character at s, of valid text
size_t xlm_utf8_last(const char *s,
                     size_t n); // where the last character of n >= 1 bytes of valid text begins
bool xlm_is_space(int32_t c);   // White_Space of Unicode
// added.c
void xlm_added_put(xlm_arena *a, added_set *set, added_token token);
typedef void added_fn(work *w, const char *s, size_t n, bool first);
// Calls `next` for what lies between added tokens; first: the text begins at s.
void xlm_added_split(work *w, const added_set *set, const char *s, size_t n, bool first, added_fn *next);
// normalize.c: s after all steps; valid until the next call.
span xlm_normalize(work *w, const char *s, size_t n);
span xlm_normalize_text(const xlm_tokenizer *t, span s); // owned by the tokenizer, while it is read
// split.c: from step i on.
void xlm_split_from(work *w, int i, const char *s, size_t n, bool first);
// unigram.c
void xlm_unigram_text(work *w, const char *s, size_t n);
// bpe.c
void xlm_bpe_word(work *w, const char *s, size_t n);
// The ids of a word, in w->merge.id; returns their number.
size_t xlm_bpe_merge(work *w, const char *s, size_t n);
// bpe_ranks.c: the pairs from the ranks of tokens, by id; NO_RANK: nothing is merged to it. After `words`.
void xlm_bpe_find_pairs(xlm_tokenizer *t, const uint32_t *rank);
// Call when the vocabulary and the pairs are complete.
void xlm_bpe_find_cut(xlm_tokenizer *t);

extern const char xlm_gpt2_pattern[]; // of ByteLevel

// open.c
void xlm_tokenizer_resize(xlm_tokenizer *t, int32_t size); // makes the arrays by id
// alphabet.c: GPT-2's names of bytes.
int32_t xlm_alphabet_character(unsigned char byte);
int xlm_alphabet_byte(int32_t character); // -1: not one of its characters
// The bytes of a piece; false: it has other characters.
bool xlm_alphabet_read(xlm_arena *a, span piece, span *out);

// Readers of one kind of file each, for open.c.
xlm_status xlm_read_tokenizer_json(xlm_tokenizer *t, xlm_error *err);
xlm_status xlm_read_tiktoken(xlm_tokenizer *t, xlm_error *err);
xlm_status xlm_read_sentencepiece(xlm_tokenizer *t, xlm_error *err);

#endif
