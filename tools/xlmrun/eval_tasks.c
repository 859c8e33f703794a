// Evaluation tasks on a checkpoint; see eval_tasks.h. The plan comes last, since the texts say how long its
// sequences must be.
#include "tools/xlmrun/eval_tasks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/base/hash.h"
#include "runtime/evaluate/score.h"
#include "runtime/train/progress.h"
#include "tools/xlmrun/live.h"
#include "tools/xlmrun/run_tokenizer.h"
#include "tools/xlmrun/weights.h"

enum { TOKENS_AT_ONCE = 1024, STEP = 16 }; // of a batch; lengths of sequences are multiples of STEP

// ---- rows

static xlm_status no_tokenizer(session *s) {
  return xlm_fail(&s->err, XLM_USER,
                  "the tasks' texts need a tokenizer, and the tokens of this model are plain ids: name its "
                  "tokenizer.json, *.model or *.tiktoken with --tokenizer FILE");
}

static xlm_status make_rows(session *s, const xlm_tokenizer *t, evaluations *all) {
  xlm_encoder encoder;
  if (!t && !session_tokens_are_bytes(s)) return no_tokenizer(s);
  XLM_TRY(xlm_encoder_of(t, &encoder, &s->err));
  for (int i = 0; i < all->n; i++) {
    evaluation *e = &all->at[i];
    XLM_TRY(xlm_rows_add(s->arena, e->file, &e->items, &encoder, all->window, &e->rows, &s->err));
  }
  return XLM_OK;
}

// ---- the plan

// Does every weight work for shorter sequences? Positions are its first dimension, if it has them at all.
static bool can_be_shorter(const xlm_plan *p) {
  for (uint32_t c = 0; c < p->n_rank_plans; c++) {
    const xlm_rank_plan *rp = p->rank_plans[c];
    for (uint32_t i = 0; i < rp->n_states; i++) {
      const xlm_type *t = &rp->tensors[rp->states[i].tensor].type;
      for (int k = 1; k < t->rank; k++)
        if (!strcmp(rp->dims[t->dim[k]].name, "seq")) return false;
    }
  }
  return true;
}

static int64_t longest_row(const evaluations *all) {
  int64_t longest = 1;
  for (int i = 0; i < all->n; i++)
    if (all->at[i].rows.longest > longest) longest = all->at[i].rows.longest;
  return (longest + STEP - 1) / STEP * STEP;
}

// Sequences as long as the longest row; batches of about TOKENS_AT_ONCE tokens, unless a size was given.
static xlm_status plan_for(session *s, evaluations *all) {
  const xlm_setting_value *given = &s->settings->value[XLM_SET_micro_batch_size];
  int64_t longest = longest_row(all), batch;
  all->length = all->window;
  if (longest < all->window && can_be_shorter(s->plan)) {
    const char *text = xlm_arena_printf(s->arena, "%" PRId64, longest);
    XLM_TRY(xlm_settings_put(s->settings, XLM_SET_seq_length, text, XLM_FROM_FLAG, "--tasks", &s->err));
    all->length = longest;
  }
  batch = all->length < TOKENS_AT_ONCE ? TOKENS_AT_ONCE / all->length : 1;
  return session_compile(s, XLM_WITH_EVAL, given->source > XLM_FROM_CHECKPOINT ? given->i : batch);
}

// ---- scores

// Hosts may have other files at the same place.
static xlm_status agree_on_rows(session *s, const evaluations *all) {
  int n = xlm_team_processes(s->team);
  uint64_t mine = 0, *theirs = XLM_NEW_N(s->arena, uint64_t, n);
  for (int i = 0; i < all->n; i++)
    for (int64_t r = 0; r < all->at[i].rows.n; r++) {
      const xlm_row *row = &all->at[i].rows.at[r];
      mine = 31 * mine + xlm_hash_bytes(row->tokens, (size_t)row->n * sizeof *row->tokens) +
             (uint64_t)row->scored;
    }
  XLM_TRY(xlm_team_share(s->team, &mine, sizeof mine, theirs, &s->err));
  for (int k = 1; k < n; k++)
    if (theirs[k] != theirs[0])
      return xlm_fail(
          &s->err, XLM_USER,
          "process %d has other tasks, data or another tokenizer than process 0: all hosts need the "
          "same files",
          k);
  return XLM_OK;
}

