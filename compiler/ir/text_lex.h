// Characters and words of the IR text, shared by printer and reader, and the reader's cursor.
//
// The cursor works line by line. It records the first error with its line number; after that every function
// fails immediately, so callers may chain calls and check at the end.
#ifndef XLM_IR_TEXT_LEX_H
#define XLM_IR_TEXT_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/arena.h"

static inline bool xlm_lex_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static inline bool xlm_lex_digit(char c) {
  return c >= '0' && c <= '9';
}
// `dots`: in names of values, scopes and parameters; without: names of dimensions, where `/` begins the mesh
// axes.
static inline bool xlm_lex_word_char(char c, bool dots) {
  return xlm_lex_letter(c) || xlm_lex_digit(c) || (dots && (c == '.' || c == '/'));
}

// Line starts of a text: start[0] = 0, and one after every newline.
typedef struct xlm_lines {
  uint32_t n, cap, bytes;
  uint32_t *start;
} xlm_lines;
xlm_lines xlm_lines_of(xlm_arena *a, const char *text, uint32_t n);
uint32_t xlm_lines_find(const xlm_lines *l, uint32_t at); // index of the line that contains byte `at`

typedef struct xlm_lex {
  xlm_arena *arena;
  const char *text, *end; // the whole text
  const char *at, *eol;   // the rest of the current line
  uint32_t line;          // 1-based
  bool failed;
  xlm_error *err;
} xlm_lex;

xlm_lex xlm_lex_new(xlm_arena *a, const char *text, size_t n, xlm_error *err);
bool xlm_lex_line(xlm_lex *x); // advances to the next line; false at the end or after an error
bool xlm_lex_fail(xlm_lex *x, const char *fmt, ...) XLM_PRINTF(2, 3); // always false
bool xlm_lex_done(xlm_lex *x);                // only blanks or a comment are left on the line
bool xlm_lex_end(xlm_lex *x);                 // the same, or fails
bool xlm_lex_try(xlm_lex *x, const char *s);  // consumes s if it comes next (as a whole word if s ends in a
                                              // letter)
bool xlm_lex_want(xlm_lex *x, const char *s); // the same, or fails
// A bare or quoted word; dots as in xlm_lex_word_char.
bool xlm_lex_word(xlm_lex *x, bool dots, const char **out);
bool xlm_lex_quoted(xlm_lex *x, const char **out);
bool xlm_lex_int(xlm_lex *x, int64_t lo, int64_t hi, int64_t *out);
bool xlm_lex_uint(xlm_lex *x, uint32_t lo, uint32_t hi, uint32_t *out);
bool xlm_lex_double(xlm_lex *x, double *out);

#endif
