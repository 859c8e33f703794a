// From settings to compiler options; see request.h. The compiler reports errors in the model itself.
#include "tools/common/request.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/map.h"
#include "runtime/plan/mesh.h"

static bool looks_like_data(const char *path) {
  static const char *const endings[] = {".txt", ".bin", ".jsonl", ".parquet", ".csv",
                                        ".md",  ".gz",  ".zst",   ".tok"};
  size_t n = strlen(path);
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
    if (n > strlen(endings[i]) && !strcmp(path + n - strlen(endings[i]), endings[i])) return true;
  return false;
}

xlm_status xlm_request_model(const xlm_run_settings *s, const char **path, xlm_error *err) {
  const xlm_setting_value *v = &s->value[XLM_SET_model];
  const char *named = v->source > XLM_FROM_CHECKPOINT && *v->text ? v->text : NULL;
  *path = s->n_positional ? s->positional[0] : named;
  if (*path && looks_like_data(*path))
    return xlm_fail(err, XLM_USER,
                    "'%s' is no model by its name: a model is named first, as in `llama`, data with --data",
                    *path);
  if (!s->n_positional || !named || v->source != XLM_FROM_FLAG || !strcmp(named, *path)) return XLM_OK;
  return xlm_fail(err, XLM_USER, "'%s' and --model %s: which of them? give one", *path, named);
}

int xlm_request_processors(void) {
  cpu_set_t set;
  if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (int)online : 1;
}

int xlm_request_threads(const xlm_run_settings *s) {
  int64_t n = xlm_setting_int(s, XLM_SET_threads);
  return n > 0 ? (int)n : xlm_request_processors();
}

uint64_t xlm_request_memory(const xlm_run_settings *s, const xlm_device_kind *on, int64_t here) {
  long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  const char *device = xlm_setting_text(s, XLM_SET_device);
  if (*xlm_setting_text(s, XLM_SET_memory_limit)) return (uint64_t)xlm_setting_float(s, XLM_SET_memory_limit);
  if (!on && *device && xlm_device_find(device, &on, NULL) != XLM_OK) return 0; // the target's error says why
  if (on && on->room) return on->room(here);
  return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size / (uint64_t)here : 0;
}

// ---- reading the model text before it is compiled ----

static int public_names(const xlm_run_settings *s, const xlm_ast *ast, const xlm_public_name **out) {
  xlm_public_name *names = NULL;
  uint32_t n = 0, cap = 0;
  for (const xlm_stmt *x = ast ? ast->stmts : NULL; x; x = x->next) {
    if (x->kind != XLM_STMT_DIM && x->kind != XLM_STMT_LET) continue;
    const char *own = x->name->text;
    XLM_PUSH(s->arena, names, n, cap, ((xlm_public_name){own, own}));
    for (const xlm_ast_name *a = x->decl.aliases; a; a = a->next)
      XLM_PUSH(s->arena, names, n, cap, ((xlm_public_name){a->text, own}));
  }
  *out = names;
  return (int)n;
}

static xlm_status resolve_flags(xlm_run_settings *s, const xlm_ast *ast, xlm_error *err) {
  const xlm_public_name *names;
  int n = public_names(s, ast, &names);
  return ast ? xlm_settings_resolve(s, names, n, err) : XLM_OK; // the compiler will report why
}

static xlm_status read_sets(const xlm_run_settings *s, const xlm_set **sets, int *n, xlm_error *err) {
  const xlm_setting_value *v = &s->value[XLM_SET_set];
  xlm_set *list = XLM_NEW_N(s->arena, xlm_set, v->n);
  for (int i = 0; i < v->n; i++) {
    const char *equals = strchr(v->list[i], '=');
    if (!equals || equals == v->list[i])
      return xlm_fail(err, XLM_USER, "%s: '%s' is no NAME=VALUE, as in --set hidden=512", v->origin[i].where,
                      v->list[i]);
    list[i] = (xlm_set){xlm_arena_strndup(s->arena, v->list[i], (size_t)(equals - v->list[i])), equals + 1};
  }
  *sets = list;
  *n = v->n;
  return XLM_OK;
}

