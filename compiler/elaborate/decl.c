// Dims and lets: their values come from settings, preset or declaration, in this order of precedence; they
// are computed on demand, so that order in the text does not matter, and checked.
#include <stdlib.h>
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

enum { MOST_DECLS = 10000 };

static char *public_name(xlm_el *e, const char *name) { // `-` and `_` are equivalent in settings
  char *s = xlm_arena_strdup(e->arena, name);
  for (char *p = s; *p; p++)
    if (*p == '-') *p = '_';
  return s;
}

static void redefined(xlm_el *e, const char *name, xlm_span at, xlm_span first, const char *what) {
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_REDEFINED, at, "`%s` is %s already", name, what);
  xlm_diag_label(e->diags, g, first, "first defined here");
  xlm_diag_help(e->diags, g, "give one of the two another name");
}

static xlm_el_decl *add_decl(xlm_el *e, xlm_el_frame *f, const char *name, xlm_span span, bool is_dim) {
  xlm_el_decl *d = XLM_NEW(e->arena, xlm_el_decl);
  *d = (xlm_el_decl){.name = name, .span = span, .is_dim = is_dim, .frame = f};
  xlm_el_symbol *s = xlm_el_define(e, f, XLM_SYM_DECL, name, span);
  s->decl = d;
  if (f->kind == XLM_FRAME_GLOBAL) XLM_PUSH(e->arena, e->decls, e->n_decls, e->cap_decls, d);
  return d;
}

static const char *what_is(const xlm_el_symbol *s) {
  static const char *const text[] = {
      [XLM_SYM_VALUE] = "a variable", [XLM_SYM_PARAM] = "a parameter",       [XLM_SYM_STATE] = "a state",
      [XLM_SYM_INPUT] = "an input",   [XLM_SYM_ARRAY] = "a list of tensors", [XLM_SYM_DECL] = "a let",
  };
  return s->kind == XLM_SYM_DECL && s->decl->is_dim ? "a dimension" : text[s->kind];
}

xlm_el_symbol *xlm_el_declare(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  const char *name = s->name->text;
  xlm_el_symbol *old = xlm_el_find(f, name);
  bool declared = old && old->kind == XLM_SYM_DECL && !xlm_el_is_used_file(e, s->name->span);
  if (old && (f->kind == XLM_FRAME_GLOBAL || declared || xlm_dict_get(&f->symbols, name))) {
    redefined(e, name, s->name->span, old->span, what_is(old));
    return NULL;
  }
  if (!strcmp(name, "routed")) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_REDEFINED, s->name->span,
                                "`routed` is the dimension that dispatch makes");
    xlm_diag_help(e->diags, g, "give this one another name");
    return NULL;
  }
  if (f->kind == XLM_FRAME_GLOBAL && e->n_decls >= MOST_DECLS) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_TOO_MUCH, s->span, "more than %d dims and lets", MOST_DECLS);
    xlm_diag_help(e->diags, g, "keep a tensor per round with an index: k0[i] = k");
    e->stop = true;
    return NULL;
  }
  xlm_el_decl *d = add_decl(e, f, name, s->name->span, s->kind == XLM_STMT_DIM);
  d->stmt = s;
  d->expr = s->expr;
  return xlm_dict_get(&f->symbols, name);
}

// --- values

static void report_cycle(xlm_el *e, xlm_el_decl *d) {
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_DIM_CYCLE, d->span, "`%s` is defined in terms of itself", d->name);
  xlm_text way = xlm_text_new(e->arena);
  xlm_text_printf(&way, "%s", d->name);
  int shown = 0;
  for (xlm_el_decl *at = d->waits; at && at != d; at = at->waits) {
    if (shown++ < 10) xlm_text_printf(&way, " -> %s", at->name);
    if (shown < XLM_DIAG_MAX_LABELS)
      xlm_diag_label(e->diags, g, at->span, "which leads to `%s`", at->waits->name);
  }
  xlm_text_printf(&way, "%s -> %s", shown > 10 ? " -> .." : "", d->name);
  xlm_diag_note(e->diags, g, "the circle is %s", way.data);
  xlm_diag_help(e->diags, g, "give one of them a number");
}

