// Shared by all commands of xlmc: flags, the model file, diagnostics, output.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compiler/parse/load.h"
#include "ops/cpu/isa.h"
#include "runtime/base/file.h"
#include "runtime/device/kernel.h"
#include "runtime/plan/mesh.h"
#include "tools/common/request.h"
#include "tools/common/terminal.h"
#include "tools/xlmc/xlmc.h"

enum { MOST_BYTES = 5 << 20 }; // the parser rejects more than 4 MiB with a diagnostic

typedef struct own_flag {
  const char *name;
  size_t at;
  char type; // t text, b switch, i integer
} own_flag;

static const own_flag own[] = {
    {"--format", offsetof(xlmc_flags, format), 't'},
    {"--level", offsetof(xlmc_flags, level), 't'},
    {"--after", offsetof(xlmc_flags, after), 't'},
    {"--output", offsetof(xlmc_flags, output), 't'},
    {"--only", offsetof(xlmc_flags, only), 't'},
    {"--depth", offsetof(xlmc_flags, depth), 'i'},
    {"--chunk", offsetof(xlmc_flags, chunk), 'i'},
    {"--write", offsetof(xlmc_flags, write), 'b'},
    {"--check", offsetof(xlmc_flags, check), 'b'},
    {"--open", offsetof(xlmc_flags, open), 'b'},
    {"--each", offsetof(xlmc_flags, each), 'b'},
    {"--help", offsetof(xlmc_flags, help), 'b'},
    {"--cluster", offsetof(xlmc_flags, cluster), 't'},
    {"--devices", offsetof(xlmc_flags, devices), 't'},
    {"--trace", offsetof(xlmc_flags, trace), 't'},
    {"--auto", offsetof(xlmc_flags, search), 'b'},
    {"--rank", offsetof(xlmc_flags, rank), 't'},
    {"--stage", offsetof(xlmc_flags, stage), 't'},
    {"--pass", offsetof(xlmc_flags, pass), 't'},
    {"--program", offsetof(xlmc_flags, program), 't'},
    {"--time-passes", offsetof(xlmc_flags, time_passes), 'b'},
};

static const own_flag *find_own(const char *arg, size_t n) {
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (strlen(own[i].name) == n && !strncmp(own[i].name, arg, n)) return &own[i];
  return NULL;
}

static bool put_own(xlmc_job *j, const own_flag *f, const char *value) {
  char *at = (char *)&j->flags + f->at;
  if (f->type == 'b') *(bool *)at = true;
  if (f->type == 't') *(const char **)at = value;
  if (f->type != 'i') return true;
  char *end;
  long n = strtol(value, &end, 10);
  if (*end || end == value || n < -1 || n > 1000) {
    (void)xlm_fail(&j->err, XLM_USER, "%s needs a small whole number, not `%s`", f->name, value);
    return false;
  }
  *(int *)at = (int)n;
  return true;
}

// Rejects those of xlmc's own flags that the command's usage does not list.
static bool refuse_own(xlmc_job *j, const own_flag *f, const char *usage) {
  if (strstr(usage, f->name) || f->at == offsetof(xlmc_flags, help)) return false;
  (void)xlm_fail(&j->err, XLM_USER, "`%s` is a flag of other commands, not of this one", f->name);
  return true;
}

// Moves xlmc's own flags from argv to j->flags; the rest remains, in order.
static bool take_own(xlmc_job *j, int *argc, const char **argv, const char *usage) {
  int kept = 0;
  for (int i = 0; i < *argc; i++) {
    size_t n = strcspn(argv[i], "=");
    const own_flag *f = find_own(argv[i], n);
    if (!f) {
      argv[kept++] = argv[i];
      continue;
    }
    if (refuse_own(j, f, usage)) return false;
    const char *value = argv[i][n] ? argv[i] + n + 1 : NULL;
    if (f->type != 'b' && !value) value = i + 1 < *argc ? argv[++i] : NULL;
    if (f->type != 'b' && !value) {
      (void)xlm_fail(&j->err, XLM_USER, "%s needs a value", f->name);
      return false;
    }
    if (!put_own(j, f, value)) return false;
  }
  *argc = kept;
  return true;
}

