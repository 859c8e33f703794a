// Canonical text of expressions and lists. Parentheses are printed where they were written; a parsed tree
// needs no others.
#include <string.h>

#include "compiler/format/format_priv.h"

void xlm_fmt_add(xlm_fmt_line *l, const char *s) {
  xlm_text_add(&l->text, s);
}

static void mark(xlm_fmt_line *l, int depth, int gap) {
  xlm_fmt_mark m = {(uint32_t)l->text.n, depth, gap};
  XLM_PUSH(l->text.arena, l->mark, l->n_marks, l->cap_marks, m);
}

void xlm_fmt_stop(xlm_fmt_line *l, int gap) {
  mark(l, -1, gap);
}

void xlm_fmt_comma(xlm_fmt_line *l) {
  xlm_fmt_add(l, ",");
  if (l->depth) mark(l, l->depth, 0);
  xlm_fmt_add(l, " ");
}

static void open(xlm_fmt_line *l, const char *bracket) {
  xlm_fmt_add(l, bracket);
  l->depth++;
}

static void close(xlm_fmt_line *l, const char *bracket) {
  xlm_fmt_add(l, bracket);
  l->depth--;
}

void xlm_fmt_string(xlm_fmt_line *l, const char *s) {
  xlm_fmt_add(l, "\"");
  for (; *s; s++) {
    if (*s == '\n')
      xlm_fmt_add(l, "\\n");
    else if (*s == '"' || *s == '\\')
      xlm_text_printf(&l->text, "\\%c", *s);
    else
      xlm_text_addn(&l->text, s, 1);
  }
  xlm_fmt_add(l, "\"");
}

void xlm_fmt_names(xlm_fmt_line *l, const xlm_ast_name *n) {
  for (; n; n = n->next) {
    xlm_fmt_add(l, n->text);
    if (n->next) xlm_fmt_comma(l);
  }
}

static void put_juxtaposed(xlm_fmt_line *l, const xlm_ast_name *n) {
  for (; n; n = n->next) {
    xlm_fmt_add(l, n->text);
    if (n->next) xlm_fmt_add(l, " ");
  }
}

static void axes(xlm_fmt_line *l, const xlm_ast_name *n) {
  if (n && n->next) {
    open(l, "(");
    xlm_fmt_names(l, n);
    close(l, ")");
  } else {
    xlm_fmt_add(l, n ? n->text : "none");
  }
}

void xlm_fmt_dims(xlm_fmt_line *l, const xlm_ast_dim *d) {
  open(l, "[");
  for (; d; d = d->next) {
    xlm_fmt_add(l, d->name ? d->name : "..");
    if (d->over_set) {
      xlm_fmt_add(l, " over ");
      axes(l, d->over);
    }
    if (d->next) xlm_fmt_comma(l);
  }
  close(l, "]");
}

static void put_sizes(xlm_fmt_line *l, const xlm_weight_size *s) {
  open(l, "(");
  for (; s; s = s->next) {
    put_juxtaposed(l, s->terms);
    if (s->next) xlm_fmt_comma(l);
  }
  close(l, ")");
}

static void put_factor(xlm_fmt_line *l, const xlm_weight_factor *f) {
  if (f->dim) {
    xlm_fmt_add(l, f->dim);
    return;
  }
  xlm_text_printf(&l->text, "%d of ", f->part);
  if (f->sizes)
    put_sizes(l, f->sizes);
  else
    xlm_text_printf(&l->text, "%d", f->parts);
}

void xlm_fmt_layout(xlm_fmt_line *l, const xlm_weight_group *g) {
  open(l, "[");
  for (; g; g = g->next) {
    for (const xlm_weight_factor *f = g->factors; f; f = f->next) {
      put_factor(l, f);
      if (f->next) xlm_fmt_add(l, " ");
    }
    if (g->next) xlm_fmt_comma(l);
  }
  close(l, "]");
}

void xlm_fmt_splits(xlm_fmt_line *l, const xlm_weight_split *s) {
  for (; s; s = s->next) {
    xlm_text_printf(&l->text, "%s = ", s->dim->text);
    put_juxtaposed(l, s->to);
    if (s->next) xlm_fmt_comma(l);
  }
}

// --- one function per kind of argument and of expression

static void arg_value(xlm_fmt_line *l, const xlm_arg *a) {
  xlm_fmt_expr(l, a->value);
}

static void arg_named(xlm_fmt_line *l, const xlm_arg *a) {
  xlm_text_printf(&l->text, "%s = ", a->name->text);
  xlm_fmt_expr(l, a->value);
}

static void arg_over(xlm_fmt_line *l, const xlm_arg *a) {
  xlm_fmt_add(l, "over ");
  xlm_fmt_names(l, a->dims);
}

static void arg_arrow(xlm_fmt_line *l, const xlm_arg *a) {
  put_juxtaposed(l, a->dims);
  xlm_fmt_add(l, " -> ");
  put_juxtaposed(l, a->to);
}

static void (*const args[])(xlm_fmt_line *, const xlm_arg *) = {[XLM_ARG_VALUE] = arg_value,
                                                                [XLM_ARG_NAMED] = arg_named,
                                                                [XLM_ARG_OVER] = arg_over,
                                                                [XLM_ARG_ARROW] = arg_arrow};

static void number(xlm_fmt_line *l, const xlm_expr *e) {
  xlm_fmt_add(l, e->number.text);
}

