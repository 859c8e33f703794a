// Operation ids and facts, shared by the compiler, the plan, the kernels and the reports.
//
// Names are used only in text (the language, the IR, the plan's JSON, reports); ops/ops.def is the only list
// of operations. Facts are the properties of an operation that passes, the verifier, the estimate and the
// reports depend on. Each operation declares its own in ops/NAME.c, so that adding one touches no other code.
#ifndef XLM_PLAN_OP_H
#define XLM_PLAN_OP_H

#include "runtime/plan/attr.h"

XLM_C_BEGIN

typedef enum xlm_op_id {
  XLM_OP_NONE,
#define XLM_OP(name, NAME, room, form) XLM_OP_##NAME,
#include "ops/ops.def"
#undef XLM_OP
  XLM_OP_COUNT,
} xlm_op_id;

const char *xlm_op_name(xlm_op_id id);   // "all_reduce"
xlm_op_id xlm_op_find(const char *name); // XLM_OP_NONE when unknown

// How an operation communicates: what a member has before and after. `from`, `to` and `sizes` are attributes
// of the operation.
typedef enum xlm_comm_form {
  XLM_COMM_NONE,
  XLM_COMM_REDUCE,    // a summand; then the whole sum
  XLM_COMM_SCATTER,   // a summand; then its piece of the sum along one dimension
  XLM_COMM_GATHER,    // a piece of one dimension; then all of it
  XLM_COMM_EXCHANGE,  // a piece of one dimension and all of another; then the converse
  XLM_COMM_ROWS_OUT,  // rows packed by expert; then those of the member's own experts
  XLM_COMM_ROWS_BACK, // the inverse of ROWS_OUT
  XLM_COMM_SEND,      // a message to the stage `peer`
  XLM_COMM_RECV,      // a message from it
  XLM_COMM_FORMS,
} xlm_comm_form;

// Properties of a form. A list: the sizes of all members' pieces of a dimension.
typedef struct xlm_comm_info {
  bool group;    // all members of a group (attribute `axes`) enter it together; otherwise a message
  bool reduces;  // partial sums over the group are complete afterwards
  bool rows;     // the number of rows sent depends on the routing
  uint8_t lists; // number of lists in the attribute `sizes`
  uint8_t gives,
      takes; // bit k: the operand (the result) is a member's piece of list k's dimension, otherwise all of it
  uint8_t rounds; // steps around a ring of the members; 0: each sends to each of the others at once
} xlm_comm_info;

// Values without operands.
typedef enum xlm_leaf {
  XLM_LEAF_NONE,      // the operation computes
  XLM_LEAF_PARAMETER, // persists between steps and is trained
  XLM_LEAF_STATE,     // persists between steps
  XLM_LEAF_INPUT,     // data of the step
  XLM_LEAF_CONSTANT,  // every element is the number in attribute `value`
} xlm_leaf;

typedef enum xlm_product { // Counts as model FLOPs, and is expensive enough to be worth storing or to hide
                           // communication behind.
  XLM_PRODUCT_NONE,
  XLM_PRODUCT_MATRIX,
  XLM_PRODUCT_ATTENTION,
} xlm_product;

#define XLM_KEY(name) ((uint64_t)1 << XLM_A_##name)