static int64_t preset_batch(const xlm_ast *ast, const char *preset) {
  for (const xlm_stmt *x = ast ? ast->stmts : NULL; x; x = x->next) {
    if (x->kind != XLM_STMT_PRESET || strcmp(x->name->text, preset)) continue;
    for (const xlm_setting *p = x->preset.settings; p; p = p->next)
      if (!strcmp(p->name->text, "batch") && p->value->kind == XLM_EXPR_NUMBER)
        return (int64_t)p->value->number.value;
  }
  return 0;
}

static int64_t model_batch(const xlm_run_settings *s, const xlm_ast *ast) {
  const xlm_setting_value *v = &s->value[XLM_SET_set];
  const char *preset = xlm_setting_text(s, XLM_SET_preset);
  int64_t batch = 0;
  for (int i = 0; i < v->n; i++)
    if (!strncmp(v->list[i], "batch=", 6)) batch = strtoll(v->list[i] + 6, NULL, 10);
  return batch > 0 || !*preset ? batch : preset_batch(ast, preset);
}

// ---- options ----

static const struct {
  const char *name;
  xlm_recompute mode;
} recompute_modes[] = {{"none", XLM_RECOMPUTE_NONE},
                       {"marked", XLM_RECOMPUTE_MARKED},
                       {"full", XLM_RECOMPUTE_FULL},
                       {"auto", XLM_RECOMPUTE_AUTO}};

// Settings of optimizers have the same names as in run files.
static const xlm_optimizer_value *optimizer_values(const xlm_run_settings *s, int *n) {
  xlm_optimizer_value *list = XLM_NEW_N(s->arena, xlm_optimizer_value, XLM_SETTING_COUNT);
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    const xlm_setting_value *v = &s->value[i];
    if (!xlm_optimizer_setting_find(xlm_setting_table[i].id)) continue;
    double x = xlm_setting_table[i].type == XLM_SETTING_BOOL ? v->b : v->f;
    list[(*n)++] = (xlm_optimizer_value){xlm_setting_table[i].id, x};
  }
  return list;
}

static xlm_train_options train_options(const xlm_run_settings *s, int64_t microbatches) {
  xlm_train_options o = {.optimizer = xlm_setting_text(s, XLM_SET_optimizer),
                         .weight_decay = xlm_setting_float(s, XLM_SET_weight_decay),
                         .grad_clip = xlm_setting_float(s, XLM_SET_grad_clip),
                         .skip_spikes = xlm_setting_float(s, XLM_SET_skip_spikes),
                         .microbatches = microbatches};
  o.values = optimizer_values(s, &o.n_values);
  return o;
}

// ---- pipeline ----

static xlm_status read_csv(xlm_run_settings *s, const char *path, xlm_compile_options *o, xlm_error *err) {
  xlm_map m;
  XLM_TRY(xlm_map_open(path, &m, err));
  o->schedule_csv = xlm_arena_strndup(s->arena, (const char *)m.data, m.n);
  o->schedule_path = path;
  xlm_map_close(&m);
  return XLM_OK;
}

static xlm_status read_rounds(xlm_run_settings *s, xlm_compile_options *o, xlm_error *err) {
  const xlm_setting_value *v = &s->value[XLM_SET_stage_rounds];
  int32_t *list = NULL;
  int n = 0, cap = 0;
  for (int i = 0; i < v->n; i++)
    for (const char *p = v->list[i]; *p;) {
      char *end;
      long rounds = strtol(p, &end, 10);
      if (end == p || rounds < 0 || rounds > 1000000 || (*end && *end != ','))
        return xlm_fail(err, XLM_USER, "%s: '%s' is not a list of rounds; write --stage-rounds 3,3,2",
                        v->where, v->list[i]);
      XLM_PUSH(s->arena, list, n, cap, (int32_t)rounds);
      p = *end ? end + 1 : end;
    }
  o->stage_rounds = list;
  o->n_stage_rounds = n;
  return XLM_OK;
}

static xlm_status read_pipeline(xlm_run_settings *s, xlm_compile_options *o, xlm_error *err) {
  const char *name = xlm_setting_text(s, XLM_SET_schedule);
  if (!strcmp(name, "zero-bubble")) name = "zb-h1";
  size_t n = strlen(name);
  o->schedule = name;
  o->chunks = (int)xlm_setting_int(s, XLM_SET_chunks);
  if (n > 4 && !strcmp(name + n - 4, ".csv")) XLM_TRY(read_csv(s, name, o, err));
  return read_rounds(s, o, err);
}

