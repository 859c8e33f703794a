// What surrounds the nodes in the graph's text: dims, rules, weights, groups, and the settings of the model.
#include <math.h>

#include "compiler/ir/text_read_priv.h"

enum { MAX_DIMS = 4096 };

bool xlm_text_config_line(reader *r) {
  xlm_plan_config c = {0};
  if (!xlm_lex_word(&r->x, true, &c.name) || !xlm_lex_want(&r->x, ":")) return false;
  if (xlm_lex_try(&r->x, "int"))
    c.kind = XLM_NUMBER_INT;
  else if (xlm_lex_try(&r->x, "bool"))
    c.kind = XLM_NUMBER_BOOL;
  else if (!xlm_lex_want(&r->x, "real"))
    return false;
  if (!xlm_lex_want(&r->x, "=") || !xlm_lex_double(&r->x, &c.value)) return false;
  for (bool more = xlm_lex_try(&r->x, "as"); more; more = xlm_lex_try(&r->x, ",")) {
    if (c.n_aliases == sizeof c.alias / sizeof *c.alias) return xlm_lex_fail(&r->x, "more than 8 names");
    if (!xlm_lex_word(&r->x, true, &c.alias[c.n_aliases++])) return false;
  }
  XLM_PUSH(r->arena, r->g->config, r->g->n_config, r->g->cap_config, c);
  return true;
}

bool xlm_text_dim_line(reader *r) {
  xlm_dim_info d = {0};
  if (!xlm_text_dim_name(r, &d.name, &d.axes) || !xlm_lex_want(&r->x, "=")) return false;
  if (!*d.name) return xlm_lex_fail(&r->x, "a dimension without a name");
  if (!xlm_lex_int(&r->x, 0, XLM_TEXT_MAX_SIZE, &d.size)) return false;
  d.full = d.size;
  if (xlm_lex_try(&r->x, "of") && !xlm_lex_int(&r->x, 0, XLM_TEXT_MAX_SIZE, &d.full)) return false;
  if (xlm_lex_try(&r->x, "from") && !xlm_lex_int(&r->x, 0, XLM_TEXT_MAX_SIZE, &d.offset)) return false;
  if (xlm_lex_try(&r->x, "then") &&
      (!xlm_lex_int(&r->x, 1, XLM_TEXT_MAX_SIZE, &d.tail) || !xlm_lex_want(&r->x, "from") ||
       !xlm_lex_int(&r->x, 0, XLM_TEXT_MAX_SIZE, &d.tail_offset)))
    return false;
  if (xlm_lex_try(&r->x, "mirrored") && !xlm_lex_uint(&r->x, 1, UINT32_MAX, &d.mirrored)) return false;
  if (xlm_lex_try(&r->x, "by") && !xlm_lex_int(&r->x, 1, XLM_TEXT_MAX_SIZE, &d.grain)) return false;
  d.ragged = xlm_lex_try(&r->x, "ragged");
  if (xlm_graph_dim_find(r->g, d.name, d.axes))
    return xlm_lex_fail(&r->x, "dimension `%.100s` appears twice", d.name);
  if (r->g->n_dims > MAX_DIMS) return xlm_lex_fail(&r->x, "more than %d dimensions", MAX_DIMS);
  xlm_graph_dim_add(r->g, d);
  return true;
}

bool xlm_text_shard_line(reader *r) {
  xlm_shard_rule s = {0};
  if (!xlm_lex_word(&r->x, true, &s.dim) || !xlm_lex_want(&r->x, "over")) return false;
  for (bool more = !xlm_lex_try(&r->x, "none"); more; more = xlm_lex_try(&r->x, ",")) {
    if (s.n_axes == XLM_MAX_AXES) return xlm_lex_fail(&r->x, "more than %d mesh axes", XLM_MAX_AXES);
    if (!xlm_lex_word(&r->x, true, &s.axis[s.n_axes++])) return false;
  }
  if (xlm_lex_try(&r->x, "where")) s.where_free = xlm_lex_want(&r->x, "free");
  if (!xlm_text_span(r, &s.span)) return false;
  XLM_PUSH(r->arena, r->g->rules, r->g->n_rules, r->g->cap_rules, s);
  return true;
}

