// The definition of an op: one xlm_op per file of ops/, listed in ops/ops.def. No other code of the compiler
// refers to an op by name.
//
// A rule file gives: signature (how the language calls it), infer (types), layout (how it may be split),
// grad, cost, doc. Kernels are in ops/cpu and ops/ref, in files of the same name.
#ifndef XLM_IR_OP_H
#define XLM_IR_OP_H

#include "compiler/ir/build.h"
#include "compiler/ir/graph.h"

// Signature: how a call in the language sets operands and attributes. Positional arguments fill TENSORs in
// order, then NUMBER/DIM parameters in order; `name = value` sets by name; a bare flag name sets a FLAG.
typedef enum xlm_param_kind {
  XLM_P_TENSOR, // an operand
  XLM_P_REST,   // any number of further operands (concat, norm_sq)
  XLM_P_NAMED,  // an optional operand, given as `name = tensor`; the name is one of xlm_operand
  XLM_P_FLOAT,  // compile-time number -> FLOAT attribute
  XLM_P_INT,    // compile-time integer -> INT attribute
  XLM_P_FLAG,   // bare name -> INT attribute 1
  XLM_P_DIM,    // a dimension's name, positional or by name -> DIMS attribute of one
  XLM_P_OVER,   // `over a, b` -> DIMS attribute
  XLM_P_ARROW,  // `a b -> c` -> DIMS attributes `from` and `to`
  XLM_P_TEXT,   // a bare name or string -> TEXT attribute
  XLM_P_ENUM,   // a name of the attribute's set -> ENUM attribute
} xlm_param_kind;

typedef struct xlm_param {
  const char *name;
  xlm_param_kind kind;
  xlm_attr_key key; // unused for TENSOR, REST, NAMED
  bool required;
} xlm_param;

// Inference. The rule reads operand types and attributes, fills out[], and may set derived attributes, so
// that kernels and later passes need not compute them. On a user error it calls xlm_infer_fail and returns
// false.
typedef enum xlm_fault { // the diagnostic for a failed inference
  XLM_FAULT_NO_SHARED_DIM,
  XLM_FAULT_DIM_MISMATCH,
  XLM_FAULT_MISSING_DIM, // an operand lacks a dimension the op needs
  XLM_FAULT_EXTRA_DIM,   // an operand has a dimension the op does not accept
  XLM_FAULT_DTYPE,
  XLM_FAULT_ATTR, // an attribute's value
  XLM_FAULT_SIZE, // sizes do not fit (divisibility, range)
  XLM_FAULT_RANK, // more than XLM_MAX_RANK dimensions
  XLM_FAULTS,
} xlm_fault;

typedef struct xlm_infer {
  xlm_graph *g; // for dims; rules may create dims (xlm_graph_dim)
  const struct xlm_op *op;
  int n_in;
  const xlm_val *in;
  xlm_attrs attrs; // including those set by the rule
  int n_out;       // initially the op's; the rule may lower it
  xlm_type out[8];
  xlm_val ragged_by[8]; // set automatically when an output has a ragged dim; dispatch overrides
  xlm_fault fault;
  int fault_operand; // -1: the whole call
  const char *fault_text, *fault_help;
} xlm_infer;

bool xlm_infer_fail(xlm_infer *x, xlm_fault f, int operand, const char *fmt, ...)
    XLM_PRINTF(4, 5);                                                     // always false
bool xlm_infer_help(xlm_infer *x, const char *fmt, ...) XLM_PRINTF(2, 3); // always false
const xlm_type *xlm_infer_type(const xlm_infer *x, int operand);
// Optional operands: those that are there are the last ones, in the order of xlm_operand, and the attribute
// `operands` lists them. The position of one; -1: it is not there.
int xlm_infer_operand(const xlm_infer *x, xlm_operand what);
// One more operand, which the call implies.
void xlm_infer_add_operand(xlm_infer *x, xlm_operand what, xlm_val v);
const char *xlm_infer_dims_text(const xlm_infer *x, const xlm_type *t); // "[batch, seq, hidden]"
void xlm_infer_set_int(xlm_infer *x, xlm_attr_key key, int64_t v);
void xlm_infer_set_float(xlm_infer *x, xlm_attr_key key, double v);
void xlm_infer_set_dims(xlm_infer *x, xlm_attr_key key, const xlm_dim *dims, int n);
bool xlm_infer_is_float(xlm_infer *x, int operand); // else fails with DTYPE
// Does the operand have the dimension? Else fails with MISSING_DIM; `which` is a relative clause on the
// dimension that says what it is for: "along which the targets choose".
bool xlm_infer_has(xlm_infer *x, int operand, xlm_dim d, const char *which);
// The dimension attribute `key` if set, else the dimension of the operand named `fallback`, else (last) the
// operand's last dimension; otherwise fails. Sets the attribute. Used for seq, feature, vocab...
bool xlm_infer_dim_attr(xlm_infer *x, xlm_attr_key key, int operand, const char *fallback, bool last,
                        xlm_dim *out);

