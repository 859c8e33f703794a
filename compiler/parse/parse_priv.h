// The parser's state and the builders that grammar actions call. Private to this folder.
//
// Text is parsed in three steps, each linear:
//   scan (grammar/xlm.l)      bytes -> raw tokens: words, numbers, strings, signs
//   arrange (token.c)   raw tokens -> tokens: brackets balanced, statement ends and keywords decided
//   grammar (grammar/xlm.y)   tokens -> tree, through the builders of build.c
//
// Since arrange balances the brackets first, the grammar can recover from any error at the end of the
// statement.
#ifndef XLM_PARSE_PARSE_PRIV_H
#define XLM_PARSE_PARSE_PRIV_H

#include "compiler/parse/ast.h"

enum { XLM_BODY_STATEMENTS = 's', XLM_BODY_SETTINGS = 'p', XLM_BODY_ENTRIES = 'w', XLM_BODY_CONFIG = 'c' };
enum { XLM_MAX_SOURCE = 4 << 20, XLM_MAX_TOKENS = 1000000 };

typedef struct xlm_token {
  int kind; // bison's token number
  xlm_span span;
  uint32_t match; // `{` and `}`: index of the matching one
  char body;      // `{`: its contents, one of XLM_BODY_*; others: the contents of the enclosing braces, 0
                  // inside ( ) and [ ]
  bool first;     // first on its line
  bool bad;       // an error was reported here, so further syntax errors in the statement are not
} xlm_token;

typedef struct xlm_tokens {
  xlm_token *at;
  uint32_t n, cap;
} xlm_tokens;

typedef struct xlm_list { // a chain under construction
  void *first, *last;
} xlm_list;

typedef struct xlm_parser { // of one file
  xlm_arena *arena;
  const xlm_source *source;
  uint32_t end; // of the file, in the source
  xlm_diags *diags;
  // scan
  uint32_t pos;    // byte offset of the end of the current match
  bool line_start; // no token on this line yet
  bool bad;        // mark the next token bad
  xlm_tokens raw;
  xlm_list comments;
  // arrange, grammar
  xlm_tokens tokens;
  uint32_t at, next;  // the token that xlm_yylex returned last, and the next one
  uint32_t recovered; // 1 + the token of the last recovery; never decreases
  bool stop;          // parsing cannot continue
  bool deep;          // the nesting limit was reported
  xlm_list stmts;
} xlm_parser;

#define XLM_APPEND(list, T, item)                                                                            \
  do {                                                                                                       \
    T *xlm_item = (item);                                                                                    \
    if ((list).last)                                                                                         \
      ((T *)(list).last)->next = xlm_item;                                                                   \
    else                                                                                                     \
      (list).first = xlm_item;                                                                               \
    (list).last = xlm_item;                                                                                  \
  } while (0)

static inline xlm_span xlm_span_join(xlm_span a, xlm_span b) {
  return (xlm_span){a.begin, b.end};
}

// token.c
typedef struct xlm_word {
  const char *text;
  int kind;
} xlm_word;
extern const xlm_word xlm_statement_words[]; // ends with text NULL
void xlm_parse_scan(xlm_parser *p);          // grammar/xlm.l
void xlm_parse_arrange(xlm_parser *p);
bool xlm_token_is(const xlm_parser *p, const xlm_token *t, const char *text);
const char *xlm_token_text(const xlm_parser *p, const xlm_token *t);

// lexeme.c: checks and conversion of single lexemes
void xlm_lex_check_bytes(xlm_parser *p); // NUL and non-UTF-8 bytes
void xlm_lex_bad_number(xlm_parser *p, xlm_span s);
void xlm_lex_open_string(xlm_parser *p, xlm_span s);
void xlm_lex_single_quotes(xlm_parser *p, xlm_span s);
void xlm_lex_stray(xlm_parser *p, xlm_span s);
void xlm_lex_slashes(xlm_parser *p, xlm_span s, bool own_line);
void xlm_lex_star_comment(xlm_parser *p, xlm_span s, bool closed);
const char *xlm_lex_string(xlm_parser *p, xlm_span s); // unescaped content
xlm_expr *xlm_lex_number(xlm_parser *p, xlm_span s);

// error.c: reports the syntax error at token p->at and moves p->next to where parsing can go on
void xlm_parse_report(xlm_parser *p, const char *const *expected, int n);

