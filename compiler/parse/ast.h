// The syntax tree. The parser only builds it; nothing is resolved, sized or checked.
//
// All nodes are in the compile arena and have spans. Lists are linked through `next`. Lists of names are
// xlm_ast_name chains.
#ifndef XLM_PARSE_AST_H
#define XLM_PARSE_AST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler/diagnose/diag.h"
#include "compiler/diagnose/source.h"
#include "runtime/plan/span.h"

enum { XLM_MAX_NESTING = 200 }; // levels of brackets, of braces, of expression and of statement trees

typedef struct xlm_ast_name {
  const char *text;
  xlm_span span;
  struct xlm_ast_name *next;
} xlm_ast_name;

typedef enum xlm_expr_kind {
  XLM_EXPR_NUMBER, // 3, 1e-5, 0.02; `integer`: written without point and exponent
  XLM_EXPR_STRING, // "..." (only where the grammar allows one)
  XLM_EXPR_NAME,   // h, hidden
  XLM_EXPR_INDEX,  // k0[i]: name and one compile-time index
  XLM_EXPR_UNARY,  // -x, not x
  XLM_EXPR_BINARY, // + - * / % ** @ == != < <= > >= and or
  XLM_EXPR_CALL,   // f(args), block.instance(args)
  XLM_EXPR_IF,     // if c then a else b   (compile-time)
  XLM_EXPR_TUPLE,  // (a, b): the right side of return, or of a multiple assignment
  XLM_EXPR_KINDS,
} xlm_expr_kind;

typedef enum xlm_binary { // precedence: or < and < comparisons < + - < * / % @ < unary < **
  XLM_BIN_ADD,
  XLM_BIN_SUB,
  XLM_BIN_MUL,
  XLM_BIN_DIV,
  XLM_BIN_MOD,
  XLM_BIN_POW,
  XLM_BIN_MATMUL,
  XLM_BIN_EQ,
  XLM_BIN_NE,
  XLM_BIN_LT,
  XLM_BIN_LE,
  XLM_BIN_GT,
  XLM_BIN_GE,
  XLM_BIN_AND,
  XLM_BIN_OR,
  XLM_BIN_COUNT,
} xlm_binary;

// One argument of a call:
//   positional  x               value
//   named       base = theta    name, value
//   over        over a, b       dims
//   arrow       seq -> kv_seq   dims -> to: rename, split (`hidden -> heads head`), merge (`heads head ->
//                               hidden`); each side one or more names
// A bare flag (`causal`) is a positional NAME here; elaborate decides that it is a flag of the operation.
typedef enum xlm_arg_kind { XLM_ARG_VALUE, XLM_ARG_NAMED, XLM_ARG_OVER, XLM_ARG_ARROW } xlm_arg_kind;

typedef struct xlm_expr xlm_expr;
typedef struct xlm_arg {
  xlm_arg_kind kind;
  xlm_span span;
  xlm_ast_name *name;      // NAMED
  xlm_expr *value;         // VALUE, NAMED
  xlm_ast_name *dims, *to; // ARROW: both sides; OVER: dims (and `to` is the last of them)
  struct xlm_arg *next;
} xlm_arg;

struct xlm_expr {
  xlm_expr_kind kind;
  uint16_t depth; // height of this tree, at most XLM_MAX_NESTING, so recursive passes need no guard
  bool parens;    // written in parentheses; used by the formatter only
  xlm_span span;  // including its parentheses
  xlm_expr *next; // in TUPLE lists
  union {
    struct {
      double value;
      bool integer;
      int64_t exact;
      const char *text;
    } number; // text: as written, for fmt
    struct {
      const char *text;
    } string; // unescaped
    struct {
      const char *text;
    } name;
    struct {
      xlm_ast_name *base;
      xlm_expr *index;
    } index;
    struct {
      bool logical_not;
      xlm_expr *x;
    } unary; // false: arithmetic minus
    struct {
      xlm_binary op;
      xlm_span op_span;
      xlm_expr *a, *b;
    } binary;
    struct {
      xlm_ast_name *callee, *instance;
      xlm_arg *args;
      bool recompute;
    } call; // instance NULL unless block.name(..)
    struct {
      xlm_expr *cond, *then, *otherwise;
    } cond;
    struct {
      xlm_expr *items;
      int n;
    } tuple;
  };
};

