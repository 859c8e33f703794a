// xlmc explain: the meaning of a diagnostic's code, or the list of all codes.
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "tools/xlmc/xlmc.h"

const char xlmc_explain_usage[] =
    "usage: xlmc explain [CODE...]\n\n"
    "The meaning of diagnostics' codes, as in `xlmc explain E0203`; of all without any.\n";

// E0203, e0203 and 203 are equivalent.
static bool find(const char *text, xlm_diag_id *id) {
  char code[8];
  const char *digits = text + (*text && !isdigit((unsigned char)*text));
  size_t n = strlen(digits);
  if (n < 1 || n > 4) return false;
  for (const char *letter = "EW"; *letter; letter++) {
    snprintf(code, sizeof code, "%c%.*s%s", *letter, (int)(4 - n), "000", digits);
    if ((digits == text || toupper((unsigned char)*text) == *letter) && xlm_diag_find(code, id)) return true;
  }
  return false;
}

int xlmc_explain(int argc, char *const *argv) {
  if (argc < 1) {
    for (int i = 0; i < XLM_DIAG_COUNT; i++)
      printf("%s  %s\n", xlm_diag_code((xlm_diag_id)i), xlm_diag_meaning((xlm_diag_id)i));
    return XLMC_OK;
  }
  for (int i = 0; i < argc; i++) {
    xlm_diag_id id;
    if (!find(argv[i], &id)) {
      fprintf(stderr, "xlmc: there is no diagnostic `%s`; `xlmc explain` lists all\n", argv[i]);
      return XLMC_USER;
    }
    printf("%s: %s\n", xlm_diag_code(id), xlm_diag_meaning(id));
  }
  return XLMC_OK;
}
