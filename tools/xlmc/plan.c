// xlmc plan: the complete plan, as text, as JSON (docs/plan.md, docs/estimates.md) or as a trace; with --auto
// the search for one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/driver/times.h"
#include "compiler/search/search.h"
#include "compiler/report/html.h"
#include "compiler/report/plan_page.h"
#include "compiler/report/trace.h"
#include "compiler/verify/verify_plan.h"
#include "runtime/device/kernel.h"
#include "tools/common/request.h"
#include "tools/xlmc/xlmc.h"

const char xlmc_plan_usage[] =
    "usage: xlmc plan MODEL.xlm [settings] [--cluster FILE] [--program NAME] "
    "[--format text|program|json|report-json|html] [--output FILE]\n"
    "       xlmc plan MODEL.xlm --auto --devices N [settings] [--cluster FILE]\n"
    "       xlmc plan PLAN.json [--cluster FILE] [--format FORMAT] [--output FILE]\n"
    "  PLAN.json              a plan saved with --format json, verified and shown; its settings are fixed\n"
    "  --program NAME         train, eval, or of decoding prefill, decode or encode: which program is shown (train); "
    "of decoding --micro-batch-size is the number of sequences (1), --seq-length their longest\n"
    "  --cluster FILE         what it runs on (clusters/*.yaml, or a name as h100): memory, estimate of "
    "time\n"
    "  --format program       every instruction of every rank plan, a line each\n"
    "  --format json          the plan itself, every tensor and instruction, and what the page says "
    "(docs/plan.md)\n"
    "  --format report-json   what the page says alone, as data\n"
    "  --format html          one self-contained page for a browser\n"
    "  --output FILE          without --format, its ending chooses: .html, .json; else text\n"
    "  --trace FILE           the planned step as a trace for Perfetto or chrome://tracing; needs --cluster\n"
    "  --time-passes          what every pass took, on standard error\n"
    "  --auto --devices N     layouts of N ranks that fit, the fastest first\n";

typedef struct planning {
  xlmc_job *j;
  xlm_compile_options o;
  xlm_cluster cluster_data;
  const xlm_cluster *cluster; // NULL = none
  uint64_t limit;
  bool alone; // on this machine, whose memory the ranks share
  xlm_compiled c;
  xlm_estimate estimate;
  xlm_plan_page page;
} planning;

// ---- the cluster ----

static xlm_status read_cluster(planning *w, const char *name) {
  w->cluster = &w->cluster_data;
  return xlm_request_cluster(w->j->arena, w->j->source->path, name, &w->cluster_data, &w->j->err);
}

// The memory of a rank: as given; of the cluster's device; of this machine, for one rank. Several ranks may
// be meant for other machines.
static void find_limit(planning *w) {
  bool said = *xlm_setting_text(w->j->settings, XLM_SET_memory_limit) != 0;
  w->alone = !said && !w->cluster && xlm_mesh_ranks(&w->o.mesh) == 1 && !w->j->flags.search;
  if (said || w->alone)
    w->limit = xlm_request_memory(w->j->settings, NULL, 1);
  else
    w->limit = w->cluster ? xlm_cluster_room(w->cluster) : 0;
  if (w->o.recompute == XLM_RECOMPUTE_AUTO && w->limit) w->o.memory_limit = w->limit;
}

static xlm_status plan_for_cluster(planning *w) {
  XLM_TRY(xlm_request_target(w->j->settings, w->cluster, xlm_mesh_ranks(&w->o.mesh), &w->o, &w->j->err));
  w->o.target.memory = w->limit;
  return XLM_OK;
}

// ---- one plan ----

static uint64_t fullest(const xlm_plan *p) {
  uint64_t most = 0;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    if (p->rank_plans[c]->arena_bytes > most) most = p->rank_plans[c]->arena_bytes;
  return most;
}

// 1f1b of several parts per stage, as loops make them, is interleaved.
static const char *schedule_of(const planning *w) {
  const xlm_rank_plan *r = w->c.plan->rank_plans[0];
  bool parts = false;
  if (w->o.schedule_csv) return w->o.schedule_path;
  for (uint32_t s = 0; s < r->n_segments; s++) parts |= r->segments[s].chunk > 0;
  return parts && w->o.schedule && !strcmp(w->o.schedule, "1f1b") ? "interleaved" : w->o.schedule;
}

