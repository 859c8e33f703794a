// Templates: texts with fields of a record in braces, and filters behind them: "{ctx_b|capitalize}".
// A path leads into objects ("choices.text"); through a list it leads into each of its elements. Numbers are
// texts, too, and true and false are 1 and 0.
#include <string.h>

#include "runtime/evaluate/task_priv.h"

struct filter {
  const char *name;
  const char *(*apply)(xlm_arena *a, const char *s);
};

// As Python's text.split(" ")[-1] and the rest of it.
static const char *last_word(xlm_arena *a, const char *s) {
  const char *space = strrchr(s, ' ');
  (void)a;
  return space ? space + 1 : s;
}

static const char *all_but_last_word(xlm_arena *a, const char *s) {
  const char *space = strrchr(s, ' ');
  return space ? xlm_arena_strndup(a, s, (size_t)(space - s)) : "";
}

static const char *before_gap(xlm_arena *a, const char *s) {
  return xlm_arena_strndup(a, s, strcspn(s, "_"));
}

static const char *after_gap(xlm_arena *a, const char *s) {
  size_t n = strcspn(s, "_");
  (void)a;
  return s + n + (s[n] != 0);
}

static const filter filters[] = {{"capitalize", text_capitalize},
                                 {"strip", text_strip},
                                 {"strip_left", text_strip_left},
                                 {"last_word", last_word},
                                 {"all_but_last_word", all_but_last_word},
                                 {"before_gap", before_gap},
                                 {"after_gap", after_gap}};
enum { N_FILTERS = sizeof filters / sizeof *filters };

// ---- parsing

static xlm_status add_filter(xlm_arena *a, piece *p, const char *name, xlm_error *err) {
  const char *names[N_FILTERS];
  xlm_text known = xlm_text_new(a);
  for (int i = 0; i < N_FILTERS; i++) {
    names[i] = filters[i].name;
    xlm_text_printf(&known, "%s%s", i ? ", " : "", names[i]);
    if (strcmp(name, names[i])) continue;
    if (p->n_filters == FILTERS) return xlm_fail(err, XLM_USER, "at most %d filters follow a field", FILTERS);
    p->filters[p->n_filters++] = &filters[i];
    return XLM_OK;
  }
  const char *near = xlm_text_nearest(name, names, N_FILTERS);
  return near ? xlm_fail(err, XLM_USER, "there is no filter '%s'; did you mean '%s'?", name, near)
              : xlm_fail(err, XLM_USER, "there is no filter '%s': there are %s", name, known.data);
}

// A name of the task's `fields` may stand for the path's first part.
static void set_paths(xlm_arena *a, const task_rules *r, const char *path, piece *p) {
  size_t n = strcspn(path, ".");
  for (int i = 0; i < r->n_fields; i++) {
    const field *f = &r->fields[i];
    if (strlen(f->name) != n || memcmp(f->name, path, n)) continue;
    p->paths = XLM_NEW_N(a, const char *, f->n);
    for (p->n_paths = 0; p->n_paths < f->n; p->n_paths++)
      p->paths[p->n_paths] = xlm_arena_printf(a, "%s%s", f->paths[p->n_paths], path + n);
    return;
  }
  p->paths = XLM_NEW(a, const char *);
  p->paths[0] = path, p->n_paths = 1;
}

static xlm_status parse_field(xlm_arena *a, const task_rules *r, char *text, template *out, xlm_error *err) {
  piece p = {0};
  char *bar = strchr(text, '|');
  if (bar) *bar++ = 0;
  if (!*text || strpbrk(text, " \t\n{"))
    return xlm_fail(err, XLM_USER, "'{%s}' is no field of a record: a name, or names with dots", text);
  set_paths(a, r, text, &p);
  for (char *next; bar; bar = next) {
    next = strchr(bar, '|');
    if (next) *next++ = 0;
    XLM_TRY(add_filter(a, &p, bar, err));
  }
  XLM_PUSH(a, out->at, out->n, out->cap, p);
  return XLM_OK;
}

static void add_literal(xlm_arena *a, const char *text, size_t n, template *out) {
  if (n) XLM_PUSH(a, out->at, out->n, out->cap, ((piece){.literal = xlm_arena_strndup(a, text, n)}));
}

xlm_status template_parse(xlm_arena *a, const task_rules *r, const char *text, template *out,
                          xlm_error *err) {
  *out = (template){.text = text};
  for (const char *p = text; *p;) {
    const char *open = strchr(p, '{'), *close = open ? strchr(open, '}') : NULL;
    if (open && !close)
      return xlm_fail(err, XLM_USER, "'%s' has a { without }: fields of a record stand in braces", text);
    add_literal(a, p, open ? (size_t)(open - p) : strlen(p), out);
    if (!open) break;
    XLM_TRY(parse_field(a, r, xlm_arena_strndup(a, open + 1, (size_t)(close - open - 1)), out, err));
    p = close + 1;
  }
  return XLM_OK;
}

// ---- the values of a record

typedef enum found { FOUND, MISSING, WRONG_KIND } found;