static bool bad_dim(xlm_el *e, const xlm_el_decl *d, const char *why) {
  const char *value = xlm_num_text(e->arena, d->value);
  xlm_span at = d->expr ? d->expr->span : d->span;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_BAD_DIM_VALUE, at, "dimension `%s` = %s is %s", d->name, value, why);
  if (d->origin) xlm_diag_note(e->diags, g, "the value comes from %s", d->origin);
  if (d->expr) xlm_diag_label(e->diags, g, d->span, "declared here");
  return false;
}

static bool check_dim(xlm_el *e, xlm_el_decl *d) {
  xlm_number v = d->value;
  bool whole = v.integer || (v.v > -1e15 && v.v < 1e15 && v.v == (double)(int64_t)v.v);
  if (!whole) return bad_dim(e, d, "not a whole number");
  if (!v.integer) d->value = xlm_num_int((int64_t)v.v);
  if (d->value.i < 1) return bad_dim(e, d, "not at least 1");
  if (d->value.i > INT32_MAX) return bad_dim(e, d, "larger than 2147483647, the largest size");
  return true;
}

static bool compute(xlm_el *e, xlm_el_decl *d) {
  if (!d->expr) return !d->is_dim || check_dim(e, d);
  bool exact = e->exact;
  xlm_el_decl *outer = e->computing;
  e->exact = d->is_dim;
  e->computing = d;
  bool ok = xlm_el_number(e, d->frame, d->expr, d->is_dim ? "a dimension" : "a let", &d->value);
  e->exact = exact;
  e->computing = outer;
  return ok && (!d->is_dim || check_dim(e, d));
}

bool xlm_el_force(xlm_el *e, xlm_el_decl *d, xlm_span at) {
  if (d->state == XLM_DECL_DONE || d->state == XLM_DECL_FAILED) return d->state == XLM_DECL_DONE;
  if (e->computing) e->computing->waits = d;
  if (d->state == XLM_DECL_BUSY) {
    report_cycle(e, d);
    return false;
  }
  d->state = XLM_DECL_BUSY;
  bool ok = xlm_el_enter(e, at);
  if (ok) {
    ok = compute(e, d);
    xlm_el_value v = xlm_el_num(d->value);
    if (ok) xlm_el_saw(e, d->frame, d->span, &v, e->g->n_nodes);
    xlm_el_leave(e);
  }
  d->state = ok ? XLM_DECL_DONE : XLM_DECL_FAILED;
  return ok;
}

// --- presets and settings

static xlm_el_decl *find_public(xlm_el *e, const char *name) {
  return xlm_dict_get(&e->public, public_name(e, name));
}

static void publish(xlm_el *e, xlm_el_decl *d, const char *name, xlm_span span) {
  const char *key = public_name(e, name);
  xlm_el_decl *other = xlm_dict_get(&e->public, key);
  if (other && other != d) {
    redefined(e, name, span, other->span, xlm_arena_printf(e->arena, "a name of `%s`", other->name));
    return;
  }
  xlm_dict_put(e->arena, &e->public, key, d);
}

static void publish_all(xlm_el *e) {
  for (uint32_t i = 0; i < e->n_decls; i++)
    if (!e->decls[i]->built_in || e->decls[i]->is_dim)
      publish(e, e->decls[i], e->decls[i]->name, e->decls[i]->span);
  for (uint32_t i = 0; i < e->n_decls; i++)
    for (const xlm_ast_name *a = e->decls[i]->stmt ? e->decls[i]->stmt->decl.aliases : NULL; a; a = a->next)
      publish(e, e->decls[i], a->text, a->span);
}

static xlm_diag *unknown_setting(xlm_el *e, const char *name, xlm_span at) {
  const char *near = xlm_el_nearest_key(e, &e->public, public_name(e, name));
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_UNKNOWN_SETTING, at, "the model has no dim or let `%s`", name);
  if (near)
    xlm_diag_help(e->diags, g, "did you mean `%s`?", near);
  else if (e->public.n)
    xlm_diag_help(e->diags, g, "add `let %s = ...` to the model to make it a setting", name);
  return g;
}

