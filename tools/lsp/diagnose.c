// Diagnostics: all of a document's, whenever it has changed.
#include "tools/lsp/lsp_priv.h"

enum { ERROR = 1, WARNING = 2, UNNECESSARY = 1 };

// One text: the sentence, what stands at the carets, notes and helps. Labels elsewhere are added for clients
// that do not show related places.
static const char *message(const lsp_session *s, const lsp_document *d, const xlm_diag *g) {
  xlm_text t = xlm_text_new(s->scratch);
  const xlm_source *source = d->view->source;
  if (g->n_labels && !lsp_is_here(d, g->labels[0].span))
    xlm_text_printf(&t, "%s: ", xlm_source_where(s->scratch, source, g->labels[0].span));
  xlm_text_add(&t, g->text);
  if (g->n_labels && g->labels[0].text) xlm_text_printf(&t, "\n%s", g->labels[0].text);
  for (int i = 1; !s->related && i < g->n_labels; i++)
    xlm_text_printf(&t, "\n%s: %s", xlm_source_where(s->scratch, source, g->labels[i].span),
                    g->labels[i].text);
  for (int i = 0; i < g->n_notes; i++)
    xlm_text_printf(&t, "\n%s: %s", g->notes[i].help ? "help" : "note", g->notes[i].text);
  return t.data;
}

static void related(const lsp_session *s, const lsp_document *d, xlm_json *j, xlm_span span,
                    const char *text) {
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  lsp_put_location(s, d, j, "location", span);
  xlm_json_put_text(j, "message", text);
  xlm_json_close(j);
}

static void all_related(const lsp_session *s, const lsp_document *d, xlm_json *j, const xlm_diag *g) {
  xlm_json_array(j, "relatedInformation", XLM_JSON_DENSE);
  for (int i = 1; i < g->n_labels; i++) related(s, d, j, g->labels[i].span, g->labels[i].text);
  for (int i = 0; i < g->n_notes; i++)
    if (g->notes[i].span.begin < g->notes[i].span.end) related(s, d, j, g->notes[i].span, g->notes[i].text);
  xlm_json_close(j);
}

static bool is_unused(xlm_diag_id id) {
  return id == XLM_W_UNUSED_PARAM || id == XLM_W_UNUSED_NAME || id == XLM_W_UNUSED_INPUT;
}

static void diagnostic(const lsp_session *s, const lsp_document *d, xlm_json *j, const xlm_diag *g) {
  uint32_t line = d->lines > 1 ? d->line_start[1] - 1 : (uint32_t)d->n;
  xlm_span at = {d->shift, d->shift + line}; // about the model: the first line
  if (g->n_labels) at = lsp_is_here(d, g->labels[0].span) ? g->labels[0].span : lsp_use_of(d);
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  lsp_put_range(d, j, "range", at);
  xlm_json_put_int(j, "severity", xlm_diag_is_error(g->id) ? ERROR : WARNING);
  xlm_json_put_text(j, "code", xlm_diag_code(g->id));
  xlm_json_put_text(j, "source", "xlm");
  xlm_json_put_text(j, "message", message(s, d, g));
  if (s->related) all_related(s, d, j, g);
  if (is_unused(g->id)) {
    xlm_json_array(j, "tags", XLM_JSON_DENSE);
    xlm_json_put_int(j, NULL, UNNECESSARY);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

static void no_memory(const lsp_document *d, xlm_json *j) {
  xlm_json_object(j, NULL, XLM_JSON_DENSE);
  lsp_put_range(d, j, "range", (xlm_span){0, 1});
  xlm_json_put_int(j, "severity", ERROR);
  xlm_json_put_text(j, "source", "xlm");
  xlm_json_put_text(j, "message", "there is not enough memory to check this model");
  xlm_json_close(j);
}

void lsp_publish(lsp_session *s, lsp_document *d) {
  const xlm_inspection *v = lsp_view(s, d);
  xlm_text t = xlm_text_new(s->scratch);
  xlm_json j;
  d->unpublished = false;
  xlm_json_to_text(&j, &t);
  xlm_json_object(&j, NULL, XLM_JSON_DENSE);
  xlm_json_put_text(&j, "uri", d->uri);
  if (d->has_version) xlm_json_put_int(&j, "version", d->version);
  xlm_json_array(&j, "diagnostics", XLM_JSON_DENSE);
  for (uint32_t i = 0; v && i < v->diags.n; i++) diagnostic(s, d, &j, &v->diags.at[i]);
  if (!v) no_memory(d, &j);
  xlm_json_close(&j);
  xlm_json_close(&j);
  lsp_notify(s, "textDocument/publishDiagnostics", t.data);
}
