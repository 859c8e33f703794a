// Canonical text of a model. Lines are generated from the tree; only comments, single blank lines, and
// whether a preset or group is on one line come from the source.
//
// Comments are processed in source order. Before a line is written, all comments that start before the end of
// its head are written above it (so a comment in the middle of a statement moves above it); one that follows
// on the same line stays there.
#include <string.h>

#include "compiler/format/format_priv.h"

enum {
  ALIGN_DECL = 1,
  ALIGN_PARAM,
  ALIGN_INPUT,
  ALIGN_SHARD,
  ALIGN_ENTRY,
  ALIGN_SETTING,
  ALIGN_PRESET,
  ALIGN_GROUP
};

typedef struct formatter {
  xlm_arena *arena;
  const xlm_source *source;
  const xlm_comment *comment; // the next comment
  xlm_fmt_lines lines;
  uint32_t done;  // the source up to here is written
  uint32_t limit; // end of the enclosing braces: comments from there on do not belong to the line
  bool first;     // nothing written in these braces yet
  bool blank;     // put a blank line before the next line
  int indent;
} formatter;

static void body(formatter *f, const xlm_stmt *stmts, xlm_span braces);

// --- lines, blank lines and comments

// Is there a blank line and nothing else between two places of the source?
static bool blank_between(const formatter *f, uint32_t from, uint32_t to) {
  int newlines = 0;
  for (uint32_t i = from; i < to; i++) {
    char c = f->source->text[i];
    if (!strchr(" \t\r\n", c)) return false;
    newlines += c == '\n';
  }
  return newlines >= 2;
}

static xlm_fmt_line *start(formatter *f, int group, uint32_t begin) {
  xlm_fmt_line l = {.text = xlm_text_new(f->arena), .indent = f->indent, .group = group};
  l.blank_before = !f->first && (f->blank || blank_between(f, f->done, begin));
  f->first = f->blank = false;
  XLM_PUSH(f->arena, f->lines.at, f->lines.n, f->lines.cap, l);
  return &f->lines.at[f->lines.n - 1];
}

static const char *comment_text(const formatter *f, const xlm_comment *c) {
  return xlm_arena_strndup(f->arena, f->source->text + c->span.begin, c->span.end - c->span.begin);
}

// Writes the comments that start before `end`, on separate lines. `begin`: the start of the statement they
// may be in; the blank line before it goes before the first comment.
static void comments_before(formatter *f, uint32_t begin, uint32_t end) {
  for (; f->comment && f->comment->span.begin < end; f->comment = f->comment->next) {
    if (f->comment->span.begin > begin && blank_between(f, f->done, begin)) f->blank = true;
    xlm_fmt_line *l = start(f, 0, f->comment->span.begin);
    xlm_text_add(&l->text, comment_text(f, f->comment));
    f->done = f->comment->span.end;
  }
}

// Ends a line whose source ends at `end`: appends a comment that follows on the same line, unless another
// token, at `limit`, comes first.
static void finish(formatter *f, uint32_t end, uint32_t limit) {
  f->done = end;
  const xlm_comment *c = f->comment;
  if (!c || c->span.begin >= limit || c->span.begin >= f->limit) return;
  if (memchr(f->source->text + end, '\n', c->span.begin - end)) return;
  f->lines.at[f->lines.n - 1].comment = comment_text(f, c);
  f->done = c->span.end;
  f->comment = c->next;
}

static xlm_fmt_line *start_simple(formatter *f, const xlm_stmt *s, int group) {
  comments_before(f, s->span.begin, s->span.end);
  return start(f, group, s->span.begin);
}

static xlm_fmt_line *start_head(formatter *f, const xlm_stmt *s) {
  comments_before(f, s->span.begin, s->body.begin);
  return start(f, 0, s->span.begin);
}

static void add(xlm_fmt_line *l, const char *s) {
  xlm_text_add(&l->text, s);
}

// --- statements on one line: each writes its text

static void write_model(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "model %s", s->name->text);
}

static void write_use(xlm_fmt_line *l, const xlm_stmt *s) {
  add(l, "use ");
  xlm_fmt_string(l, s->name->text);
}

static void write_decl(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "%s %s", s->kind == XLM_STMT_DIM ? "dim" : "let", s->name->text);
  xlm_fmt_stop(l, 1);
  add(l, "= ");
  xlm_fmt_expr(l, s->expr);
  if (!s->decl.aliases) return;
  xlm_fmt_stop(l, 1);
  add(l, "as ");
  xlm_fmt_names(l, s->decl.aliases);
}

static void write_check(xlm_fmt_line *l, const xlm_stmt *s) {
  add(l, "check ");
  xlm_fmt_expr(l, s->expr);
  if (!s->check.message) return;
  add(l, ", ");
  xlm_fmt_string(l, s->check.message);
}

