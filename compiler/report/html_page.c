// The page around the data, and the names of things in plans and graphs.
#include <string.h>

#include "compiler/report/graph_view.h"
#include "compiler/report/html_priv.h"

static void axis_colors(xlm_text *t, const xlm_mesh *m) {
  xlm_text_add(t, ":root {");
  for (int i = 0; m && i < m->n; i++)
    xlm_text_printf(t, " --axis-%d: %s;", i, xlm_view_axis_color(m, i).light);
  xlm_text_add(t, " }\n:root[data-theme=\"dark\"] {");
  for (int i = 0; m && i < m->n; i++)
    xlm_text_printf(t, " --axis-%d: %s;", i, xlm_view_axis_color(m, i).dark);
  xlm_text_add(t, " }\n");
}

void xlm_html_head(xlm_text *t, const char *title, const xlm_mesh *m) {
  xlm_text_add(t, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
  xlm_text_add_html(t, title);
  xlm_text_add(t, "</title>\n<style>\n");
  axis_colors(t, m);
  xlm_text_add(t, xlm_html_style);
  xlm_text_add(t, "</style>\n</head>\n<body>\n<noscript>This page draws itself with a script; its data is "
                  "JSON in the page.</noscript>\n"
                  "<script type=\"application/json\" id=\"data\">");
}

void xlm_html_foot(xlm_text *t, const char *kind) {
  xlm_text_add(t, "</script>\n<script>\n\"use strict\";\n");
  xlm_text_add(t, xlm_html_script);
  xlm_text_printf(
      t, "show_%s(JSON.parse(document.getElementById(\"data\").textContent));\n</script>\n</body>\n</html>\n",
      kind);
}

const char *xlm_html_type(xlm_arena *a, const xlm_type *type, const xlm_dim_info *dims, const xlm_mesh *m) {
  xlm_text s = xlm_text_new(a);
  xlm_view_type_text(&s, type, dims, m);
  return s.data;
}

const char *xlm_html_pattern(xlm_arena *a, const char *name) {
  xlm_text t = xlm_text_new(a);
  for (const char *p = name; *p; p++) {
    bool index = p > name && p[-1] == '.' && *p >= '0' && *p <= '9';
    xlm_text_addn(&t, index ? "*" : p, 1);
    while (index && p[1] >= '0' && p[1] <= '9') p++;
  }
  return t.data;
}

uint32_t xlm_html_split(const xlm_type *type, const xlm_dim_info *dims) {
  uint32_t axes = 0;
  for (int i = 0; i < type->rank; i++) axes |= dims[type->dim[i]].axes;
  return axes;
}

uint32_t xlm_html_line(const xlm_rank_plan *r, const xlm_instr *in) {
  return in->line || !in->n_in ? in->line : r->tensors[in->in[0]].line;
}

int xlm_html_kind(xlm_op_id op) {
  if (xlm_op_is_collective(op)) return XLM_HTML_COLLECTIVE;
  return xlm_op_sends(op) ? XLM_HTML_SEND : xlm_op_receives(op) ? XLM_HTML_RECV : XLM_HTML_OP;
}

void xlm_html_attrs(xlm_html *h, const xlm_attrs *attrs) {
  xlm_text t = xlm_text_new(h->a);
  xlm_view_attrs(&t, attrs);
  xlm_html_text(h, NULL, t.data);
}

enum { NAMED_FUNCTIONS = 4 };

const char *xlm_html_label(xlm_arena *a, xlm_op_id op, const xlm_attrs *attrs) {
  const xlm_attr *code = xlm_attr_find(attrs, XLM_A_code);
  if (!code) return xlm_op_name(op);
  xlm_text t = xlm_text_new(a);
  for (int i = 0; i < code->code->n; i++) {
    if (i == NAMED_FUNCTIONS && code->code->n > NAMED_FUNCTIONS + 1) {
      xlm_text_printf(&t, " + %d more", code->code->n - i);
      break;
    }
    xlm_text_printf(&t, "%s%s", i ? ", " : "", xlm_fn_name((xlm_fn)code->code->at[i].fn));
  }
  return t.data;
}
