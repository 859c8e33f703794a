// Man pages, from the usage texts and the table of settings (man(7), no preprocessor).
#include <stdbool.h>
#include <string.h>

#include "tools/build_facts.h"
#include "tools/commit.h"

#include "tools/common/command.h"
#include "tools/common/settings.h"

// Text as it stands: what roff would read as a request or an escape is written so that it is printed.
// `code` between backquotes is bold.
static void put(xlm_text *t, const char *text, size_t n) {
  bool begins = !t->n || t->data[t->n - 1] == '\n', code = false;
  for (size_t i = 0; i < n; i++) {
    char c = text[i];
    if (begins && (c == '.' || c == '\'')) xlm_text_add(t, "\\&");
    begins = c == '\n';
    if (c == '\\')
      xlm_text_add(t, "\\e");
    else if (c == '-')
      xlm_text_add(t, "\\-");
    else if (c == '`')
      code = !code, xlm_text_add(t, code ? "\\fB" : "\\fR");
    else
      xlm_text_addn(t, &c, 1);
  }
}

static void puts_roff(xlm_text *t, const char *text) {
  put(t, text, strlen(text));
}

static void begin(const xlm_program *p, const xlm_command *c, xlm_text *t) {
  xlm_text_add(t, ".TH \"");
  for (const char *parts[] = {p->name, c ? "-" : "", c ? c->name : "", NULL}, **part = parts; *part; part++)
    for (const char *at = *part; *at; at++)
      xlm_text_printf(t, "%c", *at >= 'a' && *at <= 'z' ? *at - 'a' + 'A' : *at);
  xlm_text_add(t, "\" \"1\" \"" XLM_COMMIT_DATE "\" \"xlm " XLM_VERSION "\" \"xlm\"\n.SH NAME\n");
  puts_roff(t, xlm_arena_printf(t->arena, "%s%s%s", p->name, c ? "-" : "", c ? c->name : ""));
  xlm_text_add(t, " \\- ");
  puts_roff(t, c ? c->what : p->what);
  xlm_text_add(t, "\n");
}

static void end(const xlm_program *p, const xlm_command *c, xlm_text *t) {
  xlm_text_add(t, ".SH \"EXIT STATUS\"\n");
  for (const char *const *e = p->exits; *e; e++) {
    size_t n = strcspn(*e, " ");
    xlm_text_printf(t, ".TP\n.B %.*s\n", (int)n, *e);
    puts_roff(t, *e + n + 1);
    xlm_text_add(t, "\n");
  }
  xlm_text_add(t, ".SH \"SEE ALSO\"\n");
  if (c)
    xlm_text_printf(t, ".BR %s (1)\n", p->name);
  else
    for (int i = 0; i < p->n_commands; i++)
      xlm_text_printf(t, ".BR %s\\-%s (1)%s\n", p->name, p->commands[i].name,
                      i + 1 < p->n_commands ? "," : "");
}

// ---- of a program

static void environment(xlm_text *t) {
  static const char *const variables[][2] = {
      {"XLM_MODELS", "folder of the shipped models and their blocks, instead of the installed one"},
      {"XLM_CPU_ISA",
       "instruction set of the CPU's kernels: base, avx2, avx512, avx512_bf16, avx512_amx; default the best"},
      {"NO_COLOR", "if set, and not empty: no colours"},
      {"TERM", "dumb: no colours, and no line that is rewritten"},
      {"COLUMNS", "width of the terminal"}};
  xlm_text_add(t, ".SH ENVIRONMENT\n");
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
    xlm_text_printf(t, ".TP\n.B %s\n", variables[i][0]);
    puts_roff(t, variables[i][1]);
    xlm_text_add(t, "\n");
  }
}

static void of_program(const xlm_program *p, xlm_text *t) {
  xlm_text_printf(t, ".SH SYNOPSIS\n.B %s\n.I COMMAND\n\\&...\n.SH COMMANDS\n", p->name);
  for (int i = 0; i < p->n_commands; i++) {
    xlm_text_printf(t, ".TP\n.BR %s\\-%s (1)\n", p->name, p->commands[i].name);
    puts_roff(t, p->commands[i].what);
    xlm_text_add(t, "\n");
  }
  xlm_text_add(t, ".TP\n.B help \\fR[\\fICOMMAND\\fR]\nthe commands, or the flags of one\n"
                  ".TP\n.B \\-\\-version\nversion, and how this program was built\n");
  environment(t);
}

