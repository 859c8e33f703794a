// The op table, from ops.def. Each rule file defines one xlm_op named xlm_op_<name>; the elementwise family
// shares a file.
#include "compiler/ir/op.h"

#define XLM_OP(name, NAME, room, form) extern const xlm_op xlm_op_##name;
#include "ops/ops.def"
#undef XLM_OP

const xlm_op *const xlm_op_table[XLM_OP_COUNT] = {
#define XLM_OP(name, NAME, room, form) [XLM_OP_##NAME] = &xlm_op_##name,
#include "ops/ops.def"
#undef XLM_OP
};

const xlm_op_facts *xlm_op_facts_of(xlm_op_id id) {
  static const xlm_op_facts none;
  return xlm_op_table[id] ? &xlm_op_table[id]->facts : &none;
}
