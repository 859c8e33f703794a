// weights sections: the external name and layout of every parameter, expanded over rounds.
//
// A path is matched as a pattern: `layers[i].mlp.up` and the parameters layers.0.mlp.up, layers.1.mlp.up ..
// all become layers.*.mlp.up, so one lookup finds everything an entry covers. Layouts: weight_layout.c.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/elaborate/elaborate_priv.h"

enum { MOST_INDICES = 16 };

typedef struct path { // of an entry or a parameter
  const char *pattern;
  int n;
  struct {
    const char *var; // entry: index variable; NULL: `number`
    int64_t number;
  } index[MOST_INDICES];
} path;

typedef struct covered { // the parameters of one pattern
  xlm_el_param **at;
  uint32_t n, cap;
} covered;

typedef struct external { // an external tensor
  const xlm_weight *first;
  int parts, n_seen;
  bool *seen;
  xlm_external_layout layout;
} external;

typedef struct section {
  xlm_el *e;
  const xlm_stmt *stmt;
  const xlm_dict *patterns; // -> covered
  xlm_dict externals;       // -> external
  bool keep;                // store the entries in the graph
  bool is_read;             // by checkpoints: the first section
} section;

// --- paths

static bool add_index(path *p, const char *text, size_t n, xlm_arena *a) {
  if (p->n == MOST_INDICES) return false;
  bool digits = true;
  for (size_t i = 0; i < n; i++) digits &= isdigit((unsigned char)text[i]) != 0;
  p->index[p->n].var = digits && n < 18 ? NULL : xlm_arena_strndup(a, text, n);
  p->index[p->n].number = 0;
  for (size_t i = 0; digits && n < 18 && i < n; i++)
    p->index[p->n].number = p->index[p->n].number * 10 + (text[i] - '0');
  p->n++;
  return true;
}

// "layers[i].mlp.up" (entry) or "layers.3.mlp.up" (parameter).
static path read_path(xlm_arena *a, const char *text) {
  path p = {0};
  xlm_text t = xlm_text_new(a);
  while (*text) {
    size_t n = strcspn(text, ".[");
    bool index = n && isdigit((unsigned char)*text);
    if (index) add_index(&p, text, n, a);
    xlm_text_printf(&t, "%s", t.n ? "." : "");
    xlm_text_addn(&t, index ? "*" : text, index ? 1 : n);
    for (text += n; *text == '[';) {
      size_t len = strcspn(++text, "]");
      add_index(&p, text, len, a);
      xlm_text_add(&t, ".*");
      text += len + (text[len] == ']');
    }
    text += *text == '.';
  }
  p.pattern = t.n ? t.data : "";
  return p;
}

static xlm_dict collect_patterns(xlm_el *e) {
  xlm_dict m = {0};
  for (uint32_t i = 0; i < e->params.n; i++) {
    xlm_el_param *p = e->params.at[i].value;
    const char *pattern = read_path(e->arena, p->path).pattern;
    covered *c = xlm_dict_get(&m, pattern);
    if (!c) xlm_dict_put(e->arena, &m, pattern, c = XLM_NEW(e->arena, covered));
    XLM_PUSH(e->arena, c->at, c->n, c->cap, p);
  }
  return m;
}

static bool same_indices(const path *entry, const path *param) {
  for (int i = 0; i < entry->n && i < param->n; i++)
    if (!entry->index[i].var && entry->index[i].number != param->index[i].number) return false;
  return entry->n == param->n;
}

// --- external names

static bool bad_index(section *s, const xlm_weight *w, const char *fmt, const char *name) {
  xlm_diag *g = xlm_diag_push(s->e->diags, XLM_E_WEIGHT_INDEX, w->external_span, fmt, name);
  xlm_diag_label(s->e->diags, g, w->path_span, "of this parameter");
  xlm_diag_help(
      s->e->diags, g,
      "{i} is an index of the path, as in layers[i], or one dimension of the parameter; {layers + i} "
      "adds a number of the model");
  return false;
}

xlm_dim xlm_el_type_dim(const xlm_el *e, const xlm_type *t, const char *name) {
  for (int i = 0; i < t->rank; i++)
    if (!strcmp(e->g->dims[t->dim[i]].name, name)) return t->dim[i];
  return 0;
}

bool xlm_el_whole_number(const xlm_el *e, const char *text, int64_t *out) {
  char *end;
  if (isdigit((unsigned char)*text)) return *out = strtoll(text, &end, 10), !*end;
  const xlm_el_symbol *s = xlm_el_find(&e->global, text);
  bool known = s && s->kind == XLM_SYM_DECL && s->decl->state == XLM_DECL_DONE && s->decl->value.integer;
  if (known && s->use) s->use->read = true;
  return known && (*out = s->decl->value.i, true);
}

static const int64_t *index_of(const path *entry, const path *param, const char *name) {
  for (int i = 0; i < entry->n; i++)
    if (entry->index[i].var && !strcmp(entry->index[i].var, name)) return &param->index[i].number;
  return NULL;
}