static xlm_status missing_model(xlmc_job *j, const char *path) {
  int why = errno;
  const char *near = why == ENOENT ? xlm_near_file(j->arena, path) : NULL;
  if (near) return xlm_fail(&j->err, XLM_USER, "there is no file `%s`; did you mean `%s`?", path, near);
  if (why == ENOENT && !strpbrk(path, "/."))
    return xlm_fail(&j->err, XLM_USER, "there is no model `%s`, neither here nor among the shipped ones: %s",
                    path, xlm_shipped_models(j->arena));
  return xlm_fail(&j->err, xlm_file_kind(why), "cannot read `%s`: %s", path, strerror(why));
}

// Reads everything. On failure errno has the reason.
static bool read_descriptor(int fd, char *text, size_t *n) {
  for (ssize_t got = 1; got && *n < MOST_BYTES;) {
    got = read(fd, text + *n, MOST_BYTES - *n);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    *n += (size_t)got;
  }
  return true;
}

// The path may be a pipe, as in `xlmc check <(make_model)`; one without a writer counts as empty.
static xlm_status read_model(xlmc_job *j, const char *named) {
  xlm_model_file f = xlm_request_file(j->arena, named);
  const char *path = f.path;
  int fd = open(f.place, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return missing_model(j, path);
  fcntl(fd, F_SETFL, 0);
  char *text = xlm_arena_alloc(j->arena, MOST_BYTES + 1);
  size_t n = 0;
  struct stat st;
  bool read = read_descriptor(fd, text, &n), piped = !fstat(fd, &st) && S_ISFIFO(st.st_mode);
  int why = errno;
  close(fd);
  if (!read && why == EISDIR)
    return xlm_fail(&j->err, XLM_USER, "`%s` is a folder; name one model in it", path);
  if (!read) return xlm_fail(&j->err, xlm_file_kind(why), "cannot read `%s`: %s", path, strerror(why));
  if (!n && piped) return xlm_fail(&j->err, XLM_USER, "`%s` is a pipe without a writer", path);
  text[n] = 0;
  j->text = text;
  j->n = n;
  j->shipped = strcmp(f.path, f.place) != 0;
  j->source = xlm_source_load_at(j->arena, f.path, f.place, text, n);
  return XLM_OK;
}

// A saved plan has its model's text.
static xlm_status read_plan(xlmc_job *j, const char *path, const char *usage) {
  if (!strstr(usage, "PLAN.json"))
    return xlm_fail(&j->err, XLM_USER,
                    "`%s` is a saved plan: `xlmc plan %s` shows it, `xlmrun train %s` runs it", path, path,
                    path);
  XLM_TRY(xlm_plan_file_read(j->arena, path, &j->plan, &j->err));
  j->plan_path = path;
  j->text = j->plan->source_text;
  j->n = strlen(j->text);
  j->source = xlm_source_new(j->arena, j->plan->source_path, j->text, j->n);
  return XLM_OK;
}

// Checks early that the output can be written.
static xlm_status check_output(xlmc_job *j, const char *path) {
  const char *slash = path ? strrchr(path, '/') : NULL;
  if (slash && access(xlm_arena_strndup(j->arena, path, (size_t)(slash - path) + 1), F_OK))
    return xlm_fail(&j->err, XLM_ENV, "cannot write `%s`: %s", path, strerror(errno));
  return path ? xlm_file_can_replace(path, &j->err) : XLM_OK;
}

static void name_own(xlmc_job *j, const char *usage) {
  const char **names = NULL;
  int n = 0, cap = 0;
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (strstr(usage, own[i].name)) XLM_PUSH(j->arena, names, n, cap, own[i].name + 2);
  j->settings->own_flags = names;
  j->settings->n_own_flags = n;
}

static xlm_status read_all(xlmc_job *j, int argc, char *const *given, const char *usage) {
  const char **argv = XLM_NEW_N(j->arena, const char *, argc + 1);
  for (int i = 0; i < argc; i++) argv[i] = given[i];
  if (!take_own(j, &argc, argv, usage)) return XLM_USER;
  j->settings = xlm_settings_new(j->arena, 'p');
  if (j->flags.help) return XLM_OK;
  name_own(j, usage);
  XLM_TRY(xlm_settings_flags(j->settings, argc, (char *const *)argv, &j->err));
  if (j->settings->help) j->flags.help = true;
  if (j->flags.help) return XLM_OK;
  if (j->settings->n_positional > 1)
    return xlm_fail(&j->err, XLM_USER,
                    "one model at a time: what is `%s`? a preset is given as `--preset NAME`",
                    j->settings->positional[1]);
  if (j->settings->config) XLM_TRY(xlm_settings_file(j->settings, j->settings->config, &j->err));
  const char *path;
  XLM_TRY(xlm_request_model(j->settings, &path, &j->err));
  if (!path)
    return xlm_fail(&j->err, XLM_USER,
                    "which model? name one, as in `xlmc %.*s models/llama.xlm` or, a shipped one, `llama`",
                    (int)strcspn(usage + strlen("usage: xlmc "), " "), usage + strlen("usage: xlmc "));
  XLM_TRY(xlm_plan_file_is(path) ? read_plan(j, path, usage) : read_model(j, path));
  XLM_TRY(check_output(j, j->flags.output));
  XLM_TRY(check_output(j, j->flags.trace));
  xlm_diags_init(&j->diags, j->arena, j->source);
  return XLM_OK;
}

static void show_help(xlmc_job *j, const char *usage) {
  xlm_text t = xlm_text_new(j->arena);
  xlm_text_add(&t, usage);
  if (strstr(usage, "[settings]")) {
    xlm_text_add(&t, "\nsettings of the run\n");
    xlm_settings_help('p', &t);
  }
  xlm_terminal_help(j->arena, t.data);
}

int xlmc_fail(xlmc_job *j, xlm_status s) {
  fprintf(stderr, "xlmc: %s\n", j->err.text);
  return (int)s;
}

int xlmc_tell(xlmc_job *j) {
  if (!j->diags.n) return XLMC_OK;
  if (j->diags_are_output) return j->diags.errors ? XLMC_USER : XLMC_OK;
  xlm_text t = xlm_text_new(j->arena);
  xlm_diag_render(&j->diags, xlm_terminal_color(STDERR_FILENO), &t);
  fputs(t.data, stderr);
  return j->diags.errors ? XLMC_USER : XLMC_OK;
}

bool xlmc_compile_with(xlmc_job *j, const xlm_compile_options *options, const char *dump_after,
                       const xlm_graph **dump, xlm_compiled *out) {
  xlm_compile_options o = *options;
  *out = xlm_compile(j->arena, j->source, &o, &j->diags, dump_after, dump);
  return xlmc_tell(j) == XLMC_OK;
}

bool xlmc_compile(xlmc_job *j, uint32_t programs, const char *dump_after, const xlm_graph **dump,
                  xlm_compiled *out) {
  xlm_compile_options o;
  xlm_status s = xlm_request_options(j->settings, j->source, programs, 0, &o, &j->err);
  if (s != XLM_OK) {
    xlmc_fail(j, s);
    return false;
  }
  return xlmc_compile_with(j, &o, dump_after, dump, out);
}

xlm_status xlmc_find_pass(xlmc_job *j, const char *name, size_t n, xlm_pass_id *id) {
  const char *names[XLM_PASS_COUNT];
  xlm_text all = xlm_text_new(j->arena);
  *id = xlm_pass_find(name, n);
  if (*id) return XLM_OK;
  for (int i = XLM_PASS_END + 1; i < XLM_PASS_COUNT; i++) {
    names[i - 1] = xlm_pass_table[i].name;
    xlm_text_printf(&all, "%s%s", all.n ? ", " : "", xlm_pass_table[i].name);
  }
  const char *given = xlm_arena_strndup(j->arena, name, n),
             *near = xlm_text_nearest(given, names, XLM_PASS_COUNT - 1);
  if (near) return xlm_fail(&j->err, XLM_USER, "there is no pass `%s`; did you mean `%s`?", given, near);
  return xlm_fail(&j->err, XLM_USER, "there is no pass `%s`; there are %s", given, all.data);
}

static xlm_status read_number(xlmc_job *j, const char *flag, const char *text, int64_t end, int64_t *n) {
  char *rest;
  *n = strtoll(text, &rest, 10);
  if (!*rest && rest != text && *n >= 0 && *n < end) return XLM_OK;
  return xlm_fail(&j->err, XLM_USER, "%s %s: there is 0 to %lld", flag, text, (long long)end - 1);
}

xlm_status xlmc_find_rank(xlmc_job *j, bool of_rank, const char *where, xlm_compile_options *o) {
  const char *rank = j->flags.rank, *stage = j->flags.stage;
  if (!rank && !stage) return XLM_OK;
  if (rank && stage) return xlm_fail(&j->err, XLM_USER, "--rank or --stage, not both");
  if (!of_rank) return xlm_fail(&j->err, XLM_USER, "--%s goes with %s", rank ? "rank" : "stage", where);
  if (rank) return read_number(j, "--rank", rank, xlm_mesh_ranks(&o->mesh), &o->shown_rank);
  int axis = xlm_mesh_axis(&o->mesh, "pp");
  int32_t coord[XLM_MAX_AXES] = {0};
  int64_t n;
  XLM_TRY(read_number(j, "--stage", stage, axis < 0 ? 1 : o->mesh.size[axis], &n));
  if (axis >= 0) coord[axis] = (int32_t)n;
  o->shown_rank = xlm_mesh_rank(&o->mesh, coord);
  return XLM_OK;
}

const char *xlmc_output_ending(const xlmc_job *j) {
  const char *path = j->flags.output ? j->flags.output : "", *slash = strrchr(path, '/');
  const char *dot = strrchr(slash ? slash : path, '.');
  return dot ? dot + 1 : "";
}

int xlmc_print(xlmc_job *j, const char *text, size_t n) {
  if (j->flags.output) {
    xlm_status s = xlm_file_replace(j->flags.output, text, n, &j->err);
    return s == XLM_OK ? XLMC_OK : xlmc_fail(j, s);
  }
  fwrite(text, 1, n, stdout); // main checks for errors
  return XLMC_OK;
}

int xlmc_print_report(xlmc_job *j, const char *text, size_t n) {
  int width = j->flags.output ? 0 : xlm_terminal_width(STDOUT_FILENO);
  xlm_text t = xlm_text_new(j->arena);
  if (!width) return xlmc_print(j, text, n);
  xlm_terminal_fit(text, n, width, &t);
  return xlmc_print(j, t.data, t.n);
}

static int run(xlmc_job *j, int argc, char *const *argv, const char *usage, int (*command)(xlmc_job *)) {
  xlm_status s = read_all(j, argc, argv, usage);
  if (s != XLM_OK) return xlmc_fail(j, s);
  if (!j->flags.help) return command(j);
  show_help(j, usage);
  return XLMC_OK;
}

int xlmc_run(int argc, char *const *argv, const char *usage, int (*command)(xlmc_job *)) {
  xlm_arena *const arena = xlm_arena_new((size_t)4 << 30);
  volatile int code = XLMC_ENV;
  if (arena && XLM_ARENA_TRY(arena)) {
    xlmc_job j = {.arena = arena};
    code = run(&j, argc, argv, usage, command);
  } else
    fputs("xlmc: not enough memory for this model\n", stderr);
  xlm_arena_free(arena);
  return code;
}