static void write_shard(xlm_fmt_line *l, const xlm_stmt *s) {
  add(l, "shard ");
  xlm_fmt_names(l, s->shard.dims);
  xlm_fmt_stop(l, 1);
  add(l, "over ");
  if (s->shard.none) add(l, "none");
  xlm_fmt_names(l, s->shard.axes);
  if (!s->shard.where_free) return;
  xlm_fmt_stop(l, 1);
  add(l, "where free");
}

static void write_input(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "input %s", s->name->text);
  xlm_fmt_dims(l, s->tensor.dims);
  xlm_fmt_stop(l, 1);
  if (s->tensor.of) xlm_text_printf(&l->text, "of %s", s->tensor.of->text);
  if (s->tensor.from) xlm_text_printf(&l->text, "%sfrom %s", s->tensor.of ? " " : "", s->tensor.from->text);
  if (!s->expr) return;
  add(l, " shifted ");
  xlm_fmt_expr(l, s->expr);
}

static void write_param(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "%s %s", s->kind == XLM_STMT_PARAM ? "param" : "state", s->name->text);
  xlm_fmt_dims(l, s->tensor.dims);
  xlm_fmt_stop(l, 1);
  add(l, "~ ");
  xlm_fmt_expr(l, s->expr);
}

static void write_named(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "%s %s = ", s->kind == XLM_STMT_UPDATE ? "update" : "metric", s->name->text);
  xlm_fmt_expr(l, s->expr);
}

static void write_assign(xlm_fmt_line *l, const xlm_stmt *s) {
  bool several = s->assign.targets->next;
  if (several) add(l, "("), l->depth++;
  for (const xlm_expr *t = s->assign.targets; t; t = t->next) {
    xlm_fmt_expr(l, t);
    if (t->next) xlm_fmt_comma(l);
  }
  if (several) add(l, ")"), l->depth--;
  add(l, " = ");
  xlm_fmt_expr(l, s->expr);
}

static void write_return(xlm_fmt_line *l, const xlm_stmt *s) {
  add(l, "return ");
  xlm_fmt_expr(l, s->expr);
}

static void write_loss(xlm_fmt_line *l, const xlm_stmt *s) {
  add(l, "loss ");
  xlm_fmt_expr(l, s->expr);
}

static void write_output(xlm_fmt_line *l, const xlm_stmt *s) {
  add(l, "output ");
  xlm_fmt_names(l, s->output.names);
}

// --- statements with braces

static void write_block(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_text_printf(&l->text, "block %s", s->name->text);
  if (s->block.dims) {
    add(l, "[");
    xlm_fmt_names(l, s->block.dims);
    add(l, "]");
  }
  add(l, "(");
  l->depth++;
  for (const xlm_block_param *p = s->block.params; p; p = p->next) {
    add(l, p->name->text);
    if (p->is_tensor) xlm_fmt_dims(l, p->dims);
    if (p->next) xlm_fmt_comma(l);
  }
  l->depth--;
  add(l, ") -> ");
  for (const xlm_block_result *r = s->block.results; r; r = r->next) {
    xlm_fmt_dims(l, r->dims);
    if (r->next) add(l, ", ");
  }
  add(l, " {");
}

static void format_block(formatter *f, const xlm_stmt *s) {
  write_block(start_head(f, s), s);
  body(f, s->block.body, s->body);
}

static void format_repeat(formatter *f, const xlm_stmt *s) {
  xlm_fmt_line *l = start_head(f, s);
  add(l, s->repeat.recompute ? "recompute repeat " : "repeat ");
  xlm_fmt_expr(l, s->expr);
  if (s->repeat.var) xlm_text_printf(&l->text, " as %s", s->repeat.var->text);
  if (s->repeat.over) xlm_text_printf(&l->text, " over %s", s->repeat.over->text);
  add(l, s->repeat.shared ? " shared {" : " {");
  body(f, s->repeat.body, s->body);
}

// Writes the line `}` for braces that end at `close`, and comments before `upto` above it.
static xlm_fmt_line *end_braces(formatter *f, uint32_t close, uint32_t upto) {
  comments_before(f, upto, upto);
  f->indent -= XLM_FMT_INDENT;
  f->blank = false;
  f->first = true; // no blank line before `}`
  xlm_fmt_line *l = start(f, 0, close);
  f->first = false;
  add(l, "}");
  return l;
}

static void open_braces(formatter *f, uint32_t open, uint32_t limit) {
  finish(f, open + 1, limit);
  f->indent += XLM_FMT_INDENT;
  f->first = true;
}

static void format_stmt(formatter *f, const xlm_stmt *s);

