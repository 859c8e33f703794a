// Builders of the entries of weights and config sections.
#include <string.h>

#include "compiler/parse/parse_priv.h"

enum { MAX_PARTS = 1000 };

// --- weights

// The path without blanks and comments.
static const char *path_text(xlm_parser *p, xlm_span s) {
  char *text = xlm_arena_alloc(p->arena, s.end - s.begin + 1), *out = text;
  for (uint32_t i = s.begin; i < s.end; i++) {
    char c = p->source->text[i];
    if (c == '#')
      while (i + 1 < s.end && p->source->text[i + 1] != '\n') i++;
    else if (!strchr(" \t\r\n", c))
      *out++ = c;
  }
  return text;
}

xlm_weight *xlm_build_weight(xlm_parser *p, xlm_span s, xlm_span path, xlm_span external, const char *text) {
  xlm_weight *w = XLM_NEW(p->arena, xlm_weight);
  w->span = s;
  w->path_span = path;
  w->external_span = external;
  w->path = path_text(p, path);
  w->external = text;
  return w;
}

xlm_weight_group *xlm_build_group(xlm_parser *p, xlm_span s, xlm_list factors) {
  xlm_weight_group *g = XLM_NEW(p->arena, xlm_weight_group);
  g->span = s;
  g->factors = factors.first;
  return g;
}

xlm_weight_factor *xlm_build_factor(xlm_parser *p, xlm_span s, const char *dim) {
  xlm_weight_factor *f = XLM_NEW(p->arena, xlm_weight_factor);
  f->span = s;
  f->dim = dim;
  return f;
}

xlm_weight_factor *xlm_build_part(xlm_parser *p, xlm_span s, xlm_expr *part, xlm_expr *parts,
                                  xlm_weight_size *sizes) {
  xlm_weight_factor *f = xlm_build_factor(p, s, NULL);
  int64_t n = parts ? parts->number.exact : 0;
  for (const xlm_weight_size *x = sizes; x; x = x->next) n++;
  f->sizes = sizes;
  if (part->number.integer && (!parts || parts->number.integer) && n <= MAX_PARTS && part->number.exact < n) {
    f->part = (int)part->number.exact;
    f->parts = (int)n;
    return f;
  }
  xlm_diag *d = xlm_diag_push(p->diags, XLM_E_BAD_PART, s, "there is no part %.20s of %s", part->number.text,
                              parts ? xlm_arena_printf(p->arena, "%.20s", parts->number.text)
                                    : xlm_arena_printf(p->arena, "%lld", (long long)n));
  xlm_diag_help(p->diags, d, "parts count from 0: `0 of 3`, `1 of 3`, `2 of 3`");
  return f;
}

xlm_weight_size *xlm_build_size(xlm_parser *p, xlm_ast_name *term) {
  xlm_weight_size *s = XLM_NEW(p->arena, xlm_weight_size);
  s->terms = s->last = term;
  return s;
}

xlm_weight_size *xlm_build_times(xlm_weight_size *s, xlm_ast_name *term) {
  s->last->next = term;
  s->last = term;
  return s;
}

xlm_ast_name *xlm_build_term(xlm_parser *p, xlm_expr *number) {
  xlm_ast_name *n = xlm_build_name(p, number->span);
  if (!number->number.integer || number->number.exact < 1 || number->number.exact > INT32_MAX)
    xlm_diag_push(p->diags, XLM_E_BAD_PART, number->span, "a size is a whole number of at least 1, not %s",
                  n->text);
  else
    n->text = xlm_arena_printf(p->arena, "%lld", (long long)number->number.exact);
  return n;
}

xlm_weight_split *xlm_build_split(xlm_parser *p, xlm_ast_name *dim, xlm_list to) {
  xlm_weight_split *s = XLM_NEW(p->arena, xlm_weight_split);
  s->dim = dim;
  s->to = to.first;
  return s;
}

// --- config

xlm_ast_name *xlm_build_key(xlm_parser *p, xlm_span s, const char *text) {
  xlm_ast_name *n = XLM_NEW(p->arena, xlm_ast_name);
  n->text = text;
  n->span = s;
  return n;
}

xlm_config_item *xlm_build_item(xlm_parser *p, xlm_config_kind k, xlm_span s, xlm_expr *expr,
                                xlm_list items) {
  xlm_config_item *i = XLM_NEW(p->arena, xlm_config_item);
  i->kind = k;
  i->span = s;
  i->expr = expr;
  i->items = items.first;
  return i;
}
