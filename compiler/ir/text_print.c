// Prints the graph as text; README.md has the grammar, text_read.c the reader.
//
// The text is lossless: print(read(text)) gives the same bytes. One item per line, so that dumps can be
// compared with diff.
#include <math.h>
#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/ir/text_lex.h"
#include "runtime/plan/code.h"

typedef struct printer {
  const xlm_graph *g;
  xlm_text *out;
  xlm_lines lines; // of the source; n = 0 without one
} printer;

static bool bare(const char *s, bool dots) {
  if (!xlm_lex_letter(*s)) return false;
  for (s++; *s; s++)
    if (!xlm_lex_word_char(*s, dots)) return false;
  return true;
}

static void quoted(xlm_text *out, const char *s) {
  xlm_text_add(out, "\"");
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\')
      xlm_text_printf(out, "\\%c", c);
    else if (c < 0x20 || c == 0x7F)
      xlm_text_printf(out, "\\x%02x", c);
    else
      xlm_text_addn(out, s, 1);
  }
  xlm_text_add(out, "\"");
}

static void word(printer *p, const char *s) {
  if (bare(s, true))
    xlm_text_add(p->out, s);
  else
    quoted(p->out, s);
}

static void dim(printer *p, xlm_dim d) {
  const xlm_dim_info *info = &p->g->dims[d];
  if (bare(info->name, false))
    xlm_text_add(p->out, info->name);
  else
    quoted(p->out, info->name);
  if (info->axes) xlm_text_printf(p->out, "/%u", info->axes);
}

static void dim_list(printer *p, const xlm_dim *d, int n) {
  xlm_text_add(p->out, "[");
  for (int i = 0; i < n; i++) {
    if (i) xlm_text_add(p->out, ", ");
    dim(p, d[i]);
  }
  xlm_text_add(p->out, "]");
}

static void span(printer *p, xlm_span s) {
  if (!s.begin && !s.end) return;
  const xlm_lines *l = &p->lines;
  if (s.begin <= l->bytes && s.end <= l->bytes && l->n) {
    uint32_t a = xlm_lines_find(l, s.begin), b = xlm_lines_find(l, s.end);
    xlm_text_printf(p->out, " @%u:%u..%u:%u", a + 1, s.begin - l->start[a] + 1, b + 1,
                    s.end - l->start[b] + 1);
  } else {
    xlm_text_printf(p->out, " @%u..%u", s.begin, s.end);
  }
}

static void attr_int(printer *p, const xlm_attr *a) {
  xlm_text_printf(p->out, "%lld", (long long)a->i);
}
static void attr_float(printer *p, const xlm_attr *a) {
  xlm_text_double(p->out, a->f);
}
static void attr_enum(printer *p, const xlm_attr *a) {
  xlm_text_add(p->out, xlm_enum_name(xlm_attr_set_of(a->key), a->i));
}

static void attr_ints(printer *p, const xlm_attr *a) {
  xlm_enum set = xlm_attr_set_of(a->key);
  for (uint32_t i = 0; i < a->n; i++) {
    xlm_text_add(p->out, i ? ", " : "[");
    if (set)
      xlm_text_add(p->out, xlm_enum_name(set, a->ints[i]));
    else
      xlm_text_printf(p->out, "%lld", (long long)a->ints[i]);
  }
  xlm_text_add(p->out, a->n ? "]" : "[]");
}

static void attr_dims(printer *p, const xlm_attr *a) {
  dim_list(p, a->dims, (int)a->n);
}

static void attr_init(printer *p, const xlm_attr *a) {
  xlm_init_print(&a->init, p->out);
}

static void attr_split(printer *p, const xlm_attr *a) {
  for (uint32_t i = 0; i < a->n; i++) {
    xlm_text_add(p->out, i ? ", " : "[");
    word(p, a->split[i].dim);
    xlm_text_add(p->out, a->split[i].n_axes ? " over " : " over none");
    for (int k = 0; k < a->split[i].n_axes; k++) {
      if (k) xlm_text_add(p->out, "+");
      word(p, a->split[i].axis[k]);
    }
  }
  xlm_text_add(p->out, "]");
}

static void attr_text(printer *p, const xlm_attr *a) {
  quoted(p->out, a->text);
}
static void attr_code(printer *p, const xlm_attr *a) {
  xlm_code_print(a->code, p->out);
}

static void (*const attr_printers[XLM_ATTR_KINDS])(printer *, const xlm_attr *) = {
    [XLM_ATTR_INT] = attr_int,     [XLM_ATTR_FLOAT] = attr_float, [XLM_ATTR_ENUM] = attr_enum,
    [XLM_ATTR_INTS] = attr_ints,   [XLM_ATTR_DIMS] = attr_dims,   [XLM_ATTR_INIT] = attr_init,
    [XLM_ATTR_SPLIT] = attr_split, [XLM_ATTR_TEXT] = attr_text,   [XLM_ATTR_CODE] = attr_code,
};

