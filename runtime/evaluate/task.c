// Reads the file of a task. A table lists every key, and the types of tasks that have it.
#include "runtime/evaluate/task.h"

#include <string.h>

#include "runtime/base/map.h"
#include "runtime/base/yaml.h"
#include "runtime/evaluate/measure.h"
#include "runtime/evaluate/task_priv.h"

enum {
  CHOICE = 1 << XLM_TASK_CHOICE,
  PROMPTS = 1 << XLM_TASK_PROMPTS,
  CONTINUATION = 1 << XLM_TASK_CONTINUATION,
  ROLLING = 1 << XLM_TASK_ROLLING,
  EITHER = CHOICE | PROMPTS, // with a right answer
  ALL = CHOICE | PROMPTS | CONTINUATION | ROLLING
};

typedef struct reader {
  xlm_arena *arena;
  const char *path;
  xlm_task *task;
  task_rules *rules;
  xlm_error *err;
} reader;

typedef struct key {
  const char *name;
  int types, needed_by; // types of tasks, as sets
  xlm_status (*read)(reader *r, const xlm_yaml *v);
} key;

static xlm_status wrong(const reader *r, const xlm_yaml *at, const char *what) {
  return xlm_fail(r->err, XLM_USER, "%s:%zu: %s", r->path, at->line, what);
}

// What has failed with a part of a sentence gets its place; other failures pass.
static xlm_status placed(const reader *r, const xlm_yaml *at, xlm_status s) {
  return s == XLM_OK ? s : xlm_fail_in(r->err, "%s:%zu", r->path, at->line);
}

static xlm_status get_text(const reader *r, const xlm_yaml *v, const char **out) {
  *out = v->text;
  return v->kind == XLM_YAML_SCALAR ? XLM_OK : wrong(r, v, "a text was expected here");
}

// A text is a list of one.
static xlm_status get_texts(const reader *r, const xlm_yaml *v, const char ***out, int *n) {
  bool list = v->kind == XLM_YAML_LIST;
  *n = list ? v->n : 1;
  *out = XLM_NEW_N(r->arena, const char *, *n);
  for (int i = 0; i < *n; i++) XLM_TRY(get_text(r, list ? v->at[i].value : v, &(*out)[i]));
  return *n ? XLM_OK : wrong(r, v, "the list is empty");
}

// ---- keys

static xlm_status read_about(reader *r, const xlm_yaml *v) {
  return get_text(r, v, &r->task->about);
}

static xlm_status read_files(reader *r, const xlm_yaml *v) {
  return get_texts(r, v, &r->task->files, &r->task->n_files);
}

static xlm_status read_own_files(reader *r, const xlm_yaml *v) {
  return get_texts(r, v, &r->task->own_files, &r->task->n_own_files);
}

static xlm_status read_fields(reader *r, const xlm_yaml *v) {
  if (v->kind != XLM_YAML_MAP) return wrong(r, v, "`fields` has names and where they are in a record");
  r->rules->fields = XLM_NEW_N(r->arena, field, v->n);
  for (int i = 0; i < v->n; i++) {
    field *f = &r->rules->fields[r->rules->n_fields++];
    XLM_TRY(get_text(r, v->at[i].key, &f->name));
    XLM_TRY(get_texts(r, v->at[i].value, &f->paths, &f->n));
  }
  return XLM_OK;
}

static xlm_status read_template(reader *r, const xlm_yaml *v, template *out) {
  const char *text;
  XLM_TRY(get_text(r, v, &text));
  return placed(r, v, template_parse(r->arena, r->rules, text, out, r->err));
}

static xlm_status read_prompt(reader *r, const xlm_yaml *v) {
  return read_template(r, v, &r->rules->prompt);
}

static xlm_status read_continuation(reader *r, const xlm_yaml *v) {
  return read_template(r, v, &r->rules->continuation);
}

static xlm_status read_text(reader *r, const xlm_yaml *v) {
  return read_template(r, v, &r->rules->text);
}

static xlm_status read_answer(reader *r, const xlm_yaml *v) {
  return read_template(r, v, &r->rules->answer);
}

static xlm_status read_list(reader *r, const xlm_yaml *v, list_rule *out) {
  bool list = v->kind == XLM_YAML_LIST;
  int n = list ? v->n : 1;
  if (list && n < 2) return wrong(r, v, "this is a field with a list, or a list of two or more texts");
  out->at = XLM_NEW_N(r->arena, template, n);
  for (int i = 0; i < n; i++) XLM_TRY(read_template(r, list ? v->at[i].value : v, &out->at[out->n++]));
  return XLM_OK;
}

static xlm_status read_choices(reader *r, const xlm_yaml *v) {
  return read_list(r, v, &r->rules->choices);
}

