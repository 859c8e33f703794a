// See toy_team.h.
#include "tests/train/toy_team.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static xlm_status open_data(toy_team *t, const char *text, xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_data_options reads;
  assert_non_null(a);
  xlm_status s = xlm_plan_data(t->plan, a, &reads, err);
  reads.vocab = 256;
  if (s == XLM_OK)
    s = text ? xlm_data_open(&text, 1, reads, &t->data, err)
             : xlm_data_synthetic(4000, reads, 5, &t->data, err);
  xlm_arena_free(a);
  return s;
}

static xlm_status open_all(toy_team *t, const char *device, const char *text, xlm_error *err) {
  xlm_backend backend = toy_backend(device);
  XLM_TRY(xlm_team_open(t->plan, &backend, t->plan->target.threads, XLM_LAUNCH_LOCAL, 20, &t->team, err));
  XLM_TRY(xlm_store_new(t->plan, xlm_team_states(t->team), &t->store, err));
  XLM_TRY(xlm_store_init(t->store, 7, true, NULL, err));
  XLM_TRY(open_data(t, text, err));
  xlm_data_part all = {t->data, 0, xlm_data_tokens(t->data)};
  XLM_TRY(xlm_samples_open(all, t->plan->seq, 3, "synthetic", &t->samples, err));
  return xlm_feeds_open(t->team, &t->samples, false, &t->feeds, err);
}

static toy_team *open_team(const char *device, const xlm_plan *plan, const char *text, const char *what) {
  toy_team *t = calloc(1, sizeof *t);
  xlm_error err = {0};
  assert_non_null(t);
  t->plan = plan;
  t->what = what;
  if (open_all(t, device, text, &err) != XLM_OK) fail_msg("%s: %s", what, err.text);
  return t;
}

toy_team *toy_team_open_on(const char *device, const xlm_plan *plan, const char *what) {
  return open_team(device, plan, NULL, what);
}

toy_team *toy_team_open(const xlm_plan *plan, const char *what) {
  return open_team(NULL, plan, NULL, what);
}

toy_team *toy_team_open_text(const xlm_plan *plan, const char *path, const char *what) {
  return open_team(NULL, plan, path, what);
}

void toy_team_step(toy_team *t, int64_t s, double lr) {
  xlm_error err = {0};
  if (xlm_feeds_step(&t->feeds, 7, s, lr, &err) != XLM_OK) fail_msg("%s: %s", t->what, err.text);
}

double toy_team_output(const toy_team *t, const char *name) {
  int i;
  uint32_t output;
  if (!xlm_team_output(t->team, XLM_PROGRAM_TRAIN, name, &i, &output))
    fail_msg("%s: no rank has the output %s", t->what, name);
  xlm_error err = {0};
  double value;
  if (xlm_exec_get_scalar(xlm_team_exec(t->team, i), output, &value, &err) != XLM_OK)
    fail_msg("%s: %s", t->what, err.text);
  return value;
}

void toy_team_close(toy_team *t) {
  xlm_feeds_close(&t->feeds);
  xlm_data_close(t->data);
  xlm_store_free(t->store);
  xlm_team_close(t->team);
  free(t);
}