static void attrs(printer *p, const xlm_attrs *as) {
  if (!as->n) return;
  xlm_text_add(p->out, " {");
  for (int i = 0; i < as->n; i++) {
    xlm_text_printf(p->out, "%s%s=", i ? ", " : "", xlm_attr_name(as->at[i].key));
    attr_printers[xlm_attr_kind_of(as->at[i].key)](p, &as->at[i]);
  }
  xlm_text_add(p->out, "}");
}

static void value(printer *p, xlm_val v) {
  const xlm_value *at = &p->g->values[v];
  xlm_text_printf(p->out, "%%%u", v);
  if (at->name) {
    xlm_text_add(p->out, " ");
    word(p, at->name);
  }
  xlm_text_printf(p->out, ": %s", xlm_dtype_name(at->type.dtype));
  dim_list(p, at->type.dim, at->type.rank);
  if (at->partial) xlm_text_printf(p->out, " partial %u", at->partial);
  if (at->ragged_by) xlm_text_printf(p->out, " by %%%u", at->ragged_by);
}

static void node(printer *p, const xlm_node_info *n) {
  if (!n->n_out) xlm_text_add(p->out, "()");
  for (int i = 0; i < n->n_out; i++) {
    if (i) xlm_text_add(p->out, ", ");
    value(p, n->out + (xlm_val)i);
  }
  xlm_text_printf(p->out, " = %s(", xlm_op_at(n->op)->name);
  for (int i = 0; i < n->n_in; i++) xlm_text_printf(p->out, "%s%%%u", i ? ", " : "", n->in[i]);
  xlm_text_add(p->out, ")");
  attrs(p, &n->attrs);
  xlm_text_printf(p->out, " %s", xlm_phase_name(n->phase));
  span(p, n->span);
  if (*n->scope) {
    xlm_text_add(p->out, " in ");
    word(p, n->scope);
  }
  if (n->round != -1) xlm_text_printf(p->out, " round %d", n->round);
  if (n->stage != -1) xlm_text_printf(p->out, " stage %d", n->stage);
  if (n->recompute) xlm_text_add(p->out, " recompute");
  xlm_text_add(p->out, "\n");
}

static void source(printer *p) {
  const xlm_source *s = p->g->source;
  if (!s) return;
  xlm_text_add(p->out, "source ");
  quoted(p->out, s->path ? s->path : "");
  xlm_text_printf(p->out, " %u\n", s->n);
  for (uint32_t i = 0; i < p->lines.n; i++) {
    uint32_t end = i + 1 < p->lines.n ? p->lines.start[i + 1] - 1 : s->n;
    xlm_text_add(p->out, "|");
    xlm_text_addn(p->out, s->text + p->lines.start[i], end - p->lines.start[i]);
    xlm_text_add(p->out, "\n");
  }
}

static void header(printer *p) {
  xlm_text_add(p->out, "model ");
  quoted(p->out, p->g->model ? p->g->model : "");
  if (p->g->preset) {
    xlm_text_add(p->out, " preset ");
    quoted(p->out, p->g->preset);
  }
  if (p->g->weights_name) {
    xlm_text_add(p->out, " weights ");
    quoted(p->out, p->g->weights_name);
  }
  xlm_text_add(p->out, "\n");
  if (p->g->properties)
    xlm_text_printf(p->out, "properties %s\n", xlm_properties_text(p->out->arena, p->g->properties, ", "));
  source(p);
}

static void config(printer *p, const xlm_plan_config *c) {
  static const char *const kinds[] = {
      [XLM_NUMBER_REAL] = "real", [XLM_NUMBER_INT] = "int", [XLM_NUMBER_BOOL] = "bool"};
  xlm_text_add(p->out, "config ");
  word(p, c->name);
  xlm_text_printf(p->out, ": %s = ", kinds[c->kind]);
  xlm_text_double(p->out, c->value);
  for (int i = 0; i < c->n_aliases; i++) {
    xlm_text_add(p->out, i ? ", " : " as ");
    word(p, c->alias[i]);
  }
  xlm_text_add(p->out, "\n");
}

static void dim_line(printer *p, xlm_dim d) {
  const xlm_dim_info *info = &p->g->dims[d];
  xlm_text_add(p->out, "dim ");
  dim(p, d);
  xlm_text_printf(p->out, " = %lld", (long long)info->size);
  if (info->full != info->size) xlm_text_printf(p->out, " of %lld", (long long)info->full);
  if (info->offset) xlm_text_printf(p->out, " from %lld", (long long)info->offset);
  if (info->tail)
    xlm_text_printf(p->out, " then %lld from %lld", (long long)info->tail, (long long)info->tail_offset);
  if (info->mirrored) xlm_text_printf(p->out, " mirrored %u", info->mirrored);
  if (info->grain) xlm_text_printf(p->out, " by %lld", (long long)info->grain);
  xlm_text_add(p->out, info->ragged ? " ragged\n" : "\n");
}

