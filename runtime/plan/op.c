// Names of operations, and properties derived from their facts; see op.h.
#include "runtime/plan/op.h"

#include <string.h>

#include "runtime/plan/code.h"

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

_Static_assert(XLM_ATTR_KEYS <= 64, "facts name attributes by the bits of a word");

static const xlm_comm_info forms[XLM_COMM_FORMS] = {
    [XLM_COMM_REDUCE] = {.group = true, .reduces = true, .rounds = 2},
    [XLM_COMM_SCATTER] = {.group = true, .reduces = true, .lists = 1, .takes = 1, .rounds = 1},
    [XLM_COMM_GATHER] = {.group = true, .lists = 1, .gives = 1, .rounds = 1},
    [XLM_COMM_EXCHANGE] = {.group = true, .lists = 2, .gives = 1, .takes = 2},
    [XLM_COMM_ROWS_OUT] = {.group = true, .rows = true, .lists = 1, .takes = 1},
    [XLM_COMM_ROWS_BACK] = {.group = true, .rows = true, .lists = 1, .gives = 1},
};

const xlm_comm_info *xlm_comm_info_of(xlm_comm_form form) {
  return form ? &forms[form] : NULL;
}

const xlm_comm_info *xlm_comm_of(xlm_op_id id) {
  return xlm_comm_info_of(xlm_op_facts_of(id)->comm);
}

xlm_ints xlm_piece_sizes(const xlm_attrs *attrs, const xlm_comm_info *c, int list) {
  xlm_ints all = xlm_attr_ints(attrs, XLM_A_sizes);
  if (!c || list >= c->lists || all.n % c->lists) return (xlm_ints){0, NULL};
  uint32_t n = all.n / c->lists;
  return (xlm_ints){n, all.at + (size_t)list * n};
}

bool xlm_op_is_collective(xlm_op_id id) {
  const xlm_comm_info *c = xlm_comm_of(id);
  return c && c->group;
}

static bool names_dim(const xlm_attrs *attrs, const xlm_attr *a, xlm_dim d) {
  if (xlm_attr_kind_of(a->key) == XLM_ATTR_CODE) return xlm_code_mixes(attrs, d);
  return xlm_attr_has_dim(attrs, a->key, d);
}

bool xlm_op_is_local(xlm_op_id id, const xlm_attrs *attrs, xlm_dim d) {
  uint64_t mixes = xlm_op_facts_of(id)->mixes;
  for (int i = 0; i < attrs->n; i++)
    if (mixes >> attrs->at[i].key & 1 && names_dim(attrs, &attrs->at[i], d)) return false;
  return true;
}