// build.c
xlm_ast_name *xlm_build_name(xlm_parser *p, xlm_span s);
xlm_expr *xlm_build_expr(xlm_parser *p, xlm_expr_kind k, xlm_span s);
xlm_expr *xlm_build_named(xlm_parser *p, xlm_ast_name *n);
xlm_expr *xlm_build_index(xlm_parser *p, xlm_span s, xlm_ast_name *base, xlm_expr *index);
xlm_expr *xlm_build_unary(xlm_parser *p, xlm_span s, bool logical_not, xlm_expr *x);
xlm_expr *xlm_build_binary(xlm_parser *p, xlm_span s, xlm_binary op, xlm_span op_span, xlm_expr *a,
                           xlm_expr *b);
xlm_expr *xlm_build_call(xlm_parser *p, xlm_span s, xlm_ast_name *callee, xlm_ast_name *instance,
                         xlm_list args);
xlm_expr *xlm_build_if(xlm_parser *p, xlm_span s, xlm_expr *cond, xlm_expr *then, xlm_expr *otherwise);
xlm_expr *xlm_build_parens(xlm_span s, xlm_expr *x);
xlm_expr *xlm_build_tuple(xlm_parser *p, xlm_span s, xlm_expr *first, xlm_list rest);
xlm_arg *xlm_build_arg(xlm_parser *p, xlm_arg_kind k, xlm_span s);
xlm_list xlm_build_add_arg(xlm_parser *p, xlm_list args, xlm_arg *a);
xlm_ast_dim *xlm_build_dim(xlm_parser *p, xlm_span s, const char *name);
void xlm_build_dim_over(xlm_ast_dim *d, xlm_list axes);
xlm_stmt *xlm_build_stmt(xlm_parser *p, xlm_stmt_kind k, xlm_span s, xlm_ast_name *name, xlm_expr *expr);
xlm_stmt *xlm_build_shard(xlm_parser *p, xlm_span s, xlm_list dims, xlm_list axes, xlm_ast_name *where);
xlm_stmt *xlm_build_tensor(xlm_parser *p, xlm_stmt_kind k, xlm_span s, xlm_ast_name *name, xlm_list dims,
                           xlm_expr *init);
// For a statement with `stmts` between `braces`: sets its depth and rejects statements that are only allowed
// at the top level.
void xlm_build_body(xlm_parser *p, xlm_stmt *s, xlm_list stmts, xlm_span braces);
xlm_stmt *xlm_build_if_stmt(xlm_parser *p, xlm_span s, xlm_expr *cond, xlm_list body, xlm_span braces);
xlm_list xlm_build_else_if(xlm_list chain, xlm_stmt *s);
xlm_stmt *xlm_build_if_end(xlm_parser *p, xlm_list chain, xlm_span s);
xlm_block_param *xlm_build_block_param(xlm_parser *p, xlm_ast_name *name, bool is_tensor, xlm_list dims);
xlm_block_result *xlm_build_block_result(xlm_parser *p, xlm_span s, xlm_list dims);
xlm_stmt *xlm_build_use(xlm_parser *p, xlm_span s, xlm_span where,
                        const char *file); // use "file": the name is the file
// group "pattern" { .. }: the statement's name is the pattern.
xlm_stmt *xlm_build_param_group(xlm_parser *p, xlm_span s, xlm_span where, const char *pattern,
                                xlm_list settings, xlm_span braces);
xlm_setting *xlm_build_setting(xlm_parser *p, xlm_ast_name *name, xlm_expr *value);
xlm_weight *xlm_build_weight(xlm_parser *p, xlm_span s, xlm_span path, xlm_span external, const char *text);
xlm_weight_group *xlm_build_group(xlm_parser *p, xlm_span s, xlm_list factors);
xlm_weight_factor *xlm_build_factor(xlm_parser *p, xlm_span s, const char *dim);
// parts: the number of slots; NULL: sizes has one per slot.
xlm_weight_factor *xlm_build_part(xlm_parser *p, xlm_span s, xlm_expr *part, xlm_expr *parts,
                                  xlm_weight_size *sizes);
xlm_weight_size *xlm_build_size(xlm_parser *p, xlm_ast_name *term);
xlm_weight_size *xlm_build_times(xlm_weight_size *s, xlm_ast_name *term);
xlm_ast_name *xlm_build_term(xlm_parser *p, xlm_expr *number); // a number in a size, as it is written
xlm_weight_split *xlm_build_split(xlm_parser *p, xlm_ast_name *dim, xlm_list to);
xlm_ast_name *xlm_build_key(xlm_parser *p, xlm_span s, const char *text); // "a key" in quotes
xlm_config_item *xlm_build_item(xlm_parser *p, xlm_config_kind k, xlm_span s, xlm_expr *expr, xlm_list items);
void xlm_build_top(xlm_parser *p, xlm_stmt *s);
#endif