static void take_memory(session *s, evaluation *e) {
  e->scores = XLM_NEW_N(s->arena, xlm_item_score, e->items.n);
  for (int64_t i = 0; i < e->items.n; i++) {
    bool *greedy = XLM_NEW_N(s->arena, bool, e->items.at[i].n);
    memset(greedy, true, (size_t)e->items.at[i].n * sizeof *greedy);
    e->scores[i] = (xlm_item_score){XLM_NEW_N(s->arena, double, e->items.at[i].n), greedy};
  }
}

static void add_up(evaluation *e) {
  for (int64_t r = 0; r < e->rows.n; r++) {
    const xlm_row *row = &e->rows.at[r];
    const xlm_item_score *s = &e->scores[row->item];
    ((double *)(uintptr_t)s->loglikelihood)[row->text] += row->loglikelihood;
    if (!row->greedy) ((bool *)(uintptr_t)s->greedy)[row->text] = false;
  }
}

typedef struct progress {
  double began;
  int64_t done, all; // rows
} progress;

static void show_progress(const progress *p, const char *task) {
  char line[160], left[32];
  double seconds = xlm_clock_seconds() - p->began;
  double rate = seconds > 0 ? (double)p->done / seconds : 0;
  if (!live_is_shown() || !p->done) return;
  xlm_progress_time(rate > 0 ? (double)(p->all - p->done) / rate : 0, left, sizeof left);
  snprintf(line, sizeof line, "%s  %" PRId64 " of %" PRId64 " rows  %.1f rows/s  %s left", task, p->done,
           p->all, rate, left);
  live_line(line);
}

static xlm_status score(session *s, evaluations *all) {
  xlm_scorer *scorer = xlm_scorer_new(s->arena, s->team, s->options.seed);
  int64_t batch = xlm_scorer_batch(scorer);
  progress p = {.began = xlm_clock_seconds()};
  for (int i = 0; i < all->n; i++) p.all += all->at[i].rows.n;
  xlm_team_at(s->team, "scoring");
  for (int i = 0; i < all->n; i++) {
    evaluation *e = &all->at[i];
    take_memory(s, e);
    for (int64_t r = 0; r < e->rows.n; r += batch) {
      int64_t n = e->rows.n - r < batch ? e->rows.n - r : batch;
      XLM_TRY(xlm_scorer_run(scorer, &e->rows.at[r], n, &s->err));
      p.done += n;
      show_progress(&p, e->task->name);
    }
    add_up(e);
  }
  return XLM_OK;
}

static xlm_status run(session *s, evaluations *all) {
  live_phase("planning");
  XLM_TRY(plan_for(s, all));
  XLM_TRY(session_open(s));
  s->store->first_positions = true;
  live_phase("loading weights");
  XLM_TRY(session_fill(s, true));
  XLM_TRY(agree_on_rows(s, all));
  return score(s, all);
}

xlm_status eval_tasks(session *s) {
  const char *samples = xlm_setting_text(s->settings, XLM_SET_task_samples);
  evaluations all = {0};
  xlm_tokenizer *t;
  int64_t vocab;
  if (s->saved)
    return xlm_fail(
        &s->err, XLM_USER,
        "'%s' is a saved plan; tasks plan their own batches: give a checkpoint, or the model with "
        "--init-from WEIGHTS",
        s->saved);
  if (*samples && !s->silent) XLM_TRY(xlm_file_can_replace(samples, &s->err));
  XLM_TRY(tasks_open(s, &all));
  XLM_TRY(session_compile(s, XLM_WITH_EVAL, 1)); // says how long its sequences are
  XLM_TRY(xlm_scorer_window(s->arena, s->plan, &all.window, &vocab, &s->err));
  XLM_TRY(run_tokenizer_open(s, NULL, &t));
  xlm_status status = make_rows(s, t, &all);
  xlm_tokenizer_close(t);
  XLM_TRY(status);
  live_open(s->silent);
  status = run(s, &all);
  live_close();
  return status == XLM_OK ? tasks_show(s, &all) : status;
}
