// Canonical text of a model. Lines are generated from the tree; only comments, single blank lines, and
// whether a preset or group is on one line come from the source.
#include "compiler/format/format_priv.h"

static void format_stmt(xlm_formatter *f, const xlm_stmt *s);

static void inside(xlm_formatter *f, const xlm_stmt *stmts, xlm_span braces) {
  uint32_t outer = f->limit;
  f->limit = braces.end;
  xlm_fmt_open_braces(f, braces.begin, stmts ? stmts->span.begin : braces.end);
  for (const xlm_stmt *s = stmts; s; s = s->next) format_stmt(f, s);
  f->limit = outer;
}

static void body(xlm_formatter *f, const xlm_stmt *stmts, xlm_span braces) {
  inside(f, stmts, braces);
  xlm_fmt_close_braces(f, braces.end);
}

static void format_block(xlm_formatter *f, const xlm_stmt *s) {
  xlm_fmt_block_head(xlm_fmt_begin_head(f, s), s);
  body(f, s->block.body, s->body);
}

static void format_repeat(xlm_formatter *f, const xlm_stmt *s) {
  xlm_fmt_line *l = xlm_fmt_begin_head(f, s);
  xlm_fmt_add(l, s->repeat.recompute ? "recompute repeat " : "repeat ");
  xlm_fmt_expr(l, s->expr);
  if (s->repeat.var) xlm_text_printf(&l->text, " as %s", s->repeat.var->text);
  if (s->repeat.over) xlm_text_printf(&l->text, " over %s", s->repeat.over->text);
  xlm_fmt_add(l, s->repeat.shared ? " shared {" : " {");
  body(f, s->repeat.body, s->body);
}

static void format_if(xlm_formatter *f, const xlm_stmt *s) {
  xlm_fmt_line *l = xlm_fmt_begin_head(f, s);
  for (;; s = s->cond.otherwise) {
    xlm_fmt_add(l, "if ");
    xlm_fmt_expr(l, s->expr);
    xlm_fmt_add(l, " {");
    inside(f, s->cond.then, s->body);
    bool plain_else = s->else_body.end, chain = !plain_else && s->cond.otherwise;
    if (!plain_else && !chain) break;
    uint32_t upto = plain_else ? s->else_body.begin : s->cond.otherwise->body.begin;
    l = xlm_fmt_end_braces(f, s->body.end - 1, upto);
    xlm_fmt_add(l, " else ");
    if (chain) continue;
    xlm_fmt_add(l, "{");
    inside(f, s->cond.otherwise, s->else_body);
    break;
  }
  uint32_t close = s->else_body.end ? s->else_body.end : s->body.end;
  xlm_fmt_close_braces(f, close);
}

// Statements of several lines; the others are in xlm_fmt_statements.
static void (*const with_braces[XLM_STMT_KINDS])(xlm_formatter *, const xlm_stmt *) = {
    [XLM_STMT_BLOCK] = format_block,    [XLM_STMT_REPEAT] = format_repeat,
    [XLM_STMT_IF] = format_if,          [XLM_STMT_PRESET] = xlm_fmt_preset,
    [XLM_STMT_GROUP] = xlm_fmt_preset,  [XLM_STMT_WEIGHTS] = xlm_fmt_weights,
    [XLM_STMT_CONFIG] = xlm_fmt_config,
};

static void format_stmt(xlm_formatter *f, const xlm_stmt *s) {
  if (with_braces[s->kind]) {
    with_braces[s->kind](f, s);
    return;
  }
  const xlm_fmt_statement *one = &xlm_fmt_statements[s->kind];
  one->write(xlm_fmt_begin_simple(f, s, one->group), s);
  xlm_fmt_end(f, s->span.end, s->next ? s->next->span.begin : UINT32_MAX);
}

void xlm_format(const xlm_ast *ast, xlm_text *out) {
  xlm_formatter f = {.arena = out->arena,
                     .source = ast->source,
                     .comment = ast->comments,
                     .first = true,
                     .limit = UINT32_MAX};
  for (const xlm_stmt *s = ast->stmts; s; s = s->next) format_stmt(&f, s);
  xlm_fmt_comments_before(&f, UINT32_MAX, UINT32_MAX);
  xlm_fmt_print(&f.lines, out);
}
