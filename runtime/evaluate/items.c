// From records to items: prompts, what may follow them, and the right answer.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/map.h"
#include "runtime/evaluate/task_priv.h"

typedef struct making {
  xlm_arena *arena;
  const xlm_task *task;
  const char *path;
  int64_t limit;
  const char **beside; // answers in the file beside the data
  uint32_t n_beside, cap_beside;
  const char *beside_path; // NULL: not read yet
  xlm_items *out;
} making;

// ---- answers

static xlm_status read_beside(making *m, xlm_error *err) {
  const char *rule = m->task->rules->answers_beside, *star = strchr(rule, '*');
  const char *slash = strrchr(m->path, '/'), *name = slash ? slash + 1 : m->path;
  xlm_map map;
  m->beside_path = xlm_arena_printf(m->arena, "%.*s%.*s%.*s%s", (int)(name - m->path), m->path,
                                    (int)(star - rule), rule, (int)strcspn(name, "."), name, star + 1);
  XLM_TRY(xlm_map_open(m->beside_path, &map, err));
  const char *text = xlm_arena_strndup(m->arena, (const char *)map.data, map.n);
  xlm_map_close(&map);
  for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
    const char *line = text_strip(m->arena, xlm_arena_strndup(m->arena, text, strcspn(text, "\n")));
    if (*line) XLM_PUSH(m->arena, m->beside, m->n_beside, m->cap_beside, line);
  }
  return XLM_OK;
}

static xlm_status answer_text(making *m, const json_t *record, const char **out, xlm_error *err) {
  const task_rules *r = m->task->rules;
  xlm_error none;
  if (!r->answers_beside || template_text(m->arena, &r->answer, record, out, &none) == XLM_OK)
    return template_text(m->arena, &r->answer, record, out, err);
  if (!m->beside_path && read_beside(m, err) != XLM_OK)
    return xlm_fail_in(err, "%s, so the answers are read from a file beside the data", none.text);
  if (m->out->n >= m->n_beside)
    return xlm_fail(err, XLM_USER, "'%s' has only %u answers", m->beside_path, m->n_beside);
  *out = m->beside[m->out->n];
  return XLM_OK;
}

static int index_in(const char *const *list, int n, const char *text) {
  for (int i = 0; i < n; i++)
    if (!strcmp(list[i], text)) return i;
  return -1;
}

// Among the labels; without labels a number from 0, or the choice itself.
static xlm_status find_answer(making *m, const json_t *record, const char *const *choices, xlm_item *item,
                              xlm_error *err) {
  const task_rules *r = m->task->rules;
  const char *text, **labels, *end;
  int n = item->n;
  XLM_TRY(answer_text(m, record, &text, err));
  if (r->labels.n) {
    XLM_TRY(template_list(m->arena, &r->labels, record, &labels, &n, err));
    item->answer = index_in(labels, n, text);
  } else {
    long i = strtol(text, (char **)&end, 10);
    item->answer = *text && !*end ? (i < 0 || i >= n ? -1 : (int)i) : index_in(choices, n, text);
  }
  if (item->answer >= 0 && item->answer < item->n) return XLM_OK;
  if (!*text)
    return xlm_fail(err, XLM_USER, "there is no answer: is this the part of the data that has them?");
  return xlm_fail(err, XLM_USER, "the answer '%.60s' is none of the %d choices%s", text, item->n,
                  r->labels.n ? "' labels" : "");
}

// ---- items

static xlm_status cleaned(making *m, const template *t, const json_t *record, const char **out,
                          xlm_error *err) {
  XLM_TRY(template_text(m->arena, t, record, out, err));
  return clean_text(m->arena, m->task->rules, *out, out, err);
}

// A list with what cleaning leaves of each.
static xlm_status cleaned_list(making *m, const list_rule *r, const json_t *record, const char ***out, int *n,
                               xlm_error *err) {
  XLM_TRY(template_list(m->arena, r, record, out, n, err));
  for (int i = 0; i < *n; i++) XLM_TRY(clean_text(m->arena, m->task->rules, (*out)[i], &(*out)[i], err));
  return *n ? XLM_OK : xlm_fail(err, XLM_USER, "the list of choices is empty");
}