// "i", "layers", or "layers + i"
static bool add_terms(section *s, const path *entry, const path *param, const char *text, int64_t *sum) {
  for (*sum = 0;; text++) {
    text += strspn(text, " ");
    size_t n = strcspn(text, " +");
    const char *name = xlm_arena_strndup(s->e->arena, text, n);
    const int64_t *index = index_of(entry, param, name);
    int64_t one;
    if (index)
      one = *index;
    else if (!xlm_el_whole_number(s->e, name, &one))
      return false;
    if (__builtin_add_overflow(*sum, one, sum)) return false;
    text += n + strspn(text + n, " ");
    if (*text != '+') return !*text;
  }
}

static bool put_index(section *s, const xlm_weight *w, const path *entry, const path *param, const char *name,
                      xlm_text *out, xlm_plan_weight *m, const xlm_type *t) {
  int64_t number;
  xlm_dim d = index_of(entry, param, name) ? 0 : xlm_el_type_dim(s->e, t, name);
  if (!d && add_terms(s, entry, param, name, &number))
    return xlm_text_printf(out, "%lld", (long long)number), true;
  if (!d)
    return bad_index(
        s, w, "`{%s}` is no index of the path, dimension of the parameter or number of the model", name);
  if (m->each)
    return bad_index(s, w, "`{%s}` is a second dimension, and one tensor per index of one is possible", name);
  m->each = d;
  xlm_text_printf(out, "{%s}", name);
  return true;
}

static bool expand(section *s, const xlm_weight *w, const path *entry, const path *param, xlm_plan_weight *m,
                   const xlm_type *t) {
  xlm_text out = xlm_text_new(s->e->arena);
  for (const char *p = w->external; *p;) {
    size_t n = strcspn(p, "{");
    xlm_text_addn(&out, p, n);
    p += n;
    if (!*p) break;
    size_t len = strcspn(++p, "}");
    if (!p[len]) return bad_index(s, w, "a `{` is not closed%s", "");
    if (!put_index(s, w, entry, param, xlm_arena_strndup(s->e->arena, p, len), &out, m, t)) return false;
    p += len + 1;
  }
  m->external = out.n ? out.data : "";
  return true;
}

// --- collisions

static bool collides(section *s, const xlm_weight *w, const xlm_plan_weight *m,
                     const xlm_external_layout *l) {
  xlm_el *e = s->e;
  external *x = xlm_dict_get(&s->externals, m->external);
  if (!x) {
    x = XLM_NEW(e->arena, external);
    *x = (external){
        .first = w, .parts = l->parts, .seen = XLM_NEW_N(e->arena, bool, l->parts + 1), .layout = *l};
    xlm_dict_put(e->arena, &s->externals, m->external, x);
  } else if (!l->parts || !x->parts || x->parts != l->parts || x->seen[l->part]) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_WEIGHT_DUPLICATE, w->external_span,
                                "two entries name the tensor `%s`", m->external);
    if (x->first != w) xlm_diag_label(e->diags, g, x->first->external_span, "the first is here");
    xlm_diag_help(e->diags, g,
                  x->first == w ? "use the index of the path in the name, as in layers.{i}"
                                : "parts of one tensor are written as [0 of 3 heads head, hidden]");
    return true;
  } else if (!xlm_el_same_external(&x->layout, l)) {
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_WEIGHT_PARTS, w->external_span,
                                "the parts of `%s` do not fit together", m->external);
    xlm_diag_primary(e->diags, g, "%s", xlm_el_external_text(e, l));
    xlm_diag_label(e->diags, g, x->first->external_span, "%s", xlm_el_external_text(e, &x->layout));
    xlm_diag_help(e->diags, g, "entries of one tensor have the same slots, in the same place, and one shape");
    return true;
  }
  x->seen[l->part] = true;
  x->n_seen++;
  return false;
}

static void check_parts(section *s) {
  xlm_el *e = s->e;
  for (uint32_t i = 0; i < s->externals.n; i++) {
    const external *x = s->externals.at[i].value;
    if (!x->parts || x->n_seen == x->parts) continue;
    int missing = 0;
    while (x->seen[missing]) missing++;
    xlm_diag *g = xlm_diag_push(e->diags, XLM_E_WEIGHT_PARTS, x->first->external_span,
                                "part %d of %d of `%s` is not mapped to a parameter", missing, x->parts,
                                s->externals.at[i].key);
    xlm_diag_help(e->diags, g, "parts count from 0");
  }
}