static void complete(planning *w) {
  w->page.verified = w->c.operations;
  w->page.source = w->j->source;
  w->page.memory_limit = w->limit;
  w->page.schedule = schedule_of(w);
  w->page.cluster = w->cluster;
  if (w->c.model && w->page.program == XLM_PROGRAM_TRAIN) // a saved plan has no model
    w->page.updates = xlm_optimizer_table(w->c.model, &w->o.train, w->j->arena, &w->page.n_updates);
  if (!w->cluster || w->page.program != XLM_PROGRAM_TRAIN) return;
  w->estimate = xlm_estimate_plan(w->c.plan, w->cluster, w->j->arena);
  w->page.estimate = &w->estimate;
}

static void as_text(planning *w, xlm_text *t) {
  xlm_report_options one = {.memory_limit = w->limit, .program = w->page.program, .cluster = w->cluster};
  if (w->c.plan->n_ranks > 1) {
    xlm_report_plan_ranks(w->c.plan, &w->page, t);
    return;
  }
  xlm_report_plan_text(w->c.plan, &one, t);
  xlm_report_updates(&w->page, t);
  xlm_report_estimate(w->c.plan, &w->page, t);
}

static void as_report(planning *w, xlm_text *t) {
  xlm_json j;
  xlm_json_to_text(&j, t);
  xlm_report_plan_ranks_json(w->c.plan, &w->page, w->j->arena, NULL, &j);
  xlm_text_add(t, "\n");
}

// The plan, with the report as its last member.
static void as_json(planning *w, xlm_text *t) {
  xlm_json j;
  xlm_json_to_text(&j, t);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_plan_write_json(w->c.plan, &j);
  xlm_report_plan_ranks_json(w->c.plan, &w->page, w->j->arena, "report", &j);
  xlm_json_close(&j);
  xlm_text_add(t, "\n");
}

static void as_html(planning *w, xlm_text *t) {
  xlm_report_html o = {.program = w->page.program,
                       .source = w->j->source,
                       .memory_limit = w->limit,
                       .schedule = w->page.schedule,
                       .cluster = w->cluster,
                       .updates = w->page.updates,
                       .n_updates = w->page.n_updates,
                       .estimate = w->page.estimate};
  xlm_report_plan_html(w->c.plan, &o, t);
}

static void as_program(planning *w, xlm_text *t) {
  xlm_report_plan_program(w->c.plan, t);
}

static const struct {
  const char *name;
  void (*write)(planning *, xlm_text *);
} formats[] = {{"text", as_text},
               {"program", as_program},
               {"json", as_json},
               {"report-json", as_report},
               {"html", as_html}};
enum { FORMATS = sizeof formats / sizeof *formats };

static int write_trace(planning *w) {
  if (!w->j->flags.trace) return XLMC_OK;
  xlm_text t = xlm_text_new(w->j->arena);
  const char *output = w->j->flags.output;
  xlm_report_trace(w->c.plan, w->cluster, &w->estimate, &t);
  w->j->flags.output = w->j->flags.trace;
  int code = xlmc_print(w->j, t.data, t.n);
  w->j->flags.output = output;
  return code;
}

static void show_times(xlmc_job *j, const xlm_times *times) {
  xlm_text t = xlm_text_new(j->arena);
  xlm_times_print(times, &t);
  fputs(t.data, stderr);
}

static int present(planning *w, int format) {
  xlmc_job *j = w->j;
  complete(w);
  bool fits = !w->limit || fullest(w->c.plan) <= w->limit;
  if (!fits && w->c.model && w->page.program == XLM_PROGRAM_TRAIN)
    w->page.advice = xlm_search_advice(j->arena, j->source, &w->o, w->limit, w->alone, w->cluster);
  xlm_text t = xlm_text_new(j->arena);
  formats[format].write(w, &t);
  bool report = formats[format].write == as_text;
  int code = report ? xlmc_print_report(j, t.data, t.n) : xlmc_print(j, t.data, t.n), traced = write_trace(w);
  if (!fits && w->c.plan->n_ranks == 1 && w->page.advice) fprintf(stderr, "xlmc: %s\n", w->page.advice);
  if (code == XLMC_OK) code = traced;
  return code != XLMC_OK ? code : fits ? XLMC_OK : XLMC_DOES_NOT_FIT;
}

