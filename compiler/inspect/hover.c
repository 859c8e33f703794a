// What an editor shows at a place.
#include <string.h>

#include "compiler/inspect/inspect_priv.h"
#include "compiler/ir/signature.h"

// The line on which the symbol gets a value, here or first, without its comment.
static void declaration(const xlm_inspection *v, const xlm_mark *m, const xlm_symbol *s, xlm_text *t) {
  const char *text = v->source->text;
  xlm_span at = s->kind == XLM_SYMBOL_ARGUMENT ? s->stmt->span : m->defines ? m->span : s->span;
  uint32_t begin = at.begin, end;
  while (begin > 0 && text[begin - 1] != '\n') begin--;
  while (text[begin] == ' ' || text[begin] == '\t') begin++;
  for (end = begin; end < v->source->n && text[end] != '\n' && text[end] != '#'; end++) continue;
  while (end > begin && strchr(" \t\r{", text[end - 1])) end--;
  xlm_text_add(t, "```xlm\n");
  xlm_text_addn(t, text + begin, end - begin);
  xlm_text_add(t, "\n```\n");
}

// Where the line before this one begins; the same at the beginning of the text.
static uint32_t line_above(const char *text, uint32_t line) {
  if (!line) return 0;
  for (line--; line > 0 && text[line - 1] != '\n'; line--) continue;
  return line;
}

static bool is_comment(const char *text, uint32_t line) {
  while (text[line] == ' ' || text[line] == '\t') line++;
  return text[line] == '#';
}

// Comment lines directly above a definition.
static void comment(const xlm_inspection *v, const xlm_symbol *s, xlm_text *t) {
  const char *text = v->source->text;
  uint32_t own = s->stmt->span.begin;
  while (own > 0 && text[own - 1] != '\n') own--;
  uint32_t first = own;
  while (first > 0 && is_comment(text, line_above(text, first))) first = line_above(text, first);
  for (uint32_t i = first; i < own; i++) {
    uint32_t begin = i + (uint32_t)strspn(text + i, " \t#"), end = i + (uint32_t)strcspn(text + i, "\r\n");
    xlm_text_add(t, i == first ? "\n\n" : " ");
    if (begin < end) xlm_text_addn(t, text + begin, end - begin);
    i += (uint32_t)strcspn(text + i, "\n");
  }
}

static void built_in(const xlm_symbol *s, xlm_text *t) {
  static const char *const docs[][2] = {
      {"batch", "samples computed at once; `--micro-batch-size`, the preset or `dim batch` sets it"},
      {"seq", "tokens per sample; `--seq-length`, the preset or `dim seq` sets it"},
      {"true", "1"},
      {"false", "0"}};
  xlm_text_printf(t, "**%s**, built in", s->name);
  for (int i = 0; i < 4; i++)
    if (!strcmp(docs[i][0], s->name)) xlm_text_printf(t, ": %s", docs[i][1]);
}

static void facts(const xlm_inspection *v, xlm_span span, xlm_text *t) {
  xlm_text_add(t, "\n");
  if (!xlm_inspect_facts(v, span, t)) t->data[--t->n] = 0;
}

static void rule(const xlm_inspection *v, const xlm_symbol *s, xlm_text *t) {
  for (uint32_t i = 0; v->graph && i < v->graph->n_rules; i++) {
    const xlm_shard_rule *r = &v->graph->rules[i];
    if (strcmp(r->dim, s->name) != 0 || !r->n_axes) continue;
    xlm_text_add(t, "\n\nMay be split");
    for (int k = 0; k < r->n_axes; k++) xlm_text_printf(t, "%s%s", k ? ", " : " over ", r->axis[k]);
    if (r->where_free) xlm_text_add(t, " where free");
  }
}

static void symbol(const xlm_inspection *v, const xlm_mark *m, xlm_text *t) {
  const xlm_symbol *s = &v->symbols[m->symbol];
  if (s->kind == XLM_SYMBOL_BUILT_IN) {
    built_in(s, t);
    return;
  }
  declaration(v, m, s, t);
  xlm_text_printf(t, "%s", xlm_symbol_what(s->kind));
  if (m->kind == XLM_MARK_INSTANCE)
    xlm_text_add(t, "; the name after the point is that of an instance, whose "
                    "parameters are its own");
  xlm_text here = xlm_text_new(t->arena);
  bool own = xlm_inspect_facts(v, m->span, &here);
  bool call = m->expr && m->expr->kind == XLM_EXPR_CALL;
  facts(v, call ? m->expr->span : own ? m->span : s->span, t);
  if (s->kind == XLM_SYMBOL_DIM) rule(v, s, t);
  comment(v, s, t);
}

static void operation(const xlm_inspection *v, const xlm_mark *m, xlm_text *t) {
  if (m->op) {
    xlm_text_add(t, "```xlm\n");
    xlm_op_signature(m->op, t, NULL);
    xlm_text_printf(t, "\n```\n%s\n", m->op->doc);
  } else if (m->kind == XLM_MARK_FUNCTION) {
    xlm_text_printf(t, "**%s**, a function of %s\n", m->expr->call.callee->text,
                    strcmp(m->expr->call.callee->text, "f32") ? "numbers"
                                                              : "tensors: the value in full precision");
  }
  facts(v, m->expr->span, t);
}

static const xlm_attr_rule *rule_of(const xlm_op *op, const xlm_param *p) {
  for (int i = 0; i < op->n_attrs; i++)
    if (op->attrs[i].key == p->key) return &op->attrs[i];
  return NULL;
}

static void attribute(const xlm_mark *m, xlm_text *t) {
  const xlm_attr_rule *r = rule_of(m->op, m->param);
  bool tensor = m->param->kind == XLM_P_TENSOR || m->param->kind == XLM_P_REST;
  xlm_text_printf(t, "**%s** of `%s`", m->param->name, m->op->name);
  if (!tensor) xlm_text_printf(t, ": %s", xlm_attr_doc(m->param->key));
  if (!tensor && xlm_attr_set_of(m->param->key) != XLM_ENUM_NONE) {
    xlm_text_add(t, "\n\nOne of ");
    xlm_enum_list(xlm_attr_set_of(m->param->key), r ? r->among : 0, t);
  }
}

bool xlm_inspect_hover(const xlm_inspection *v, uint32_t offset, xlm_text *t, xlm_span *span) {
  const xlm_mark *m = xlm_inspect_mark(v, offset);
  if (!m) return false;
  *span = m->span;
  switch (m->kind) {
  case XLM_MARK_SYMBOL:
  case XLM_MARK_ALIAS:
  case XLM_MARK_INSTANCE:
    symbol(v, m, t);
    break;
  case XLM_MARK_OP:
  case XLM_MARK_FUNCTION:
    operation(v, m, t);
    break;
  case XLM_MARK_ATTR:
    attribute(m, t);
    break;
  case XLM_MARK_VALUE:
    xlm_text_printf(t, "**%s**: %s", xlm_enum_name(m->set, m->value), xlm_enum_doc(m->set, m->value));
    break;
  }
  return t->n > 0;
}
