// The text of statements: of those on one line, and the heads of blocks.
#include "compiler/format/format_priv.h"

static void write_model(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "model %s", s->name->text);
}

static void write_use(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_fmt_add(l, "use ");
  xlm_fmt_string(l, s->name->text);
}

static void write_decl(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "%s %s", s->kind == XLM_STMT_DIM ? "dim" : "let", s->name->text);
  xlm_fmt_stop(l, 1);
  xlm_fmt_add(l, "= ");
  xlm_fmt_expr(l, s->expr);
  if (!s->decl.aliases) return;
  xlm_fmt_stop(l, 1);
  xlm_fmt_add(l, "as ");
  xlm_fmt_names(l, s->decl.aliases);
}

static void write_check(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_fmt_add(l, "check ");
  xlm_fmt_expr(l, s->expr);
  if (!s->check.message) return;
  xlm_fmt_add(l, ", ");
  xlm_fmt_string(l, s->check.message);
}

static void write_shard(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_fmt_add(l, "shard ");
  xlm_fmt_names(l, s->shard.dims);
  xlm_fmt_stop(l, 1);
  xlm_fmt_add(l, "over ");
  if (s->shard.none) xlm_fmt_add(l, "none");
  xlm_fmt_names(l, s->shard.axes);
  if (!s->shard.where_free) return;
  xlm_fmt_stop(l, 1);
  xlm_fmt_add(l, "where free");
}

static void write_input(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "input %s", s->name->text);
  xlm_fmt_dims(l, s->tensor.dims);
  xlm_fmt_stop(l, 1);
  if (s->tensor.of) xlm_text_printf(&l->text, "of %s", s->tensor.of->text);
  if (s->tensor.from) xlm_text_printf(&l->text, "%sfrom %s", s->tensor.of ? " " : "", s->tensor.from->text);
  if (!s->expr) return;
  xlm_fmt_add(l, " shifted ");
  xlm_fmt_expr(l, s->expr);
}

static void write_param(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "%s %s", s->kind == XLM_STMT_PARAM ? "param" : "state", s->name->text);
  xlm_fmt_dims(l, s->tensor.dims);
  xlm_fmt_stop(l, 1);
  xlm_fmt_add(l, "~ ");
  xlm_fmt_expr(l, s->expr);
}

static void write_named(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "%s %s = ", s->kind == XLM_STMT_UPDATE ? "update" : "metric", s->name->text);
  xlm_fmt_expr(l, s->expr);
}

static void write_assign(xlm_fmt_line *l, const xlm_stmt *s) {
  bool several = s->assign.targets->next;
  if (several) xlm_fmt_add(l, "("), l->depth++;
  for (const xlm_expr *t = s->assign.targets; t; t = t->next) {
    xlm_fmt_expr(l, t);
    if (t->next) xlm_fmt_comma(l);
  }
  if (several) xlm_fmt_add(l, ")"), l->depth--;
  xlm_fmt_add(l, " = ");
  xlm_fmt_expr(l, s->expr);
}

static void write_return(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_fmt_add(l, "return ");
  xlm_fmt_expr(l, s->expr);
}

static void write_loss(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_fmt_add(l, "loss ");
  xlm_fmt_expr(l, s->expr);
}

static void write_output(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_fmt_add(l, "output ");
  xlm_fmt_names(l, s->output.names);
}

void xlm_fmt_block_head(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "block %s", s->name->text);
  if (s->block.dims) {
    xlm_fmt_add(l, "[");
    xlm_fmt_names(l, s->block.dims);
    xlm_fmt_add(l, "]");
  }
  xlm_fmt_add(l, "(");
  l->depth++;
  for (const xlm_block_param *p = s->block.params; p; p = p->next) {
    xlm_fmt_add(l, p->name->text);
    if (p->is_tensor) xlm_fmt_dims(l, p->dims);
    if (p->next) xlm_fmt_comma(l);
  }
  l->depth--;
  xlm_fmt_add(l, ") -> ");
  for (const xlm_block_result *r = s->block.results; r; r = r->next) {
    xlm_fmt_dims(l, r->dims);
    if (r->next) xlm_fmt_add(l, ", ");
  }
  xlm_fmt_add(l, " {");
}

const xlm_fmt_statement xlm_fmt_statements[XLM_STMT_KINDS] = {
    [XLM_STMT_MODEL] = {write_model, 0},
    [XLM_STMT_USE] = {write_use, 0},
    [XLM_STMT_DIM] = {write_decl, XLM_FMT_ALIGN_DECL},
    [XLM_STMT_LET] = {write_decl, XLM_FMT_ALIGN_DECL},
    [XLM_STMT_CHECK] = {write_check, 0},
    [XLM_STMT_SHARD] = {write_shard, XLM_FMT_ALIGN_SHARD},
    [XLM_STMT_INPUT] = {write_input, XLM_FMT_ALIGN_INPUT},
    [XLM_STMT_PARAM] = {write_param, XLM_FMT_ALIGN_PARAM},
    [XLM_STMT_STATE] = {write_param, XLM_FMT_ALIGN_PARAM},
    [XLM_STMT_UPDATE] = {write_named, 0},
    [XLM_STMT_ASSIGN] = {write_assign, 0},
    [XLM_STMT_RETURN] = {write_return, 0},
    [XLM_STMT_LOSS] = {write_loss, 0},
    [XLM_STMT_OUTPUT] = {write_output, 0},
    [XLM_STMT_METRIC] = {write_named, 0},
};