typedef struct xlm_op_facts {
  // communication
  xlm_comm_form comm;
  bool converts_layout; // converts between a producer's and a consumer's layout; its result is a
                        // communication buffer
  // arithmetic
  xlm_reduction reduces; // what a result is over the dimensions in the attribute `over`
  xlm_product product;
  xlm_op_id accumulating; // the operation that adds this one's result to its operand 0 in place
  bool adds_last;         // `accumulating` adds sums that are complete: its bits are those of the addition
  xlm_op_id biased; // the operation that also adds a bias or a tensor of the result's type, further operands
  bool sums; // operand 0 is a sum over microbatches: added to, or overwritten if attribute `store` is set
  uint8_t linear;  // bit i: result 0 is linear in operand i while the other operands are fixed
  double terms[2]; // not 0: result 0 is terms[0] * operand 0 + terms[1] * operand 1
  bool additive;   // result 0 is a sum over parts of the operands: of each operand, and of the operand list
  bool adds_operands; // reads the sum of its operands, which may be parts of one `additive` result
  bool of_totals;     // may be evaluated on totals over the microbatches where its operand lacks the data's
                      // dimensions
  // Attributes (XLM_KEY) naming dimensions along which one element of the result depends on several of the
  // operand's; along all other dimensions the operation is local. A program names those of its rows.
  uint64_t mixes;
  // operands, counted from 1; 0 = none
  uint8_t index;           // holds indices into the dimension ..
  xlm_attr_key index_into; // .. that this attribute names
  uint8_t targets, valid;  // of a loss: the target tokens, and the number of them that count
  // Of a loss: the operation that computes its gradient from operands 0 and 1, result 1, the gradient of
  // result 0 and the other operands; and the one that computes that gradient and result 0 at once, from the
  // same without result 1.
  xlm_op_id gradient, with_gradient;
  uint8_t addend;  // of `sums`: the value added, unchanged; 0: the operation computes it
  uint8_t divisor; // the result is divided by it
  uint8_t stored;  // written to operand 0, a state; it is the result
  // identity
  xlm_leaf leaf;
  bool renames;      // dimension to[i] is another name of from[i]
  bool makes_rows;   // its dimension `routed` holds rows of the dimensions `over`, and is split as they are
  bool opaque;       // a view with a meaning for autodiff; passes do not look through it
  bool keeps_values; // the result has the operand's elements; when the types are equal too, it is the operand
  bool reorders;     // .. and differs in storage order only
  bool moves;        // every element of the result is an element of operand 0, or 0
  bool joins;        // joins tensors along dimensions from[i]: in a model they broadcast over the others
  bool indices;      // an element of the result is its index along the result's only dimension
  bool per_microbatch; // a view: its value is per microbatch, and that of the step is their mean
  struct {             // when operand `operand` equals `value`, the result is the other operand
    uint8_t operand;
    double value;
  } neutral[2];
  struct { // a FLOAT attribute that config.json contains, under this name; `absent`: its default
    xlm_attr_key key;
    const char *name; // NULL: none
    double absent;
  } published;
} xlm_op_facts;

const xlm_op_facts *xlm_op_facts_of(xlm_op_id id); // ops/table.c
const xlm_comm_info *xlm_comm_of(xlm_op_id id);    // NULL: it does not communicate
const xlm_comm_info *xlm_comm_info_of(xlm_comm_form form);
// List `list` of the attribute `sizes`, with an entry per member; none: it is unset, or holds other lists.
xlm_ints xlm_piece_sizes(const xlm_attrs *attrs, const xlm_comm_info *c, int list);

static inline bool xlm_op_is_leaf(xlm_op_id id) { // data: no kernel
  return xlm_op_facts_of(id)->leaf != XLM_LEAF_NONE;
}
static inline bool xlm_op_is_state(xlm_op_id id) { // a value that persists between steps
  xlm_leaf leaf = xlm_op_facts_of(id)->leaf;
  return leaf == XLM_LEAF_PARAMETER || leaf == XLM_LEAF_STATE;
}

static inline bool xlm_op_sends(xlm_op_id id) { // a message to a receiver
  return xlm_op_facts_of(id)->comm == XLM_COMM_SEND;
}
static inline bool xlm_op_receives(xlm_op_id id) {
  return xlm_op_facts_of(id)->comm == XLM_COMM_RECV;
}
static inline bool xlm_op_is_message(xlm_op_id id) {
  return xlm_op_sends(id) || xlm_op_receives(id);
}
// All members of a group enter it together.
bool xlm_op_is_collective(xlm_op_id id);
// Along dimension d, does each element of the result depend only on the element at the same place?
bool xlm_op_is_local(xlm_op_id id, const xlm_attrs *attrs, xlm_dim d);

XLM_C_END

#endif
