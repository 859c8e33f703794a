// Prints settings: a run file for the same run, and the help.
#include <string.h>

#include "tools/common/settings.h"

static bool is_list(const xlm_setting_info *k) {
  return xlm_setting_is_list((xlm_setting_id)(k - xlm_setting_table));
}

static void add_scalar(xlm_text *t, const xlm_setting_info *k, const char *text) {
  bool quoted = k->type == XLM_SETTING_TEXT || k->type == XLM_SETTING_OPTIONAL || is_list(k);
  if (!quoted) {
    xlm_text_add(t, text);
    return;
  }
  xlm_text_add(t, "\"");
  for (const char *p = text; *p; p++) {
    if (*p == '\n')
      xlm_text_add(t, "\\n");
    else if (*p == '\t')
      xlm_text_add(t, "\\t");
    else
      xlm_text_printf(t, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
  }
  xlm_text_add(t, "\"");
}

static void add_value(xlm_text *t, const xlm_setting_info *k, const xlm_setting_value *v) {
  if (!is_list(k)) {
    add_scalar(t, k, v->text);
    return;
  }
  xlm_text_add(t, "[");
  for (int i = 0; i < v->n; i++) {
    if (i) xlm_text_add(t, ", ");
    add_scalar(t, k, v->list[i]);
  }
  xlm_text_add(t, "]");
}

void xlm_settings_print(const xlm_run_settings *s, xlm_text *out) {
  const char *section = "";
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    const xlm_setting_info *k = &xlm_setting_table[i];
    if (!strchr(k->tools, s->tool) || (!*s->value[i].text && !s->value[i].n)) continue;
    if (strcmp(section, k->section)) xlm_text_printf(out, "%s:\n", k->section);
    section = k->section;
    xlm_text_printf(out, "%s%s: ", *section ? "  " : "", k->key);
    add_value(out, k, &s->value[i]);
    xlm_text_add(out, "\n");
  }
}

char *xlm_settings_flag(const xlm_setting_info *k, xlm_arena *a) {
  static const char *const operand[] = {" N",   " X",     " TEXT",       "",     " NAME",
                                        " ...", " [DIR]", " NAME=VALUE", " SIZE"};
  xlm_text t = xlm_text_new(a);
  for (const char *p = k->flags; *p; p += strcspn(p, " "), p += *p == ' ') {
    xlm_text_add(&t, p == k->flags ? "--" : ", --");
    xlm_text_addn(&t, p, strcspn(p, " "));
  }
  xlm_text_add(&t, operand[k->type]);
  return t.data;
}

enum { HELP_COLUMN = 32 };

// A flag and what it says, which begins in a line of its own below a long flag.
static void add_row(xlm_text *t, const char *flag, const char *help) {
  xlm_text_printf(t, "  %s", flag);
  if (strlen(flag) + 4 > HELP_COLUMN) xlm_text_add(t, "\n");
  xlm_text_pad(t, HELP_COLUMN);
  xlm_text_add(t, help);
}

void xlm_settings_help(char tool, xlm_text *out) {
  const char *section = "";
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    const xlm_setting_info *k = &xlm_setting_table[i];
    if (!strchr(k->tools, tool)) continue;
    if (strcmp(section, k->section)) xlm_text_printf(out, "\n%s\n", k->section);
    section = k->section;
    add_row(out, xlm_settings_flag(k, out->arena), k->help);
    if (*k->choices) xlm_text_printf(out, " [%s]", k->choices);
    if (*k->initial) xlm_text_printf(out, " (%s)", k->initial);
    xlm_text_add(out, "\n");
  }
  xlm_text_add(out, "\n");
  add_row(out, "--config FILE", "a YAML run file with the same settings; flags win\n");
  add_row(out, "--print-config", "show all settings as a run file and stop\n");
  xlm_text_add(out, "  switches (--NAME without a value) are off with --no-NAME or --NAME false\n");
}

void xlm_settings_document(xlm_text *out) {
  xlm_text_add(out, "| flag | in a run file | default | what it says |\n|---|---|---|---|\n");
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    const xlm_setting_info *k = &xlm_setting_table[i];
    xlm_text_add(out, "| ");
    for (const char *p = k->flags; *p; p += strcspn(p, " "), p += *p == ' ') {
      xlm_text_add(out, p == k->flags ? "`--" : ", `--");
      xlm_text_addn(out, p, strcspn(p, " "));
      xlm_text_add(out, "`");
    }
    xlm_text_printf(out, " | `%s%s%s` | %s | %s", k->section, *k->section ? "." : "", k->key, k->initial,
                    k->help);
    for (const char *p = k->choices; *p; p += strcspn(p, "|"), p += *p == '|') {
      xlm_text_add(out, p == k->choices ? ": `" : ", `");
      xlm_text_addn(out, p, strcspn(p, "|"));
      xlm_text_add(out, "`");
    }
    xlm_text_add(out, " |\n");
  }
}
