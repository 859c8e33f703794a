// `PROGRAM complete WORD..`: completions of the last word, for the shells' scripts (packaging/completion).
//
// A line is a completion, and after a tab what it means. A line that begins with a colon asks the shell for
// files: `:files xlm json` those with these endings and folders, `:files` all, `:folders` folders. A shell
// may give `--flag=value` in one word, or, as bash does, in three.
#include <dirent.h>
#include <stdbool.h>
#include <string.h>

#include "compiler/parse/ast.h"
#include "compiler/parse/load.h"
#include "compiler/diagnose/diag.h"
#include "runtime/base/map.h"
#include "runtime/base/share.h"
#include "runtime/device/device.h"
#include "tools/common/command.h"
#include "tools/common/request.h"

typedef struct completion {
  const xlm_program *p;
  const xlm_command *c;
  const char *word;   // to be completed
  const char *before; // what precedes it in the shell's word, as `--format=`
  bool is_first;      // it is the first word after the command
  const char *model;  // named on the command line; NULL: none
  xlm_text *out;
} completion;

static void offer(const completion *w, const char *what, size_t n, const char *help) {
  size_t typed = strlen(w->word);
  if (n < typed || strncmp(what, w->word, typed)) return;
  xlm_text_printf(w->out, "%s%.*s", w->before, (int)n, what);
  if (help && *help) xlm_text_printf(w->out, "\t%s", help);
  xlm_text_add(w->out, "\n");
}

static void offer_list(const completion *w, const char *list, size_t n, const char *between) {
  for (size_t at = 0; at < n;) {
    size_t part = strcspn(list + at, between);
    if (at + part > n) part = n - at;
    offer(w, list + at, part, NULL);
    at += part + 1;
  }
}

// ---- models

static const xlm_ast *parse(const completion *w) {
  xlm_arena *a = w->out->arena;
  xlm_map m;
  xlm_error err;
  xlm_model_file f = xlm_request_file(a, w->model ? w->model : "");
  if (!w->model || xlm_map_open(f.place, &m, &err) != XLM_OK) return NULL;
  const char *text = xlm_arena_strndup(a, (const char *)m.data, m.n);
  const xlm_source *s = xlm_source_new(a, f.path, text, m.n);
  xlm_map_close(&m);
  xlm_diags ignored;
  xlm_diags_init(&ignored, a, s);
  return xlm_parse(a, s, &ignored);
}

static void presets(const completion *w) {
  const xlm_ast *ast = parse(w);
  for (const xlm_stmt *x = ast ? ast->stmts : NULL; x; x = x->next)
    if (x->kind == XLM_STMT_PRESET) offer(w, x->name->text, strlen(x->name->text), NULL);
}

static void offer_dim(const completion *w, const char *name, const char *of) {
  char *flag = xlm_arena_printf(w->out->arena, "--%s", name);
  for (char *c = flag; *c; c++)
    if (*c == '_') *c = '-';
  offer(w, flag, strlen(flag), xlm_arena_printf(w->out->arena, "%s of the model", of));
}

static void dims(const completion *w) { // public names are flags
  const xlm_ast *ast = parse(w);
  for (const xlm_stmt *x = ast ? ast->stmts : NULL; x; x = x->next) {
    if (x->kind != XLM_STMT_DIM && x->kind != XLM_STMT_LET) continue;
    offer_dim(w, x->name->text, x->name->text);
    for (const xlm_ast_name *a = x->decl.aliases; a; a = a->next) offer_dim(w, a->text, x->name->text);
  }
}

// Names of the files of a folder with this ending, without it.
static void names_in(const completion *w, const char *folder, const char *ending) {
  DIR *d = opendir(folder);
  for (struct dirent *e; d && (e = readdir(d));) {
    size_t n = strlen(e->d_name), m = strlen(ending);
    if (n > m && !strcmp(e->d_name + n - m, ending)) offer(w, e->d_name, n - m, NULL);
  }
  if (d) closedir(d);
}

static void models(const completion *w) {
  names_in(w, xlm_share_models(w->out->arena), ".xlm");
  xlm_text_add(w->out, ":files xlm\n");
}

// ---- values of flags

static void clusters(const completion *w) {
  names_in(w, xlm_arena_printf(w->out->arena, "%s/clusters", xlm_share_folder(w->out->arena)), ".yaml");
  xlm_text_add(w->out, ":files yaml\n");
}

static void devices(const completion *w) {
  for (int i = 0; xlm_devices[i]; i++) offer(w, xlm_devices[i]->name, strlen(xlm_devices[i]->name), NULL);
}