static int show_plan(planning *w, int format) {
  xlmc_job *j = w->j;
  xlm_times times = {0};
  if (j->flags.time_passes) w->o.times = &times;
  if (!xlmc_compile_with(j, &w->o, NULL, NULL, &w->c)) return XLMC_USER;
  w->o.times = NULL;
  if (j->flags.time_passes) show_times(j, &times);
  return present(w, format);
}

// ---- a saved plan ----

static const char *setting_of(const xlm_plan *p, xlm_setting_id id) {
  xlm_setting_id of;
  for (uint32_t i = 0; i < p->n_settings; i++)
    if (xlm_settings_find_path(p->settings[i].key, &of) && of == id) return p->settings[i].value;
  return NULL;
}

static xlm_status refuse_settings(const planning *w) {
  xlmc_job *j = w->j;
  const xlm_run_settings *s = j->settings;
  const char *given = s->n_extra ? s->extra[0].flag : j->flags.search ? "--auto" : NULL;
  for (int i = 0; i < XLM_SETTING_COUNT && !given; i++)
    if (s->value[i].source == XLM_FROM_FLAG && i != XLM_SET_memory_limit && i != XLM_SET_model)
      given = s->value[i].where;
  if (!given) return XLM_OK;
  return xlm_fail(&j->err, XLM_USER,
                  "%s: the plan `%s` is made: leave it out, or make another from the model with it", given,
                  j->plan_path);
}

static int show_saved(planning *w, int format) {
  xlmc_job *j = w->j;
  xlm_status s = refuse_settings(w);
  if (s == XLM_OK && j->flags.cluster) s = read_cluster(w, j->flags.cluster);
  if (s != XLM_OK) return xlmc_fail(j, s);
  w->c.plan = j->plan;
  s = xlmc_find_program(j, xlm_plan_main(j->plan->rank_plans[0]), &w->page.program);
  if (s == XLM_OK) s = xlmc_need_program(j, j->plan, w->page.program);
  if (s != XLM_OK) return xlmc_fail(j, s);
  w->c.operations = xlm_plan_verify(j->plan, j->arena).operations;
  w->o.mesh = j->plan->mesh;
  w->o.schedule = setting_of(j->plan, XLM_SET_schedule);
  find_limit(w);
  return present(w, format);
}

// ---- --auto ----

static xlm_status read_devices(planning *w, int64_t *devices) {
  char *end;
  const char *text = w->j->flags.devices;
  if (!text)
    return xlm_fail(&w->j->err, XLM_USER, "--auto needs the number of ranks, as in `--auto --devices 64`");
  *devices = strtoll(text, &end, 10);
  if (*end || end == text || *devices < 1 || *devices > XLM_MAX_RANKS)
    return xlm_fail(&w->j->err, XLM_USER, "--devices must be a number between 1 and %d, not `%s`",
                    XLM_MAX_RANKS, text);
  if (w->o.mesh.n)
    return xlm_fail(&w->j->err, XLM_USER, "--auto chooses the mesh: leave out --%s %d", w->o.mesh.axis[0],
                    w->o.mesh.size[0]);
  return w->cluster ? XLM_OK : read_cluster(w, "h100");
}

static void print_candidate(xlm_text *t, int i, const xlm_candidate *c) {
  xlm_text_printf(t, "%3d  %10s  %6.1f %%  %10s  %5.1f %%  %10s  %s\n", i + 1,
                  xlm_text_count(t->arena, c->tokens_per_second), 100 * c->mfu,
                  xlm_report_seconds(t->arena, c->step), 100 * c->bubble,
                  xlm_text_bytes(t->arena, c->arena_bytes), xlm_search_flags(&c->o, t->arena));
}

