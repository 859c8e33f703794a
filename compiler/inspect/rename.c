// Renames. What a new name would break cannot be seen from names alone: operations look for dimensions by
// name
// (`seq`), and paths of parameters follow from the names of blocks and repeats. So the text is compiled with
// the new name, with every preset, and must have the same errors, the same references, the same graph and the
// same parameter groups.
#include <ctype.h>
#include <string.h>

#include "compiler/inspect/inspect_priv.h"
#include "compiler/optimizer/optimizer.h"

const char *xlm_inspect_renamable(const xlm_inspection *v, uint32_t offset, xlm_arena *a, xlm_span *span) {
  const xlm_mark *m = xlm_inspect_mark(v, offset);
  if (!m) return "there is no name here";
  const char *text = xlm_arena_strndup(a, v->source->text + m->span.begin, m->span.end - m->span.begin);
  *span = m->span;
  if (m->kind == XLM_MARK_ALIAS)
    return xlm_arena_printf(a, "`%s` is a public name, for flags and config.json; rename `%s`", text,
                            v->symbols[m->symbol].name);
  if (m->kind == XLM_MARK_INSTANCE)
    return xlm_arena_printf(a, "`%s` is the name of an instance, a part of the names of its parameters",
                            text);
  if (m->kind != XLM_MARK_SYMBOL) return xlm_arena_printf(a, "`%s` is a word of the language", text);
  const xlm_symbol *s = &v->symbols[m->symbol];
  bool built_in = s->kind == XLM_SYMBOL_BUILT_IN ||
                  (s->kind == XLM_SYMBOL_DIM && (!strcmp(text, "batch") || !strcmp(text, "seq")));
  if (built_in) return xlm_arena_printf(a, "`%s` is built in", text);
  bool syntax = v->diags.errors && !v->graph;
  for (uint32_t i = 0; i < v->diags.n; i++) syntax |= !strncmp(xlm_diag_code(v->diags.at[i].id), "E01", 3);
  return syntax ? "the text has syntax errors; correct them first" : NULL;
}

static bool is_name(const char *name) {
  if (!isalpha((unsigned char)*name) && *name != '_') return false;
  while (isalnum((unsigned char)*name) || *name == '_') name++;
  return !*name;
}

// --- are two texts the same but for a name?

static const char *same_messages(const xlm_inspection *v, const xlm_inspection *w, xlm_arena *a) {
  const xlm_diags *d = &v->diags, *e = &w->diags;
  for (uint32_t i = 0; i < e->n; i++)
    if (i >= d->n || d->at[i].id != e->at[i].id)
      return xlm_arena_printf(a, "then %s: %s", xlm_diag_code(e->at[i].id), e->at[i].text);
  return d->n == e->n ? NULL : "then the text means something else";
}

static const char *same_references(const xlm_inspection *v, const xlm_inspection *w, xlm_arena *a) {
  for (uint32_t i = 0; i < v->n_marks && i < w->n_marks; i++) {
    const xlm_mark *m = &v->marks[i], *n = &w->marks[i];
    if (m->kind == n->kind && m->symbol == n->symbol && m->op == n->op && m->param == n->param &&
        m->defines == n->defines)
      continue;
    return xlm_arena_printf(a, "then `%.*s` would be another thing in %s", (int)(n->span.end - n->span.begin),
                            w->source->text + n->span.begin, xlm_source_where(a, w->source, n->span));
  }
  return v->n_marks == w->n_marks ? NULL : "then a name would refer to another thing";
}

static bool same_attrs(const xlm_attrs *a, const xlm_attrs *b) {
  if (a->n != b->n) return false;
  for (int i = 0; i < a->n; i++) {
    xlm_attr_kind k = xlm_attr_kind_of(a->at[i].key);
    if (a->at[i].key != b->at[i].key) return false;
    if (k != XLM_ATTR_TEXT && k != XLM_ATTR_SPLIT && !xlm_attr_same(&a->at[i], &b->at[i])) return false;
  }
  return true;
}

static bool same_node(const xlm_graph *g, const xlm_graph *h, xlm_node n) {
  const xlm_node_info *a = xlm_node_at(g, n), *b = xlm_node_at(h, n);
  if (a->op != b->op || a->n_in != b->n_in || a->n_out != b->n_out || !same_attrs(&a->attrs, &b->attrs))
    return false;
  for (int i = 0; i < a->n_in; i++)
    if (a->in[i] != b->in[i]) return false;
  for (int i = 0; i < a->n_out; i++) {
    const xlm_type *s = xlm_val_type(g, a->out + (xlm_val)i), *t = xlm_val_type(h, b->out + (xlm_val)i);
    if (s->dtype != t->dtype || s->rank != t->rank || memcmp(s->dim, t->dim, s->rank * sizeof *s->dim))
      return false;
  }
  return true;
}

