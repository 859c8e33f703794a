// The results of tasks: a table or JSON, and a file with every record; see docs/evaluation.md.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "tools/xlmrun/eval_tasks.h"

// ---- the table

static void show_measure(const evaluation *e, const xlm_measure *m, bool first, int name_width) {
  xlm_measured x = xlm_measure_all(m, &e->items, e->scores);
  char records[32];
  snprintf(records, sizeof records, "%" PRId64, e->items.n);
  printf("%-*s %8s  %-16s %12.6g", name_width, first ? e->task->name : "", first ? records : "",
         xlm_measure_name(m), x.value);
  if (!isnan(x.error)) printf("  %12.4g", x.error);
  printf("\n");
}

static void show_table(session *s, const evaluations *all) {
  int width = (int)strlen("task");
  for (int i = 0; i < all->n; i++)
    if ((int)strlen(all->at[i].task->name) > width) width = (int)strlen(all->at[i].task->name);
  printf("%-*s %8s  %-16s %12s  %12s\n", width, "task", "records", "measure", "value", "stderr");
  for (int i = 0; i < all->n; i++)
    for (int k = 0; k < all->at[i].task->n_measures; k++)
      show_measure(&all->at[i], all->at[i].task->measures[k], !k, width);
  for (int i = 0; i < all->n && !s->silent; i++) {
    const evaluation *e = &all->at[i];
    if (e->rows.cut)
      fprintf(stderr,
              "xlmrun: note: %s: %s of %s were longer than the %s tokens that the model sees, and lost their "
              "beginning\n",
              e->task->name, xlm_text_thousands(s->arena, e->rows.cut),
              xlm_text_plural(s->arena, e->rows.n, "row"), xlm_text_thousands(s->arena, all->window));
  }
}

// ---- JSON

static void put_number(xlm_json *j, const char *key, double x) {
  if (isnan(x))
    xlm_json_put_null(j, key);
  else
    xlm_json_put_real(j, key, x);
}

static void put_task(xlm_json *j, const evaluation *e) {
  xlm_json_object(j, NULL, XLM_JSON_LINES);
  xlm_json_put_text(j, "task", e->task->name);
  xlm_json_put_text(j, "file", e->file);
  xlm_json_put_int(j, "records", e->items.n);
  xlm_json_put_int(j, "rows", e->rows.n);
  xlm_json_put_int(j, "cut", e->rows.cut);
  xlm_json_object(j, "measures", XLM_JSON_LINES);
  for (int k = 0; k < e->task->n_measures; k++) {
    xlm_measured x = xlm_measure_all(e->task->measures[k], &e->items, e->scores);
    xlm_json_object(j, xlm_measure_name(e->task->measures[k]), XLM_JSON_ROW);
    put_number(j, "value", x.value);
    put_number(j, "stderr", x.error);
    xlm_json_close(j);
  }
  xlm_json_close(j);
  xlm_json_close(j);
}

static void show_json(session *s, const evaluations *all) {
  xlm_text text = xlm_text_new(s->arena);
  xlm_json j;
  xlm_json_to_text(&j, &text);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_json_put_text(&j, "model", s->model_path);
  xlm_json_put_text(&j, "checkpoint", s->checkpoint ? s->checkpoint->path : NULL);
  if (s->checkpoint) xlm_json_put_int(&j, "step", s->checkpoint->info.step);
  xlm_json_put_text(&j, "dtype", xlm_setting_text(s->settings, XLM_SET_dtype));
  xlm_json_put_int(&j, "shots", xlm_setting_int(s->settings, XLM_SET_shots));
  xlm_json_put_int(&j, "window", all->window);
  xlm_json_put_int(&j, "length", all->length);
  xlm_json_array(&j, "tasks", XLM_JSON_LINES);
  for (int i = 0; i < all->n; i++) put_task(&j, &all->at[i]);
  xlm_json_close(&j);
  xlm_json_close(&j);
  printf("%s\n", text.data);
}

// ---- every record

// One, or a list if the texts have different ones.
static void put_prompts(xlm_json *j, const xlm_item *item) {
  bool alike = true;
  for (int i = 0; item->prompts && i < item->n; i++) alike = alike && item->prompts[i] == item->prompts[0];
  if (item->prompts && alike) xlm_json_put_text(j, "prompt", item->prompts[0]);
  if (alike) return;
  xlm_json_array(j, "prompts", XLM_JSON_ROW);
  for (int i = 0; i < item->n; i++) xlm_json_put_text(j, NULL, item->prompts[i]);
  xlm_json_close(j);
}

static void put_record(xlm_json *j, const evaluation *e, const xlm_item *item, const xlm_item_score *score) {
  xlm_json_object(j, NULL, XLM_JSON_ROW);
  xlm_json_put_text(j, "task", e->task->name);
  xlm_json_put_int(j, "record", item->record);
  put_prompts(j, item);
  xlm_json_array(j, "texts", XLM_JSON_ROW);
  for (int i = 0; i < item->n; i++) xlm_json_put_text(j, NULL, item->texts[i]);
  xlm_json_close(j);
  xlm_json_array(j, "loglikelihoods", XLM_JSON_ROW);
  for (int i = 0; i < item->n; i++) put_number(j, NULL, score->loglikelihood[i]);
  xlm_json_close(j);
  xlm_json_array(j, "greedy", XLM_JSON_ROW);
  for (int i = 0; i < item->n; i++) xlm_json_put_bool(j, NULL, score->greedy[i]);
  xlm_json_close(j);
  bool answered = e->task->type == XLM_TASK_CHOICE || e->task->type == XLM_TASK_PROMPTS;
  if (answered) xlm_json_put_int(j, "answer", item->answer);
  for (int k = 0; k < e->task->n_measures && answered; k++)
    put_number(j, xlm_measure_name(e->task->measures[k]),
               xlm_measure_item(e->task->measures[k], item, *score));
  xlm_json_close(j);
}

static xlm_status write_samples(session *s, const evaluations *all, const char *path) {
  xlm_text text = xlm_text_new(s->arena);
  for (int i = 0; i < all->n; i++)
    for (int64_t k = 0; k < all->at[i].items.n; k++) {
      xlm_json j;
      xlm_json_to_text(&j, &text);
      put_record(&j, &all->at[i], &all->at[i].items.at[k], &all->at[i].scores[k]);
      xlm_text_add(&text, "\n");
    }
  return xlm_file_replace(path, text.data, text.n, &s->err);
}

xlm_status tasks_show(session *s, const evaluations *all) {
  const char *samples = xlm_setting_text(s->settings, XLM_SET_task_samples);
  if (!strcmp(xlm_setting_text(s->settings, XLM_SET_eval_format), "json"))
    show_json(s, all);
  else
    show_table(s, all);
  return *samples && !s->silent ? write_samples(s, all, samples) : XLM_OK;
}
