// xlmrun runs: the runs below a folder in a table, or as JSON; of a single run also its checkpoints.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/base/json.h"
#include "tools/watching/list.h"
#include "tools/xlmrun/view.h"

const char command_runs_usage[] = "usage: xlmrun runs [FOLDER...] [--format text|json]\n\n"
                                  "The training runs in a folder and below it, with their steps, losses and "
                                  "checkpoints; of a single run also\n"
                                  "every checkpoint.\n\n"
                                  "  FOLDER   default the current one\n"
                                  "  --format FORMAT   text, or json with the checkpoints of all runs\n";

enum { COLUMNS = 10, CELL = 128 };

// ---- the table ----

typedef struct table {
  xlm_arena *arena;
  const char *const *head; // "<": left-aligned, ">": right-aligned; then the title
  int columns;
  const char *(*cells)[COLUMNS];
  uint32_t rows, cap;
} table;

static int width_of(const table *t, int column) {
  size_t most = strlen(t->head[column]) - 1;
  for (uint32_t i = 0; i < t->rows; i++)
    if (strlen(t->cells[i][column]) > most) most = strlen(t->cells[i][column]);
  return (int)most;
}

static void print_row(const table *t, const char *const *row, int skip) {
  int columns = t->columns;
  while (columns > 1 && !row[columns - 1][skip]) columns--; // no blanks at the end
  for (int k = 0; k < columns; k++) {
    bool last = k == columns - 1, left = t->head[k][0] == '<';
    printf("%*s%s",
           last && left ? 0
           : left       ? -width_of(t, k)
                        : width_of(t, k),
           row[k] + skip, last ? "\n" : "  ");
  }
}

static void print_table(const table *t) {
  print_row(t, t->head, 1);
  for (uint32_t i = 0; i < t->rows; i++) print_row(t, t->cells[i], 0);
}

static const char **add_row(table *t) {
  static const char *const empty[COLUMNS];
  uint32_t n = t->rows;
  t->cells =
      n < t->cap ? t->cells : xlm_arena_grow(t->arena, t->cells, n, t->cap = 2 * n + 8, sizeof *t->cells);
  memcpy(t->cells[t->rows++], empty, sizeof empty);
  return t->cells[n];
}

static const char *number(xlm_arena *a, double x) {
  return isnan(x) ? "-" : xlm_arena_printf(a, "%.4f", x);
}

static const char *moment(xlm_arena *a, double time) {
  char text[64];
  time_t t = (time_t)time;
  struct tm parts;
  if (isnan(time) || !localtime_r(&t, &parts)) return "-";
  strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts);
  return xlm_arena_strdup(a, text);
}

static const char *or_dash(const char *text) {
  return *text ? text : "-";
}

static void add_run(table *t, const xlm_listed_run *l) {
  xlm_arena *a = t->arena;
  const xlm_card *c = &l->run->card;
  int64_t at;
  double low = xlm_run_lowest(l->run, "val_loss", &at);
  const char **row = add_row(t);
  row[0] = l->run->path;
  row[1] = *c->model ? xlm_arena_printf(a, "%s%s%s", c->model, *c->preset ? " " : "", c->preset) : "-";
  row[2] = c->parameters > 0 ? xlm_text_count(a, c->parameters) : "-";
  row[3] = c->max_steps ? xlm_arena_printf(a, "%" PRId64 "/%" PRId64, l->run->last_step, c->max_steps)
                        : xlm_arena_printf(a, "%" PRId64, l->run->last_step);
  row[4] = or_dash(xlm_run_state(l->run));
  row[5] = number(a, xlm_run_last(l->run, "loss"));
  row[6] = at ? xlm_arena_printf(a, "%.4f at %" PRId64, low, at) : "-";
  row[7] = xlm_arena_printf(a, "%u", l->n_checkpoints);
  row[8] = l->n_checkpoints ? xlm_text_bytes(a, l->bytes) : "-";
  row[9] = moment(a, l->time);
}

static void print_runs(const xlm_run_list *list, xlm_arena *a) {
  static const char *const head[COLUMNS] = {"<run",  "<model",           "<parameters", ">steps", "<state",
                                            ">loss", "<best validation", ">saved",      ">size",  "<when"};
  table t = {.arena = a, .head = head, .columns = COLUMNS};
  for (uint32_t i = 0; i < list->n; i++) add_run(&t, &list->at[i]);
  print_table(&t);
}