// Gradient. `in` and `out` are the node's values, `dout` the gradients of its outputs (0: none). The rule
// sets din[i] for each operand with need[i]; it has the operand's dims (in any order; differentiate reorders
// it) and the operand's dtype or f32. The rule must sum over broadcast dimensions (xlm_sum_to).
typedef struct xlm_grad {
  xlm_build *b;
  xlm_node node;
  const xlm_val *in, *out, *dout;
  const bool *need;
  xlm_val *din;
} xlm_grad;

typedef struct xlm_cost {
  double flops;       // multiply and add count as two; arithmetic as executed
  double model_flops; // as counted for MFU: matrix products and attention only (of causal attention the
                      // visible half)
  double bytes;       // minimum number of bytes read and written
} xlm_cost;

enum xlm_op_flags {
  XLM_OPF_VIEW = 1 << 0,        // no kernel: output 0 is operand 0's memory under other names
  XLM_OPF_ELEMENTWISE = 1 << 1, // a function that is fused; kernels see it only inside `fused`
  XLM_OPF_RANDOM = 1 << 2,      // not subject to common subexpression elimination
  XLM_OPF_INTERNAL = 1 << 3,    // cannot be called in the language
  XLM_OPF_OFFSETS = 1 << 4,     // when an operand is ragged, its offsets are appended as the last operand
  XLM_OPF_ROWS = 1 << 5,    // a function of rows (ops/rows.def), an instruction of `fused` if it is along the
                            // last dims of its operands
  XLM_OPF_NUMBERS = 1 << 6, // operands may be numbers of the model text; all elementwise functions take them
};

// An attribute that an operation takes, after inference has set the derived ones. The verifiers of graphs and
// of saved plans and the op reference use this declaration, so kernels may rely on it.
typedef struct xlm_attr_rule {
  xlm_attr_key key;
  int8_t of; // DIMS: the operand or result that has all of them: XLM_IN(i), XLM_OUT(i); or XLM_ANYWHERE
  uint8_t least, most; // DIMS: minimum and maximum number; INTS: minimum number
  bool may;            // is optional
  double low, high;    // INT, INTS, FLOAT: smallest and largest value; both 0: any
  uint32_t among;      // ENUM, INTS: bit i = value i of the set; 0: any of them
  double unset;        // optional INT, FLOAT, ENUM: the default ..
  const char *without; // .. or its description, if it is not a value
} xlm_attr_rule;

enum { XLM_ANYWHERE = 0 };
#define XLM_IN(i) (1 + (i))
#define XLM_OUT(i) (-1 - (i))
#define XLM_ATTR_MOST                                                                                        \
  ((double)((int64_t)1 << 50)) // for ranges without a natural bound: sums of a few do not overflow
#define XLM_TAKES(...)                                                                                       \
  .attrs = (const xlm_attr_rule[]){__VA_ARGS__},                                                             \
  .n_attrs = sizeof((const xlm_attr_rule[]){__VA_ARGS__}) / sizeof(xlm_attr_rule)

// Rewrites an operation whose kernel needs a dimension whole when that dimension is split over ranks.
typedef struct xlm_cut {
  xlm_build *b;
  const xlm_val *in; // operands, in the layouts given by the layout rule
  int n_in;
  const xlm_attrs *attrs; // with this rank's dimensions
  uint32_t axes;          // mesh axes over which the dimension is split
  int64_t full;           // its whole size
  xlm_ints sizes;         // of all members' pieces, in the order of the members and of the dimension
  const char *group;      // a name for the group, by its axes: "cp.tp"
  int64_t member;         // this rank's place in it
  xlm_val *out;           // set by the rule: a value for each result
} xlm_cut;

// Along the sequence, for decoding, which computes some places of it at a time (compiler/ir/chunk.h).
typedef enum xlm_along {
  XLM_ALONG_LOCAL,  // a result depends on its own place only
  XLM_ALONG_PLACED, // .. and on the place's number
  XLM_ALONG_BACK,   // .. and on earlier places
  XLM_ALONG_AHEAD,  // .. and on later ones
} xlm_along;

typedef struct xlm_reach {
  xlm_along along;
  uint32_t cached;  // BACK: bit i: the operation reads operand i of earlier places, ..
  int64_t back;     // .. of this many, its own included where it sees that; 0: all
  int64_t before;   // BACK: the last place that is read lies so many before its own
  const char *help; // AHEAD: what would make it look back only; NULL
} xlm_reach;

struct xlm_chunk;