static void arches(const completion *w) {
  for (int i = 0; xlm_backends[i]; i++)
    for (int k = 0; xlm_backends[i]->title && xlm_backends[i]->info.archs[k]; k++)
      offer(w, xlm_backends[i]->info.archs[k], strlen(xlm_backends[i]->info.archs[k]), NULL);
}

static void schedules(const completion *w) {
  static const char names[] = "gpipe 1f1b interleaved zb-h1";
  offer_list(w, names, sizeof names - 1, " ");
  xlm_text_add(w->out, ":files csv\n");
}

static void files(const completion *w) {
  xlm_text_add(w->out, ":files\n");
}
static void folders(const completion *w) {
  xlm_text_add(w->out, ":folders\n");
}

static void tokenizers(const completion *w) {
  static const char names[] = "auto bytes ids";
  offer_list(w, names, sizeof names - 1, " ");
  files(w);
}

// Settings whose values are of a kind that the table of settings does not state.
static const struct {
  xlm_setting_id id;
  void (*values)(const completion *w);
} kinds[] = {{XLM_SET_model, models},       {XLM_SET_preset, presets},      {XLM_SET_data, files},
             {XLM_SET_valid, files},        {XLM_SET_schedule, schedules},  {XLM_SET_arch, arches},
             {XLM_SET_device, devices},     {XLM_SET_init_from, files},     {XLM_SET_output_dir, folders},
             {XLM_SET_resume, folders},     {XLM_SET_metrics, files},       {XLM_SET_curve, files},
             {XLM_SET_trace, files},        {XLM_SET_cluster, clusters},    {XLM_SET_tokenizer, tokenizers},
             {XLM_SET_data_cache, folders}, {XLM_SET_tensorboard, folders}, {XLM_SET_output, files},
             {XLM_SET_export_output, files}, {XLM_SET_init_adapters, folders}};

static bool has_flag(const xlm_setting_info *k, const char *name) {
  size_t n = strlen(name);
  for (const char *p = k->flags; *p; p += strcspn(p, " "), p += *p == ' ')
    if (strcspn(p, " ") == n && !strncmp(p, name, n)) return true;
  return false;
}

static bool takes(const xlm_command *c, const xlm_setting_info *k) { // as flags.c: plans take training's, too
  return c->settings && (strchr(k->tools, c->settings) || (c->settings == 'p' && strchr(k->tools, 't')));
}

static const xlm_setting_info *setting(const xlm_command *c, const char *name) {
  for (int i = 0; i < XLM_SETTING_COUNT; i++)
    if (takes(c, &xlm_setting_table[i]) && has_flag(&xlm_setting_table[i], name))
      return &xlm_setting_table[i];
  return NULL;
}

static void values_of(const completion *w, const xlm_setting_info *k) {
  static const char truth[] = "true|false";
  if (k->type == XLM_SETTING_BOOL) offer_list(w, truth, sizeof truth - 1, "|");
  offer_list(w, k->choices, strlen(k->choices), "|");
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (&xlm_setting_table[kinds[i].id] == k) kinds[i].values(w);
}

// The values of a flag of the command itself.
static void own_values(const completion *w, const char *name) {
  xlm_usage_flag f;
  for (const char *at = w->c->usage ? w->c->usage : ""; xlm_usage_next(&at, &f);) {
    if (f.n_name != strlen(name) || strncmp(f.name, name, f.n_name) || !f.n_operand) continue;
    bool file = !strncmp(f.operand, "FILE", 4), folder = !strncmp(f.operand, "DIR", 3);
    if (file) files(w);
    if (folder) folders(w);
    if (memchr(f.operand, '|', f.n_operand)) offer_list(w, f.operand, f.n_operand, "|");
    return;
  }
}

// ---- the words

static void flags(const completion *w) {
  xlm_usage_flag f;
  xlm_arena *a = w->out->arena;
  const char *usage = w->c->usage ? w->c->usage : "";
  for (const char *at = usage; xlm_usage_next(&at, &f);) {
    const char *flag = xlm_arena_printf(a, "--%.*s", (int)f.n_name, f.name), *first = strstr(usage, flag);
    if (first + 2 == f.name) offer(w, flag, strlen(flag), NULL);
  }
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    const xlm_setting_info *k = &xlm_setting_table[i];
    const char *flag = xlm_arena_printf(a, "--%.*s", (int)strcspn(k->flags, " "), k->flags);
    if (w->c->settings && strchr(k->tools, w->c->settings)) offer(w, flag, strlen(flag), k->help);
  }
  if (w->c->settings) {
    offer(w, "--config", 8, "a YAML run file");
    offer(w, "--print-config", 14, "show all settings as a run file");
    dims(w);
  }
  offer(w, "--help", 6, NULL);
}

