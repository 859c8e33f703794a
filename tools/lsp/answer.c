// Requests that only read.
#include <string.h>

#include "tools/lsp/lsp_priv.h"

static void put_markup(const lsp_session *s, xlm_json *j, const char *key, const char *text) {
  xlm_json_object(j, key, XLM_JSON_DENSE);
  xlm_json_put_text(j, "kind", s->markdown ? "markdown" : "plaintext");
  xlm_json_put_text(j, "value", text);
  xlm_json_close(j);
}

bool lsp_hover(lsp_session *s, const json_t *params, xlm_json *j) {
  lsp_document *d;
  uint32_t offset;
  const xlm_inspection *v = lsp_at(s, params, &d, &offset);
  if (!v) return false;
  xlm_text t = xlm_text_new(s->scratch);
  xlm_span span;
  if (!xlm_inspect_hover(v, offset, &t, &span)) return true;
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  put_markup(s, j, "contents", t.data);
  lsp_put_range(d, j, "range", span);
  xlm_json_close(j);
  return true;
}

// --- definitions and references

// The symbol at the position; NULL: none. false: refused.
static bool symbol_at(lsp_session *s, const json_t *params, lsp_document **d, const xlm_mark **m) {
  uint32_t offset;
  const xlm_inspection *v = lsp_at(s, params, d, &offset);
  if (!v) return false;
  *m = xlm_inspect_mark(v, offset);
  bool refers = *m && ((*m)->kind == XLM_MARK_SYMBOL || (*m)->kind == XLM_MARK_ALIAS ||
                       (*m)->kind == XLM_MARK_INSTANCE);
  if (!refers) *m = NULL;
  return true;
}

bool lsp_definition(lsp_session *s, const json_t *params, xlm_json *j) {
  lsp_document *d;
  const xlm_mark *m;
  if (!symbol_at(s, params, &d, &m)) return false;
  xlm_span at = m ? d->view->symbols[m->symbol].span : (xlm_span){0};
  if (at.begin < at.end) lsp_put_location(s, d, j, NULL, at);
  return true;
}

static bool refers_to(const xlm_mark *m, uint32_t symbol) {
  bool refers = m->kind == XLM_MARK_SYMBOL || m->kind == XLM_MARK_ALIAS || m->kind == XLM_MARK_INSTANCE;
  return refers && m->symbol == symbol;
}

bool lsp_references(lsp_session *s, const json_t *params, xlm_json *j) {
  lsp_document *d;
  const xlm_mark *m;
  const json_t *context = json_object_get(params, "context");
  bool all = !json_is_false(json_object_get(context, "includeDeclaration"));
  if (!symbol_at(s, params, &d, &m)) return false;
  if (!m) return true;
  xlm_span first = d->view->symbols[m->symbol].span;
  xlm_json_array(j, NULL, XLM_JSON_DENSE);
  for (uint32_t i = 0; i < d->view->n_marks; i++) {
    const xlm_mark *r = &d->view->marks[i];
    if (refers_to(r, m->symbol) && (all || r->span.begin != first.begin))
      lsp_put_location(s, d, j, NULL, r->span);
  }
  xlm_json_close(j);
  return true;
}

bool lsp_highlight(lsp_session *s, const json_t *params, xlm_json *j) {
  enum { READ = 2, WRITE = 3 };
  lsp_document *d;
  const xlm_mark *m;
  if (!symbol_at(s, params, &d, &m)) return false;
  if (!m) return true;
  xlm_json_array(j, NULL, XLM_JSON_DENSE);
  for (uint32_t i = 0; i < d->view->n_marks; i++) {
    const xlm_mark *r = &d->view->marks[i];
    if (!refers_to(r, m->symbol) || !lsp_is_here(d, r->span)) continue;
    xlm_json_object(j, NULL, XLM_JSON_DENSE);
    lsp_put_range(d, j, "range", r->span);
    xlm_json_put_int(j, "kind", r->defines ? WRITE : READ);
    xlm_json_close(j);
  }
  xlm_json_close(j);
  return true;
}

// --- symbols

typedef struct outline {
  const lsp_session *s;
  const lsp_document *d;
  const xlm_outline *at;
  uint32_t n;
} outline;

static int symbol_kind(xlm_symbol_kind k) { // the protocol's SymbolKind
  enum { FIELD = 8, ENUM = 10, FUNCTION = 12, VARIABLE = 13, CONSTANT = 14, ARRAY = 18 };
  static const int kinds[XLM_SYMBOLS] = {
      [XLM_SYMBOL_DIM] = CONSTANT, [XLM_SYMBOL_LET] = CONSTANT, [XLM_SYMBOL_BLOCK] = FUNCTION,
      [XLM_SYMBOL_PARAM] = FIELD,  [XLM_SYMBOL_STATE] = FIELD,  [XLM_SYMBOL_INPUT] = VARIABLE,
      [XLM_SYMBOL_INDEX] = ARRAY,  [XLM_SYMBOL_PRESET] = ENUM,
  };
  return kinds[k] ? kinds[k] : VARIABLE;
}

