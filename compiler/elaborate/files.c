// The files of a model: what could not be read, and what a used file may contain. Otherwise elaboration does
// not depend on files: blocks, dims and lets of all of them are one set of names.
#include "compiler/elaborate/elaborate_priv.h"

bool xlm_el_is_used_file(const xlm_el *e, xlm_span at) {
  const xlm_source *s = e->ast->source;
  return s->n_files > 1 && at.begin >= s->files[0].end;
}

static void report_failures(xlm_el *e, const xlm_stmt *use) {
  const xlm_source *s = e->ast->source;
  for (uint32_t i = 0; i < s->n_failures; i++) {
    if (s->failures[i].at != use->span.begin) continue;
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_USE, use->name->span, "%s", s->failures[i].text);
    if (s->failures[i].help) xlm_diag_help(e->diags, g, "%s", s->failures[i].help);
  }
  if (s->loaded || s->n_files > 1) return;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_USE, use->name->span, "this text is read without the files that it uses");
  xlm_diag_help(e->diags, g, "give the model as a file");
}

static void check_content(xlm_el *e, const xlm_stmt *s) {
  static const bool declares[XLM_STMT_KINDS] = {
      [XLM_STMT_USE] = true,    [XLM_STMT_BLOCK] = true, [XLM_STMT_DIM] = true,
      [XLM_STMT_LET] = true,    [XLM_STMT_CHECK] = true, [XLM_STMT_SHARD] = true,
      [XLM_STMT_PRESET] = true, [XLM_STMT_GROUP] = true, [XLM_STMT_WEIGHTS] = true};
  if (declares[s->kind]) return;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_USED_FILE, s->span, "a file that others use has only declarations");
  if (s->kind == XLM_STMT_MODEL)
    xlm_diag_help(e->diags, g,
                  "a whole model is not used by another; move its blocks into a file of their own");
  else
    xlm_diag_help(e->diags, g, "move this into a block, or into the model");
}

bool xlm_el_files(xlm_el *e) {
  uint32_t errors = e->diags->errors;
  for (const xlm_stmt *s = e->ast->stmts; s; s = s->next) {
    if (s->kind == XLM_STMT_USE) report_failures(e, s);
    if (xlm_el_is_used_file(e, s->span)) check_content(e, s);
  }
  return e->diags->errors == errors;
}
