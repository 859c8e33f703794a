// The command line: --flag value, --flag=value, repeated and several values for lists, switches (--profile,
// --profile false, --no-profile), and flags that are not in the table, which may be public names of the
// model. `--` ends the flags.
#include <string.h>
#include <sys/stat.h>

#include "runtime/base/share.h"
#include "tools/common/settings.h"

typedef struct parser {
  xlm_run_settings *s;
  int argc, at;
  char *const *argv;
  uint32_t cap_positional, cap_extra;
} parser;

static bool has_word(const char *words, const char *w, size_t n) {
  for (const char *p = words; *p; p += strcspn(p, " "), p += *p == ' ')
    if (strcspn(p, " ") == n && !strncmp(p, w, n)) return true;
  return false;
}

// A plan is made by the command line of the training that it is for, as by its run file, so all settings of
// training are accepted; those that do not affect a plan have no effect.
static bool accepts(const xlm_run_settings *s, int setting) {
  const char *tools = xlm_setting_table[setting].tools;
  return strchr(tools, s->tool) || (s->tool == 'p' && strchr(tools, 't'));
}

static bool find_flag(const xlm_run_settings *s, const char *name, size_t n, xlm_setting_id *out) {
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    if (!accepts(s, i) || !has_word(xlm_setting_table[i].flags, name, n)) continue;
    *out = (xlm_setting_id)i;
    return true;
  }
  return false;
}

static bool is_flag(const char *arg) {
  return arg[0] == '-' && arg[1] == '-';
}
static bool is_value(const parser *p, int at) {
  return at < p->argc && !is_flag(p->argv[at]);
}

