// The formatter in three parts: format.c walks statements and places comments, expr.c writes expressions and
// lists, lines.c aligns, wraps and prints lines.
#ifndef XLM_FORMAT_FORMAT_PRIV_H
#define XLM_FORMAT_FORMAT_PRIV_H

#include "compiler/parse/ast.h"

// A position in a line. depth < 0: an alignment stop, at least `gap` blanks wide; otherwise a possible line
// break (after a comma, inside `depth` brackets).
typedef struct xlm_fmt_mark {
  uint32_t at;
  int depth, gap;
} xlm_fmt_mark;

typedef struct xlm_fmt_line {
  xlm_text text;
  xlm_fmt_mark *mark;
  uint32_t n_marks, cap_marks;
  int indent;
  int group; // consecutive lines of the same group (not 0) are aligned
  int depth; // open brackets while the line is written
  bool blank_before;
  const char *comment; // trailing, or NULL
} xlm_fmt_line;

typedef struct xlm_fmt_lines {
  xlm_fmt_line *at;
  uint32_t n, cap;
} xlm_fmt_lines;

enum { XLM_FMT_WIDTH = 110, XLM_FMT_INDENT = 2, XLM_FMT_CONTINUE = 4 };

void xlm_fmt_stop(xlm_fmt_line *l, int gap);
void xlm_fmt_comma(xlm_fmt_line *l); // ", ", breakable inside brackets
void xlm_fmt_expr(xlm_fmt_line *l, const xlm_expr *e);
void xlm_fmt_string(xlm_fmt_line *l, const char *s);
void xlm_fmt_names(xlm_fmt_line *l, const xlm_ast_name *n);      // a, b
void xlm_fmt_dims(xlm_fmt_line *l, const xlm_ast_dim *d);
void xlm_fmt_layout(xlm_fmt_line *l, const xlm_weight_group *g);
void xlm_fmt_splits(xlm_fmt_line *l, const xlm_weight_split *s); // heads = kv_heads group, ..
void xlm_fmt_item(xlm_fmt_line *l, const xlm_config_item *i);    // without its key
void xlm_fmt_key(xlm_fmt_line *l, const xlm_ast_name *key);
uint32_t xlm_fmt_width(const char *s, uint32_t n); // characters
void xlm_fmt_print(xlm_fmt_lines *lines, xlm_text *out);
#endif
