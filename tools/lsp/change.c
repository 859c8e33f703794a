// Requests that answer with edits: rename and formatting.
#include <string.h>

#include "tools/lsp/lsp_priv.h"

static void put_edit(const lsp_document *d, xlm_json *j, xlm_span span, const char *text, size_t n) {
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  lsp_put_range(d, j, "range", span);
  xlm_json_put_textn(j, "newText", text, n);
  xlm_json_close(j);
}

bool lsp_prepare_rename(lsp_session *s, const json_t *params, xlm_json *j) {
  lsp_document *d;
  uint32_t offset;
  xlm_span span;
  const xlm_inspection *v = lsp_at(s, params, &d, &offset);
  if (!v) return false;
  const char *refused = xlm_inspect_renamable(v, offset, s->scratch, &span);
  if (refused) return lsp_refuse(s, LSP_REQUEST_FAILED, "%s", refused);
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  lsp_put_range(d, j, "range", span);
  xlm_json_put_textn(j, "placeholder", v->source->text + span.begin, span.end - span.begin);
  xlm_json_close(j);
  return true;
}

bool lsp_rename(lsp_session *s, const json_t *params, xlm_json *j) {
  lsp_document *d;
  uint32_t offset, n;
  xlm_span *at;
  const char *name = json_string_value(json_object_get(params, "newName"));
  const xlm_inspection *v = lsp_at(s, params, &d, &offset);
  if (!v) return false;
  if (!name) return lsp_refuse(s, LSP_INVALID_PARAMS, "there is no newName");
  const char *refused = xlm_inspect_rename(v, offset, name, s->scratch, &at, &n);
  if (refused) return lsp_refuse(s, LSP_REQUEST_FAILED, "%s", refused);
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  xlm_json_object(j, "changes", XLM_JSON_DENSE);
  xlm_json_array(j, d->uri, XLM_JSON_DENSE);
  for (uint32_t i = 0; i < n; i++) put_edit(d, j, at[i], name, strlen(name));
  xlm_json_close(j);
  xlm_json_close(j);
  xlm_json_close(j);
  return true;
}

// The lines that differ, so that the cursor stays elsewhere.
static void put_difference(const lsp_document *d, xlm_json *j, const xlm_text *t) {
  size_t begin = 0, same = 0, shorter = d->n < t->n ? d->n : t->n;
  while (begin < shorter && d->text[begin] == t->data[begin]) begin++;
  while (begin > 0 && d->text[begin - 1] != '\n') begin--;
  while (same < shorter - begin && d->text[d->n - same - 1] == t->data[t->n - same - 1]) same++;
  while (same > 0 && d->text[d->n - same - 1] != '\n') same--;
  put_edit(d, j, (xlm_span){(uint32_t)begin + d->shift, (uint32_t)(d->n - same) + d->shift}, t->data + begin,
           t->n - same - begin);
}

bool lsp_format(lsp_session *s, const json_t *params, xlm_json *j) {
  lsp_document *d = lsp_find(s, params);
  if (!d) return false;
  const xlm_source *source = xlm_source_new(s->scratch, d->uri, d->text, d->n);
  xlm_diags diags;
  xlm_diags_init(&diags, s->scratch, source);
  const xlm_ast *ast = xlm_parse(s->scratch, source, &diags);
  if (diags.errors) {
    uint32_t line, column;
    xlm_source_place(source, diags.at[0].n_labels ? diags.at[0].labels[0].span.begin : 0, &line, &column);
    return lsp_refuse(s, LSP_REQUEST_FAILED, "line %u has a syntax error: %s", line, diags.at[0].text);
  }
  xlm_text t = xlm_text_new(s->scratch);
  xlm_format(ast, &t);
  xlm_json_array(j, NULL, XLM_JSON_DENSE);
  if (t.n != d->n || memcmp(t.data, d->text, t.n) != 0) put_difference(d, j, &t);
  xlm_json_close(j);
  return true;
}