static void print_checkpoints(const xlm_listed_run *l, xlm_arena *a) {
  static const char *const head[] = {"<checkpoint", ">validation", ">size", "<when", "<"};
  table t = {.arena = a, .head = head, .columns = 5};
  if (!l->n_checkpoints) return;
  for (uint32_t i = 0; i < l->n_checkpoints; i++) {
    const xlm_listed_checkpoint *c = &l->checkpoints[i];
    const char **row = add_row(&t);
    row[0] = c->path, row[1] = number(a, c->val_loss), row[2] = xlm_text_bytes(a, c->bytes);
    row[3] = moment(a, c->time), row[4] = c->best ? "best" : "";
  }
  printf("\n");
  print_table(&t);
}

// ---- JSON ----

static void put_number(xlm_json *j, const char *key, double x) {
  if (isnan(x))
    xlm_json_put_null(j, key);
  else
    xlm_json_put_rounded(j, key, x, 13);
}

static void put_checkpoint(xlm_json *j, const xlm_listed_checkpoint *c) {
  xlm_json_object(j, NULL, XLM_JSON_ROW);
  xlm_json_put_text(j, "path", c->path);
  xlm_json_put_int(j, "step", c->step);
  xlm_json_put_int(j, "bytes", (int64_t)c->bytes);
  put_number(j, "time", c->time);
  put_number(j, "val_loss", c->val_loss);
  xlm_json_put_bool(j, "best", c->best);
  xlm_json_close(j);
}

static void put_run(xlm_json *j, const xlm_listed_run *l) {
  const xlm_card *c = &l->run->card;
  int64_t at;
  double low = xlm_run_lowest(l->run, "val_loss", &at);
  xlm_json_object(j, NULL, XLM_JSON_LINES);
  xlm_json_put_text(j, "path", l->run->path);
  xlm_json_put_text(j, "model", c->model);
  xlm_json_put_text(j, "preset", c->preset);
  xlm_json_put_text(j, "layout", c->layout);
  xlm_json_put_real(j, "parameters", c->parameters);
  xlm_json_put_int(j, "step", l->run->last_step);
  xlm_json_put_int(j, "max_steps", c->max_steps);
  xlm_json_put_text(j, "state", xlm_run_state(l->run));
  put_number(j, "loss", xlm_run_last(l->run, "loss"));
  put_number(j, "best_val_loss", low);
  xlm_json_put_int(j, "best_step", at);
  xlm_json_put_int(j, "bytes", (int64_t)l->bytes);
  put_number(j, "time", l->time);
  xlm_json_array(j, "checkpoints", XLM_JSON_LINES);
  for (uint32_t i = 0; i < l->n_checkpoints; i++) put_checkpoint(j, &l->checkpoints[i]);
  xlm_json_close(j);
  xlm_json_close(j);
}

static xlm_status print_json(const xlm_run_list *list, view *v) {
  xlm_json j;
  xlm_text t = xlm_text_new(v->arena);
  xlm_json_to_text(&j, &t);
  xlm_json_array(&j, NULL, XLM_JSON_LINES);
  for (uint32_t i = 0; i < list->n; i++) put_run(&j, &list->at[i]);
  xlm_json_close(&j);
  XLM_TRY(xlm_json_finish(&j));
  printf("%s\n", t.data);
  return XLM_OK;
}

static xlm_status runs(view *v) {
  xlm_run_list list = {0};
  bool json = v->format && !strcmp(v->format, "json");
  if (v->format && !json && strcmp(v->format, "text"))
    return xlm_fail(&v->err, XLM_USER, "--format: '%s' is neither text nor json", v->format);
  if (!v->n_words) v->words[v->n_words++] = ".";
  for (int i = 0; i < v->n_words; i++) XLM_TRY(xlm_run_list_add(v->arena, v->words[i], &list, &v->err));
  for (uint32_t i = 0; i < list.n_notes; i++) fprintf(stderr, "xlmrun: note: %s\n", list.notes[i]);
  if (json) return print_json(&list, v);
  if (!list.n)
    return xlm_fail(&v->err, XLM_USER, "there is no training run in '%s' or below it", v->words[0]);
  print_runs(&list, v->arena);
  if (list.n == 1) print_checkpoints(&list.at[0], v->arena);
  return XLM_OK;
}

int command_runs(int argc, char *const *argv) {
  return view_run(command_runs_usage, argc, argv, runs);
}
