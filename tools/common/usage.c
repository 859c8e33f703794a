// Reads usage texts; see command.h.
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "tools/common/command.h"

static size_t name_length(const char *at) {
  size_t n = 0;
  while (isalnum((unsigned char)at[n]) || at[n] == '-' || at[n] == '_') n++;
  return n;
}

bool xlm_usage_next(const char **at, xlm_usage_flag *out) {
  const char *p = *at;
  do p = strstr(p + (p != *at), "--");
  while (p && !islower((unsigned char)p[2]));
  if (!p) return false;
  const char *name = p + 2, *after = name + name_length(name);
  *out = (xlm_usage_flag){.name = name, .n_name = (size_t)(after - name)};
  if (*after == ' ' && isalnum((unsigned char)after[1])) {
    out->operand = after + 1;
    out->n_operand = strcspn(after + 1, " ]\n,;[:");
  }
  *at = after;
  return true;
}

bool xlm_usage_form(const char **at, const char **form, size_t *n) {
  const char *p = *at;
  bool begins = !strncmp(p, "usage: ", 7), goes_on = !strncmp(p, "       ", 7) && p[7] != ' ';
  if (!begins && !goes_on) return false;
  *form = p + 7;
  *n = strcspn(*form, "\n");
  *at = *form + *n;
  *at += **at == '\n';
  return true;
}