bool xlm_text_key_line(reader *r) {
  xlm_plan_key k = {0};
  if (!xlm_lex_quoted(&r->x, &k.key) || !xlm_lex_want(&r->x, "=") || !xlm_lex_quoted(&r->x, &k.json))
    return false;
  if (!xlm_text_span(r, &k.span)) return false;
  XLM_PUSH(r->arena, r->g->keys, r->g->n_keys, r->g->cap_keys, k);
  return true;
}

static bool factor(reader *r, xlm_plan_factor *f) {
  int64_t n = 0;
  if (!xlm_lex_try(&r->x, "#")) {
    if (!xlm_text_dim(r, &f->dim)) return false;
    f->step = 1;
    return !xlm_lex_try(&r->x, "~") ||
           (xlm_lex_int(&r->x, 1, XLM_TEXT_MAX_SIZE, &f->size) && xlm_lex_want(&r->x, "*") &&
            xlm_lex_int(&r->x, 1, XLM_TEXT_MAX_SIZE, &f->step));
  }
  if (!xlm_lex_int(&r->x, 0, XLM_TEXT_MAX_SIZE, &f->at) || !xlm_lex_want(&r->x, "/")) return false;
  if (!xlm_lex_int(&r->x, 1, XLM_TEXT_MAX_SIZE, &f->of)) return false;
  if (xlm_lex_try(&r->x, "+") && !xlm_lex_int(&r->x, 1, XLM_MAX_FACTORS, &n)) return false;
  f->n = (uint8_t)n;
  return true;
}

static bool factors(reader *r, xlm_plan_weight *w) {
  xlm_plan_factor *f = NULL;
  uint32_t n = 0, cap = 0;
  if (xlm_lex_try(&r->x, "]")) return true;
  do {
    if (w->n_groups == XLM_MAX_RANK) return xlm_lex_fail(&r->x, "more than %d groups", XLM_MAX_RANK);
    do {
      xlm_plan_factor one = {.group = w->n_groups};
      if (n == XLM_MAX_FACTORS) return xlm_lex_fail(&r->x, "more than %d factors", XLM_MAX_FACTORS);
      if (!factor(r, &one)) return false;
      XLM_PUSH(r->arena, f, n, cap, one);
    } while (!xlm_lex_done(&r->x) && *r->x.at != ',' && *r->x.at != ']');
    w->n_groups++;
  } while (xlm_lex_try(&r->x, ","));
  w->factors = f;
  w->n_factors = (uint8_t)n;
  return xlm_lex_want(&r->x, "]");
}

bool xlm_text_weight_line(reader *r) {
  xlm_plan_weight w = {0};
  if (!xlm_lex_word(&r->x, true, &w.param) || !xlm_lex_want(&r->x, "=")) return false;
  if (!xlm_lex_quoted(&r->x, &w.external)) return false;
  if (xlm_lex_try(&r->x, "each") && !xlm_text_dim(r, &w.each)) return false;
  if (!xlm_lex_want(&r->x, "[") || !factors(r, &w)) return false;
  w.optional = xlm_lex_try(&r->x, "optional");
  XLM_PUSH(r->arena, r->g->weights, r->g->n_weights, r->g->cap_weights, w);
  return true;
}

bool xlm_text_group_line(reader *r) {
  xlm_param_group g = {.rank = -1, .lr = NAN, .weight_decay = NAN};
  int64_t rank = -1;
  if (!xlm_lex_quoted(&r->x, &g.match)) return false;
  if (xlm_lex_try(&r->x, "rank") && !xlm_lex_int(&r->x, 0, XLM_MAX_RANK, &rank)) return false;
  if (xlm_lex_try(&r->x, "lr") && !xlm_lex_double(&r->x, &g.lr)) return false;
  if (xlm_lex_try(&r->x, "weight_decay") && !xlm_lex_double(&r->x, &g.weight_decay)) return false;
  if (xlm_lex_try(&r->x, "optimizer") && !xlm_lex_quoted(&r->x, &g.optimizer)) return false;
  if (xlm_lex_try(&r->x, "frozen"))
    g.frozen = XLM_FROZEN_YES;
  else if (xlm_lex_try(&r->x, "trained"))
    g.frozen = XLM_FROZEN_NO;
  g.rank = (int)rank;
  if (!xlm_text_span(r, &g.span)) return false;
  XLM_PUSH(r->arena, r->g->groups, r->g->n_groups, r->g->cap_groups, g);
  return true;
}
