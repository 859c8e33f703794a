// See signature.h.
#include "compiler/ir/signature.h"

#include <string.h>

// %s: the parameter's name
static const char *shape_of(xlm_param_kind kind) {
  switch (kind) {
  case XLM_P_TENSOR:
  case XLM_P_FLAG: return "%s";
  case XLM_P_REST: return "%s ..";
  case XLM_P_NAMED: return "%s = tensor";
  case XLM_P_FLOAT: return "%s = number";
  case XLM_P_INT: return "%s = integer";
  case XLM_P_DIM: return "%s = dimension";
  case XLM_P_OVER: return "over d, ..";
  case XLM_P_ARROW: return "d .. -> e ..";
  case XLM_P_TEXT:
  case XLM_P_ENUM: return "%s = name";
  }
  return "";
}

void xlm_op_signature(const xlm_op *op, xlm_text *out, xlm_span *part) {
  xlm_text_printf(out, "%s(", op->name);
  for (const xlm_param *p = op->params; p && p->name; p++) {
    const char *shape = shape_of(p->kind), *hole = strstr(shape, "%s");
    if (p != op->params) xlm_text_add(out, ", ");
    uint32_t begin = (uint32_t)out->n;
    xlm_text_printf(out, "%s%s%s%s", p->required ? "" : "[", hole ? p->name : "", hole ? hole + 2 : shape,
                    p->required ? "" : "]");
    if (part) part[p - op->params] = (xlm_span){begin, (uint32_t)out->n};
  }
  xlm_text_add(out, ")");
}
