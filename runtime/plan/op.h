// The operations, by number, and what each of them is: what the compiler, the plan, the kernels and the
// reports share.
//
// A name is for text only (the language, the IR's text, the plan's JSON, reports); ops/ops.def is the one
// list. What others must know of an operation stands in its own file (ops/NAME.c) as facts: properties that a
// pass, the verifier, the estimate or a report asks about. Nobody keeps a list of operations, so that a new
// one is known everywhere.
#ifndef XLM_PLAN_OP_H
#define XLM_PLAN_OP_H

#include "runtime/plan/type.h"

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

// How an operation communicates: what a member has before and after. `from`, `to` and `sizes` are its
// attributes.
typedef enum xlm_comm_form {
  XLM_COMM_NONE,
  XLM_COMM_REDUCE,    // a summand; then the whole sum
  XLM_COMM_SCATTER,   // a summand; then its piece of the sum along one dimension
  XLM_COMM_GATHER,    // a piece of one dimension; then all of it
  XLM_COMM_EXCHANGE,  // a piece of one dimension and all of another; then the reverse
  XLM_COMM_ROWS_OUT,  // rows packed by expert; then those of its own experts
  XLM_COMM_ROWS_BACK, // the reverse
  XLM_COMM_SEND,      // a message to the stage `peer`
  XLM_COMM_RECV,      // a message from it
  XLM_COMM_FORMS,
} xlm_comm_form;

// What follows from the form. A list: the sizes of all members' pieces of a dimension.
typedef struct xlm_comm_info {
  bool group;    // all members of a group (attribute `axes`) enter it together; otherwise a message
  bool reduces;  // partial sums over the group are complete afterwards
  bool rows;     // how many rows travel depends on the routing
  uint8_t lists; // in the attribute `sizes`
  uint8_t gives,
      takes; // bit k: the operand (the result) is a member's piece of list k's dimension, otherwise all of it
  uint8_t rounds; // around a ring of the members; 0: each sends to each of the others at once
} xlm_comm_info;

// The reduction that a result is, over the dimensions in the attribute `over`.
typedef enum xlm_reduction {
  XLM_REDUCTION_NONE,
  XLM_REDUCTION_SUM,
  XLM_REDUCTION_MEAN, // of several equal parts: the mean of their means
  XLM_REDUCTION_MAX,
  XLM_REDUCTION_LSE, // log of the sum of exponentials
} xlm_reduction;

typedef enum xlm_product { // counts as model FLOPs, and is dear enough to be worth keeping or hiding others
                           // behind
  XLM_PRODUCT_NONE,
  XLM_PRODUCT_MATRIX,
  XLM_PRODUCT_ATTENTION,
} xlm_product;

#define XLM_KEY(name) ((uint64_t)1 << XLM_A_##name)

typedef struct xlm_op_facts {
  // communication
  xlm_comm_form comm;
  bool converts_layout; // stands between a producer's layout and a consumer's; its result is a communication
                        // buffer
  // arithmetic
  xlm_reduction reduces;
  xlm_product product;
  xlm_op_id accumulating; // the operation that adds this one's result to its operand 0, in place
  bool additive;          // result 0 adds up over parts of the operands: of each operand, and of their list
  bool adds_operands;     // reads the sum of its operands, which may be parts of one `additive` result
  bool counts;            // counts tokens, so that results add up over microbatches
  bool of_totals; // may be evaluated from totals over the microbatches where its operand lacks the data's
                  // dimensions
  uint64_t mixes; // attributes (XLM_KEY) along whose dimensions an element of the result depends on several
                  // of the operand's; along all other dimensions the operation is local
  // operands, counted from 1; 0 = none
  uint8_t index;           // numbers that choose an element of the dimension ..
  xlm_attr_key index_into; // .. in this attribute
  uint8_t targets, valid;  // of a loss: the tokens; how many of them count
  // identity
  bool is_state;     // a value between steps
  bool renames;      // dimension to[i] is another name of from[i]
  bool makes_rows;   // its dimension `routed` holds rows of the dimensions `over`, and is split like them
  bool opaque;       // a view that means something to autodiff: not seen through
  bool keeps_values; // the result's elements are the operand's; of the same type, it is the operand
  struct {           // where operand `operand` is `value`, the result is the other operand
    uint8_t operand;
    double value;
  } neutral[2];
} xlm_op_facts;

const xlm_op_facts *xlm_op_facts_of(xlm_op_id id); // ops/table.c
const xlm_comm_info *xlm_comm_of(xlm_op_id id);    // NULL: it does not communicate

static inline bool xlm_op_sends(xlm_op_id id) { // a message: it is the receiver's
  return xlm_op_facts_of(id)->comm == XLM_COMM_SEND;
}
static inline bool xlm_op_receives(xlm_op_id id) {
  return xlm_op_facts_of(id)->comm == XLM_COMM_RECV;
}
static inline bool xlm_op_is_message(xlm_op_id id) {
  return xlm_op_sends(id) || xlm_op_receives(id);
}
// Entered by all members of a group together.
bool xlm_op_is_collective(xlm_op_id id);
// Does each element of the result depend on that element alone, along dimension d?
bool xlm_op_is_local(xlm_op_id id, const xlm_attrs *attrs, xlm_dim d);

XLM_C_END

#endif
