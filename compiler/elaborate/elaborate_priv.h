// Elaborate's state, shared by its files. Private to this folder.
//
//   files.c       the files of a model
//   scope.c       maps, frames and symbols; suggestions
//   number.c      compile-time arithmetic
//   decl.c        dims and lets: settings, presets, lazy values, checks, config
//   walk.c        syntactic walks over the tree
//   dims.c        dimension lists: names -> dims, and as text
//   tensor.c      param, state, input
//   initializer.c initialisers, with formulas
//   expr.c        expressions
//   call.c        calls of operations, by their signatures
//   unknown.c     names without a meaning: what was probably meant
//   stray.c       where a surplus dimension came from
//   emit.c        nodes: mixed precision, limits, failed inference -> diagnostic
//   block.c       calls of blocks: inlining, instances, signatures
//   generic.c     generic dimensions of blocks
//   stmt.c        statements
//   group.c       parameter groups
//   seen.c        records for editors
//   kind.c        real, whole or true: what numbers are for other tools
//   config.c      the config section
//   paths.c       parameter paths that the text can produce
//   shard.c, weights.c, weight_layout.c, unused.c   checks on the finished graph
#ifndef XLM_ELABORATE_ELABORATE_PRIV_H
#define XLM_ELABORATE_ELABORATE_PRIV_H

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

// files.c
bool xlm_el_files(xlm_el *e); // false: reported; the model is incomplete
// Is the place in another file than the model's? Names inside the blocks of such a file may hide the model's
// dims and lets: its author cannot know them.
bool xlm_el_is_used_file(const xlm_el *e, xlm_span at);

// scope.c
xlm_el_symbol *xlm_el_find(const xlm_el_frame *f, const char *name); // NULL when unknown
xlm_el_symbol *xlm_el_define(xlm_el *e, xlm_el_frame *f, xlm_el_symbol_kind k, const char *name,
                             xlm_span span);
xlm_el_use *xlm_el_use_at(xlm_el *e, xlm_el_symbol_kind k, const char *name, xlm_span span);
void xlm_el_choose(xlm_el *e, xlm_span taken,
                   xlm_span skipped); // of the branches of an `if`; either may be empty
const char *xlm_el_join(xlm_el *e, const char *path, const char *name); // "path.name"
const char *xlm_el_unique(xlm_el *e, const char *name);                 // name, then name.2, name.3 ..
const char *xlm_el_nearest_key(xlm_el *e, const xlm_dict *m, const char *name);
// The nearest visible name for which `want` returns true (NULL: any).
const char *xlm_el_nearest(xlm_el *e, const xlm_el_frame *f, const char *name,
                           bool (*want)(const xlm_el *, const xlm_el_symbol *, const void *),
                           const void *arg);
const char *xlm_el_text(xlm_el *e, xlm_span s); // the source in backquotes, or "this" if it is long
bool xlm_el_enter(xlm_el *e, xlm_span s);       // counts depth and steps; false: reported, stop
static inline void xlm_el_leave(xlm_el *e) {
  e->depth--;
}

// number.c
xlm_number xlm_num_int(int64_t i);
xlm_number xlm_num_real(double v);
const char *xlm_num_text(xlm_arena *a, xlm_number n);
// NULL and *out, or the error ("division by zero").
const char *xlm_num_binary(xlm_binary op, xlm_number a, xlm_number b, xlm_number *out);
typedef struct xlm_num_fn {
  const char *name;
  int arity;
  const char *(*run)(const xlm_number *x, xlm_number *out);
} xlm_num_fn;
const xlm_num_fn *xlm_num_find(const char *name);

// decl.c
void xlm_el_declare_all(xlm_el *e); // dims, lets, presets, settings; values; checks; config
xlm_el_symbol *xlm_el_declare(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s);
bool xlm_el_force(xlm_el *e, xlm_el_decl *d, xlm_span at); // computes d->value
void xlm_el_check(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s);

// kind.c: other tools distinguish 1, 1.0 and true. A number is what the text writes it as, whatever its
// value: a let stays real when it is set to 0.
xlm_plan_number xlm_el_kind_of(xlm_el *e, xlm_el_decl *d); // DONE
xlm_plan_number xlm_el_kind_of_expr(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, xlm_number value);

// paths.c
// Can the model have a parameter with this path (indices as `*`) under some settings?
bool xlm_el_may_have(const xlm_el *e, const char *pattern);

// walk.c
void xlm_el_walk_names(const xlm_expr *x, void (*fn)(void *, const char *, xlm_span),
                       void *context); // x may be NULL
void xlm_el_walk_all(const xlm_stmt *list, void (*fn)(void *, const char *, xlm_span), void *context);

// dims.c
// suggests sizes that work for a / b (or a % b == 0) with these values
void xlm_el_help_sizes(xlm_el *e, xlm_diag *g, const xlm_expr *x, int64_t a, const xlm_expr *y, int64_t b);
xlm_dim xlm_el_dim(xlm_el *e, xlm_el_frame *f, const char *name, xlm_span at); // 0: reported
bool xlm_el_dim_names(xlm_el *e, xlm_el_frame *f, const xlm_ast_name *names, xlm_dim out[XLM_MAX_RANK],
                      int *n);
typedef struct xlm_el_shape {
  xlm_dim dim[XLM_MAX_RANK];
  int n;
  bool more; // ends with `..`
} xlm_el_shape;
bool xlm_el_dim_list(xlm_el *e, xlm_el_frame *f, const xlm_ast_dim *list, bool dots, xlm_span at,
                     xlm_el_shape *out);