static void read_preset(xlm_el *e, const xlm_stmt *p) {
  bool chosen = p == e->preset;
  xlm_dict seen = {0};
  for (const xlm_setting *s = p->preset.settings; s; s = s->next) {
    xlm_el_decl *d = find_public(e, s->name->text);
    if (!d) {
      unknown_setting(e, s->name->text, s->name->span);
      continue;
    }
    const xlm_setting *first = xlm_dict_get(&seen, d->name);
    if (first) {
      xlm_diag *g = xlm_diag_push(e->diags, XLM_E_SET_TWICE, s->name->span, "preset `%s` sets `%s` twice",
                                  p->name->text, d->name);
      xlm_diag_label(e->diags, g, first->name->span, "first here");
    }
    xlm_dict_put(e->arena, &seen, d->name, (void *)s);
    if (!chosen) continue;
    d->expr = s->value;
    d->origin = xlm_arena_printf(e->arena, "preset `%s`", p->name->text);
  }
}

static void unknown_preset(xlm_el *e, const xlm_dict *presets) {
  xlm_diag *g = xlm_diag_push(e->diags, XLM_E_UNKNOWN_PRESET, (xlm_span){0}, "the model has no preset `%s`",
                              e->set->preset);
  const char *near = xlm_el_nearest_key(e, presets, e->set->preset);
  xlm_text all = xlm_text_new(e->arena);
  for (uint32_t i = 0; i < presets->n && i < 12; i++)
    xlm_text_printf(&all, "%s%s", i ? ", " : "", presets->at[i].key);
  if (near) xlm_diag_help(e->diags, g, "did you mean `%s`?", near);
  if (presets->n)
    xlm_diag_note(e->diags, g, "its presets are %s", all.data);
  else
    xlm_diag_note(e->diags, g, "it has no presets at all");
}

static void apply_presets(xlm_el *e) {
  xlm_dict presets = {0};
  for (const xlm_stmt *s = e->ast->stmts; s; s = s->next) {
    if (s->kind != XLM_STMT_PRESET) continue;
    const xlm_stmt *first = xlm_dict_get(&presets, s->name->text);
    if (first)
      redefined(e, s->name->text, s->name->span, first->name->span, "a preset");
    else
      xlm_dict_put(e->arena, &presets, s->name->text, (void *)s);
  }
  if (e->set->preset) e->preset = xlm_dict_get(&presets, e->set->preset);
  if (e->set->preset && !e->preset) unknown_preset(e, &presets);
  if (e->preset) e->g->preset = e->preset->name->text;
  for (uint32_t i = 0; i < presets.n; i++) read_preset(e, presets.at[i].value);
}

static bool parse_value(const char *text, xlm_number *out) {
  if (!strcmp(text, "true") || !strcmp(text, "false")) return *out = xlm_num_int(*text == 't'), true;
  char clean[64];
  size_t n = 0;
  for (const char *p = text; *p; p++) {
    if (*p == '_') continue;
    if (n + 1 >= sizeof clean || !strchr("0123456789.eE+-", *p)) return false;
    clean[n++] = *p;
  }
  clean[n] = 0;
  char *end;
  long long i = strtoll(clean, &end, 10);
  if (n && !*end && n < 19) return *out = xlm_num_int(i), true;
  double v = strtod(clean, &end);
  if (!n || *end || !(v > -1e308 && v < 1e308)) return false;
  *out = xlm_num_real(v);
  return true;
}

static void apply_set(xlm_el *e, const char *name, const char *value) {
  xlm_el_decl *d = find_public(e, name);
  xlm_number v;
  if (!d) {
    unknown_setting(e, name, (xlm_span){0});
    return;
  }
  if (!parse_value(value, &v)) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_BAD_SETTING, (xlm_span){0},
                                "the setting %s=%s is not a number", name, value);
    xlm_diag_help(e->diags, g, "write a number, as in %s=%s, or true or false", name,
                  d->is_dim ? "1024" : "0.1");
    return;
  }
  d->expr = NULL;
  d->value = v;
  d->origin = xlm_arena_printf(e->arena, "the setting %s=%s", name, value);
}

static void apply_size(xlm_el *e, const char *name, int64_t size) {
  xlm_el_decl *d = find_public(e, name);
  if (!size || !d) return;
  d->expr = NULL;
  d->value = xlm_num_int(size);
  d->origin = xlm_arena_printf(e->arena, "the setting %s=%lld", name, (long long)size);
}

static void declare_built_in(xlm_el *e, const char *name, bool is_dim, int64_t value) {
  if (xlm_dict_get(&e->global.symbols, name)) return;
  xlm_el_decl *d = add_decl(e, &e->global, name, (xlm_span){0}, is_dim);
  d->built_in = true;
  d->value = xlm_num_int(value);
}