static void inside(formatter *f, const xlm_stmt *stmts, xlm_span braces) {
  uint32_t outer = f->limit;
  f->limit = braces.end;
  open_braces(f, braces.begin, stmts ? stmts->span.begin : braces.end);
  for (const xlm_stmt *s = stmts; s; s = s->next) format_stmt(f, s);
  f->limit = outer;
}

static void body(formatter *f, const xlm_stmt *stmts, xlm_span braces) {
  inside(f, stmts, braces);
  end_braces(f, braces.end - 1, braces.end - 1);
  finish(f, braces.end, UINT32_MAX);
}

static void format_if(formatter *f, const xlm_stmt *s) {
  xlm_fmt_line *l = start_head(f, s);
  for (;; s = s->cond.otherwise) {
    add(l, "if ");
    xlm_fmt_expr(l, s->expr);
    add(l, " {");
    inside(f, s->cond.then, s->body);
    bool plain_else = s->else_body.end, chain = !plain_else && s->cond.otherwise;
    if (!plain_else && !chain) break;
    uint32_t upto = plain_else ? s->else_body.begin : s->cond.otherwise->body.begin;
    l = end_braces(f, s->body.end - 1, upto);
    add(l, " else ");
    if (chain) continue;
    add(l, "{");
    inside(f, s->cond.otherwise, s->else_body);
    break;
  }
  uint32_t close = s->else_body.end ? s->else_body.end : s->body.end;
  end_braces(f, close - 1, close - 1);
  finish(f, close, UINT32_MAX);
}

// --- presets, groups, weights and config

static void write_settings_head(xlm_fmt_line *l, const xlm_stmt *s) {
  add(l, s->kind == XLM_STMT_GROUP ? "group " : "preset ");
  if (s->kind == XLM_STMT_GROUP)
    xlm_fmt_string(l, s->name->text);
  else
    add(l, s->name->text);
}

static void write_preset(xlm_fmt_line *l, const xlm_stmt *s) {
  write_settings_head(l, s);
  xlm_fmt_stop(l, 1);
  add(l, "{ ");
  for (const xlm_setting *t = s->preset.settings; t; t = t->next) {
    xlm_text_printf(&l->text, "%s = ", t->name->text);
    xlm_fmt_expr(l, t->value);
    if (t->next) xlm_fmt_stop(l, 2);
  }
  add(l, s->preset.settings ? " }" : "}");
}

// Writes it as one line without alignment; false if the source has it on several lines.
static bool is_one_line(const formatter *f, const xlm_stmt *s) {
  if (memchr(f->source->text + s->span.begin, '\n', s->span.end - s->span.begin)) return false;
  xlm_fmt_line l = {.text = xlm_text_new(f->arena)};
  write_preset(&l, s);
  uint32_t stops = 0;
  for (uint32_t i = 0; i < l.n_marks; i++)
    if (l.mark[i].depth < 0) stops += (uint32_t)l.mark[i].gap;
  return xlm_fmt_width(l.text.data, (uint32_t)l.text.n) + stops + (uint32_t)f->indent <= XLM_FMT_WIDTH;
}

static void format_setting(formatter *f, const xlm_setting *t, uint32_t limit) {
  uint32_t begin = t->name->span.begin, end = t->value->span.end;
  comments_before(f, begin, end);
  xlm_fmt_line *l = start(f, ALIGN_SETTING, begin);
  add(l, t->name->text);
  xlm_fmt_stop(l, 1);
  add(l, "= ");
  xlm_fmt_expr(l, t->value);
  finish(f, end, limit);
}

static void format_preset(formatter *f, const xlm_stmt *s) {
  if (is_one_line(f, s)) {
    write_preset(start_simple(f, s, s->kind == XLM_STMT_GROUP ? ALIGN_GROUP : ALIGN_PRESET), s);
    finish(f, s->span.end, UINT32_MAX);
    return;
  }
  const xlm_setting *t = s->preset.settings;
  xlm_fmt_line *head = start_head(f, s);
  write_settings_head(head, s);
  add(head, " {");
  open_braces(f, s->body.begin, t ? t->name->span.begin : s->body.end);
  for (; t; t = t->next) format_setting(f, t, t->next ? t->next->name->span.begin : s->body.end);
  end_braces(f, s->body.end - 1, s->body.end - 1);
  finish(f, s->body.end, UINT32_MAX);
}

