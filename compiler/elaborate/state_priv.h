// The state of one run of elaborate: values, names, frames, declarations.
#ifndef XLM_ELABORATE_STATE_PRIV_H
#define XLM_ELABORATE_STATE_PRIV_H

#include "compiler/elaborate/elaborate.h"
#include "compiler/ir/op.h"
#include "runtime/base/dict.h"

enum {
  XLM_EL_MAX_ROUNDS = 10000, // of one repeat
  XLM_EL_MAX_BLOCKS = 64,    // nested block calls
  XLM_EL_MAX_DEPTH = 2000,   // of recursion in elaborate, over any constructs
  XLM_EL_MAX_STEPS =
      3000000,             // visited expressions and statements: stops exponential models that make no nodes
  XLM_EL_FRAME_STEPS = 10, // cost of a block call or a round in steps, for the memory of its frame
};

// --- values

typedef struct xlm_number {
  bool integer;
  int64_t i; // with integer
  double v;  // always
} xlm_number;

typedef enum xlm_el_kind { XLM_EL_BAD, XLM_EL_NUMBER, XLM_EL_TENSOR, XLM_EL_TUPLE } xlm_el_kind;

typedef struct xlm_el_decl xlm_el_decl;
typedef struct xlm_el_value { // BAD: an error was already reported; report nothing further
  xlm_el_kind kind;
  bool param;        // TENSOR: a parameter as stored; its type depends on its use
  uint8_t outs;      // TENSOR just returned by an operation: number of its results from this one on
  int n;             // TUPLE
  xlm_val val;       // TENSOR
  xlm_number num;    // NUMBER
  xlm_el_decl *decl; // NUMBER that is a dim: its declaration
  xlm_dim dim;       // NUMBER that is a generic dimension of a block: what it is in this call
  const struct xlm_el_value *item; // TUPLE
} xlm_el_value;

typedef struct xlm_el_operand {
  xlm_el_value value;
  xlm_span span;
} xlm_el_operand;

static inline xlm_el_value xlm_el_bad(void) {
  return (xlm_el_value){.kind = XLM_EL_BAD};
}
static inline xlm_el_value xlm_el_tensor(xlm_val v) {
  return (xlm_el_value){.kind = XLM_EL_TENSOR, .val = v, .outs = 1};
}
static inline xlm_el_value xlm_el_num(xlm_number n) {
  return (xlm_el_value){.kind = XLM_EL_NUMBER, .num = n};
}

// --- names

// A place in the text that gives a name a value. All rounds and instances share it, so a name counts as read
// when any of them reads it.
typedef struct xlm_el_use {
  const char *name;
  xlm_span span;
  uint8_t kind; // xlm_el_symbol_kind
  bool read;
  bool made; // PARAM: at least one instance exists
} xlm_el_use;

typedef struct xlm_el_branch { // of an `if`
  xlm_span span;
  bool taken; // in some round or instance
} xlm_el_branch;

typedef enum xlm_el_symbol_kind {
  XLM_SYM_DECL,  // dim or let
  XLM_SYM_VALUE, // variable, block argument, index variable
  XLM_SYM_PARAM,
  XLM_SYM_STATE,
  XLM_SYM_INPUT,
  XLM_SYM_ARRAY, // k0[i]
} xlm_el_symbol_kind;

typedef struct xlm_el_item { // one element of an ARRAY
  int64_t index;
  xlm_el_value value;
} xlm_el_item;

typedef struct xlm_el_symbol {
  xlm_el_symbol_kind kind;
  const char *name;
  xlm_span span;
  xlm_el_value value;
  xlm_el_use *use;   // may be NULL
  xlm_el_decl *decl; // DECL
  xlm_el_item *items;
  uint32_t n_items, cap_items;
} xlm_el_symbol;