static void put_config(xlm_el *e, xlm_el_decl *d) {
  if (d->state != XLM_DECL_DONE || (d->built_in && !d->is_dim)) return;
  xlm_plan_config c = {.name = d->name, .value = d->value.v, .kind = xlm_el_kind_of(e, d)};
  for (const xlm_ast_name *a = d->stmt ? d->stmt->decl.aliases : NULL; a && c.n_aliases < 8; a = a->next)
    c.alias[c.n_aliases++] = a->text;
  XLM_PUSH(e->arena, e->g->config, e->g->n_config, e->g->cap_config, c);
}

// --- checks

typedef struct values {
  xlm_el *e;
  xlm_el_frame *f;
  xlm_dict seen; // -> xlm_el_decl
} values;

static void add_value(void *context, const char *name, xlm_span span) {
  values *c = context;
  (void)span;
  xlm_el_symbol *s = xlm_el_find(c->f, name);
  bool done = s && s->kind == XLM_SYM_DECL && s->decl->state == XLM_DECL_DONE &&
              !(s->decl->built_in && !s->decl->is_dim);
  if (done) xlm_dict_put(c->e->arena, &c->seen, name, s->decl);
}

static void note_values(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, xlm_diag *g) {
  values c = {e, f, {0}};
  xlm_el_walk_names(x, add_value, &c);
  if (!c.seen.n) return;
  xlm_text t = xlm_text_new(e->arena);
  for (uint32_t i = 0; i < c.seen.n && i < 12; i++)
    xlm_text_printf(&t, "%s%s = %s", i ? ", " : "", c.seen.at[i].key,
                    xlm_num_text(e->arena, ((xlm_el_decl *)c.seen.at[i].value)->value));
  xlm_diag_note(e->diags, g, "here %s", t.data);
}

// For the usual form `check a % b == 0`: suggests sizes that work.
static void help_divisible(xlm_el *e, xlm_el_frame *f, const xlm_expr *x, xlm_diag *g) {
  if (x->kind != XLM_EXPR_BINARY || x->binary.op != XLM_BIN_EQ) return;
  const xlm_expr *m = x->binary.a;
  xlm_number a, b;
  if (m->kind != XLM_EXPR_BINARY || m->binary.op != XLM_BIN_MOD) return;
  if (xlm_el_number(e, f, m->binary.a, "a check", &a) && xlm_el_number(e, f, m->binary.b, "a check", &b) &&
      a.integer && b.integer)
    xlm_el_help_sizes(e, g, m->binary.a, a.i, m->binary.b, b.i);
}

void xlm_el_check(xlm_el *e, xlm_el_frame *f, const xlm_stmt *s) {
  xlm_number v;
  if (!xlm_el_number(e, f, s->expr, "a check", &v) || v.v != 0) return;
  const char *message = s->check.message;
  xlm_diag *g = message
                    ? xlm_diag_push(e->diags, XLM_E_CHECK_FAILED, s->expr->span, "%s", message)
                    : xlm_diag_push(e->diags, XLM_E_CHECK_FAILED, s->expr->span, "the check does not hold");
  note_values(e, f, s->expr, g);
  help_divisible(e, f, s->expr, g);
}

void xlm_el_declare_all(xlm_el *e) {
  for (const xlm_stmt *s = e->ast->stmts; s && !e->stop; s = s->next)
    if (s->kind == XLM_STMT_DIM || s->kind == XLM_STMT_LET) xlm_el_declare(e, &e->global, s);
  declare_built_in(e, "batch", true, 4);
  declare_built_in(e, "seq", true, 512);
  declare_built_in(e, "true", false, 1);
  declare_built_in(e, "false", false, 0);
  publish_all(e);
  apply_presets(e);
  for (int i = 0; i < e->set->n_sets; i++) apply_set(e, e->set->sets[i].name, e->set->sets[i].value);
  apply_size(e, "batch", e->set->batch);
  apply_size(e, "seq", e->set->seq);
  for (uint32_t i = 0; i < e->n_decls; i++) xlm_el_force(e, e->decls[i], e->decls[i]->span);
  for (uint32_t i = 0; i < e->n_decls; i++) put_config(e, e->decls[i]);
  for (const xlm_stmt *s = e->ast->stmts; s; s = s->next)
    if (s->kind == XLM_STMT_CHECK) xlm_el_check(e, &e->global, s);
}
