// xlmc dump: the IR after a pass, in its text form (--check reads it back and compares).
#include <stdio.h>
#include <string.h>

#include "compiler/driver/passes.h"
#include "tools/common/request.h"
#include "tools/xlmc/xlmc.h"

const char xlmc_dump_usage[] =
    "usage: xlmc dump MODEL.xlm --after PASS[,N] [--program NAME] [settings] [--chunk N] "
    "[--rank N | --stage N] [--check] [--output FILE]\n"
    "  --after PASS   elaborate, narrow_weights, simplify, incremental, stack_products, global_batch, differentiate, cast_weights, "
    "late_loss, "
    "rematerialize, recompute; of one rank: partition, pipeline, chunk_loss, fuse, overlap; PASS,2: the "
    "second run of a pass that runs more than once\n"
    "  --program NAME train, eval, prefill, decode or encode: of which program (the first that has the pass)\n"
    "  --chunk N      of prefill: how many tokens of every sequence are computed at a time\n"
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

static xlm_status choose_program(xlmc_job *j, uint32_t *programs) {
  xlm_program_id p;
  XLM_TRY(xlmc_find_program(j, XLM_PROGRAM_TRAIN, &p));
  if (j->flags.program) *programs = 1u << p;
  return XLM_OK;
}

static xlm_status check_chunk(xlmc_job *j, uint32_t programs) {
  if (j->flags.chunk && !(programs & XLM_WITH_PREFILL))
    return xlm_fail(&j->err, XLM_USER, "--chunk is for --after incremental, or --program prefill");
  if (j->flags.chunk < 0) return xlm_fail(&j->err, XLM_USER, "--chunk is a number of tokens, at least 1");
  return XLM_OK;
}

static int dump(xlmc_job *j) {
  const char *after = j->flags.after ? j->flags.after : "overlap";
  const xlm_graph *g = NULL;
  xlm_compile_options o;
  xlm_compiled c;
  xlm_pass_id id = XLM_PASS_END;
  xlm_status s = find_pass(j, after, &id);
  bool train = id >= XLM_PASS_DIFFERENTIATE || after[strcspn(after, ",")];
  uint32_t programs = XLM_WITH_EVAL | (train ? XLM_WITH_TRAIN : 0);
  if (id == XLM_PASS_NARROW_WEIGHTS || id == XLM_PASS_INCREMENTAL || id == XLM_PASS_STACK_PRODUCTS)
    programs = j->flags.chunk ? XLM_WITH_PREFILL : XLM_WITH_DECODE;
  if (s == XLM_OK) s = choose_program(j, &programs);
  if (s == XLM_OK) s = check_chunk(j, programs);
  if (s == XLM_OK) s = xlm_request_options(j->settings, j->source, programs, 0, &o, &j->err);
  if (s == XLM_OK && j->flags.chunk) o.chunk = j->flags.chunk;
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