static void check_missing(section *s) {
  xlm_el *e = s->e;
  xlm_text t = xlm_text_new(e->arena);
  int n = 0;
  for (uint32_t i = 0; i < e->params.n; i++) {
    const xlm_el_param *p = e->params.at[i].value;
    if (p->mapped || p->stmt->kind != XLM_STMT_PARAM) continue;
    if (n++ < 4) xlm_text_printf(&t, "%s`%s`", t.n ? ", " : "", p->path);
  }
  if (!n) return;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_WEIGHT_MISSING, s->stmt->name->span, "%d parameter%s no entry in `%s`", n,
                    n == 1 ? " has" : "s have", s->stmt->name->text);
  xlm_diag_note(e->diags, g, "%s %s%s", n == 1 ? "it is" : "they are", t.data, n > 4 ? ", .." : "");
  xlm_diag_help(e->diags, g, "write one line per parameter: path = \"name outside\" [layout]");
}

// --- entries

static bool set_stored(section *s, const xlm_weight *w, const xlm_type *t, xlm_plan_weight *m) {
  if (!w->stored) return true;
  if (!s->is_read) return (m->code = xlm_el_of_value(s->e, w->stored, t)) != NULL;
  xlm_diag *g = xlm_diag_push(s->e->diags, XLM_E_WEIGHT_VALUE, w->stored->span,
                              "the first section has the parameters' own values");
  xlm_diag_help(s->e->diags, g,
                "checkpoints are written and read by the first `weights` section; formulas stand in others, "
                "for `xlmrun export`");
  return false;
}

static bool map_one(section *s, const xlm_weight *w, const path *entry, xlm_el_param *p) {
  xlm_el *e = s->e;
  const xlm_type *t = xlm_val_type(e->g, p->val);
  path own = read_path(e->arena, p->path);
  xlm_plan_weight m = {.param = p->path, .optional = w->optional};
  xlm_external_layout layout;
  if (p->mapped) {
    xlm_diag *g =
        xlm_diag_push(e->diags, XLM_E_WEIGHT_TWICE, w->path_span, "parameter `%s` has two entries", p->path);
    xlm_diag_help(e->diags, g, "remove one of them");
    return false;
  }
  p->mapped = true;
  if (!expand(s, w, entry, &own, &m, t) || !set_stored(s, w, t, &m)) return false;
  if (!xlm_el_layout(e, w, t, &m, &layout) || collides(s, w, &m, &layout)) return false;
  if (s->keep) XLM_PUSH(e->arena, e->g->weights, e->g->n_weights, e->g->cap_weights, m);
  return true;
}

static const char *as_path(xlm_el *e, const char *pattern) { // layers.*.up -> layers[i].up
  xlm_text t = xlm_text_new(e->arena);
  for (const char *p = pattern; *p; p++) {
    bool index = p[0] == '.' && p[1] == '*';
    xlm_text_addn(&t, index ? "[i]" : p, index ? 3 : 1);
    p += index;
  }
  return t.data;
}

// Reports an unknown path, unless it is that of a parameter under other settings; also an index that is too
// large.
static void unknown_path(section *s, const xlm_weight *w, const path *p) {
  xlm_el *e = s->e;
  if (!xlm_dict_get(s->patterns, p->pattern) && xlm_el_may_have(e, p->pattern)) return;
  xlm_diag *g =
      xlm_diag_push(e->diags, XLM_E_WEIGHT_PATH, w->path_span, "the model has no parameter `%s`", w->path);
  const char *near = xlm_el_nearest_key(e, s->patterns, p->pattern);
  if (near)
    xlm_diag_help(e->diags, g, "did you mean `%s`?", as_path(e, near));
  else if (e->params.n)
    xlm_diag_note(e->diags, g, "parameters have paths like `%s`", e->params.at[e->params.n - 1].key);
}

static void map_entry(section *s, const xlm_weight *w) {
  path entry = read_path(s->e->arena, w->path);
  const covered *c = xlm_dict_get(s->patterns, entry.pattern);
  bool found = false;
  for (uint32_t i = 0; c && i < c->n; i++) {
    path own = read_path(s->e->arena, c->at[i]->path);
    if (!same_indices(&entry, &own)) continue;
    found = true;
    if (!map_one(s, w, &entry, c->at[i])) return;
  }
  if (!found) unknown_path(s, w, &entry);
}

void xlm_el_weights(xlm_el *e) {
  xlm_dict patterns = collect_patterns(e);
  const xlm_stmt *first = NULL;
  const char *wanted = e->set->section;
  for (const xlm_stmt *s = e->ast->stmts; s; s = s->next) {
    if (s->kind != XLM_STMT_WEIGHTS) continue;
    bool keep = wanted ? !strcmp(s->name->text, wanted) : !first;
    if (keep) e->g->weights_name = s->name->text;
    if (!first) first = s;
    for (uint32_t i = 0; i < e->params.n; i++) ((xlm_el_param *)e->params.at[i].value)->mapped = false;
    section x = {.e = e, .stmt = s, .patterns = &patterns, .keep = keep, .is_read = s == first};
    uint32_t errors = e->diags->errors;
    for (const xlm_weight *w = s->weights.entries; w; w = w->next) map_entry(&x, w);
    if (e->diags->errors == errors) check_parts(&x);
    if (e->diags->errors == errors) check_missing(&x);
  }
}
