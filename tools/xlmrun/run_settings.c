// See run_settings.h.
#include "tools/xlmrun/run_settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_among(xlm_setting_id id, const xlm_setting_id *list, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (list[i] == id) return true;
  return false;
}
#define IS_AMONG(id, list) is_among(id, list, sizeof list / sizeof *list)

bool run_settings_given(const session *s, xlm_setting_id id) {
  return s->settings->value[id].source > XLM_FROM_CHECKPOINT;
}

static bool is_run_setting(xlm_setting_id id) {
  static const xlm_setting_id others[] = {XLM_SET_resume,  XLM_SET_overwrite, XLM_SET_model,
                                          XLM_SET_lr_find, XLM_SET_trace,     XLM_SET_trace_steps,
                                          XLM_SET_cluster};
  return strchr(xlm_setting_table[id].tools, 't') && !IS_AMONG(id, others);
}

// The resulting batch size is what a run in another layout must keep.
static const char *text_of(session *s, xlm_setting_id id) {
  if (id == XLM_SET_global_batch_size)
    return xlm_arena_printf(s->arena, "%" PRId64, s->plan->batch * s->plan->microbatches);
  return xlm_settings_whole(s->settings, id);
}

// Of the computation: threads and workspace do not count.
static const char *plan_hash(session *s) {
  return xlm_arena_printf(s->arena, "%016" PRIx64, xlm_plan_hash(s->plan, false, s->arena));
}

static const char *key_of(session *s, xlm_setting_id id) {
  return xlm_arena_printf(s->arena, "%s.%s", xlm_setting_table[id].section, xlm_setting_table[id].key);
}

void run_settings_info(session *s, xlm_checkpoint_info *out) {
  xlm_checkpoint_setting *list = XLM_NEW_N(s->arena, xlm_checkpoint_setting, XLM_SETTING_COUNT);
  *out = (xlm_checkpoint_info){.seed = s->options.seed,
                               .model_path = s->model_path,
                               .model_text = s->model_text,
                               .text_hash = s->plan->text_hash,
                               .plan_hash = plan_hash(s),
                               .settings = list};
  for (xlm_setting_id id = 0; id < XLM_SETTING_COUNT; id++) {
    const char *text = text_of(s, id);
    if (is_run_setting(id) && *text) list[out->n_settings++] = (xlm_checkpoint_setting){key_of(s, id), text};
  }
}

// ---- what differs ----

// Does the setting change the training? Others give the same bits, or in another layout the same sums rounded
// in another order.
static bool matters(xlm_setting_id id) {
  static const xlm_setting_id neutral[] = {XLM_SET_micro_batch_size, XLM_SET_recompute, XLM_SET_threads,
                                           XLM_SET_memory_limit, XLM_SET_device};
  return !IS_AMONG(id, neutral) && !session_is_layout(id) && strcmp(xlm_setting_table[id].section, "output");
}

static bool same_value(const char *a, const char *b) {
  char *end_a, *end_b;
  double x = strtod(a, &end_a), y = strtod(b, &end_b);
  return !strcmp(a, b) || (*a && *b && !*end_a && !*end_b && x == y);
}

static const char *value_before(session *s, xlm_setting_id id) {
  const char *text = xlm_checkpoint_setting_of(s->checkpoint, key_of(s, id));
  return text ? text : "";
}

// A value that was not decided now is the checkpoint's or a default that adapts; but another mesh replaces
// the whole layout.
static bool differs(session *s, xlm_setting_id id) {
  static const xlm_setting_id own[] = {XLM_SET_output_dir, XLM_SET_init_from, XLM_SET_init_adapters, XLM_SET_comm_timeout};
  bool decided = run_settings_given(s, id) || id == XLM_SET_global_batch_size || session_is_layout(id);
  return is_run_setting(id) && !IS_AMONG(id, own) && decided &&
         !same_value(text_of(s, id), value_before(s, id));
}

static const char *on_one_line(session *s, const char *list) {
  char *text = xlm_arena_strdup(s->arena, *list ? list : "not given");
  for (char *c = text; *c; c++)
    if (*c == '\n') *c = ' ';
  return text;
}

static void show_changes(session *s, bool that_matter, const char *what) {
  for (xlm_setting_id id = 0; id < XLM_SETTING_COUNT; id++) {
    const char *flags = xlm_setting_table[id].flags;
    if (matters(id) != that_matter || !differs(s, id)) continue;
    printf("%s: --%.*s is %s, was %s\n", what, (int)strcspn(flags, " "), flags,
           on_one_line(s, text_of(s, id)), on_one_line(s, value_before(s, id)));
  }
}

void run_settings_note_changes(session *s) {
  const xlm_checkpoint_info *before = &s->checkpoint->info;
  show_changes(s, true, "changed since the checkpoint");
  show_changes(s, false, "also changed, with the same result");
  if (before->plan_hash && strcmp(before->plan_hash, plan_hash(s)))
    printf("the plan is another than the checkpoint's: any plan resumes any checkpoint; sums may be rounded "
           "in another order\n");
}

bool run_settings_same_validation(session *s) {
  static const xlm_setting_id of_it[] = {XLM_SET_data,           XLM_SET_data_format,  XLM_SET_valid,
                                         XLM_SET_valid_fraction, XLM_SET_eval_batches, XLM_SET_seq_length,
                                         XLM_SET_record_length};
  for (size_t i = 0; i < sizeof of_it / sizeof *of_it; i++)
    if (differs(s, of_it[i])) return false;
  return true;
}

static const char *where_of(const session *s, xlm_setting_id id) {
  return s->settings->value[id].where;
}

void run_settings_note_idle(const session *s) {
  static const struct {
    xlm_setting_id id, other;
    const char *without; // value of `other` with which the setting has no effect
    const char *why;
  } idle[] = {
      {XLM_SET_decay_ratio, XLM_SET_lr_schedule, "cosine", "goes with --lr-schedule wsd"},
      {XLM_SET_decay_ratio, XLM_SET_lr_schedule, "linear", "goes with --lr-schedule wsd"},
      {XLM_SET_decay_ratio, XLM_SET_lr_schedule, "constant", "goes with --lr-schedule wsd"},
      {XLM_SET_min_lr, XLM_SET_lr_schedule, "constant", "has no effect on a constant learning rate"},
      {XLM_SET_eval_batches, XLM_SET_eval_interval, "0", "has no effect with --eval-interval 0"},
      {XLM_SET_sample_prompt, XLM_SET_sample_interval, "0", "goes with --sample-interval"},
      {XLM_SET_sample_tokens, XLM_SET_sample_interval, "0", "goes with --sample-interval"},
      {XLM_SET_sample_temperature, XLM_SET_sample_interval, "0", "goes with --sample-interval"},
      {XLM_SET_keep_best, XLM_SET_eval_interval, "0", "has no effect with --eval-interval 0"},
      {XLM_SET_early_stop_patience, XLM_SET_eval_interval, "0", "has no effect with --eval-interval 0"}};
  for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
    if (run_settings_given(s, idle[i].id) &&
        !strcmp(xlm_setting_text(s->settings, idle[i].other), idle[i].without))
      printf("note: %s %s\n", where_of(s, idle[i].id), idle[i].why);
  if (run_settings_given(s, XLM_SET_warmup_ratio) && run_settings_given(s, XLM_SET_warmup_steps))
    printf("note: %s says how long the warm-up is, not %s\n", where_of(s, XLM_SET_warmup_steps),
           where_of(s, XLM_SET_warmup_ratio));
}