static xlm_status read_prompts(reader *r, const xlm_yaml *v) {
  return read_list(r, v, &r->rules->prompts);
}

static xlm_status read_labels(reader *r, const xlm_yaml *v) {
  return read_list(r, v, &r->rules->labels);
}

static xlm_status read_answers_beside(reader *r, const xlm_yaml *v) {
  XLM_TRY(get_text(r, v, &r->rules->answers_beside));
  return strchr(r->rules->answers_beside, '*')
             ? XLM_OK
             : wrong(r, v, "`answers_beside` needs a *, which stands for the name of the data");
}

static xlm_status read_delimiter(reader *r, const xlm_yaml *v) {
  return get_text(r, v, &r->rules->delimiter);
}

static xlm_status read_lines(reader *r, const xlm_yaml *v) {
  const struct {
    const char *name, **to;
  } keys[] = {{"field", &r->rules->line_field}, {"empty", &r->rules->empty_line}, {"into", &r->rules->into}};
  const xlm_yaml *first = NULL;
  int found = 0;
  if (v->kind != XLM_YAML_MAP) return wrong(r, v, "`lines` has the keys field, empty, first and into");
  for (int i = 0; i < v->n; i++) {
    const char *name = v->at[i].key->text;
    if (!strcmp(name, "first")) first = v->at[i].value;
    for (int k = 0; k < 3; k++)
      if (!strcmp(name, keys[k].name)) {
        XLM_TRY(get_text(r, v->at[i].value, keys[k].to));
        found++;
      }
  }
  if (found != 3 || !first || v->n != 4)
    return wrong(r, v, "`lines` has the keys field, empty, first and into");
  return placed(r, first, clean_compile(r->arena, first->text, &r->rules->first_line, r->err));
}

static xlm_status read_step(reader *r, const xlm_yaml *v, step *out) {
  static const char what[] = "a step is `strip`, `replace: [TEXT, TEXT]` or `regex: [PATTERN, TEXT]`";
  if (v->kind == XLM_YAML_SCALAR && !strcmp(v->text, "strip")) {
    *out = (step){.kind = STEP_STRIP};
    return XLM_OK;
  }
  if (v->kind != XLM_YAML_MAP || v->n != 1) return wrong(r, v, what);
  const char *name = v->at[0].key->text, **pair;
  const xlm_yaml *value = v->at[0].value;
  bool regex = !strcmp(name, "regex");
  if ((!regex && strcmp(name, "replace")) || value->kind != XLM_YAML_LIST || value->n != 2)
    return wrong(r, v, what);
  int n;
  XLM_TRY(get_texts(r, value, &pair, &n));
  *out = (step){.kind = regex ? STEP_REGEX : STEP_REPLACE, .from = pair[0], .to = pair[1]};
  if (!*out->from) return wrong(r, v, "what is replaced is empty");
  return regex ? placed(r, value, clean_compile(r->arena, out->from, &out->code, r->err)) : XLM_OK;
}

static xlm_status read_clean(reader *r, const xlm_yaml *v) {
  if (v->kind != XLM_YAML_LIST) return wrong(r, v, "`clean` is a list of steps");
  r->rules->steps = XLM_NEW_N(r->arena, step, v->n);
  for (int i = 0; i < v->n; i++) XLM_TRY(read_step(r, v->at[i].value, &r->rules->steps[r->rules->n_steps++]));
  return XLM_OK;
}

static xlm_status read_examples(reader *r, const xlm_yaml *v) {
  static const char what[] =
      "`examples` has parts of the data's name, and what stands there in that of its examples";
  if (v->kind != XLM_YAML_MAP) return wrong(r, v, what);
  r->rules->examples = XLM_NEW_N(r->arena, struct renaming, v->n);
  for (int i = 0; i < v->n; i++) {
    struct renaming *x = &r->rules->examples[r->rules->n_examples++];
    XLM_TRY(get_text(r, v->at[i].key, &x->from));
    XLM_TRY(get_text(r, v->at[i].value, &x->to));
    if (!*x->from) return wrong(r, v, what);
  }
  return XLM_OK;
}

static xlm_status read_spare_example(reader *r, const xlm_yaml *v) {
  r->rules->spare_example = !strcmp(v->text, "true");
  return r->rules->spare_example || !strcmp(v->text, "false")
             ? XLM_OK
             : wrong(r, v, "`spare_example` is true or false");
}

static xlm_status read_measures(reader *r, const xlm_yaml *v) {
  const char **names;
  int n;
  XLM_TRY(get_texts(r, v, &names, &n));
  if (n > XLM_TASK_MEASURES) return wrong(r, v, "these are too many measures");
  for (int i = 0; i < n; i++)
    XLM_TRY(placed(
        r, v, xlm_measure_find(r->task->type, names[i], &r->task->measures[r->task->n_measures++], r->err)));
  return XLM_OK;
}

