// Attributes of an operation for people: numbers and choices by name, and the program of a fused one.
// Dimensions are left out, because types show them, and what differs between equal layers: names, random
// streams, messages' tags.
#include "compiler/report/graph_view.h"
#include "runtime/plan/code.h"

static bool is_shown(const xlm_attr *a) {
  xlm_attr_kind kind = xlm_attr_kind_of(a->key);
  bool of_transfer = a->key == XLM_A_axes || a->key == XLM_A_peer || a->key == XLM_A_tag;
  return !of_transfer &&
         (kind == XLM_ATTR_INT || kind == XLM_ATTR_FLOAT || kind == XLM_ATTR_ENUM || kind == XLM_ATTR_CODE);
}

static void value(xlm_text *t, const xlm_attr *a) {
  switch (xlm_attr_kind_of(a->key)) {
  case XLM_ATTR_FLOAT:
    xlm_text_double(t, a->f);
    break;
  case XLM_ATTR_ENUM:
    xlm_text_add(t, xlm_enum_name(xlm_attr_set_of(a->key), a->i));
    break;
  case XLM_ATTR_CODE:
    xlm_code_print(a->code, t);
    break;
  default:
    xlm_text_printf(t, "%lld", (long long)a->i);
  }
}

void xlm_view_attrs(xlm_text *t, const xlm_attrs *as) {
  bool first = true;
  for (int i = 0; i < as->n; i++) {
    if (!is_shown(&as->at[i])) continue;
    xlm_text_printf(t, "%s%s ", first ? "" : ", ", xlm_attr_name(as->at[i].key));
    value(t, &as->at[i]);
    first = false;
  }
}
