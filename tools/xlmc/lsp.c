// xlmc lsp: a language server on standard input and output; --words lists the words of the language.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compiler/inspect/inspect.h"
#include "tools/lsp/lsp.h"
#include "tools/xlmc/xlmc.h"

const char xlmc_lsp_usage[] = "usage: xlmc lsp\n"
                              "       xlmc lsp --words\n\n"
                              "A language server on standard input and output (docs/editors.md).\n"
                              "  --words    the words of the language by kind, for syntax highlighting\n";

static int words(void) {
  xlm_arena *const a = xlm_arena_new(0);
  volatile int code = XLMC_ENV;
  if (a && XLM_ARENA_TRY(a)) {
    xlm_text t = xlm_text_new(a);
    xlm_inspect_words(&t);
    fputs(t.data, stdout);
    code = XLMC_OK;
  } else
    fputs("xlmc: not enough memory\n", stderr);
  xlm_arena_free(a);
  return code;
}

int xlmc_lsp(int argc, char *const *argv) {
  bool plain = !argc || !strcmp(argv[0], "--stdio"); // some clients add it for every server
  if (plain) return xlm_lsp_serve(STDIN_FILENO, STDOUT_FILENO);
  if (!strcmp(argv[0], "--words")) return words();
  fputs(xlmc_lsp_usage, stderr);
  return XLMC_USER;
}