static const char **same(making *m, const char *text, int n) {
  const char **all = XLM_NEW_N(m->arena, const char *, n);
  for (int i = 0; i < n; i++) all[i] = text;
  return all;
}

static xlm_status make_choice(making *m, const json_t *record, xlm_item *item, xlm_error *err) {
  const char **choices, *prompt;
  XLM_TRY(cleaned(m, &m->task->rules->prompt, record, &prompt, err));
  XLM_TRY(cleaned_list(m, &m->task->rules->choices, record, &choices, &item->n, err));
  item->prompts = same(m, prompt, item->n);
  item->texts = XLM_NEW_N(m->arena, const char *, item->n);
  item->characters = XLM_NEW_N(m->arena, int64_t, item->n);
  item->bytes = XLM_NEW_N(m->arena, int64_t, item->n);
  for (int i = 0; i < item->n; i++) {
    item->characters[i] = text_characters(choices[i]);
    item->bytes[i] = (int64_t)strlen(choices[i]);
    item->texts[i] = xlm_arena_printf(m->arena, "%s%s", m->task->rules->delimiter, choices[i]);
  }
  return find_answer(m, record, choices, item, err);
}

static xlm_status make_prompts(making *m, const json_t *record, xlm_item *item, xlm_error *err) {
  const char *text;
  XLM_TRY(cleaned_list(m, &m->task->rules->prompts, record, &item->prompts, &item->n, err));
  XLM_TRY(cleaned(m, &m->task->rules->continuation, record, &text, err));
  item->texts = same(m, xlm_arena_printf(m->arena, "%s%s", m->task->rules->delimiter, text), item->n);
  return find_answer(m, record, item->prompts, item, err);
}

static xlm_status make_continuation(making *m, const json_t *record, xlm_item *item, xlm_error *err) {
  item->prompts = XLM_NEW(m->arena, const char *);
  item->texts = XLM_NEW(m->arena, const char *), item->n = 1;
  XLM_TRY(cleaned(m, &m->task->rules->prompt, record, item->prompts, err));
  return cleaned(m, &m->task->rules->continuation, record, item->texts, err);
}

static xlm_status make_rolling(making *m, const json_t *record, xlm_item *item, xlm_error *err) {
  const char *text;
  XLM_TRY(template_text(m->arena, &m->task->rules->text, record, &text, err));
  item->words = text_words(text), item->text_bytes = (int64_t)strlen(text);
  item->texts = XLM_NEW(m->arena, const char *), item->n = 1;
  return clean_text(m->arena, m->task->rules, text, item->texts, err);
}

static xlm_status make(void *arg, const json_t *record, int64_t number, bool *more, xlm_error *err) {
  static xlm_status (*const of_type[])(making *, const json_t *, xlm_item *,
                                       xlm_error *) = {[XLM_TASK_CHOICE] = make_choice,
                                                       [XLM_TASK_PROMPTS] = make_prompts,
                                                       [XLM_TASK_CONTINUATION] = make_continuation,
                                                       [XLM_TASK_ROLLING] = make_rolling};
  making *m = arg;
  xlm_item item = {.record = number};
  XLM_TRY(of_type[m->task->type](m, record, &item, err));
  XLM_PUSH(m->arena, m->out->at, m->out->n, m->out->cap, item);
  *more = !m->limit || m->out->n < m->limit;
  return XLM_OK;
}

xlm_status xlm_task_items(xlm_arena *a, const xlm_task *t, const char *path, int64_t limit, xlm_items *out,
                          xlm_error *err) {
  making m = {.arena = a, .task = t, .path = path, .limit = limit, .out = out};
  *out = (xlm_items){0};
  XLM_TRY(records_read(a, t->rules, path, make, &m, err));
  return out->n ? XLM_OK : xlm_fail(err, XLM_USER, "'%s' has no records", path);
}
