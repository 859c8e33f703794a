// xlmc dump: the IR after a pass, in its text form (--check reads it back and compares).
#include <stdio.h>
#include <string.h>

#include "compiler/driver/passes.h"
#include "tools/common/request.h"
#include "tools/xlmc/xlmc.h"

const char xlmc_dump_usage[] =
    "usage: xlmc dump MODEL.xlm --after PASS[,N] [settings] [--rank N | --stage N] [--check] [--output "
    "FILE]\n"
    "  --after PASS   elaborate, simplify, global_batch, differentiate, cast_weights, late_loss, "
    "rematerialize, recompute; of one rank: partition, pipeline, chunk_loss, fuse, overlap; PASS,2: the "
    "second run of a pass that runs more than once\n"
    "  --rank N       of which rank (0); --stage N: of the first rank of this pipeline stage\n"
    "  --check        also read the text back and compare\n";

static int reads_back(xlmc_job *j, const xlm_text *t) {
  const xlm_graph *again = xlm_graph_read(j->arena, t->data, t->n, &j->err);
  if (!again) return xlmc_fail(j, XLM_USER);
  xlm_text second = xlm_text_new(j->arena);
  xlm_graph_print(again, &second);
  if (second.n == t->n && !memcmp(second.data, t->data, t->n)) return XLMC_OK;
  fputs("xlmc: the text did not read back as the same graph\n", stderr);
  return XLMC_USER;
}

static xlm_status find_pass(xlmc_job *j, const char *after, xlm_pass_id *id) {
  size_t n = strcspn(after, ",");
  bool numbered = !after[n] || (after[n + 1] >= '1' && after[n + 1] <= '9' && !after[n + 2]);
  if (!numbered)
    return xlm_fail(&j->err, XLM_USER, "--after %s: write PASS, or PASS,2 for its second run", after);
  return xlmc_find_pass(j, after, n, id);
}

static int dump(xlmc_job *j) {
  const char *after = j->flags.after ? j->flags.after : "overlap";
  const xlm_graph *g = NULL;
  xlm_compile_options o;
  xlm_compiled c;
  xlm_pass_id id = XLM_PASS_END;
  xlm_status s = find_pass(j, after, &id);
  bool train = id >= XLM_PASS_DIFFERENTIATE || after[strcspn(after, ",")];
  if (s == XLM_OK) s = xlm_request_options(j->settings, j->source, train, true, 0, &o, &j->err);
  if (s == XLM_OK) s = xlmc_find_rank(j, xlm_pass_table[id].per_rank, "dump --after partition or later", &o);
  if (s != XLM_OK) return xlmc_fail(j, s);
  if (!xlmc_compile_with(j, &o, after, &g, &c)) return XLMC_USER;
  if (!g)
    return xlmc_fail(j,
                     xlm_fail(&j->err, XLM_USER, "--after %s: the pass does not run that many times", after));
  xlm_text t = xlm_text_new(j->arena);
  xlm_graph_print(g, &t);
  if (j->flags.check) return reads_back(j, &t);
  return xlmc_print(j, t.data, t.n);
}

int xlmc_dump(int argc, char *const *argv) {
  return xlmc_run(argc, argv, xlmc_dump_usage, dump);
}
