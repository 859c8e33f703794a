// The part that all programs have in common: finding the command, help, mistakes; see command.h.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "tools/common/command.h"
#include "tools/common/request.h"
#include "tools/common/terminal.h"

enum { OK = 0, USER = 1, ENVIRONMENT = 2 };

typedef struct request {
  const xlm_program *p;
  xlm_arena *a;
  int argc;
  char **argv;
} request;

static void usage(const request *r, xlm_text *t) {
  xlm_text_printf(t, "usage: %s COMMAND ...\n\n", r->p->name);
  for (int i = 0; i < r->p->n_commands; i++)
    xlm_text_printf(t, "  %-10s %s\n", r->p->commands[i].name, r->p->commands[i].what);
  xlm_text_printf(t,
                  "\n`%s COMMAND --help` lists the flags of a command; `%s --version` says how this one was "
                  "built.\n",
                  r->p->name, r->p->name);
}

const xlm_command *xlm_program_find(const xlm_program *p, const char *name) {
  for (int i = 0; i < p->n_commands; i++)
    if (!strcmp(p->commands[i].name, name)) return &p->commands[i];
  return NULL;
}

static bool ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n > m && !strcmp(text + n - m, end);
}

static bool is_model(const request *r, const char *name) {
  xlm_model_file f = xlm_request_file(r->a, name);
  return ends_with(name, ".xlm") || (ends_with(f.place, ".xlm") && !access(f.place, F_OK));
}

static const char *hint(const request *r, const char *name) {
  const xlm_hint *h = r->p->hints;
  while (h->word && strcmp(h->word, name)) h++;
  return h->instead;
}

static int unknown(const request *r, const char *name) {
  const char **names = XLM_NEW_N(r->a, const char *, r->p->n_commands);
  for (int i = 0; i < r->p->n_commands; i++) names[i] = r->p->commands[i].name;
  const char *near = xlm_text_nearest(name, names, (size_t)r->p->n_commands), *instead = hint(r, name);
  const char *tool = r->p->name, *before = is_model(r, name) ? "the model"
                                           : *name == '-'    ? "its flags"
                                                             : NULL;
  xlm_text t = xlm_text_new(r->a);
  if (before)
    xlm_text_printf(&t, "%s: the command comes before %s, as in `%s %s %s`\n", tool, before, tool, names[0],
                    name);
  else if (instead || near)
    xlm_text_printf(&t,
                    instead ? "%s: there is no command `%s`: %s\n"
                            : "%s: there is no command `%s`; did you mean `%s`?\n",
                    tool, name, instead ? instead : near);
  else {
    xlm_text_printf(&t, "%s: there is no command `%s`\n", tool, name);
    usage(r, &t);
  }
  fputs(t.data, stderr);
  return USER;
}

// ---- what every program has

// A command with settings prints its help itself, as it is asked for by `--help` anywhere.
static int help_of(const request *r, const xlm_command *c) {
  char *flag[] = {(char[]){"--help"}, NULL};
  if (c->settings) return c->run(1, flag);
  xlm_terminal_help(r->a, c->usage
                              ? c->usage
                              : xlm_arena_printf(r->a, "usage: %s %s\n\n%s\n", r->p->name, c->name, c->what));
  return OK;
}

static int help(const request *r) {
  if (r->argc > 2) {
    const xlm_command *c = xlm_program_find(r->p, r->argv[2]);
    return c ? help_of(r, c) : unknown(r, r->argv[2]);
  }
  xlm_text t = xlm_text_new(r->a);
  usage(r, &t);
  xlm_terminal_help(r->a, t.data);
  return OK;
}

static int version(const request *r) {
  xlm_text t = xlm_text_new(r->a);
  xlm_version(r->p, &t);
  fputs(t.data, stdout);
  return OK;
}

static int manual(const request *r) {
  xlm_error err;
  xlm_status s = XLM_OK;
  if (r->argc != 3) return fprintf(stderr, "usage: %s manual DIR\n", r->p->name), USER;
  for (int i = -1; i < r->p->n_commands && s == XLM_OK; i++) {
    const xlm_command *c = i < 0 ? NULL : &r->p->commands[i];
    xlm_text t = xlm_text_new(r->a);
    xlm_manual(r->p, c, &t);
    const char *path =
        xlm_arena_printf(r->a, "%s/%s%s%s.1", r->argv[2], r->p->name, c ? "-" : "", c ? c->name : "");
    s = xlm_file_replace(path, t.data, t.n, &err);
  }
  if (s != XLM_OK) fprintf(stderr, "%s: %s\n", r->p->name, err.text);
  return (int)s;
}

static int complete(const request *r) {
  xlm_text t = xlm_text_new(r->a);
  xlm_complete(r->p, (const char *const *)r->argv + 2, r->argc - 2, &t);
  fputs(t.data, stdout);
  return OK;
}

static const struct {
  const char *name, *flag, *letter;
  int (*run)(const request *r);
} common[] = {{"help", "--help", "-h", help},
              {"version", "--version", "-v", version},
              {"version", "-V", "-V", version},
              {"manual", "manual", "manual", manual},
              {"complete", "complete", "complete", complete}};

static int without_command(const request *r) {
  xlm_text t = xlm_text_new(r->a);
  usage(r, &t);
  fputs(t.data, stderr);
  return USER;
}

static int run_common(const request *r) {
  if (r->argc < 2) return without_command(r);
  const char *word = r->argv[1];
  const xlm_command *c = xlm_program_find(r->p, word);
  if (c) return help_of(r, c);
  for (size_t i = 0; i < sizeof common / sizeof *common; i++)
    if (!strcmp(word, common[i].name) || !strcmp(word, common[i].flag) || !strcmp(word, common[i].letter))
      return common[i].run(r);
  return unknown(r, word);
}

static bool asks_for_help(int argc, char **argv) {
  return argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"));
}

int xlm_program_run(const xlm_program *p, int argc, char **argv) {
  const xlm_command *c = argc > 1 ? xlm_program_find(p, argv[1]) : NULL;
  if (c && (c->settings || !asks_for_help(argc, argv))) return c->run(argc - 2, argv + 2);
  xlm_arena *const a = xlm_arena_new(0);
  volatile int code = ENVIRONMENT;
  if (a && XLM_ARENA_TRY(a)) {
    request r = {p, a, argc, argv};
    code = run_common(&r);
  } else
    fprintf(stderr, "%s: no memory\n", p->name);
  xlm_arena_free(a);
  return code;
}