static bool is_folder(const char *path) {
  struct stat st;
  return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static xlm_status put(parser *p, xlm_setting_id id, const char *flag, const char *value, xlm_error *err) {
  return xlm_settings_put(p->s, id, value, XLM_FROM_FLAG, flag, err);
}

// A model, plan or checkpoint rather than data; also a shipped model's name, unless a file has it.
static bool names_run(const parser *p, const char *word) {
  struct stat st;
  if (xlm_settings_names_run(word)) return true;
  const char *shipped = xlm_arena_printf(p->s->arena, "%s/%s.xlm", xlm_share_models(p->s->arena), word);
  return stat(word, &st) && !stat(shipped, &st);
}

// Reads the values after a flag written without `=`.
static xlm_status take_values(parser *p, xlm_setting_id id, const char *flag, xlm_error *err) {
  xlm_setting_type type = xlm_setting_table[id].type;
  if (type == XLM_SETTING_BOOL) {
    bool truth, given = is_value(p, p->at) && xlm_settings_truth(p->argv[p->at], &truth);
    return put(p, id, flag, given ? p->argv[p->at++] : "true", err);
  }
  if (type == XLM_SETTING_OPTIONAL) {
    bool given = is_value(p, p->at) && (!xlm_settings_names_run(p->argv[p->at]) || is_folder(p->argv[p->at]));
    return put(p, id, flag, given ? p->argv[p->at++] : "latest", err);
  }
  if (!is_value(p, p->at))
    return xlm_fail(err, XLM_USER, "%s needs a value (%s)", flag, xlm_setting_table[id].help);
  XLM_TRY(put(p, id, flag, p->argv[p->at++], err));
  bool paths = id == XLM_SET_data || id == XLM_SET_valid; // as expanded by the shell from `--data
                                                          // corpus/*.txt`
  while (paths && is_value(p, p->at) && p->argv[p->at][0] != '-' && !names_run(p, p->argv[p->at]))
    XLM_TRY(put(p, id, flag, p->argv[p->at++], err));
  return XLM_OK;
}

static xlm_status take_extra(parser *p, const char *flag, const char *value, xlm_error *err) {
  if (!value && !is_value(p, p->at)) value = "";
  if (!value) value = p->argv[p->at++];
  xlm_extra_flag x = {flag, value};
  (void)err;
  XLM_PUSH(p->s->arena, p->s->extra, p->s->n_extra, p->cap_extra, x);
  return XLM_OK;
}

// --no-profile: a negated switch.
static bool is_refusal(const xlm_run_settings *s, const char *flag, xlm_setting_id *id) {
  return !strncmp(flag, "--no-", 5) && find_flag(s, flag + 5, strlen(flag + 5), id) &&
         xlm_setting_table[*id].type == XLM_SETTING_BOOL;
}

static xlm_status take_refusal(parser *p, xlm_setting_id id, const char *flag, const char *value,
                               xlm_error *err) {
  if (value) return xlm_fail(err, XLM_USER, "%s takes no value: what is '%s'?", flag, value);
  return put(p, id, flag, "false", err);
}

static xlm_status take_config(parser *p, const char *value, xlm_error *err) {
  if (!value && !is_value(p, p->at)) return xlm_fail(err, XLM_USER, "--config needs a YAML file");
  p->s->config = value ? value : p->argv[p->at++];
  return XLM_OK;
}

static xlm_status take_flag(parser *p, xlm_error *err) {
  const char *arg = p->argv[p->at++], *equals = strchr(arg, '=');
  size_t n = equals ? (size_t)(equals - arg) : strlen(arg);
  const char *flag = xlm_arena_strndup(p->s->arena, arg, n), *value = equals ? equals + 1 : NULL;
  xlm_setting_id id;
  if (!strcmp(flag, "--config")) return take_config(p, value, err);
  if (!strcmp(flag, "--print-config")) return p->s->print_config = true, XLM_OK;
  if (!strcmp(flag, "--help")) return p->s->help = true, XLM_OK;
  if (is_refusal(p->s, flag, &id)) return take_refusal(p, id, flag, value, err);
  if (!find_flag(p->s, flag + 2, n - 2, &id)) return take_extra(p, flag, value, err);
  return value ? put(p, id, flag, value, err) : take_values(p, id, flag, err);
}

xlm_status xlm_settings_flags(xlm_run_settings *s, int argc, char *const *argv, xlm_error *err) {
  parser p = {.s = s, .argc = argc, .argv = argv};
  bool flags = true;
  while (p.at < argc) {
    const char *arg = argv[p.at];
    if (flags && !strcmp(arg, "-h"))
      s->help = true, p.at++;
    else if (flags && !strcmp(arg, "--"))
      flags = false, p.at++;
    else if (flags && is_flag(arg))
      XLM_TRY(take_flag(&p, err));
    else if (flags && arg[0] == '-' && arg[1])
      return xlm_fail(err, XLM_USER, "unknown flag '%s': flags begin with two dashes%s", arg,
                      arg[1] == 'o' ? ", as --output or --output-dir; --help lists them"
                                    : "; --help lists them");
    else {
      XLM_PUSH(s->arena, s->positional, s->n_positional, p.cap_positional, arg);
      p.at++;
    }
  }
  return XLM_OK;
}

// All flags of the tool and all names of the model, as on the command line.
static const char **all_names(const xlm_run_settings *s, const xlm_public_name *names, int n, size_t *count) {
  const char **all = NULL;
  size_t total = 0, cap = 0;
  for (int i = 0; i < n; i++) XLM_PUSH(s->arena, all, total, cap, names[i].name);
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    if (!accepts(s, i)) continue;
    for (const char *p = xlm_setting_table[i].flags; *p; p += strcspn(p, " "), p += *p == ' ')
      XLM_PUSH(s->arena, all, total, cap, (const char *)xlm_arena_strndup(s->arena, p, strcspn(p, " ")));
  }
  static const char *const more[] = {"config", "print-config", "help"};
  for (int i = 0; i < 3; i++) XLM_PUSH(s->arena, all, total, cap, more[i]);
  for (int i = 0; i < s->n_own_flags; i++) XLM_PUSH(s->arena, all, total, cap, s->own_flags[i]);
  *count = total;
  return all;
}

// A flag that is not a misspelling may be a prefix (--pre) or another tool's name (--num-heads, heads).
static const char *related(const char *flag, const char *const *all, size_t n) {
  const char *last = strrchr(flag, '-');
  for (size_t i = 0; i < n; i++)
    if (strlen(flag) >= 3 && !strncmp(all[i], flag, strlen(flag))) return all[i];
  for (size_t i = 0; last && i < n; i++)
    if (!strcmp(all[i], last + 1)) return all[i];
  return NULL;
}

static bool same_name(const char *flag, const char *name) { // dashes and underscores are equivalent
  for (; *flag && *name; flag++, name++)
    if (*flag != *name && !(*flag == '-' && *name == '_')) return false;
  return *flag == *name;
}

static bool is_of_another_command(const char *flag) {
  for (int i = 0; i < XLM_SETTING_COUNT; i++)
    if (has_word(xlm_setting_table[i].flags, flag + 2, strlen(flag + 2))) return true;
  return false;
}