static void format_entry(formatter *f, const xlm_weight *w, uint32_t limit) {
  comments_before(f, w->span.begin, w->span.end);
  xlm_fmt_line *l = start(f, ALIGN_ENTRY, w->span.begin);
  add(l, w->path);
  xlm_fmt_stop(l, 1);
  add(l, "= ");
  xlm_fmt_string(l, w->external);
  if (w->layout_set) {
    add(l, " ");
    xlm_fmt_layout(l, w->layout);
  }
  if (w->splits) {
    add(l, " where ");
    xlm_fmt_splits(l, w->splits);
  }
  if (w->stored) {
    add(l, " as ");
    xlm_fmt_expr(l, w->stored);
  }
  if (w->optional) add(l, " optional");
  finish(f, w->span.end, limit);
}

static void format_weights(formatter *f, const xlm_stmt *s) {
  const xlm_weight *w = s->weights.entries;
  xlm_text_printf(&start_head(f, s)->text, "weights %s {", s->name->text);
  open_braces(f, s->body.begin, w ? w->span.begin : s->body.end);
  for (; w; w = w->next) format_entry(f, w, w->next ? w->next->span.begin : s->body.end);
  end_braces(f, s->body.end - 1, s->body.end - 1);
  finish(f, s->body.end, UINT32_MAX);
}

static void format_member(formatter *f, const xlm_config_item *i, uint32_t limit) {
  uint32_t begin = i->key->span.begin, end = i->span.end;
  comments_before(f, begin, end);
  xlm_fmt_line *l = start(f, ALIGN_SETTING, begin);
  xlm_fmt_key(l, i->key);
  xlm_fmt_stop(l, 1);
  add(l, "= ");
  xlm_fmt_item(l, i);
  finish(f, end, limit);
}

static void format_config(formatter *f, const xlm_stmt *s) {
  const xlm_config_item *i = s->config.items;
  xlm_text_printf(&start_head(f, s)->text, "config %s {", s->name->text);
  open_braces(f, s->body.begin, i ? i->key->span.begin : s->body.end);
  for (; i; i = i->next) format_member(f, i, i->next ? i->next->key->span.begin : s->body.end);
  end_braces(f, s->body.end - 1, s->body.end - 1);
  finish(f, s->body.end, UINT32_MAX);
}

// --- the whole model

static const struct {
  void (*write)(xlm_fmt_line *, const xlm_stmt *); // one line
  int group;
  void (*format)(formatter *, const xlm_stmt *); // several
} kinds[XLM_STMT_KINDS] = {
    [XLM_STMT_MODEL] = {write_model, 0, NULL},
    [XLM_STMT_USE] = {write_use, 0, NULL},
    [XLM_STMT_DIM] = {write_decl, ALIGN_DECL, NULL},
    [XLM_STMT_LET] = {write_decl, ALIGN_DECL, NULL},
    [XLM_STMT_CHECK] = {write_check, 0, NULL},
    [XLM_STMT_SHARD] = {write_shard, ALIGN_SHARD, NULL},
    [XLM_STMT_BLOCK] = {NULL, 0, format_block},
    [XLM_STMT_INPUT] = {write_input, ALIGN_INPUT, NULL},
    [XLM_STMT_PARAM] = {write_param, ALIGN_PARAM, NULL},
    [XLM_STMT_STATE] = {write_param, ALIGN_PARAM, NULL},
    [XLM_STMT_UPDATE] = {write_named, 0, NULL},
    [XLM_STMT_ASSIGN] = {write_assign, 0, NULL},
    [XLM_STMT_RETURN] = {write_return, 0, NULL},
    [XLM_STMT_REPEAT] = {NULL, 0, format_repeat},
    [XLM_STMT_IF] = {NULL, 0, format_if},
    [XLM_STMT_LOSS] = {write_loss, 0, NULL},
    [XLM_STMT_OUTPUT] = {write_output, 0, NULL},
    [XLM_STMT_METRIC] = {write_named, 0, NULL},
    [XLM_STMT_PRESET] = {NULL, 0, format_preset},
    [XLM_STMT_GROUP] = {NULL, 0, format_preset},
    [XLM_STMT_WEIGHTS] = {NULL, 0, format_weights},
    [XLM_STMT_CONFIG] = {NULL, 0, format_config},
};

static void format_stmt(formatter *f, const xlm_stmt *s) {
  if (kinds[s->kind].format) {
    kinds[s->kind].format(f, s);
    return;
  }
  kinds[s->kind].write(start_simple(f, s, kinds[s->kind].group), s);
  finish(f, s->span.end, s->next ? s->next->span.begin : UINT32_MAX);
}

void xlm_format(const xlm_ast *ast, xlm_text *out) {
  formatter f = {.arena = out->arena,
                 .source = ast->source,
                 .comment = ast->comments,
                 .first = true,
                 .limit = UINT32_MAX};
  for (const xlm_stmt *s = ast->stmts; s; s = s->next) format_stmt(&f, s);
  comments_before(&f, UINT32_MAX, UINT32_MAX);
  xlm_fmt_print(&f.lines, out);
}
