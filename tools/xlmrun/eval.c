// xlmrun eval: loss, perplexity and bits of a checkpoint on held-out data.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/train/feed.h"
#include "runtime/train/watch.h"
#include "tools/xlmrun/eval_tasks.h"
#include "tools/xlmrun/run_tokenizer.h"
#include "tools/xlmrun/weights.h"

const char command_eval_usage[] = "usage: xlmrun eval [CHECKPOINT] [--data FILE...] [flags]\n"
                            "       xlmrun eval MODEL.xlm --init-from WEIGHTS --data FILE... [flags]\n"
                            "       xlmrun eval PLAN.json --init-from WEIGHTS --data FILE... [flags]\n"
                            "       xlmrun eval [CHECKPOINT] --tasks TASK,.. --task-data DIR [flags]\n"
                            "       xlmrun eval --tasks list\n\n"
                            "Without --data: the part of the training data that was held out. With --tasks: questions of\n"
                            "published data sets, with the numbers of lm-evaluation-harness (docs/evaluation.md).";

// Files given now are evaluated entirely; those the checkpoint was trained on, only in their held-out part.
static xlm_status use_all_of_data(session *s) {
  xlm_run_settings *r = s->settings;
  bool named = r->value[XLM_SET_data].source > XLM_FROM_CHECKPOINT &&
               r->value[XLM_SET_valid].source <= XLM_FROM_CHECKPOINT;
  if (!named || r->value[XLM_SET_valid_fraction].source > XLM_FROM_CHECKPOINT) return XLM_OK;
  r->value[XLM_SET_valid] = r->value[XLM_SET_data];
  return XLM_OK;
}

// Bytes of text that the targets of the first n windows stand for.
static xlm_status count_bytes(session *s, const corpus *c, const xlm_tokenizer *t, int64_t n,
                              int64_t *bytes) {
  int32_t *sample = XLM_NEW_N(s->arena, int32_t, c->valid.cells);
  *bytes = 0;
  for (int64_t i = 0; i < n; i++) {
    XLM_TRY(xlm_samples_window(&c->valid, i, sample, &s->err));
    xlm_arena *a = xlm_arena_child(s->arena);
    xlm_text text = xlm_text_new(a);
    xlm_tokenizer_decode(t, sample + 1, c->valid.seq, &text);
    *bytes += (int64_t)text.n;
    xlm_arena_free(a);
  }
  return XLM_OK;
}

static void show(session *s, double loss, int64_t tokens, int64_t bytes) {
  const char *unit = session_tokens_are_bytes(s) ? "byte" : "token";
  printf("loss %.9g nats per %s   perplexity %.6g   %.6g bits per %s   %s %ss\n", loss, unit, exp(loss),
         loss / M_LN2, unit, xlm_text_thousands(s->arena, tokens), unit);
  if (!bytes) return;
  double per_byte = loss * (double)tokens / (double)bytes;
  printf("per byte of text: %.6g bits   perplexity %.6g   %s bytes, %.2f per token\n", per_byte / M_LN2,
         exp(per_byte), xlm_text_thousands(s->arena, bytes), (double)bytes / (double)tokens);
}

// The same for every tokenizer, so that models with different ones can be compared.
static xlm_status show_result(session *s, const corpus *c, double loss, int64_t tokens) {
  xlm_tokenizer *t = NULL;
  int64_t bytes = 0;
  if (!xlm_data_has_records(c->valid.part.data)) XLM_TRY(run_tokenizer_open(s, NULL, &t));
  xlm_status status = t ? count_bytes(s, c, t, tokens / c->valid.seq, &bytes) : XLM_OK;
  xlm_tokenizer_close(t);
  if (status == XLM_OK) show(s, loss, tokens, bytes);
  return status;
}

// As in training, so that the same --eval-batches selects the same windows: a batch is the global batch of
// training. 0: all windows.
static int64_t windows_asked_for(const session *s) {
  if (s->settings->value[XLM_SET_eval_batches].source <= XLM_FROM_CHECKPOINT) return 0;
  const char *of_training =
      s->checkpoint ? xlm_checkpoint_setting_of(s->checkpoint, "train.global_batch_size") : NULL;
  int64_t batch = of_training ? strtoll(of_training, NULL, 10) : s->plan->batch * s->plan->microbatches;
  return xlm_setting_int(s->settings, XLM_SET_eval_batches) * batch;
}

static xlm_status evaluate(session *s, const corpus *c) {
  xlm_feeds feeds;
  xlm_watch watch;
  double loss;
  int64_t tokens;
  xlm_step_env env = {.seed = s->options.seed};
  XLM_TRY(session_fill(s, true));
  XLM_TRY(xlm_watch_open(s->team, true, &watch, &s->err));
  XLM_TRY(xlm_feeds_open(s->team, &c->valid, true, &feeds, &s->err));
  xlm_status status = xlm_evaluate(&feeds, &watch, env, windows_asked_for(s), &loss, &tokens, &s->err);
  xlm_feeds_close(&feeds);
  xlm_watch_close(&watch);
  return status == XLM_OK ? show_result(s, c, loss, tokens) : status;
}

// Settings that would be ignored.
static xlm_status check_settings(session *s) {
  static const xlm_setting_id of_tasks[] = {XLM_SET_task_data, XLM_SET_limit, XLM_SET_task_samples, XLM_SET_shots, XLM_SET_eval_format};
  const xlm_setting_value *v = s->settings->value;
  for (size_t i = 0; i < sizeof of_tasks / sizeof *of_tasks && v[XLM_SET_tasks].source == XLM_FROM_DEFAULT; i++)
    if (v[of_tasks[i]].source != XLM_FROM_DEFAULT)
      return xlm_fail(&s->err, XLM_USER, "%s: this is for tasks: which? as in --tasks hellaswag,arc_easy",
                      v[of_tasks[i]].where);
  if (v[XLM_SET_tasks].source != XLM_FROM_DEFAULT && v[XLM_SET_data].source == XLM_FROM_FLAG)
    return xlm_fail(&s->err, XLM_USER, "--tasks and --data: tasks have data of their own, --task-data DIR");
  return XLM_OK;
}

static xlm_status eval(session *s) {
  corpus c;
  XLM_TRY(check_settings(s));
  if (tasks_asks_for_list(s)) return tasks_list(s);
  XLM_TRY(weights_open(s));
  if (s->checkpoint && !s->silent)
    fprintf(stderr, "checkpoint %s\n", s->checkpoint->path); // the newest, if it was a folder
  if (s->settings->value[XLM_SET_tasks].source != XLM_FROM_DEFAULT) return eval_tasks(s);
  XLM_TRY(use_all_of_data(s));
  XLM_TRY(session_compile(s, XLM_WITH_EVAL, 0));
  XLM_TRY(session_open(s));
  XLM_TRY(corpus_open(s, false, &c));
  xlm_status status = evaluate(s, &c);
  corpus_close(&c);
  return status;
}

int command_eval(int argc, char *const *argv) {
  return session_run('e', command_eval_usage, argc, argv, eval);
}