typedef struct xlm_op {
  const char *name;
  xlm_op_facts facts; // properties used by the rest of the compiler and the runtime
  uint32_t flags;
  int8_t min_in, max_in; // number of operands, excluding offsets; max -1 = any
  int8_t n_out;
  int8_t n_alias; // outputs 0 .. n_alias - 1 are operands 0 .. n_alias - 1, updated in place (state updates)
  uint32_t in_place; // bit i: output 0 may reuse operand i's memory if it has the same type (order of dims,
                     // dtype) and operand i is not used afterwards
  const xlm_param *params;    // ends with name NULL; NULL for INTERNAL ops
  const xlm_attr_rule *attrs; // XLM_TAKES
  uint8_t n_attrs;
  // The lists of operands are followed by one for each optional operand that the op takes (the attribute
  // `operands`), present or not.
  // "[* over] -> [*] | over: sum". `*` is any other dimension, split freely. After the bar, per attribute
  // key, the meaning of a split of those dimensions: `sum` (the result is partial), `whole` (must not be
  // split), `index` (the kernel masks by the dim's offset; the result is partial), `place` (the kernel uses
  // the dim's offset), `match a` (split exactly as attribute a). `*: linear`: partial sums pass through when
  // all operands are partial over the same axes; `*: scaling`: through operand 0 when operand 1 is a
  // constant; `*: sum`: a result is partial over every axis that splits the operands and not it. `[..]+` on
  // an operand and a result: the result is linear in that operand, whose partial sums carry over to it while
  // the other operands are whole.
  const char *layout;
  bool (*infer)(xlm_infer *);
  // A composite (form `composite`): defined in terms of other ops. The builder emits those instead, using the
  // results of infer; no node has this op, so it has no layout, gradient or kernel. NULL for all others.
  xlm_val (*expand)(xlm_build *, const xlm_infer *);
  // Rewrites the operation into several with communication between them when the first dimension in attribute
  // `cut_along` of the first operand that has it is split. Pieces are runs of neighbours, in the order of the
  // members. NULL: the kernel handles what the layout rule allows.
  void (*cut)(const xlm_cut *);
  xlm_attr_key cut_along;
  // What the node is along the sequence; sequence[d]: dimension d is the sequence or derived from it (a
  // second name, merged with others). NULL: local where `facts.mixes` says so, else ahead.
  xlm_reach (*reach)(const xlm_graph *g, xlm_node n, const bool *sequence);
  // The result's dimension whose places are those of the sequence, numbered otherwise, as text behind an image; *out:
  // how many stand before the sequence's first. before[d]: the same of d; -1: d is not made of the sequence. 0: there
  // is none, or places are missing. NULL: there is none.
  xlm_dim (*places)(const xlm_graph *g, xlm_node n, const int64_t *before, int64_t *out);
  // Emits it for some places of the sequence. NULL: the operation itself, of these places.
  void (*chunk)(struct xlm_chunk *);
  double (*fold)(const double *x); // elementwise: the function on numbers; NULL: not folded at compile time
  // Elementwise with two operands: the equal function of operand 0 alone when operand 1 is this number
  // (pow: 2 is square); XLM_OP_NONE: there is none. NULL: there is none for any number.
  xlm_op_id (*simpler)(double operand);
  void (*grad)(xlm_grad *); // NULL: no_grad gives the reason
  const char *no_grad;
  void (*cost)(const xlm_graph *, xlm_node,
               xlm_cost *); // NULL: bytes of operands and results, no FLOPs
  // What a node computes beyond what its model's sizes say, for other tools: an object of config.json, under
  // the name `published_as`; NULL: as usual; "": only the model's config section can say it.
  const char *(*published)(const xlm_graph *, xlm_node, xlm_arena *);
  const char *published_as;
  const char *doc; // a paragraph: formula, conventions; markdown
} xlm_op;

// The error in the attributes of a node or instruction, a sentence in `a`; NULL: none. in and out: values of
// g.
const char *xlm_op_attrs_wrong(const xlm_op *op, const xlm_graph *g, const xlm_attrs *as, int n_in,
                               const xlm_val *in, int n_out, const xlm_val *out, xlm_arena *a);
// The key of the first attribute that differs from what inference derives; -1: none.
int xlm_attrs_differ(const xlm_attrs *have, const xlm_attrs *inferred);

extern const xlm_op *const xlm_op_table[XLM_OP_COUNT]; // ops/table.c
static inline const xlm_op *xlm_op_at(xlm_op_id id) {
  return xlm_op_table[id];
}
// Is the result the operand in another element type (attribute `dtype`)?
static inline bool xlm_op_casts(xlm_op_id id) {
  return xlm_op_at(id)->flags & XLM_OPF_ELEMENTWISE && xlm_op_facts_of(id)->keeps_values;
}
void xlm_op_cost(const xlm_graph *g, xlm_node n, xlm_cost *out); // op->cost or the default

#endif
