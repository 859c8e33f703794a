// See agree.h: the processes exchange hashes of what they have.
#include "tools/xlmrun/agree.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/philox.h"
#include "runtime/base/hash.h"

typedef struct run {
  uint64_t plan, work; // hashes: of everything, and without what depends on the number of threads, which may
                       // differ
  uint64_t step, setting[XLM_SETTING_COUNT];
  int32_t threads;
  char arch[32];
} run;

static bool may_differ(int id) {
  static const xlm_setting_id own[] = {
      XLM_SET_model,        XLM_SET_data,         XLM_SET_valid,      XLM_SET_threads, XLM_SET_init_from,
      XLM_SET_memory_limit, XLM_SET_comm_timeout, XLM_SET_output_dir, XLM_SET_resume,  XLM_SET_overwrite,
      XLM_SET_metrics,      XLM_SET_curve,        XLM_SET_device,     XLM_SET_arch,         XLM_SET_data_cache, XLM_SET_task_data, XLM_SET_init_adapters};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if ((int)own[i] == id) return true;
  return false;
}

static uint64_t hash_of_setting(const xlm_setting_value *v) {
  uint64_t h = xlm_hash_text(v->text);
  for (int i = 0; i < v->n; i++) h = 31 * h + xlm_hash_text(v->list[i]);
  return h;
}

static const char *flag_of(session *s, int id) {
  const char *flags = xlm_setting_table[id].flags;
  return xlm_arena_strndup(s->arena, flags, strcspn(flags, " "));
}

static xlm_status compare(session *s, const run *first, const run *other, int k) {
  for (int i = 0; i < XLM_SETTING_COUNT; i++)
    if (other->setting[i] != first->setting[i])
      return xlm_fail(
          &s->err, XLM_USER,
          "--%s is not the same in process %d and process 0: all processes of a run need the same settings",
          flag_of(s, i), k);
  if (strcmp(other->arch, first->arch))
    return xlm_fail(
        &s->err, XLM_USER,
        "process %d would run kernels for %s and process 0 those for %s: give all the same --arch", k,
        other->arch, first->arch);
  bool same = other->threads == first->threads ? other->plan == first->plan : other->work == first->work;
  if (!same)
    return xlm_fail(&s->err, XLM_USER, "process %d has another %s than process 0", k,
                    s->saved ? "plan or version of xlmrun"
                             : "model text, other sizes or another version of xlmrun");
  if (other->step != first->step)
    return xlm_fail(
        &s->err, XLM_USER,
        "process %d finds the checkpoint of step %lld and process 0 that of step %lld: the folder must "
        "be the same on all hosts",
        k, (long long)other->step, (long long)first->step);
  return XLM_OK;
}

xlm_status agree_on_run(session *s) {
  int n = xlm_team_processes(s->team);
  if (n == 1) return XLM_OK;
  run *mine = XLM_NEW(s->arena, run), *all = XLM_NEW_N(s->arena, run, n);
  mine->plan = xlm_plan_hash(s->plan, true, s->arena);
  mine->work = xlm_plan_hash(s->plan, false, s->arena);
  mine->threads = s->plan->target.threads;
  snprintf(mine->arch, sizeof mine->arch, "%s", s->plan->target.arch);
  mine->step = s->checkpoint ? (uint64_t)s->checkpoint->info.step : 0;
  for (int i = 0; i < XLM_SETTING_COUNT; i++)
    mine->setting[i] = may_differ(i) ? 0 : hash_of_setting(&s->settings->value[i]);
  XLM_TRY(xlm_team_share(s->team, mine, sizeof *mine, all, &s->err));
  for (int k = 1; k < n; k++) XLM_TRY(compare(s, &all[0], &all[k], k));
  return XLM_OK;
}

static xlm_status add_data(session *s, const sources *x, xlm_hash *h) {
  xlm_hash_add(h, &x->n, sizeof x->n);
  for (int k = 0; k < x->n; k++) {
    uint64_t print;
    XLM_TRY(xlm_data_fingerprint(x->at[k].data, &print, &s->err));
    xlm_hash_add(h, &print, sizeof print);
  }
  return XLM_OK;
}

xlm_status agree_on_data(session *s, const corpus *c) {
  int n = xlm_team_processes(s->team);
  if (n == 1) return XLM_OK;
  xlm_hash h;
  xlm_hash_start(&h);
  XLM_TRY(add_data(s, &c->data, &h));
  XLM_TRY(add_data(s, &c->held_out, &h));
  uint64_t mine = xlm_hash_value(&h), *all = XLM_NEW_N(s->arena, uint64_t, n);
  XLM_TRY(xlm_team_share(s->team, &mine, sizeof mine, all, &s->err));
  for (int k = 1; k < n; k++)
    if (all[k] != all[0])
      return xlm_fail(&s->err, XLM_USER,
                      "process %d reads other data than process 0: the files must be the same on all hosts",
                      k);
  return XLM_OK;
}
