// The operations, by number: what the compiler, the plan and the kernels share. A name is for text only (the language,
// the IR's text, the plan's JSON, reports); ops/ops.def is the one list of them.
#ifndef XLM_PLAN_OP_H
#define XLM_PLAN_OP_H

typedef enum xlm_op_id {
  XLM_OP_NONE,
#define XLM_OP(name, NAME, room, form) XLM_OP_##NAME,
#include "ops/ops.def"
#undef XLM_OP
  XLM_OP_COUNT,
} xlm_op_id;

const char *xlm_op_name(xlm_op_id id);   // "all_reduce"
xlm_op_id xlm_op_find(const char *name); // XLM_OP_NONE when unknown

#endif
