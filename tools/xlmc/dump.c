// xlmc dump: the IR after a pass, in the text form that reads back (--check reads it back and compares).
#include <stdio.h>
#include <string.h>

#include "tools/xlmc/xlmc.h"

static const char usage[] =
    "usage: xlmc dump MODEL.xlm --after PASS [settings] [--check] [--output FILE]\n"
    "  passes: elaborate, simplify, differentiate, recompute, partition (of rank 0), fuse\n"
    "  --check   also read the text back and compare\n";

static int reads_back(xlmc_job *j, const xlm_text *t) {
  const xlm_graph *again = xlm_graph_read(j->arena, t->data, t->n, &j->err);
  if (!again) return xlmc_fail(j, XLM_USER);
  xlm_text second = xlm_text_new(j->arena);
  xlm_graph_print(again, &second);
  if (second.n == t->n && !memcmp(second.data, t->data, t->n)) return XLMC_OK;
  fputs("xlmc: the text did not read back as the same graph\n", stderr);
  return XLMC_USER;
}

static int dump(xlmc_job *j) {
  int n;
  const char *const *passes = xlm_compile_passes(&n), *after = j->flags.after ? j->flags.after : "overlap";
  int at = 0;
  while (at < n && strcmp(passes[at], after)) at++;
  if (at == n) {
    const char *near = xlm_text_nearest(after, passes, (size_t)n);
    fprintf(stderr, "xlmc: there is no pass `%s`; %s%s%s\n", after,
            near ? "did you mean `" : "see `xlmc dump --help", near ? near : "", near ? "`?" : "`");
    return XLMC_USER;
  }
  const xlm_graph *g = NULL;
  xlm_compiled c;
  if (!xlmc_compile(j, at >= 2, true, after, &g, &c) || !g) return XLMC_USER;
  xlm_text t = xlm_text_new(j->arena);
  xlm_graph_print(g, &t);
  if (j->flags.check) return reads_back(j, &t);
  return xlmc_print(j, t.data, t.n);
}

int xlmc_dump(int argc, char **argv) {
  return xlmc_run(argc, argv, usage, dump);
}
