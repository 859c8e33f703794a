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

static void add_flags(xlm_text *t, const xlm_setting_info *k) {
  static const char *const operand[] = {" N",   " X",     " TEXT",       "",     " NAME",
                                        " ...", " [DIR]", " NAME=VALUE", " SIZE"};
  xlm_text_add(t, "  ");
  for (const char *p = k->flags; *p; p += strcspn(p, " "), p += *p == ' ') {
    xlm_text_add(t, p == k->flags ? "--" : ", --");
    xlm_text_addn(t, p, strcspn(p, " "));
  }
  xlm_text_add(t, operand[k->type]);
  xlm_text_pad(t, 40);
}

void xlm_settings_help(char tool, xlm_text *out) {
  const char *section = "";
  for (int i = 0; i < XLM_SETTING_COUNT; i++) {
    const xlm_setting_info *k = &xlm_setting_table[i];
    if (!strchr(k->tools, tool)) continue;
    if (strcmp(section, k->section)) xlm_text_printf(out, "\n%s\n", k->section);
    section = k->section;
    add_flags(out, k);
    xlm_text_printf(out, " %s", k->help);
    if (*k->choices) xlm_text_printf(out, " [%s]", k->choices);
    if (*k->initial) xlm_text_printf(out, " (%s)", k->initial);
    xlm_text_add(out, "\n");
  }
  xlm_text_add(
      out, "\n  --config FILE                           a YAML run file with the same settings; flags win\n"
           "  --print-config                          show all settings as a run file and stop\n"
           "  switches (--NAME without a value) are off with --no-NAME or --NAME false\n");
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