static void commands(const completion *w) {
  for (int i = 0; i < w->p->n_commands; i++)
    offer(w, w->p->commands[i].name, strlen(w->p->commands[i].name), w->p->commands[i].what);
  offer(w, "help", 4, "the commands, or the flags of one");
  offer(w, "--version", 9, NULL);
  offer(w, "--help", 6, NULL);
}

// Offers the word after the command in a form that has one of its own: `tokenizer train FILE...`.
static bool subcommand(const completion *w, const char *form, size_t n) {
  size_t before = strlen(w->p->name) + 1 + strlen(w->c->name) + 1, end = before;
  while (end < n && form[end] >= 'a' && form[end] <= 'z') end++;
  if (!w->is_first || end <= before || (end < n && form[end] != ' ')) return false;
  offer(w, form + before, end - before, NULL);
  return true;
}

// What the forms of the command begin with: words of their own, models, plans, files, runs.
static void operands(const completion *w) {
  const char *form, *at = w->c->usage ? w->c->usage : "";
  xlm_arena *a = w->out->arena;
  xlm_text forms = xlm_text_new(a);
  bool words = false;
  for (size_t n; xlm_usage_form(&at, &form, &n); xlm_text_add(&forms, "\n")) {
    words |= subcommand(w, form, n);
    for (size_t i = 0; i < n && (form[i] != '-' || form[i + 1] != '-'); i++) // up to the first flag
      xlm_text_addn(&forms, form + i, 1);
  }
  bool model = strstr(forms.data, "MODEL.xlm"), plan = strstr(forms.data, "PLAN.json");
  bool run = strstr(forms.data, "CHECKPOINT") || strstr(forms.data, "RUN");
  if (words) return;
  if (model) names_in(w, xlm_share_models(a), ".xlm");
  if (strstr(forms.data, "FILE"))
    files(w);
  else if (model || plan)
    xlm_text_add(w->out, plan ? ":files xlm json\n" : ":files xlm\n");
  else if (run)
    folders(w);
}

// Is the word after `flag` its value?
static bool has_value(const completion *w, const char *flag) {
  const xlm_setting_info *k = setting(w->c, flag);
  if (k) return k->type != XLM_SETTING_BOOL;
  xlm_usage_flag f;
  for (const char *at = w->c->usage ? w->c->usage : ""; xlm_usage_next(&at, &f);)
    if (f.n_name == strlen(flag) && !strncmp(f.name, flag, f.n_name) && f.n_operand) return true;
  return !strcmp(flag, "config");
}

static void value(const completion *w, const char *flag) {
  const xlm_setting_info *k = setting(w->c, flag);
  if (k)
    values_of(w, k);
  else
    own_values(w, flag);
  if (!strcmp(flag, "config")) xlm_text_add(w->out, ":files yaml yml\n");
}

// The first word that is neither a flag nor the value of one.
static const char *model_of(const completion *w, const char *const *words, int n) {
  for (int i = 1; i + 1 < n; i++) {
    bool flag = !strncmp(words[i], "--", 2), joined = flag && strchr(words[i], '=');
    if (!flag) return words[i];
    if (!joined && has_value(w, words[i] + 2)) i++;
  }
  return NULL;
}

static const char **without_equals(xlm_arena *a, const char *const *words, int *n) {
  const char **out = XLM_NEW_N(a, const char *, *n + 1);
  int kept = 0;
  for (int i = 0; i < *n; i++)
    if (strcmp(words[i], "=") != 0 || i + 1 == *n) out[kept++] = words[i];
  if (kept && !strcmp(out[kept - 1], "=")) out[kept - 1] = "";
  *n = kept;
  return out;
}

void xlm_complete(const xlm_program *p, const char *const *words, int n, xlm_text *out) {
  words = without_equals(out->arena, words, &n);
  completion w = {.p = p, .before = "", .word = n ? words[n - 1] : "", .out = out};
  w.c = n > 1 ? xlm_program_find(p, words[0]) : NULL;
  if (n < 2 || (n == 2 && !strcmp(words[0], "help"))) commands(&w);
  if (!w.c) return;
  w.is_first = n == 2;
  w.model = model_of(&w, words, n);
  const char *equals = !strncmp(w.word, "--", 2) ? strchr(w.word, '=') : NULL, *last = words[n - 2];
  if (equals) {
    const char *flag = xlm_arena_strndup(out->arena, w.word + 2, (size_t)(equals - w.word) - 2);
    w.before = xlm_arena_strndup(out->arena, w.word, (size_t)(equals - w.word) + 1);
    w.word = equals + 1;
    value(&w, flag);
  } else if (!strncmp(last, "--", 2) && n > 2 && has_value(&w, last + 2)) {
    value(&w, last + 2);
  } else if (*w.word == '-') {
    flags(&w);
  } else {
    operands(&w);
  }
}