struct xlm_el_decl {
  const char *name;
  xlm_span span;        // the name
  const xlm_stmt *stmt; // NULL: built in
  bool is_dim, built_in;
  const xlm_expr *expr; // from the preset or the declaration; NULL: `value` is set
  const char *origin;   // "--set", "preset `small`"; NULL: the declaration
  enum { XLM_DECL_NEW, XLM_DECL_BUSY, XLM_DECL_DONE, XLM_DECL_FAILED } state;
  xlm_number value;
  enum { XLM_KIND_NEW, XLM_KIND_BUSY, XLM_KIND_DONE } kind_state;
  xlm_plan_number kind; // as declared
  xlm_dim dim;          // 0 until first used as a dimension
  xlm_el_decl *waits;   // BUSY: the declaration being computed for this one's value
  struct xlm_el_frame *frame;
};

typedef enum xlm_el_frame_kind {
  XLM_FRAME_GLOBAL,
  XLM_FRAME_TOP,
  XLM_FRAME_BLOCK,
  XLM_FRAME_ROUND
} xlm_el_frame_kind;

typedef struct xlm_el_frame {
  struct xlm_el_frame *parent; // GLOBAL for TOP and BLOCK
  xlm_el_frame_kind kind;
  const char *path;        // "layers.0.attention"
  xlm_dict symbols;        // -> xlm_el_symbol
  bool returned;           // BLOCK
  xlm_el_value result;     // BLOCK
  const xlm_expr *returns; // BLOCK: the expression of `return`
} xlm_el_frame;

typedef struct xlm_el_param { // a parameter or state that exists in the graph
  const char *path;
  xlm_val val;
  xlm_span span;
  const xlm_stmt *stmt;
  uint32_t epoch;
  bool mapped;
} xlm_el_param;

typedef struct xlm_el_instance {
  const char *block;
  xlm_span span;
  uint32_t epoch;
  bool has_params;
} xlm_el_instance;

typedef struct xlm_el_active { // a block being inlined
  const xlm_stmt *block;
  xlm_span span; // of the call
  const struct xlm_el_active *up;
  int depth;
} xlm_el_active;

typedef struct xlm_el_pending { // an `update`, emitted last so that every reader sees the value from before
                                // the step
  xlm_val state, val;
  const char *name;
  xlm_span span;
} xlm_el_pending;

typedef struct xlm_el {
  xlm_arena *arena;
  const xlm_ast *ast;
  const xlm_elaborate_options *set;
  xlm_diags *diags;
  xlm_graph *g;
  xlm_build b;
  const xlm_stmt *preset; // the selected one or NULL
  xlm_el_frame global, top;
  xlm_dict blocks;        // -> xlm_stmt
  xlm_dict public;        // every name that a setting may use, `-` as `_` -> xlm_el_decl
  xlm_dict params;        // path -> xlm_el_param
  xlm_dict instances;     // path -> xlm_el_instance
  xlm_dict counts;        // xlm_el_unique: name -> uint32_t
  xlm_dict named;         // metrics and outputs: name -> xlm_ast_name
  xlm_dict uses;          // by source location -> xlm_el_use
  xlm_dict branches;      // of every `if`, by source location -> xlm_el_branch
  xlm_dict dims;          // "name size" -> xlm_dim; name -> uint32_t, the last suffix
  xlm_dict minted;        // generated dimension name -> its name in the text, for names with several sizes in
                          // blocks
  int64_t n_plain_inputs; // inputs without an explicit source
  struct xlm_el_source *sources; // what the inputs so far read of a sample
  xlm_el_decl **decls;
  uint32_t n_decls, cap_decls;
  xlm_el_pending *pending;
  uint32_t n_pending, cap_pending;
  const xlm_el_active *active;
  xlm_el_decl *computing; // the innermost decl whose value is being computed
  bool exact;             // inside a dim's expression: divisions must be exact
  bool wide;              // inside the update of a parameter: everything has its precision
  bool reuse;             // in a later round of a shared repeat: parameters already exist
  uint32_t epoch, epochs; // which shared round
  int32_t rounds;         // of `repeat .. over pp`
  int over_depth;
  bool saw_loss;
  int depth;
  uint32_t steps;
  struct xlm_el_filling *spare;   // call.c: a free list of fillings
  struct xlm_el_drawing *drawing; // initializer.c: inside a formula; else NULL
  bool stop;                      // a limit was reached: stop without further reports
} xlm_el;

#endif