const char *xlm_el_dims_text(xlm_el *e, const xlm_dim *d, int n, bool more);
const char *xlm_el_type_text(xlm_el *e, xlm_val v); // "[batch, seq, hidden]"
const char *xlm_el_ast_text(xlm_el *e, const xlm_ast_dim *list);

// tensor.c
void xlm_el_declare_tensor(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s); // PARAM STATE INPUT
xlm_val xlm_el_leaf(xlm_el *e, xlm_op_id op, const char *path, const xlm_el_shape *shape, const xlm_stmt *s,
                    xlm_attr_list *attrs); // 0: an error was reported

// input.c
xlm_el_value xlm_el_input(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s);

// initializer.c
bool xlm_el_initializer(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, const xlm_el_shape *shape,
                        xlm_init *out);
// A formula of `value`, an element of a tensor of this type, as a program; NULL: an error was reported.
const struct xlm_code *xlm_el_of_value(xlm_el *e, const xlm_expr *x, const xlm_type *t);
// Is this the name of a random draw, inside a formula? Then a call of it is xlm_el_draw.
bool xlm_el_is_draw(const xlm_el *e, const char *name);
xlm_el_value xlm_el_draw(xlm_el *e, xlm_el_frame *f, const xlm_expr *x);

// expr.c
xlm_el_value xlm_el_eval(xlm_el *e, xlm_el_frame *f, const xlm_expr *x);
xlm_el_value xlm_el_one(xlm_el *e, xlm_el_frame *f, const xlm_expr *x); // a number or a single tensor
bool xlm_el_condition(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, xlm_number *out);
bool xlm_el_number(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, const char *what, xlm_number *out);
bool xlm_el_integer(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, const char *what, int64_t *out);

// unknown.c
xlm_el_value xlm_el_unknown_name(xlm_el *e, xlm_el_frame *f, const char *name, xlm_span at);
xlm_el_value xlm_el_unknown_function(xlm_el *e, xlm_el_frame *f, const xlm_expr *x); // a call
xlm_op_id xlm_el_callable(const char *name); // the operation that the text may call so, or XLM_OP_NONE

// stray.c
// Labels the operation at which dimension d joined the other dimensions of v by broadcasting, if there is
// one.
void xlm_el_label_stray(xlm_el *e, xlm_diag *g, xlm_val v, xlm_dim d);

// generic.c
// Binds the generic dimensions of a block in the frame of a call: to `given` where it is not 0, else to what
// follows from the arguments, by parameter. false: reported.
bool xlm_el_bind_generic(xlm_el *e, xlm_el_frame *frame, const xlm_expr *call, const xlm_stmt *block,
                         const xlm_el_operand *args, const xlm_dim *given);

// call.c, block.c
xlm_el_value xlm_el_call(xlm_el *e, xlm_el_frame *f, const xlm_expr *x);
xlm_el_value xlm_el_call_block(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, const xlm_stmt *block);

// emit.c
xlm_el_value xlm_el_emit(xlm_el *e, xlm_op_id op, const xlm_el_operand *in, int n, const xlm_attr_list *attrs,
                         xlm_span span);
xlm_val xlm_el_cast(xlm_el *e, xlm_el_value v,
                    bool wide);         // a parameter in the compute type, or (wide) any value in f32
xlm_dtype xlm_el_wide(const xlm_el *e); // f32, or f64 in an f64 graph

// stmt.c
bool xlm_el_run(xlm_el *e, xlm_el_frame *f, const xlm_stmt *list); // false: returned or stopped
void xlm_el_hoist(xlm_el *e, const xlm_stmt *list, bool nested);   // top-level tensors, visible everywhere
void xlm_el_flush_updates(xlm_el *e);
xlm_el_frame *xlm_el_home(xlm_el_frame *f); // the block or top frame around f

// seen.c: records what stands at `span`, made by the nodes from `first` on
void xlm_el_saw(xlm_el *e, const xlm_el_frame *f, xlm_span span, const xlm_el_value *v, xlm_node first);

// shard.c, weights.c, unused.c
void xlm_el_groups(xlm_el *e); // group.c: the graph's parameter groups
void xlm_el_shard_rules(xlm_el *e);
void xlm_el_shard_minted(xlm_el *e);
void xlm_el_shard_check(xlm_el *e);
// The attribute `split` from the axes written at the dimensions of a declaration; n = 0: there are none.
xlm_attr xlm_el_shard_local(xlm_el *e, const xlm_ast_dim *dims, const xlm_el_shape *shape);
void xlm_el_weights(xlm_el *e);
xlm_dim xlm_el_type_dim(const xlm_el *e, const xlm_type *t, const char *name); // 0: the type has no such dim
// Digits, or the name of a dim or let that is a whole number.
bool xlm_el_whole_number(const xlm_el *e, const char *text, int64_t *out);
typedef struct xlm_external_layout { // of the external tensor of an entry
  int part, parts;                   // which of how many slots; parts 0: the whole
  int rank;
  int64_t shape[XLM_MAX_RANK], *begin; // begin: of each slot, and the end; in units of `stride` elements
  int64_t stride;
} xlm_external_layout;
// Sets the factors of m, which has `each` already, from the entry's layout. False: reported.
bool xlm_el_layout(xlm_el *e, const xlm_weight *w, const xlm_type *t, xlm_plan_weight *m,
                   xlm_external_layout *out);
bool xlm_el_same_external(const xlm_external_layout *a, const xlm_external_layout *b); // but for the part
const char *xlm_el_external_text(xlm_el *e, const xlm_external_layout *l); // "[24, 8], slots of 4, 2 and 2"
void xlm_el_config(xlm_el *e);                                             // config.c: the graph's keys
void xlm_el_unused(xlm_el *e);

#endif