static xlm_status read_type(reader *r, const xlm_yaml *v) {
  static const char *const names[] = {[XLM_TASK_CHOICE] = "choice",
                                      [XLM_TASK_PROMPTS] = "prompts",
                                      [XLM_TASK_CONTINUATION] = "continuation",
                                      [XLM_TASK_ROLLING] = "rolling"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(v->text, names[i])) {
      r->task->type = (xlm_task_type)i;
      return XLM_OK;
    }
  return wrong(r, v, "`type` is choice, prompts, continuation or rolling");
}

// In the order in which they are read: others refer to the type and to the fields.
static const key keys[] = {
    {"type", ALL, ALL, read_type},
    {"about", ALL, 0, read_about},
    {"files", ALL, 0, read_files},
    {"own_files", ALL, 0, read_own_files},
    {"fields", ALL, 0, read_fields},
    {"prompt", CHOICE | CONTINUATION, CHOICE | CONTINUATION, read_prompt},
    {"choices", CHOICE, CHOICE, read_choices},
    {"prompts", PROMPTS, PROMPTS, read_prompts},
    {"labels", EITHER, 0, read_labels},
    {"answer", EITHER, EITHER, read_answer},
    {"answers_beside", EITHER, 0, read_answers_beside},
    {"delimiter", EITHER, 0, read_delimiter},
    {"continuation", CONTINUATION | PROMPTS, CONTINUATION | PROMPTS, read_continuation},
    {"text", ROLLING, ROLLING, read_text},
    {"examples", EITHER, 0, read_examples},
    {"spare_example", EITHER, 0, read_spare_example},
    {"lines", ALL, 0, read_lines},
    {"clean", ALL, 0, read_clean},
    {"measures", ALL, ALL, read_measures}};
enum { KEYS = sizeof keys / sizeof *keys };

// ---- the file

static xlm_status check_names(const reader *r, const xlm_yaml *root) {
  const char *names[KEYS];
  for (int i = 0; i < KEYS; i++) names[i] = keys[i].name;
  for (int i = 0; i < root->n; i++) {
    const xlm_yaml *k = root->at[i].key;
    bool known = false;
    for (int j = 0; j < KEYS; j++) known = known || !strcmp(k->text, names[j]);
    const char *near = known ? NULL : xlm_text_nearest(k->text, names, KEYS);
    if (!known)
      return xlm_fail(r->err, XLM_USER, "%s:%zu: a task has no key '%s'%s%s%s", r->path, k->line, k->text,
                      near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
  }
  return XLM_OK;
}

static const xlm_yaml *value_of(const xlm_yaml *root, const char *name) {
  for (int i = 0; i < root->n; i++)
    if (!strcmp(root->at[i].key->text, name)) return root->at[i].value;
  return NULL;
}

static xlm_status read_key(reader *r, const xlm_yaml *root, const key *k) {
  const xlm_yaml *v = value_of(root, k->name);
  int type = k->read == read_type ? ALL : 1 << r->task->type;
  if (v && (k->types & type)) return k->read(r, v);
  if (v)
    return xlm_fail(r->err, XLM_USER, "%s:%zu: a task of type %s has no key '%s'", r->path, v->line,
                    value_of(root, "type")->text, k->name);
  if (!(k->needed_by & type)) return XLM_OK;
  return xlm_fail(r->err, XLM_USER, "%s: the key '%s' is missing", r->path, k->name);
}

static const char *name_of(xlm_arena *a, const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
  return xlm_arena_strndup(a, name, dot ? (size_t)(dot - name) : strlen(name));
}

xlm_status xlm_task_read(xlm_arena *a, const char *path, xlm_task **out, xlm_error *err) {
  const xlm_yaml *root;
  xlm_map map;
  xlm_task *t = *out = XLM_NEW(a, xlm_task);
  reader r = {.arena = a, .path = xlm_arena_strdup(a, path), .task = t, .err = err};
  XLM_TRY(xlm_map_open(path, &map, err));
  xlm_status s = xlm_yaml_read(a, r.path, (const char *)map.data, map.n, &root, err);
  xlm_map_close(&map);
  XLM_TRY(s);
  *t = (xlm_task){.path = r.path, .name = name_of(a, path), .about = ""};
  t->rules = r.rules = XLM_NEW(a, task_rules);
  r.rules->delimiter = " ";
  if (root->kind != XLM_YAML_MAP)
    return xlm_fail(err, XLM_USER, "%s: this is no task: a task has keys and values", r.path);
  XLM_TRY(check_names(&r, root));
  for (int i = 0; i < KEYS; i++) XLM_TRY(read_key(&r, root, &keys[i]));
  return XLM_OK;
}
