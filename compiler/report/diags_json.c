// Diagnostics as data, for editors and services that check models.
#include "compiler/diagnose/source.h"
#include "compiler/report/report.h"

// Members that say where a span is: its file, and lines and columns from 1; the end is the place after it.
static void place(const xlm_diags *d, xlm_span span, xlm_json *j) {
  uint32_t line, column;
  xlm_json_put_text(j, "file", xlm_source_file_at(d->source, span.begin)->path);
  xlm_source_place(d->source, span.begin, &line, &column);
  xlm_json_put_int(j, "line", line);
  xlm_json_put_int(j, "column", column);
  xlm_source_place(d->source, span.end, &line, &column);
  xlm_json_put_int(j, "end_line", line);
  xlm_json_put_int(j, "end_column", column);
}

static void labels(const xlm_diags *d, const xlm_diag *g, xlm_json *j) {
  xlm_json_array(j, "labels", XLM_JSON_ROW);
  for (int i = 0; i < g->n_labels; i++) {
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    place(d, g->labels[i].span, j);
    xlm_json_put_text(j, "text", g->labels[i].text);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

static void notes(const xlm_diag *g, xlm_json *j) {
  xlm_json_array(j, "notes", XLM_JSON_ROW);
  for (int i = 0; i < g->n_notes; i++) {
    xlm_json_object(j, NULL, XLM_JSON_ROW);
    xlm_json_put_text(j, "kind", g->notes[i].help ? "help" : "note");
    xlm_json_put_text(j, "text", g->notes[i].text);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}

void xlm_report_diags_json(const xlm_diags *d, const char *key, xlm_json *j) {
  xlm_json_array(j, key, XLM_JSON_LINES);
  for (uint32_t i = 0; i < d->n; i++) {
    const xlm_diag *g = &d->at[i];
    xlm_json_object(j, NULL, XLM_JSON_LINES);
    xlm_json_put_text(j, "code", xlm_diag_code(g->id));
    xlm_json_put_text(j, "severity", xlm_diag_is_error(g->id) ? "error" : "warning");
    xlm_json_put_text(j, "message", g->text);
    labels(d, g, j); // the first is where it is
    notes(g, j);
    xlm_json_close(j);
  }
  xlm_json_close(j);
}