static int print_found(planning *w, const xlm_search_request *r, const xlm_search_result *found) {
  xlm_text t = xlm_text_new(w->j->arena);
  enum { SHOWN = 6 };
  xlm_text_printf(&t, "%s of %s, %s each; %s per step\n", xlm_text_plural(w->j->arena, r->devices, "device"),
                  w->cluster->name, xlm_text_bytes(w->j->arena, w->limit),
                  xlm_text_plural(w->j->arena, r->global_batch, "sample"));
  xlm_text_printf(&t, "%lld layouts are possible, %lld may fit, %lld were planned, %lld fit\n\n",
                  (long long)found->possible, (long long)found->small_enough, (long long)found->planned,
                  (long long)found->fitting);
  if (!found->n) {
    xlm_text_printf(&t, "DOES NOT FIT  %s\n",
                    found->planned ? "the smallest needs" : "far too large in every layout");
    if (found->planned)
      xlm_text_printf(&t, "  %s of a rank\n", xlm_text_bytes(w->j->arena, found->least_bytes));
    int code = xlmc_print(w->j, t.data, t.n);
    return code != XLMC_OK ? code : XLMC_DOES_NOT_FIT;
  }
  xlm_text_add(&t, "      tokens/s       MFU        step   bubble      memory  flags\n");
  for (int i = 0; i < found->n && i < SHOWN; i++) print_candidate(&t, i, &found->at[i]);
  xlm_text_printf(&t, "\nwhy the first: %s\n", xlm_search_reason(found, w->j->arena));
  return xlmc_print_report(w->j, t.data, t.n);
}

static int search(planning *w) {
  xlmc_job *j = w->j;
  xlm_search_request r = {.source = j->source, .base = &w->o};
  xlm_status s = read_devices(w, &r.devices);
  if (s != XLM_OK) return xlmc_fail(j, s);
  find_limit(w);
  s = plan_for_cluster(w);
  if (s != XLM_OK) return xlmc_fail(j, s);
  r.global_batch = w->o.settings.batch * w->o.train.microbatches;
  r.memory_limit = w->limit;
  r.cluster = w->cluster;
  xlm_search_result found;
  s = xlm_search(j->arena, &r, &found, &j->err);
  return s == XLM_OK ? print_found(w, &r, &found) : xlmc_fail(j, s);
}

// ---- the command ----

static int find_format(const xlmc_job *j) {
  const char *name = j->flags.format, *ending = xlmc_output_ending(j);
  for (int i = 0; i < FORMATS; i++)
    if (!strcmp(formats[i].name, name ? name : ending)) return i;
  if (!name) return 0;
  fprintf(stderr, "xlmc: --format %s: a plan comes as text, program, json, report-json or html\n", name);
  return -1;
}

static xlm_status prepare(planning *w) {
  xlmc_job *j = w->j;
  XLM_TRY(xlmc_find_program(j, XLM_PROGRAM_TRAIN, &w->page.program));
  XLM_TRY(xlm_request_options(j->settings, j->source, xlmc_programs_with(w->page.program),
                              xlmc_sequences(j, w->page.program), &w->o, &j->err));
  if (j->flags.cluster) XLM_TRY(read_cluster(w, j->flags.cluster));
  if (j->flags.trace && !j->flags.cluster)
    return xlm_fail(&j->err, XLM_USER, "--trace needs times: give --cluster, too");
  if (j->flags.devices && !j->flags.search)
    return xlm_fail(&j->err, XLM_USER,
                    "--devices goes with --auto; without it give the mesh: --tp, --pp, --dp");
  find_limit(w);
  return w->cluster ? plan_for_cluster(w) : XLM_OK;
}

static int plan(xlmc_job *j) {
  planning w = {.j = j};
  int format = find_format(j);
  if (format < 0) return XLMC_USER;
  if (j->plan) return show_saved(&w, format);
  xlm_status s = prepare(&w);
  if (s != XLM_OK) return xlmc_fail(j, s);
  return j->flags.search ? search(&w) : show_plan(&w, format);
}

int xlmc_plan(int argc, char *const *argv) {
  return xlmc_run(argc, argv, xlmc_plan_usage, plan);
}