typedef struct xlm_ast_dim { // one entry of a bracketed dimension list
  xlm_span span;
  const char *name;   // NULL: `..`
  bool over_set;      // `ffn over none`, `ffn over tp`
  xlm_ast_name *over; // axes; NULL with over_set = none
  struct xlm_ast_dim *next;
} xlm_ast_dim;

typedef enum xlm_stmt_kind {
  XLM_STMT_MODEL,   // model llama
  XLM_STMT_USE,     // use "blocks/norm.xlm"
  XLM_STMT_DIM,     // dim name = expr as a, b
  XLM_STMT_LET,     // let name = expr as a, b
  XLM_STMT_CHECK,   // check expr, "message"
  XLM_STMT_SHARD,   // shard d, d over axis, axis where free
  XLM_STMT_BLOCK,   // block name(param[..], ...) -> [..], [..] { body }
  XLM_STMT_INPUT,   // input name[dims] of dim from name shifted expr
  XLM_STMT_PARAM,   // param name[dims] ~ normal(0.02)
  XLM_STMT_STATE,   // state name[dims] ~ zeros     persists between steps, no gradient
  XLM_STMT_UPDATE,  // update name = expr           its value after the step
  XLM_STMT_ASSIGN,  // a = expr; k[i] = expr; (a, b) = expr
  XLM_STMT_RETURN,  // return expr
  XLM_STMT_REPEAT,  // repeat expr as i over pp shared { body }
  XLM_STMT_IF,      // if expr { } else if ... else { }
  XLM_STMT_LOSS,    // loss expr
  XLM_STMT_OUTPUT,  // output a, b
  XLM_STMT_METRIC,  // metric name = expr
  XLM_STMT_PRESET,  // preset small { hidden = 768  layers = 12 }
  XLM_STMT_GROUP,   // group "layers.*.attention.*" { lr = 0.5  optimizer = muon }
  XLM_STMT_WEIGHTS, // weights huggingface { path = "name" [layout] ... }
  XLM_STMT_CONFIG,  // config huggingface { key = value ... }
  XLM_STMT_KINDS,
} xlm_stmt_kind;

typedef struct xlm_block_param { // x[batch, seq, hidden]; compile-time values: `n` without brackets
  xlm_ast_name *name;
  bool is_tensor;
  xlm_ast_dim *dims;
  struct xlm_block_param *next;
} xlm_block_param;

typedef struct xlm_block_result {
  xlm_span span;
  xlm_ast_dim *dims;
  struct xlm_block_result *next;
} xlm_block_result;

typedef struct xlm_setting { // a `name = expr` in a preset or group
  xlm_ast_name *name;
  xlm_expr *value;
  struct xlm_setting *next;
} xlm_setting;

typedef struct xlm_weight_size { // of a slot: the product of names and numbers
  xlm_ast_name *terms, *last;
  struct xlm_weight_size *next;
} xlm_weight_size;

// A factor of an external dimension: a dimension of the parameter, or the part of several slots that it has.
// `0 of 3`: the first of three slots of one index. `0 of (heads, kv_heads, kv_heads)`: the first of three
// slots of these sizes; the parameter's own dimensions fill its slot.
typedef struct xlm_weight_factor {
  xlm_span span;
  const char *dim;        // NULL: a part
  int part, parts;        // index and number of the slots
  xlm_weight_size *sizes; // NULL: one index each
  struct xlm_weight_factor *next;
} xlm_weight_factor;

typedef struct xlm_weight_group { // an external dimension: its factors, outermost first
  xlm_span span;
  xlm_weight_factor *factors;
  struct xlm_weight_group *next;
} xlm_weight_group;

typedef struct xlm_weight_split { // where heads = kv_heads group
  xlm_ast_name *dim, *to;         // to: outermost first
  struct xlm_weight_split *next;
} xlm_weight_split;

// An entry like
//   layers[i].attention.wq = "model.layers.{i}.self_attn.q_proj.weight" [heads head, hidden]
// path: "layers[i].attention.wq" without blanks. {name} in the external name is an index variable of the path
// or a dimension of the parameter (then there is an external tensor per index of it, and the layout omits
// it).
typedef struct xlm_weight {
  xlm_span span, path_span, external_span;
  const char *path, *external;
  bool layout_set;
  bool optional; // files may lack it
  xlm_weight_group *layout;
  xlm_weight_split *splits;
  xlm_expr *stored; // the external element, a formula of `value`; NULL: the value
  struct xlm_weight *next;
} xlm_weight;

