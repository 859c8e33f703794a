// Presets, groups, weights and config: entries in braces, aligned at their `=`.
#include <string.h>

#include "compiler/format/format_priv.h"

static void write_settings_head(xlm_fmt_line *l, const xlm_stmt *s) {
  xlm_fmt_add(l, s->kind == XLM_STMT_GROUP ? "group " : "preset ");
  if (s->kind == XLM_STMT_GROUP)
    xlm_fmt_string(l, s->name->text);
  else
    xlm_fmt_add(l, s->name->text);
}

static void write_preset(xlm_fmt_line *l, const xlm_stmt *s) {
  write_settings_head(l, s);
  xlm_fmt_stop(l, 1);
  xlm_fmt_add(l, "{ ");
  for (const xlm_setting *t = s->preset.settings; t; t = t->next) {
    xlm_text_printf(&l->text, "%s = ", t->name->text);
    xlm_fmt_expr(l, t->value);
    if (t->next) xlm_fmt_stop(l, 2);
  }
  xlm_fmt_add(l, s->preset.settings ? " }" : "}");
}

// Writes it as one line without alignment; false if the source has it on several lines.
static bool is_one_line(const xlm_formatter *f, const xlm_stmt *s) {
  if (memchr(f->source->text + s->span.begin, '\n', s->span.end - s->span.begin)) return false;
  xlm_fmt_line l = {.text = xlm_text_new(f->arena)};
  write_preset(&l, s);
  uint32_t stops = 0;
  for (uint32_t i = 0; i < l.n_marks; i++)
    if (l.mark[i].depth < 0) stops += (uint32_t)l.mark[i].gap;
  return xlm_fmt_width(l.text.data, (uint32_t)l.text.n) + stops + (uint32_t)f->indent <= XLM_FMT_WIDTH;
}

static void format_setting(xlm_formatter *f, const xlm_setting *t, uint32_t limit) {
  uint32_t begin = t->name->span.begin, end = t->value->span.end;
  xlm_fmt_comments_before(f, begin, end);
  xlm_fmt_line *l = xlm_fmt_begin(f, XLM_FMT_ALIGN_SETTING, begin);
  xlm_fmt_add(l, t->name->text);
  xlm_fmt_stop(l, 1);
  xlm_fmt_add(l, "= ");
  xlm_fmt_expr(l, t->value);
  xlm_fmt_end(f, end, limit);
}

void xlm_fmt_preset(xlm_formatter *f, const xlm_stmt *s) {
  if (is_one_line(f, s)) {
    write_preset(
        xlm_fmt_begin_simple(f, s, s->kind == XLM_STMT_GROUP ? XLM_FMT_ALIGN_GROUP : XLM_FMT_ALIGN_PRESET),
        s);
    xlm_fmt_end(f, s->span.end, UINT32_MAX);
    return;
  }
  const xlm_setting *t = s->preset.settings;
  xlm_fmt_line *head = xlm_fmt_begin_head(f, s);
  write_settings_head(head, s);
  xlm_fmt_add(head, " {");
  xlm_fmt_open_braces(f, s->body.begin, t ? t->name->span.begin : s->body.end);
  for (; t; t = t->next) format_setting(f, t, t->next ? t->next->name->span.begin : s->body.end);
  xlm_fmt_close_braces(f, s->body.end);
}

static void format_entry(xlm_formatter *f, const xlm_weight *w, uint32_t limit) {
  xlm_fmt_comments_before(f, w->span.begin, w->span.end);
  xlm_fmt_line *l = xlm_fmt_begin(f, XLM_FMT_ALIGN_ENTRY, w->span.begin);
  xlm_fmt_add(l, w->path);
  xlm_fmt_stop(l, 1);
  xlm_fmt_add(l, "= ");
  xlm_fmt_string(l, w->external);
  if (w->layout_set) {
    xlm_fmt_add(l, " ");
    xlm_fmt_layout(l, w->layout);
  }
  if (w->splits) {
    xlm_fmt_add(l, " where ");
    xlm_fmt_splits(l, w->splits);
  }
  if (w->stored) {
    xlm_fmt_add(l, " as ");
    xlm_fmt_expr(l, w->stored);
  }
  if (w->optional) xlm_fmt_add(l, " optional");
  xlm_fmt_end(f, w->span.end, limit);
}

void xlm_fmt_weights(xlm_formatter *f, const xlm_stmt *s) {
  const xlm_weight *w = s->weights.entries;
  xlm_text_printf(&xlm_fmt_begin_head(f, s)->text, "weights %s {", s->name->text);
  xlm_fmt_open_braces(f, s->body.begin, w ? w->span.begin : s->body.end);
  for (; w; w = w->next) format_entry(f, w, w->next ? w->next->span.begin : s->body.end);
  xlm_fmt_close_braces(f, s->body.end);
}

static void format_member(xlm_formatter *f, const xlm_config_item *i, uint32_t limit) {
  uint32_t begin = i->key->span.begin, end = i->span.end;
  xlm_fmt_comments_before(f, begin, end);
  xlm_fmt_line *l = xlm_fmt_begin(f, XLM_FMT_ALIGN_SETTING, begin);
  xlm_fmt_key(l, i->key);
  xlm_fmt_stop(l, 1);
  xlm_fmt_add(l, "= ");
  xlm_fmt_item(l, i);
  xlm_fmt_end(f, end, limit);
}

void xlm_fmt_config(xlm_formatter *f, const xlm_stmt *s) {
  const xlm_config_item *i = s->config.items;
  xlm_text_printf(&xlm_fmt_begin_head(f, s)->text, "config %s {", s->name->text);
  xlm_fmt_open_braces(f, s->body.begin, i ? i->key->span.begin : s->body.end);
  for (; i; i = i->next) format_member(f, i, i->next ? i->next->key->span.begin : s->body.end);
  xlm_fmt_close_braces(f, s->body.end);
}