// ---- of a command

static void forms(const xlm_program *p, const xlm_command *c, const char **at, xlm_text *t) {
  const char *form;
  size_t n, shown = 0;
  xlm_text_add(t, ".SH SYNOPSIS\n");
  for (; xlm_usage_form(at, &form, &n); shown++) {
    size_t name = strlen(p->name) + 1 + strlen(c->name);
    bool own = n >= name && !strncmp(form, p->name, strlen(p->name));
    if (shown) xlm_text_add(t, ".PP\n");
    if (own) {
      xlm_text_add(t, "\\fB");
      put(t, form, name);
      xlm_text_add(t, "\\fR");
    }
    put(t, own ? form + name : form, own ? n - name : n);
    xlm_text_add(t, "\n");
  }
  if (!shown) xlm_text_printf(t, "\\fB%s %s\\fR\n", p->name, c->name);
}

// A line of the form "  --flag OPERAND   what it says": where the second part begins; 0: another line.
static size_t second_part(const char *line, size_t n) {
  if (strncmp(line, "  ", 2) != 0 || n < 3 || line[2] == ' ') return 0;
  for (size_t i = 3; i + 2 < n; i++)
    if (line[i] == ' ' && line[i + 1] == ' ') return i + strspn(line + i, " ");
  return 0;
}

static void option(const char *line, size_t n, size_t second, xlm_text *t) {
  size_t end = second;
  while (line[end - 1] == ' ') end--;
  xlm_text_add(t, ".TP\n\\fB");
  put(t, line + 2, end - 2);
  xlm_text_add(t, "\\fR\n");
  put(t, line + second, n - second);
  xlm_text_add(t, "\n");
}

// The lines of the rest of the usage text that are options, or those that are not.
static void rest_of(const char *rest, bool options, xlm_text *t) {
  bool any = false, apart = false;
  for (size_t n; *rest; rest += n, rest += *rest == '\n') {
    n = strcspn(rest, "\n");
    size_t second = second_part(rest, n);
    apart |= !n;
    if (!n || options != (second > 0)) continue;
    if (!any) xlm_text_printf(t, ".SH %s\n", options ? "OPTIONS" : "DESCRIPTION");
    if (options) {
      option(rest, n, second, t);
    } else {
      if (any && apart) xlm_text_add(t, ".PP\n");
      put(t, rest, n);
      xlm_text_add(t, "\n");
    }
    any = true, apart = false;
  }
}

static void one_setting(const xlm_setting_info *k, xlm_text *t) {
  xlm_text_add(t, ".TP\n.B ");
  puts_roff(t, xlm_settings_flag(k, t->arena));
  xlm_text_add(t, "\n");
  puts_roff(t, k->help);
  if (*k->choices) puts_roff(t, xlm_arena_printf(t->arena, " [%s]", k->choices));
  if (*k->initial) puts_roff(t, xlm_arena_printf(t->arena, " (%s)", k->initial));
  xlm_text_add(t, "\n");
}

static void settings(char letter, xlm_text *t) {
  const char *section = "";
  xlm_text_add(
      t, ".SH SETTINGS\nEach can also stand in a run file, a YAML file given with\n.BR \\-\\-config .\n");
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    const xlm_setting_info *k = &xlm_setting_table[i];
    if (!strchr(k->tools, letter)) continue;
    if (strcmp(section, k->section)) xlm_text_printf(t, ".SS %s\n", k->section);
    section = k->section;
    one_setting(k, t);
  }
}

void xlm_manual(const xlm_program *p, const xlm_command *c, xlm_text *out) {
  begin(p, c, out);
  if (!c) of_program(p, out);
  if (c) {
    const char *at = c->usage ? c->usage : "";
    forms(p, c, &at, out);
    rest_of(at, false, out);
    rest_of(at, true, out);
    if (c->settings) settings(c->settings, out);
  }
  end(p, c, out);
}
