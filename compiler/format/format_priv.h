// The formatter in parts: format.c walks the statements, statement.c and section.c write them, expr.c writes
// expressions and lists, comments.c places comments and blank lines, lines.c aligns, wraps and prints lines.
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

// ---- lines.c ----

enum { XLM_FMT_WIDTH = 110, XLM_FMT_INDENT = 2, XLM_FMT_CONTINUE = 4 };

uint32_t xlm_fmt_width(const char *s, uint32_t n); // characters
void xlm_fmt_print(xlm_fmt_lines *lines, xlm_text *out);

// ---- expr.c ----

void xlm_fmt_add(xlm_fmt_line *l, const char *s);
void xlm_fmt_stop(xlm_fmt_line *l, int gap);
void xlm_fmt_comma(xlm_fmt_line *l); // ", ", breakable inside brackets
void xlm_fmt_expr(xlm_fmt_line *l, const xlm_expr *e);
void xlm_fmt_string(xlm_fmt_line *l, const char *s);
void xlm_fmt_names(xlm_fmt_line *l, const xlm_ast_name *n); // a, b
void xlm_fmt_dims(xlm_fmt_line *l, const xlm_ast_dim *d);
void xlm_fmt_layout(xlm_fmt_line *l, const xlm_weight_group *g);
void xlm_fmt_splits(xlm_fmt_line *l, const xlm_weight_split *s); // heads = kv_heads group, ..
void xlm_fmt_item(xlm_fmt_line *l, const xlm_config_item *i);    // without its key
void xlm_fmt_key(xlm_fmt_line *l, const xlm_ast_name *key);

// ---- comments.c ----

typedef struct xlm_formatter {
  xlm_arena *arena;
  const xlm_source *source;
  const xlm_comment *comment; // the next comment
  xlm_fmt_lines lines;
  uint32_t done;  // the source up to here is written
  uint32_t limit; // end of the enclosing braces: comments from there on do not belong to the line
  bool first;     // nothing written in these braces yet
  bool blank;     // put a blank line before the next line
  int indent;
} xlm_formatter;

// Begins a line of an alignment group, whose source begins at `begin`: with a blank line before it if the
// source has one.
xlm_fmt_line *xlm_fmt_begin(xlm_formatter *f, int group, uint32_t begin);
// Writes the comments that start before `end`, on separate lines. `begin`: the start of the statement they
// may be in; the blank line before it goes before the first comment.
void xlm_fmt_comments_before(xlm_formatter *f, uint32_t begin, uint32_t end);
// Both, for a statement on one line and for the head of one with braces.
xlm_fmt_line *xlm_fmt_begin_simple(xlm_formatter *f, const xlm_stmt *s, int group);
xlm_fmt_line *xlm_fmt_begin_head(xlm_formatter *f, const xlm_stmt *s);
// Ends a line whose source ends at `end`: appends a comment that follows on the same line, unless another
// token, at `limit`, comes first.
void xlm_fmt_end(xlm_formatter *f, uint32_t end, uint32_t limit);

// Ends the line with the brace at `open`; limit: of what comes first in the braces.
void xlm_fmt_open_braces(xlm_formatter *f, uint32_t open, uint32_t limit);
// Writes the line `}` for braces that end at `close`, and comments before `upto` above it.
xlm_fmt_line *xlm_fmt_end_braces(xlm_formatter *f, uint32_t close, uint32_t upto);
// The same, and ends the line; end: behind the brace.
void xlm_fmt_close_braces(xlm_formatter *f, uint32_t end);

// ---- statement.c ----

// Groups of lines that are aligned.
enum {
  XLM_FMT_ALIGN_DECL = 1,
  XLM_FMT_ALIGN_PARAM,
  XLM_FMT_ALIGN_INPUT,
  XLM_FMT_ALIGN_SHARD,
  XLM_FMT_ALIGN_ENTRY,
  XLM_FMT_ALIGN_SETTING,
  XLM_FMT_ALIGN_PRESET,
  XLM_FMT_ALIGN_GROUP
};

typedef struct xlm_fmt_statement { // of one line
  void (*write)(xlm_fmt_line *, const xlm_stmt *);
  int group; // XLM_FMT_ALIGN_..; 0: not aligned
} xlm_fmt_statement;
extern const xlm_fmt_statement xlm_fmt_statements[XLM_STMT_KINDS];
void xlm_fmt_block_head(xlm_fmt_line *l, const xlm_stmt *s);

// ---- section.c ----

void xlm_fmt_preset(xlm_formatter *f, const xlm_stmt *s); // or a group
void xlm_fmt_weights(xlm_formatter *f, const xlm_stmt *s);
void xlm_fmt_config(xlm_formatter *f, const xlm_stmt *s);

#endif