static void string(xlm_fmt_line *l, const xlm_expr *e) {
  xlm_fmt_string(l, e->string.text);
}

static void name(xlm_fmt_line *l, const xlm_expr *e) {
  xlm_fmt_add(l, e->name.text);
}

static void indexed(xlm_fmt_line *l, const xlm_expr *e) {
  xlm_fmt_add(l, e->index.base->text);
  open(l, "[");
  xlm_fmt_expr(l, e->index.index);
  close(l, "]");
}

static void unary(xlm_fmt_line *l, const xlm_expr *e) {
  xlm_fmt_add(l, e->unary.logical_not ? "not " : "-");
  xlm_fmt_expr(l, e->unary.x);
}

static void binary(xlm_fmt_line *l, const xlm_expr *e) {
  static const char *const sign[XLM_BIN_COUNT] = {
      "+", "-", "*", "/", "%", "**", "@", "==", "!=", "<", "<=", ">", ">=", "and", "or"};
  xlm_fmt_expr(l, e->binary.a);
  xlm_text_printf(&l->text, " %s ", sign[e->binary.op]);
  xlm_fmt_expr(l, e->binary.b);
}

static void call(xlm_fmt_line *l, const xlm_expr *e) {
  if (e->call.recompute) xlm_fmt_add(l, "recompute ");
  xlm_fmt_add(l, e->call.callee->text);
  if (e->call.instance) xlm_text_printf(&l->text, ".%s", e->call.instance->text);
  open(l, "(");
  for (const xlm_arg *a = e->call.args; a; a = a->next) {
    args[a->kind](l, a);
    if (a->next) xlm_fmt_comma(l);
  }
  close(l, ")");
}

static void conditional(xlm_fmt_line *l, const xlm_expr *e) {
  xlm_fmt_add(l, "if ");
  xlm_fmt_expr(l, e->cond.cond);
  xlm_fmt_add(l, " then ");
  xlm_fmt_expr(l, e->cond.then);
  xlm_fmt_add(l, " else ");
  xlm_fmt_expr(l, e->cond.otherwise);
}

static void tuple(xlm_fmt_line *l, const xlm_expr *e) {
  open(l, "(");
  for (const xlm_expr *x = e->tuple.items; x; x = x->next) {
    xlm_fmt_expr(l, x);
    if (x->next) xlm_fmt_comma(l);
  }
  close(l, ")");
}

static void (*const kinds[XLM_EXPR_KINDS])(xlm_fmt_line *, const xlm_expr *) = {
    [XLM_EXPR_NUMBER] = number, [XLM_EXPR_STRING] = string,  [XLM_EXPR_NAME] = name,
    [XLM_EXPR_INDEX] = indexed, [XLM_EXPR_UNARY] = unary,    [XLM_EXPR_BINARY] = binary,
    [XLM_EXPR_CALL] = call,     [XLM_EXPR_IF] = conditional, [XLM_EXPR_TUPLE] = tuple};

void xlm_fmt_expr(xlm_fmt_line *l, const xlm_expr *e) {
  if (e->parens) open(l, "(");
  kinds[e->kind](l, e);
  if (e->parens) close(l, ")");
}

// --- values of a config section

static bool is_word(const char *s) {
  size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
  static const char *const reserved[] = {"if", "then", "else", "and", "or", "not"};
  for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
    if (!strcmp(s, reserved[i])) return false;
  return n && !s[n] && (*s < '0' || *s > '9');
}

void xlm_fmt_key(xlm_fmt_line *l, const xlm_ast_name *key) {
  if (is_word(key->text))
    xlm_fmt_add(l, key->text);
  else
    xlm_fmt_string(l, key->text);
}

static void put_items(xlm_fmt_line *l, const xlm_config_item *i) {
  for (; i; i = i->next) {
    xlm_fmt_item(l, i);
    if (i->next) xlm_fmt_comma(l);
  }
}

static void item_expr(xlm_fmt_line *l, const xlm_config_item *i) {
  xlm_fmt_expr(l, i->expr);
}

static void item_list(xlm_fmt_line *l, const xlm_config_item *i) {
  open(l, "[");
  put_items(l, i->items);
  close(l, "]");
}

static void item_object(xlm_fmt_line *l, const xlm_config_item *i) {
  open(l, i->items ? "{ " : "{");
  for (const xlm_config_item *m = i->items; m; m = m->next) {
    xlm_fmt_key(l, m->key);
    xlm_fmt_add(l, " = ");
    xlm_fmt_item(l, m);
    xlm_fmt_add(l, m->next ? "  " : " ");
  }
  close(l, "}");
}

static void item_repeat(xlm_fmt_line *l, const xlm_config_item *i) {
  xlm_fmt_add(l, "repeat ");
  xlm_fmt_expr(l, i->expr);
  if (i->var) xlm_text_printf(&l->text, " as %s", i->var->text);
  open(l, " { ");
  put_items(l, i->items);
  close(l, " }");
}

void xlm_fmt_item(xlm_fmt_line *l, const xlm_config_item *i) {
  static void (*const kinds_of_items[])(xlm_fmt_line *,
                                        const xlm_config_item *) = {[XLM_CONFIG_EXPR] = item_expr,
                                                                    [XLM_CONFIG_LIST] = item_list,
                                                                    [XLM_CONFIG_OBJECT] = item_object,
                                                                    [XLM_CONFIG_REPEAT] = item_repeat};
  kinds_of_items[i->kind](l, i);
}
