// A program over the elements or rows of tensors: what `fused` executes, one pass over memory.
//
// The space of a program is the dims of the attribute `dims`, in storage order. Registers 0 .. n_in - 1 are
// loaded from the operands, which are broadcast by dimension: an operand may have only some of the space's
// dims. Each instruction writes the next register; results are stored from registers. Registers hold f32 (f64
// in the reference backend) whatever the operands' dtypes. An instruction's operand is a register, or, when
// its index is XLM_CODE_IMM, the value in imm; at most one immediate per instruction.
//
// With row > 0, the last `row` dims of the space are a row, and
// - instructions may be row functions (ops/rows.def): an element of the result depends on the whole rows of
//   the operands, which are registers; imm is the function's attribute. A row has at most XLM_CODE_MAX_ROW
//   elements then, so that a block of threads can hold it in registers.
// - results may be summed: f32, of the row's dims only, the sum over all other dims. Results that are whole
//   precede those that are summed; all may be summed. A row has at most XLM_CODE_MAX_SUMMED elements then.
//   A backend whose `sum` promises an order of additions adds in that order.
// The space of a program with rows has no ragged dims.
#ifndef XLM_PLAN_CODE_H
#define XLM_PLAN_CODE_H

#include <stdint.h>

#include "runtime/base/cxx.h"
#include "runtime/plan/attr.h"
#include "runtime/plan/op.h"
#include "runtime/plan/type.h"

XLM_C_BEGIN

typedef enum xlm_fn {
#define XLM_FN(name, NAME, arity, doc) XLM_FN_##NAME,
#include "ops/elementwise.def"
#undef XLM_FN
  XLM_FN_ELEMENTWISE, // number of functions of elements; those of rows follow
  XLM_FN_LAST_ELEMENTWISE = XLM_FN_ELEMENTWISE - 1,
#define XLM_ROW_FN(name, NAME, arity, attribute) XLM_FN_##NAME,
#include "ops/rows.def"
#undef XLM_ROW_FN
  XLM_FN_COUNT,
} xlm_fn;

const char *xlm_fn_name(xlm_fn f);
int xlm_fn_arity(xlm_fn f);
xlm_attr_key xlm_fn_attr(xlm_fn f); // of a row function: the attribute that is its immediate; 0: of elements
// Of an operation that is an instruction of programs (XLM_OPF_ELEMENTWISE, XLM_OPF_ROWS).
xlm_fn xlm_fn_of(xlm_op_id op);

// A function of elements, of numbers; y and z are ignored if it has no such operands.
double xlm_fn_number(xlm_fn f, double x, double y, double z);

static inline bool xlm_fn_is_row(unsigned f) {
  return f >= XLM_FN_ELEMENTWISE;
}

enum {
  XLM_CODE_IMM = 0xFFFF,
  XLM_CODE_MAX_IN = 24,
  XLM_CODE_MAX_OUT = 7,
  XLM_CODE_MAX = 96,
  XLM_CODE_MAX_ROW = 16384,
  XLM_CODE_MAX_SUMMED = 65536
};

typedef struct xlm_code_instr {
  uint16_t fn;   // xlm_fn
  uint16_t a[3]; // registers or XLM_CODE_IMM
  double imm;
} xlm_code_instr;

typedef struct xlm_code {
  uint16_t n_in, n, n_out;
  uint16_t row;      // dims of a row; 0: a program of elements
  uint16_t n_summed; // the last results are summed
  const xlm_code_instr *at;
  uint16_t out[XLM_CODE_MAX_OUT];
} xlm_code;

// "<in 2; mul r0 r1; out r2>"
void xlm_code_print(const xlm_code *code, xlm_text *out);
// Result 0 of a program of elements for these operands, in double.
double xlm_code_number(const xlm_code *code, const double *in);
// The space of a program: its dims, and the element type f32.
xlm_type xlm_code_space(const xlm_attrs *attrs);
// Does an element of a result depend on several elements along d: in a row with functions of rows, or of what
// is summed?
bool xlm_code_mixes(const xlm_attrs *attrs, xlm_dim d);
// The last code->row dims of the space, f32: the type of a result that is summed.
xlm_type xlm_code_row_type(const xlm_code *code, const xlm_type *space);

XLM_C_END

#endif
