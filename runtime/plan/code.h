// An elementwise program: what `fused` executes, one pass over memory.
//
// Registers 0 .. n_in - 1 are loaded from the operands, which are broadcast by dimension: an operand may have
// only some of the result's dims. Each instruction writes the next register; outputs are stored from
// registers. Registers hold f32 (f64 in the reference backend) whatever the operands' dtypes. An
// instruction's operand is a register, or, when its index is XLM_CODE_IMM, the value in imm; at most one
// immediate per instruction.
#ifndef XLM_PLAN_CODE_H
#define XLM_PLAN_CODE_H

#include <stdint.h>

#include "runtime/base/cxx.h"
#include "runtime/plan/op.h"

XLM_C_BEGIN

typedef enum xlm_fn {
#define XLM_FN(name, NAME, arity, doc) XLM_FN_##NAME,
#include "ops/elementwise.def"
#undef XLM_FN
  XLM_FN_COUNT,
} xlm_fn;

const char *xlm_fn_name(xlm_fn f);
int xlm_fn_arity(xlm_fn f);
xlm_fn xlm_fn_of(xlm_op_id op); // of an elementwise operation

enum { XLM_CODE_IMM = 0xFFFF, XLM_CODE_MAX_IN = 24, XLM_CODE_MAX_OUT = 7, XLM_CODE_MAX = 96 };

typedef struct xlm_code_instr {
  uint16_t fn;   // xlm_fn
  uint16_t a[3]; // registers or XLM_CODE_IMM
  double imm;
} xlm_code_instr;

typedef struct xlm_code {
  uint16_t n_in, n, n_out;
  const xlm_code_instr *at;
  uint16_t out[XLM_CODE_MAX_OUT];
} xlm_code;

XLM_C_END

#endif
