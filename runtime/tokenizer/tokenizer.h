// Tokenizers: text to token ids and back, with the ids of the library that a tokenizer's file was made for:
// tokenizer.json (Hugging Face `tokenizers`), *.tiktoken (ranks of OpenAI's `tiktoken`), *.model
// (SentencePiece).
//
// A tokenizer is read once and then constant, so threads may share it; each thread has its own xlm_tokens,
// which also holds the memory that encoding works in. Kinds and settings that are not supported are errors
// when the file is read, never other ids.
#ifndef XLM_TOKENIZER_TOKENIZER_H
#define XLM_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/text.h"

XLM_C_BEGIN

typedef struct xlm_tokenizer xlm_tokenizer;

// path: a file of these kinds, or a folder that has one (tokenizer.json, else tokenizer.model, else the only
// *.tiktoken). Beside tokenizer.json, tokenizer_config.json and special_tokens_map.json name the special
// tokens. XLM_USER: no such file, damaged, or not supported, with the key and its value.
xlm_status xlm_tokenizer_open(const char *path, xlm_tokenizer **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_tokenizer_close(xlm_tokenizer *t); // NULL: nothing

// The tokenizer's file in a folder; NULL: it has none. In `a`.
const char *xlm_tokenizer_find(xlm_arena *a, const char *folder);

const char *xlm_tokenizer_path(const xlm_tokenizer *t); // of the file that was read
const char *xlm_tokenizer_kind(const xlm_tokenizer *t); // for people: "byte-level BPE (tokenizer.json)"
uint64_t xlm_tokenizer_hash(const xlm_tokenizer *t);    // XXH64 of that file
int32_t xlm_tokenizer_size(const xlm_tokenizer *t);     // all ids are below it; not all need be in use
int64_t xlm_tokenizer_merges(const xlm_tokenizer *t);   // pairs of tokens that are merged into a token

typedef enum xlm_token_role { XLM_TOKEN_BOS, XLM_TOKEN_EOS, XLM_TOKEN_PAD, XLM_TOKEN_UNK } xlm_token_role;
int32_t xlm_tokenizer_special(const xlm_tokenizer *t, xlm_token_role role); // -1 = none

// The ids that the tokenizer's own library puts before and behind a text with add_special_tokens (such as
// <s>); encode leaves them out. Returns their number; *ids is valid as long as the tokenizer.
int xlm_tokenizer_before(const xlm_tokenizer *t, const int32_t **ids);
int xlm_tokenizer_behind(const xlm_tokenizer *t, const int32_t **ids);

// The entry of the vocabulary as its file spells it, *n bytes ("Ġthe", "▁the", raw bytes for tiktoken); NULL:
// the id is not in use. is_special: a control token such as <|endoftext|>.
const char *xlm_tokenizer_piece(const xlm_tokenizer *t, int32_t id, size_t *n);
bool xlm_tokenizer_is_special(const xlm_tokenizer *t, int32_t id);

// The vocabulary for tools that merge by scores, as SentencePiece's BPE does: of all neighbours that together
// are a piece, those of the highest score first, of several the leftmost. Spaces are metaspaces in it, and a
// character without a piece becomes its bytes.
typedef enum xlm_piece_kind { // numbered as SentencePiece's and GGUF's
  XLM_PIECE_NORMAL = 1,
  XLM_PIECE_UNKNOWN,
  XLM_PIECE_CONTROL,
  XLM_PIECE_USER, // found in the text before merges
  XLM_PIECE_UNUSED,
  XLM_PIECE_BYTE
} xlm_piece_kind;
#define XLM_SCORE_LAST -1e9f // of pieces that no merge makes
typedef struct xlm_scored {
  float *score; // [size]
  xlm_piece_kind *kind;
  bool space_first; // a text has a space put in front
} xlm_scored;
// In `a`. XLM_USER says why the tokenizer is no such one. A text that begins with a space is the exception: a
// tokenizer.json may put no other in front of it.
xlm_status xlm_tokenizer_scored(const xlm_tokenizer *t, xlm_arena *a, xlm_scored *out,
                                xlm_error *err) XLM_MUST_CHECK;

// A growing list of ids. Zeroed: empty. The memory behind it is reused by the next text: set n = 0.
typedef struct xlm_tokens {
  int32_t *at;
  int64_t n, cap;
  struct xlm_token_work *work; // of the encoder
} xlm_tokens;
void xlm_tokens_free(xlm_tokens *tokens);

// Appends the ids of n bytes of text, one document (some tokenizers treat the begin of a text differently).
// Special and added tokens in the text become their ids, as in the original libraries. Bytes that are not
// UTF-8 become U+FFFD, as Python's decode(errors="replace") does. XLM_ENV: no memory; then nothing is
// appended.
xlm_status xlm_tokenizer_encode(const xlm_tokenizer *t, const char *text, size_t n, xlm_tokens *out,
                                xlm_error *err) XLM_MUST_CHECK;

// Appends the text of ids, special tokens included; ids out of range give nothing. The bytes of a text that
// was cut between tokens need not be UTF-8: byte-level tokens may be parts of a character.
void xlm_tokenizer_decode(const xlm_tokenizer *t, const int32_t *ids, int64_t n, xlm_text *out);

XLM_C_END

#endif
