// What the files of elaborate offer each other; state_priv.h has the state that they share.
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
//   call.c        calls of operations, by their signatures; call_params.c sets parameters
//   unknown.c     names without a meaning: what was probably meant
//   stray.c       where a surplus dimension came from
//   emit.c        nodes: mixed precision, limits, failed inference -> diagnostic
//   block.c       calls of blocks: inlining, instances, signatures
//   generic.c     generic dimensions of blocks
//   stmt.c        statements; assign.c, update.c: assignments and updates
//   group.c       parameter groups
//   seen.c        records for editors
//   kind.c        real, whole or true: what numbers are for other tools
//   config.c      the config section
//   paths.c       parameter paths that the text can produce
//   shard.c, weights.c, weight_layout.c, unused.c   checks on the finished graph
#ifndef XLM_ELABORATE_ELABORATE_PRIV_H
#define XLM_ELABORATE_ELABORATE_PRIV_H

#include "compiler/elaborate/state_priv.h"

// files.c
bool xlm_el_files(xlm_el *e); // false: reported; the model is incomplete
// Is the place in another file than the model's? Names inside the blocks of such a file may hide the model's
// dims and lets: its author cannot know them.
bool xlm_el_is_used_file(const xlm_el *e, xlm_span at);

// scope.c
xlm_el_frame *xlm_el_home(xlm_el_frame *f);                          // the block or top frame around f
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

// assign.c, update.c: statements; true: go on with the next
bool xlm_el_assign(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s);
// Reports that `s` is assigned at this place. Returns false.
bool xlm_el_not_assignable(xlm_el *e, const xlm_el_symbol *s, xlm_span at);
bool xlm_el_update(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s);
void xlm_el_flush_updates(xlm_el *e);

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
