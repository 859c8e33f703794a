// See view.h.
#include "tools/xlmrun/view.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct flag {
  const char *name;
  size_t at;
  char type; // t text, n number, b switch
} flags[] = {{"--output", offsetof(view, output), 't'},     {"--title", offsetof(view, title), 't'},
             {"--format", offsetof(view, format), 't'},     {"--field", offsetof(view, field), 't'},
             {"--interval", offsetof(view, interval), 'n'}, {"--once", offsetof(view, once), 'b'}};
enum { FLAGS = sizeof flags / sizeof *flags };

static bool has(const view *v, const struct flag *f) { // does the usage list it?
  const char *at = strstr(v->usage, f->name);
  return at && strchr(" ]\n", at[strlen(f->name)]);
}

static const struct flag *find(view *v, const char *word, size_t n) {
  const char *names[FLAGS];
  size_t known = 0;
  for (size_t i = 0; i < FLAGS; i++) {
    if (!has(v, &flags[i])) continue;
    if (strlen(flags[i].name) == n && !strncmp(flags[i].name, word, n)) return &flags[i];
    names[known++] = flags[i].name;
  }
  const char *near = xlm_text_nearest(xlm_arena_strndup(v->arena, word, n), names, known);
  xlm_fail(&v->err, XLM_USER, "unknown flag '%.*s'%s%s%s", (int)n, word, near ? "; did you mean '" : "",
           near ? near : "", near ? "'?" : "");
  return NULL;
}

static xlm_status put(view *v, const struct flag *f, const char *value) {
  char *at = (char *)v + f->at, *end;
  if (f->type == 't') *(const char **)at = value;
  if (f->type == 'b') *(bool *)at = true;
  if (f->type != 'n') return XLM_OK;
  *(double *)at = strtod(value, &end);
  if (*value && !*end && *(double *)at > 0 && *(double *)at < 1e6) return XLM_OK;
  return xlm_fail(&v->err, XLM_USER, "%s: '%s' is no number of seconds above 0", f->name, value);
}

static xlm_status read_flags(view *v, int argc, char *const *argv) {
  for (int i = 0; i < argc; i++) {
    const char *word = argv[i];
    if (strncmp(word, "--", 2)) {
      if (v->n_words == VIEW_WORDS) return xlm_fail(&v->err, XLM_USER, "more than %d arguments", VIEW_WORDS);
      v->words[v->n_words++] = word;
      continue;
    }
    size_t n = strcspn(word, "=");
    const struct flag *f = find(v, word, n);
    if (!f) return v->err.status;
    const char *value = f->type == 'b' ? "" : word[n] ? word + n + 1 : ++i < argc ? argv[i] : NULL;
    if (!value) return xlm_fail(&v->err, XLM_USER, "%s needs a value", word);
    XLM_TRY(put(v, f, value));
  }
  return XLM_OK;
}

static bool asks_for_help(int argc, char *const *argv) {
  for (int i = 0; i < argc; i++)
    if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return true;
  return false;
}

int view_run(const char *usage, int argc, char *const *argv, view_body *body) {
  static view v; // static: it must keep its values across a longjmp
  if (asks_for_help(argc, argv)) return fputs(usage, stdout), 0;
  v = (view){.arena = xlm_arena_new(0), .usage = usage};
  xlm_status status;
  if (v.arena && XLM_ARENA_TRY(v.arena)) {
    status = read_flags(&v, argc, argv);
    if (status == XLM_OK) status = body(&v);
  } else
    status = xlm_fail(&v.err, XLM_ENV, "no memory for these runs");
  fflush(stdout);
  if (status != XLM_OK) fprintf(stderr, "xlmrun: %s\n", v.err.text);
  if (v.arena) xlm_arena_free(v.arena);
  return (int)status;
}