// Records the settings in the plan.
static void note_settings(const xlm_run_settings *s, xlm_compile_options *o) {
  xlm_plan_setting *list = XLM_NEW_N(s->arena, xlm_plan_setting, XLM_SETTING_COUNT);
  o->asked = list;
  o->n_asked = 0;
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    const char *value = xlm_settings_whole(s, (xlm_setting_id)i), *section = xlm_setting_table[i].section;
    if (!xlm_settings_makes_plan((xlm_setting_id)i) || !*value) continue;
    list[o->n_asked++] = (xlm_plan_setting){
        xlm_arena_printf(s->arena, "%s%s%s", section, *section ? "." : "", xlm_setting_table[i].key), value};
  }
}

static const xlm_ast *parse(const xlm_run_settings *s, const xlm_source *source) {
  xlm_diags ignored; // the compiler reports them
  xlm_diags_init(&ignored, s->arena, source);
  return xlm_parse(s->arena, source, &ignored);
}

xlm_status xlm_request_names(xlm_run_settings *s, const xlm_source *source, xlm_error *err) {
  return resolve_flags(s, parse(s, source), err);
}

int xlm_request_public_names(const xlm_run_settings *s, const xlm_source *source,
                             const xlm_public_name **out) {
  return public_names(s, parse(s, source), out);
}

xlm_status xlm_request_options(xlm_run_settings *s, const xlm_source *source, uint32_t programs,
                               int64_t batch, xlm_compile_options *o, xlm_error *err) {
  const xlm_ast *ast = source ? parse(s, source) : NULL;
  int64_t microbatches = 1;
  *o = xlm_compile_defaults();
  XLM_TRY(resolve_flags(s, ast, err));
  XLM_TRY(xlm_request_mesh(s, ast, &o->mesh, err));
  XLM_TRY(read_pipeline(s, o, err));
  int64_t ranks = xlm_request_axis(&o->mesh, "dp") * xlm_request_axis(&o->mesh, "ep");
  if (batch)
    batch *= ranks;
  else
    XLM_TRY(xlm_request_batch(s, model_batch(s, ast), ranks, xlm_request_axis(&o->mesh, "pp"), &batch,
                              &microbatches, err));
  XLM_TRY(read_sets(s, &o->settings.sets, &o->settings.n_sets, err));
  o->settings.preset = *xlm_setting_text(s, XLM_SET_preset) ? xlm_setting_text(s, XLM_SET_preset) : NULL;
  o->settings.batch = batch;
  o->settings.seq = xlm_setting_int(s, XLM_SET_seq_length);
  o->settings.dtype = !strcmp(xlm_setting_text(s, XLM_SET_dtype), "bf16") ? XLM_BF16 : XLM_F32;
  o->settings.training = programs & XLM_WITH_TRAIN;
  o->train = train_options(s, microbatches);
  XLM_TRY(xlm_request_groups(s, &o->train.groups, &o->train.n_groups, err));
  XLM_TRY(xlm_request_lora(s, &o->train.lora, &o->train.n_lora, err));
  for (size_t i = 0; i < sizeof recompute_modes / sizeof *recompute_modes; i++)
    if (!strcmp(recompute_modes[i].name, xlm_setting_text(s, XLM_SET_recompute)))
      o->recompute = recompute_modes[i].mode;
  o->loss_chunks = (int)xlm_setting_int(s, XLM_SET_loss_chunks);
  if (o->recompute == XLM_RECOMPUTE_AUTO) o->memory_limit = xlm_request_memory(s, NULL, xlm_mesh_ranks(&o->mesh));
  o->programs = programs;
  o->with_samples = xlm_setting_int(s, XLM_SET_sample_interval) > 0;
  o->chunk = xlm_setting_int(s, XLM_SET_prefill_chunk);
  o->zero = (int)xlm_setting_int(s, XLM_SET_zero);
  o->reduce_each = !strcmp(xlm_setting_text(s, XLM_SET_reduce_gradients), "microbatch");
  XLM_TRY(xlm_request_target(s, NULL, xlm_mesh_ranks(&o->mesh), o, err));
  o->seed = (uint64_t)xlm_setting_int(s, XLM_SET_seed);
  note_settings(s, o);
  return XLM_OK;
}
