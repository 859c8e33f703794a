// A node, from the graph's text: results, operation, operands, attributes, phase and place.
#include "compiler/ir/op.h"
#include "compiler/ir/text_read_priv.h"

enum { MAX_OPERANDS = 65534, MAX_RESULTS = 8 };

static bool type(reader *r, xlm_type *t) {
  int dtype;
  if (!xlm_text_named(r, XLM_ENUM_DTYPE, &dtype)) return false;
  t->dtype = (xlm_dtype)dtype;
  if (!xlm_text_dims(r, t->dim, &t->rank)) return false;
  int64_t elements = 1;
  for (int i = 0; i < t->rank; i++) {
    int64_t size = r->g->dims[t->dim[i]].size;
    if (size > 1 && elements > XLM_TEXT_MAX_SIZE / size)
      return xlm_lex_fail(&r->x, "a tensor of more than 2^48 elements");
    if (size > 1) elements *= size;
  }
  return true;
}

static bool result(reader *r, xlm_node_info *n) {
  xlm_val v;
  xlm_value at = {.def = r->g->n_nodes};
  if (!xlm_text_handle(r, &v)) return false;
  if (v != r->g->n_values) return xlm_lex_fail(&r->x, "%%%u stands where %%%u should", v, r->g->n_values);
  if (!xlm_lex_try(&r->x, ":"))
    if (!xlm_lex_word(&r->x, true, &at.name) || !xlm_lex_want(&r->x, ":")) return false;
  if (!type(r, &at.type)) return false;
  if (xlm_lex_try(&r->x, "partial") && !xlm_lex_uint(&r->x, 1, UINT32_MAX, &at.partial)) return false;
  if (xlm_lex_try(&r->x, "by") && !xlm_text_handle(r, &at.ragged_by)) return false;
  if (n->n_out++ == MAX_RESULTS) return xlm_lex_fail(&r->x, "more than %d results", MAX_RESULTS);
  XLM_PUSH(r->g->tables, r->g->values, r->g->n_values, r->g->cap_values, at);
  return true;
}

static bool operands(reader *r, xlm_node_info *n, xlm_val end) {
  xlm_val *at = NULL;
  uint32_t count = 0, cap = 0;
  if (!xlm_lex_want(&r->x, "(")) return false;
  while (!r->x.failed && !xlm_lex_try(&r->x, ")")) {
    xlm_val v;
    if (count && !xlm_lex_want(&r->x, ",")) return false;
    if (!xlm_text_handle(r, &v)) return false;
    if (v >= end) return xlm_lex_fail(&r->x, "%%%u is not defined yet", v);
    if (count == MAX_OPERANDS) return xlm_lex_fail(&r->x, "more than %d operands", MAX_OPERANDS);
    XLM_PUSH(r->arena, at, count, cap, v);
  }
  n->in = at;
  n->n_in = (uint16_t)count;
  return !r->x.failed;
}

static bool phase(reader *r, xlm_phase *out) {
  for (int p = 0; p < XLM_PHASES; p++)
    if (xlm_lex_try(&r->x, xlm_phase_name((xlm_phase)p))) {
      *out = (xlm_phase)p;
      return true;
    }
  return xlm_lex_fail(&r->x, "expected the phase: fwd, bwd, wgt or step");
}

static bool place(reader *r, xlm_node_info *n) {
  int64_t round = -1, stage = -1;
  if (!xlm_text_span(r, &n->span)) return false;
  if (xlm_lex_try(&r->x, "in") && !xlm_lex_word(&r->x, true, &n->scope)) return false;
  if (xlm_lex_try(&r->x, "round") && !xlm_lex_int(&r->x, INT32_MIN, INT32_MAX, &round)) return false;
  if (xlm_lex_try(&r->x, "stage") && !xlm_lex_int(&r->x, INT16_MIN, INT16_MAX, &stage)) return false;
  n->round = (int32_t)round;
  n->stage = (int16_t)stage;
  n->recompute = xlm_lex_try(&r->x, "recompute");
  return true;
}

bool xlm_text_node(reader *r) {
  xlm_node_info n = {.scope = "", .out = r->g->n_values};
  const char *op;
  if (xlm_lex_try(&r->x, "()")) {
    n.out = 0;
  } else {
    do {
      if (!result(r, &n)) return false;
    } while (xlm_lex_try(&r->x, ","));
  }
  if (!xlm_lex_want(&r->x, "=") || !xlm_lex_word(&r->x, false, &op)) return false;
  n.op = xlm_op_find(op);
  if (!n.op) return xlm_lex_fail(&r->x, "there is no operation `%.100s`", op);
  if (xlm_op_at(n.op)->expand)
    return xlm_lex_fail(&r->x, "`%.100s` exists in models only: graphs have its parts", op);
  if (!operands(r, &n, n.out ? n.out : r->g->n_values) || !xlm_text_attrs(r, &n.attrs)) return false;
  if (!phase(r, &n.phase) || !place(r, &n)) return false;
  XLM_PUSH(r->g->tables, r->g->nodes, r->g->n_nodes, r->g->cap_nodes, n);
  return true;
}