static const char *same_graph(const xlm_graph *g, const xlm_graph *h, xlm_arena *a) {
  if (!g || !h) return NULL;
  xlm_node n = 1;
  while (n < g->n_nodes && n < h->n_nodes && same_node(g, h, n)) n++;
  if (n == g->n_nodes && n == h->n_nodes) return NULL;
  if (n >= g->n_nodes || n >= h->n_nodes) return "then the model computes something else";
  return xlm_arena_printf(a, "then `%s` in %s computes something else; it finds a dimension by its name",
                          xlm_op_name(g->nodes[n].op), xlm_source_where(a, g->source, g->nodes[n].span));
}

static const char *same_groups(const xlm_graph *g, const xlm_graph *h, xlm_arena *a) {
  const xlm_train_options o = {.optimizer = "adamw"};
  if (!g || !h || !g->n_groups) return NULL;
  const xlm_update_choice *x = xlm_optimizer_choose(g, &o, a), *y = xlm_optimizer_choose(h, &o, a);
  for (xlm_val v = 1; v < g->n_values; v++) {
    if (!x[v].group || !strcmp(x[v].group, y[v].group ? y[v].group : "")) continue;
    return xlm_arena_printf(a, "then the group \"%s\" no longer matches `%s`; change its pattern first",
                            x[v].group, g->values[v].name);
  }
  return NULL;
}

static const char *compare(const xlm_inspection *v, const xlm_inspection *w, xlm_arena *a) {
  const char *refused = same_messages(v, w, a);
  if (!refused) refused = same_references(v, w, a);
  if (!refused) refused = same_graph(v->graph, w->graph, a);
  if (!refused && !v->diags.errors) refused = same_groups(v->graph, w->graph, a);
  return refused;
}

// --- the rename

static const xlm_source *with_name(const xlm_inspection *v, const char *name, const xlm_span *at, uint32_t n,
                                   xlm_arena *a) {
  xlm_text t = xlm_text_new(a);
  uint32_t from = 0;
  for (uint32_t i = 0; i < n; from = at[i++].end) {
    xlm_text_addn(&t, v->source->text + from, at[i].begin - from);
    xlm_text_add(&t, name);
  }
  xlm_text_addn(&t, v->source->text + from, v->source->n - from);
  return xlm_source_new(a, v->source->path, t.data, t.n);
}

// With these presets; NULL: the sizes of the texts themselves.
static const char *compare_with(const xlm_source *before, const xlm_source *after, const char *preset,
                                const char *renamed, xlm_arena *a) {
  xlm_arena *scratch = xlm_arena_child(a);
  const xlm_inspection *old = xlm_inspect(scratch, before, preset);
  const char *refused = compare(old, xlm_inspect(scratch, after, renamed), scratch);
  if (refused) refused = xlm_arena_strdup(a, refused);
  xlm_arena_free(scratch);
  return refused;
}

static const char *compare_all(const xlm_inspection *v, const xlm_source *after, const xlm_symbol *symbol,
                               const char *name, xlm_arena *a) {
  const char *refused = compare_with(v->source, after, NULL, NULL, a);
  for (const xlm_stmt *s = v->ast->stmts; s && !refused; s = s->next)
    if (s->kind == XLM_STMT_PRESET)
      refused = compare_with(v->source, after, s->name->text, s == symbol->stmt ? name : s->name->text, a);
  return refused;
}

const char *xlm_inspect_rename(const xlm_inspection *v, uint32_t offset, const char *name, xlm_arena *a,
                               xlm_span **out, uint32_t *n) {
  xlm_span span;
  uint32_t cap = 0;
  const char *refused = xlm_inspect_renamable(v, offset, a, &span);
  *out = NULL;
  *n = 0;
  if (refused) return refused;
  if (!is_name(name)) return "a name has letters, digits and `_`, and does not begin with a digit";
  uint32_t symbol = xlm_inspect_mark(v, offset)->symbol;
  if (!strcmp(v->symbols[symbol].name, name)) return NULL;
  for (uint32_t i = 0; i < v->n_marks; i++)
    if (v->marks[i].kind == XLM_MARK_SYMBOL && v->marks[i].symbol == symbol)
      XLM_PUSH(a, *out, *n, cap, v->marks[i].span);
  for (uint32_t i = 0; i < *n; i++)
    if ((*out)[i].begin >= v->source->files[0].end)
      return xlm_arena_printf(a, "`%s` is also in %s, which other models may use", v->symbols[symbol].name,
                              xlm_source_where(a, v->source, (*out)[i]));
  return compare_all(v, with_name(v, name, *out, *n, a), &v->symbols[symbol], name, a);
}