typedef enum xlm_config_kind {
  XLM_CONFIG_EXPR,   // hidden_size = hidden
  XLM_CONFIG_LIST,   // [a, b]
  XLM_CONFIG_OBJECT, // { key = value .. }
  XLM_CONFIG_REPEAT, // in a list: repeat layers as i { value, .. }
} xlm_config_kind;

typedef struct xlm_config_item { // a value of a config section
  xlm_config_kind kind;
  xlm_span span;
  xlm_ast_name *key;             // of a member of an object; NULL in a list
  xlm_expr *expr;                // EXPR; REPEAT: the number of rounds
  xlm_ast_name *var;             // REPEAT; may be NULL
  struct xlm_config_item *items; // of the others
  struct xlm_config_item *next;
} xlm_config_item;

typedef struct xlm_stmt xlm_stmt;
struct xlm_stmt {
  xlm_stmt_kind kind;
  uint16_t depth;     // height of the statement tree, else-if chains included; at most XLM_MAX_NESTING
  xlm_span span;      // the whole statement, from its first to its last token (the closing brace)
  xlm_span body;      // BLOCK REPEAT IF PRESET GROUP WEIGHTS CONFIG: the braces, from { to }
  xlm_span else_body; // IF: the braces after a plain `else`; empty for `else if` (then `otherwise` is a
                      // single IF statement)
  xlm_stmt *next;
  xlm_ast_name *name; // MODEL DIM LET BLOCK INPUT PARAM STATE UPDATE METRIC PRESET WEIGHTS CONFIG;
                      // GROUP: the pattern; USE: the file
  xlm_expr *expr;     // DIM LET CHECK PARAM/STATE (initialiser) UPDATE ASSIGN RETURN REPEAT (count) IF
                      // (condition) LOSS METRIC
  union {
    struct {
      xlm_ast_name *aliases;
    } decl; // DIM LET
    struct {
      const char *message;
    } check; // CHECK; NULL when absent
    struct {
      xlm_ast_name *dims, *axes;
      bool where_free, none;
    } shard;
    struct {
      xlm_ast_name *dims; // generic dimensions: block attention[t](x[batch, t, hidden]) ..
      xlm_block_param *params;
      xlm_block_result *results;
      xlm_stmt *body;
    } block;
    struct {
      xlm_ast_dim *dims;
      xlm_ast_name *of, *from; // of INPUT; may be NULL
    } tensor;                  // INPUT PARAM STATE; expr: the shift of an INPUT, the initialiser of the
                               // others
    struct {
      xlm_expr *targets;
    } assign; // NAME or INDEX expressions, chained
    struct {
      xlm_ast_name *var;
      xlm_ast_name *over;
      bool shared, recompute;
      xlm_stmt *body;
    } repeat; // var may be NULL
    struct {
      xlm_stmt *then, *otherwise;
    } cond;
    struct {
      xlm_ast_name *names;
    } output;
    struct {
      xlm_setting *settings;
    } preset; // GROUP, too
    struct {
      xlm_weight *entries;
    } weights;
    struct {
      xlm_config_item *items;
    } config;
  };
};

typedef struct xlm_comment {
  xlm_span span; // from # to the end of the line, without the newline
  bool own_line; // preceded only by blanks on its line
  struct xlm_comment *next;
} xlm_comment;

typedef struct xlm_ast {
  const xlm_source *source;
  xlm_stmt *stmts;
  xlm_comment *comments; // in source order
} xlm_ast;

// Parses all files of the source, one after another; pushes lexical and syntax errors to d and recovers at
// statement boundaries. Always returns a tree, of the statements that parsed. Nesting deeper than 200 levels
// and files over 4 MiB are errors.
xlm_ast *xlm_parse(xlm_arena *a, const xlm_source *source, xlm_diags *d);

// The i-th word of the grammar, for editors; NULL past the last. statement: does it only begin statements?
const char *xlm_parse_word(xlm_arena *a, int i, bool *statement);

// The canonical text; idempotent, preserves comments and single blank lines. The tree must have no syntax
// errors.
void xlm_format(const xlm_ast *ast, xlm_text *out);

#endif
