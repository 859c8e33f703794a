// Names of operations; see op.h.
#include "runtime/plan/op.h"

#include <string.h>

static const char *const names[XLM_OP_COUNT] = {
    [XLM_OP_NONE] = "none",
#define XLM_OP(name, NAME, room, form) [XLM_OP_##NAME] = #name,
#include "ops/ops.def"
#undef XLM_OP
};

const char *xlm_op_name(xlm_op_id id) {
  return names[id];
}

xlm_op_id xlm_op_find(const char *name) {
  for (int i = 1; i < XLM_OP_COUNT; i++)
    if (!strcmp(names[i], name)) return (xlm_op_id)i;
  return XLM_OP_NONE;
}