static void rule(printer *p, const xlm_shard_rule *r) {
  xlm_text_add(p->out, "shard ");
  word(p, r->dim);
  xlm_text_add(p->out, r->n_axes ? " over " : " over none");
  for (int i = 0; i < r->n_axes; i++) {
    if (i) xlm_text_add(p->out, ", ");
    if (strcmp(r->axis[i], "none") != 0)
      word(p, r->axis[i]);
    else
      quoted(p->out, r->axis[i]);
  }
  if (r->where_free) xlm_text_add(p->out, " where free");
  span(p, r->span);
  xlm_text_add(p->out, "\n");
}

static void key(printer *p, const xlm_plan_key *k) {
  xlm_text_add(p->out, "key ");
  quoted(p->out, k->key);
  xlm_text_add(p->out, " = ");
  quoted(p->out, k->json);
  span(p, k->span);
  xlm_text_add(p->out, "\n");
}

static void factor(printer *p, const xlm_plan_factor *f) {
  if (f->dim) {
    dim(p, f->dim);
    if (f->size) xlm_text_printf(p->out, "~%lld*%lld", (long long)f->size, (long long)f->step);
    return;
  }
  xlm_text_printf(p->out, "#%lld/%lld", (long long)f->at, (long long)f->of);
  if (f->n) xlm_text_printf(p->out, "+%d", f->n);
}

static void weight(printer *p, const xlm_plan_weight *w) {
  xlm_text_add(p->out, "weight ");
  word(p, w->param);
  xlm_text_add(p->out, " = ");
  quoted(p->out, w->external);
  if (w->each) {
    xlm_text_add(p->out, " each ");
    dim(p, w->each);
  }
  xlm_text_add(p->out, " [");
  for (int i = 0; i < w->n_factors; i++) {
    if (i) xlm_text_add(p->out, w->factors[i].group == w->factors[i - 1].group ? " " : ", ");
    factor(p, &w->factors[i]);
  }
  xlm_text_add(p->out, w->optional ? "] optional\n" : "]\n");
}

static void group(printer *p, const xlm_param_group *g) {
  xlm_text_add(p->out, "group ");
  quoted(p->out, g->match ? g->match : "*");
  if (g->rank >= 0) xlm_text_printf(p->out, " rank %d", g->rank);
  if (!isnan(g->lr)) xlm_text_add(p->out, " lr "), xlm_text_double(p->out, g->lr);
  if (!isnan(g->weight_decay))
    xlm_text_add(p->out, " weight_decay "), xlm_text_double(p->out, g->weight_decay);
  if (g->optimizer) xlm_text_add(p->out, " optimizer "), quoted(p->out, g->optimizer);
  if (g->frozen) xlm_text_add(p->out, g->frozen == XLM_FROZEN_YES ? " frozen" : " trained");
  span(p, g->span);
  xlm_text_add(p->out, "\n");
}

static void list(printer *p, const char *keyword, const xlm_vals *l) {
  for (uint32_t i = 0; i < l->n; i++) {
    xlm_text_printf(p->out, "%s ", keyword);
    if (l->at[i].name) {
      word(p, l->at[i].name);
      xlm_text_add(p->out, " ");
    }
    xlm_text_printf(p->out, "= %%%u", l->at[i].val);
    span(p, l->at[i].span);
    xlm_text_add(p->out, "\n");
  }
}

void xlm_graph_print(const xlm_graph *g, xlm_text *out) {
  printer p = {.g = g, .out = out};
  if (g->source) p.lines = xlm_lines_of(out->arena, g->source->text, g->source->n);
  header(&p);
  for (uint32_t i = 0; i < g->n_config; i++) config(&p, &g->config[i]);
  for (uint32_t i = 0; i < g->n_keys; i++) key(&p, &g->keys[i]);
  for (xlm_dim d = 1; d < g->n_dims; d++) dim_line(&p, d);
  for (uint32_t i = 0; i < g->n_rules; i++) rule(&p, &g->rules[i]);
  for (uint32_t i = 0; i < g->n_weights; i++) weight(&p, &g->weights[i]);
  for (uint32_t i = 0; i < g->n_groups; i++) group(&p, &g->groups[i]);
  for (xlm_node n = 1; n < g->n_nodes; n++) node(&p, &g->nodes[n]);
  list(&p, "output", &g->outputs);
  list(&p, "metric", &g->metrics);
  list(&p, "loss", &g->losses);
  for (uint32_t i = 0; i < g->n_updates; i++)
    xlm_text_printf(out, "update %%%u -> %%%u\n", g->updates[i].state, g->updates[i].val);
}