typedef struct texts {
  xlm_arena *arena;
  const char **at;
  uint32_t n, cap;
  bool list;        // they are those of a list
  const char *kind; // of a value that is no text
} texts;

static const char *kind_of(const json_t *v) {
  static const char *const names[] = {"an object", "a list", "text",  "a number",
                                      "a number",  "true",   "false", "null"};
  return names[json_typeof(v)];
}

static found collect(texts *t, const json_t *v, const char *path) {
  size_t i, n = strcspn(path, ".");
  json_t *x;
  if (json_is_array(v)) {
    t->list = true;
    json_array_foreach(v, i, x) {
      found f = collect(t, x, path);
      if (f != FOUND) return f;
    }
    return FOUND;
  }
  if (*path) {
    x = json_object_get(v, xlm_arena_strndup(t->arena, path, n));
    return !x || json_is_null(x) ? MISSING : collect(t, x, path[n] ? path + n + 1 : path + n);
  }
  t->kind = kind_of(v);
  if (!json_is_string(v) && !json_is_integer(v) && !json_is_boolean(v)) return WRONG_KIND;
  const char *text = json_is_string(v)
                         ? xlm_arena_strndup(t->arena, json_string_value(v), json_string_length(v))
                         : xlm_arena_printf(t->arena, "%" JSON_INTEGER_FORMAT,
                                            json_is_integer(v) ? json_integer_value(v) : json_is_true(v));
  XLM_PUSH(t->arena, t->at, t->n, t->cap, text);
  return FOUND;
}

static const char *keys_of(xlm_arena *a, const json_t *record) {
  xlm_text t = xlm_text_new(a);
  const char *key;
  json_t *unused;
  int n = 0;
  json_object_foreach((json_t *)(uintptr_t)record, key, unused) {
    if (n++ == 12) break;
    xlm_text_printf(&t, "%s\"%.40s\"", n > 1 ? ", " : "", key);
  }
  return n > 12 ? xlm_arena_printf(a, "%s, ..", t.data) : n ? t.data : "nothing";
}

static const char *paths_text(xlm_arena *a, const piece *p) {
  xlm_text t = xlm_text_new(a);
  for (int i = 0; i < p->n_paths; i++) xlm_text_printf(&t, "%s\"%s\"", i ? " or " : "", p->paths[i]);
  return t.data;
}

static xlm_status values(const piece *p, const json_t *record, texts *t, xlm_error *err) {
  const char *kind = NULL;
  for (int i = 0; i < p->n_paths; i++) {
    texts tried = {.arena = t->arena};
    found f = collect(&tried, record, p->paths[i]);
    if (f == FOUND) {
      *t = tried;
      return XLM_OK;
    }
    if (f == WRONG_KIND) kind = tried.kind;
  }
  if (kind) return xlm_fail(err, XLM_USER, "%s of the record is %s, not text", paths_text(t->arena, p), kind);
  return xlm_fail(err, XLM_USER, "the record has no %s; it has %s", paths_text(t->arena, p),
                  keys_of(t->arena, record));
}

static const char *filtered(xlm_arena *a, const piece *p, const char *text) {
  for (int i = 0; i < p->n_filters; i++) text = p->filters[i]->apply(a, text);
  return text;
}

xlm_status template_text(xlm_arena *a, const template *t, const json_t *record, const char **out,
                         xlm_error *err) {
  xlm_text text = xlm_text_new(a);
  for (uint32_t i = 0; i < t->n; i++) {
    const piece *p = &t->at[i];
    texts v = {.arena = a};
    if (p->literal) {
      xlm_text_add(&text, p->literal);
      continue;
    }
    XLM_TRY(values(p, record, &v, err));
    if (v.list || v.n != 1)
      return xlm_fail(err, XLM_USER, "%s of the record is a list, not a text", paths_text(a, p));
    xlm_text_add(&text, filtered(a, p, v.at[0]));
  }
  *out = text.data;
  return XLM_OK;
}

static xlm_status field_list(xlm_arena *a, const template *t, const json_t *record, const char ***out, int *n,
                             xlm_error *err) {
  texts v = {.arena = a};
  if (t->n != 1 || t->at[0].literal)
    return xlm_fail(err, XLM_USER, "'%s' must be one field with a list", t->text);
  XLM_TRY(values(&t->at[0], record, &v, err));
  if (!v.list)
    return xlm_fail(err, XLM_USER, "%s of the record is text, not a list", paths_text(a, &t->at[0]));
  for (uint32_t i = 0; i < v.n; i++) v.at[i] = filtered(a, &t->at[0], v.at[i]);
  *out = v.at, *n = (int)v.n;
  return XLM_OK;
}

xlm_status template_list(xlm_arena *a, const list_rule *r, const json_t *record, const char ***out, int *n,
                         xlm_error *err) {
  if (r->n == 1) return field_list(a, &r->at[0], record, out, n, err);
  *out = XLM_NEW_N(a, const char *, r->n);
  for (*n = 0; *n < r->n; ++*n) XLM_TRY(template_text(a, &r->at[*n], record, &(*out)[*n], err));
  return XLM_OK;
}