// Flags of other programs, and what to write instead.
static const char *instead_of(const char *flag) {
  static const char *const others[][2] = {
      {"gpus", "the number of ranks is the product of --dp, --tp, --pp, --cp and --ep"},
      {"gpu", "--device cuda runs on a GPU, --cluster h100 plans for one"},
      {"nodes", "the number of ranks is the product of --dp, --tp, --pp, --cp and --ep"},
      {"world-size", "the number of ranks is the product of --dp, --tp, --pp, --cp and --ep"},
      {"epochs", "a run is as long as --max-steps says"},
      {"num-epochs", "a run is as long as --max-steps says"},
      {"num-train-epochs", "a run is as long as --max-steps says"},
      {"steps", "a run is as long as --max-steps says"},
      {"iters", "a run is as long as --max-steps says"},
      {"max-iters", "a run is as long as --max-steps says"},
      {"dataset", "files of text or tokens are given with --data"},
      {"train-data", "files of text or tokens are given with --data"},
      {"bf16", "write --dtype bf16"},
      {"fp16", "write --dtype bf16; there is no fp16"},
      {"fp32", "write --dtype fp32, which is the default"},
      {"json", "write --format json"},
      {"html", "write --format html"},
      {"text", "write --prompt"},
      {"context-length", "write --seq-length"},
      {"block-size", "write --seq-length"},
      {"gradient-accumulation-steps", "it follows from --global-batch-size and --micro-batch-size"},
      {"grad-accum", "it follows from --global-batch-size and --micro-batch-size"},
      {"checkpoint", "write --resume CHECKPOINT to continue it"},
      {"load", "write --resume CHECKPOINT to continue it, or --init-from WEIGHTS"},
      {"save", "checkpoints go to --output-dir, every --save-interval steps"},
      {"length", "write --max-tokens"},
      {"prompt-file", "files of prompts are given with --prompts"},
      {"prompts-file", "files of prompts are given with --prompts"},
      {"num-samples", "write --samples"},
      {"num-return-sequences", "write --samples"},
      {"greedy", "--temperature 0 takes the likeliest token"},
      {"do-sample", "tokens are chosen at random unless --temperature is 0"},
      {"out-dir", "write --output-dir"},
      {"ckpt", "a checkpoint is given without a flag, or with --resume to continue it"},
      {"val-data", "held-out files are given with --valid"},
      {"save-steps", "checkpoints are saved every --save-interval steps"},
      {"eval-steps", "the model is evaluated every --eval-interval steps"},
      {"warmup-iters", "write --warmup-steps"},
      {"wandb", "curves are shown by `xlmrun report`, `xlmrun watch` and --tensorboard"}};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (!strcmp(flag + 2, others[i][0])) return others[i][1];
  return NULL;
}

static xlm_status unknown(xlm_run_settings *s, const char *flag, const xlm_public_name *names, int n,
                          xlm_error *err) {
  char *usual = xlm_arena_strdup(s->arena, flag);
  for (char *c = usual; *c; c++)
    if (*c == '_') *c = '-';
  const char *instead = instead_of(usual);
  if (instead) return xlm_fail(err, XLM_USER, "there is no flag '%s' here: %s", flag, instead);
  if (is_of_another_command(flag))
    return xlm_fail(err, XLM_USER, "'%s' is a flag of other commands, not of this one", flag);
  size_t count;
  const char **all = all_names(s, names, n, &count);
  const char *near = xlm_text_nearest(flag + 2, all, count);
  if (!near) near = related(flag + 2, all, count);
  if (!near) return xlm_fail(err, XLM_USER, "unknown flag '%s'; --help lists them all", flag);
  char *dashed = xlm_arena_strdup(s->arena, near);
  for (char *c = dashed; *c; c++)
    if (*c == '_') *c = '-';
  return xlm_fail(err, XLM_USER, "unknown flag '%s'; did you mean '--%s'?", flag, dashed);
}

xlm_status xlm_settings_resolve(xlm_run_settings *s, const xlm_public_name *names, int n, xlm_error *err) {
  for (uint32_t i = 0; i < s->n_extra; i++) {
    const xlm_extra_flag *x = &s->extra[i];
    const char *found = NULL;
    for (int k = 0; k < n && !found; k++)
      if (same_name(x->flag + 2, names[k].name)) found = names[k].name;
    if (!found) return unknown(s, x->flag, names, n, err);
    if (!*x->value) return xlm_fail(err, XLM_USER, "%s needs a value", x->flag);
    const char *entry = xlm_arena_printf(s->arena, "%s=%s", found, x->value);
    XLM_TRY(xlm_settings_put(s, XLM_SET_set, entry, XLM_FROM_FLAG, x->flag, err));
  }
  s->n_extra = 0;
  xlm_settings_merge(s, names, n);
  return XLM_OK;
}