// Trees deeper than the writer's levels are cut; an outline has three or four.
static void children(const outline *o, xlm_json *j, const char *key, uint32_t parent, int depth) {
  xlm_json_array(j, key, XLM_JSON_DENSE);
  uint32_t i = parent == XLM_NO_SYMBOL ? 0 : parent + 1; // children follow their parent
  for (; i < o->n && (parent == XLM_NO_SYMBOL || o->at[i].span.begin < o->at[parent].span.end); i++) {
    const xlm_outline *e = &o->at[i];
    if (e->parent != parent) continue;
    xlm_json_object(j, NULL, XLM_JSON_DENSE);
    xlm_json_put_text(j, "name", e->name);
    xlm_json_put_text(j, "detail", e->detail);
    xlm_json_put_int(j, "kind", symbol_kind(e->kind));
    lsp_put_range(o->d, j, "range", e->span);
    lsp_put_range(o->d, j, "selectionRange", e->name_span);
    if (depth < 8) children(o, j, "children", i, depth + 1);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

static void flat(const outline *o, xlm_json *j) {
  xlm_json_array(j, NULL, XLM_JSON_DENSE);
  for (uint32_t i = 0; i < o->n; i++) {
    xlm_json_object(j, NULL, XLM_JSON_DENSE);
    xlm_json_put_text(j, "name", o->at[i].name);
    xlm_json_put_int(j, "kind", symbol_kind(o->at[i].kind));
    lsp_put_location(o->s, o->d, j, "location", o->at[i].span);
    if (o->at[i].parent != XLM_NO_SYMBOL) xlm_json_put_text(j, "containerName", o->at[o->at[i].parent].name);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

bool lsp_symbols(lsp_session *s, const json_t *params, xlm_json *j) {
  outline o = {.s = s, .d = lsp_find(s, params)};
  const xlm_inspection *v = o.d ? lsp_view(s, (lsp_document *)o.d) : NULL;
  xlm_outline *at;
  if (!v) return false;
  o.n = xlm_inspect_outline(v, s->scratch, &at);
  o.at = at;
  while (o.n && !lsp_is_here(o.d, at[o.n - 1].span)) o.n--; // files follow each other
  if (s->nested)
    children(&o, j, NULL, XLM_NO_SYMBOL, 0);
  else
    flat(&o, j);
  return true;
}

// --- completion

static int item_kind(const xlm_completion *c) { // the protocol's CompletionItemKind
  enum {
    FUNCTION = 3,
    FIELD = 5,
    VARIABLE = 6,
    CLASS = 7,
    PROPERTY = 10,
    KEYWORD = 14,
    MEMBER = 20,
    CONSTANT = 21
  };
  static const int kinds[] = {[XLM_COMPLETE_WORD] = KEYWORD,
                              [XLM_COMPLETE_OP] = FUNCTION,
                              [XLM_COMPLETE_ATTR] = PROPERTY,
                              [XLM_COMPLETE_VALUE] = MEMBER};
  static const int symbols[XLM_SYMBOLS] = {
      [XLM_SYMBOL_BUILT_IN] = CONSTANT, [XLM_SYMBOL_DIM] = CONSTANT, [XLM_SYMBOL_LET] = CONSTANT,
      [XLM_SYMBOL_BLOCK] = CLASS,       [XLM_SYMBOL_PARAM] = FIELD,  [XLM_SYMBOL_STATE] = FIELD,
  };
  if (c->kind != XLM_COMPLETE_SYMBOL) return kinds[c->kind];
  return symbols[c->symbol] ? symbols[c->symbol] : VARIABLE;
}

bool lsp_completion(lsp_session *s, const json_t *params, xlm_json *j) {
  lsp_document *d;
  uint32_t offset;
  const xlm_inspection *v = lsp_at(s, params, &d, &offset);
  if (!v) return false;
  xlm_completion *at;
  uint32_t n = xlm_inspect_complete(v, offset, s->scratch, &at);
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  xlm_json_put_bool(j, "isIncomplete", false);
  xlm_json_array(j, "items", XLM_JSON_DENSE);
  for (uint32_t i = 0; i < n; i++) {
    xlm_json_object(j, NULL, XLM_JSON_DENSE);
    xlm_json_put_text(j, "label", at[i].label);
    xlm_json_put_int(j, "kind", item_kind(&at[i]));
    if (at[i].detail) xlm_json_put_text(j, "detail", at[i].detail);
    if (at[i].doc) put_markup(s, j, "documentation", at[i].doc);
    if (at[i].insert) xlm_json_put_text(j, "insertText", at[i].insert);
    xlm_json_close(j);
  }
  xlm_json_close(j);
  xlm_json_close(j);
  return true;
}

bool lsp_signature(lsp_session *s, const json_t *params, xlm_json *j) {
  lsp_document *d;
  uint32_t offset;
  xlm_signature g;
  const xlm_inspection *v = lsp_at(s, params, &d, &offset);
  if (!v) return false;
  if (!xlm_inspect_signature(v, offset, s->scratch, &g)) return true;
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  xlm_json_array(j, "signatures", XLM_JSON_DENSE);
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  xlm_json_put_text(j, "label", g.label);
  if (g.doc) put_markup(s, j, "documentation", g.doc);
  xlm_json_array(j, "parameters", XLM_JSON_DENSE);
  for (uint32_t i = 0; i < g.n; i++) {
    xlm_json_object(j, NULL, XLM_JSON_DENSE);
    xlm_json_put_textn(j, "label", g.label + g.part[i].begin, g.part[i].end - g.part[i].begin);
    xlm_json_close(j);
  }
  xlm_json_close(j);
  xlm_json_close(j);
  xlm_json_close(j);
  xlm_json_put_int(j, "activeSignature", 0);
  xlm_json_put_int(j, "activeParameter", g.active);
  xlm_json_close(j);
  return true;
}
