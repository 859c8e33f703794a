// xlmc opt: runs passes on IR text, like LLVM's opt. Its output can be read back.
#include <stdio.h>
#include <string.h>

#include "compiler/driver/passes.h"
#include "runtime/plan/mesh.h"
#include "tools/common/request.h"
#include "tools/xlmc/xlmc.h"

const char xlmc_opt_usage[] =
    "usage: xlmc opt FILE.ir --pass NAME[,NAME..] [settings] [--rank N | --stage N] [--output FILE]\n"
    "  FILE.ir            a graph as text, as `xlmc dump` writes it (compiler/ir/README.md)\n"
    "  --pass NAME,..     simplify, global_batch, differentiate, cast_weights, late_loss, "
    "rematerialize, recompute, partition, "
    "pipeline, chunk_loss, fuse, overlap: run in this order\n"
    "  --rank N           partition and later: of which rank (0); --stage N: the first rank of this pipeline "
    "stage\n"
    "  settings           what the passes are told, as for `xlmc plan`: mesh, recompute, optimizer, "
    "microbatches\n";

enum { MOST_PASSES = 32 };

static xlm_status read_passes(xlmc_job *j, xlm_pass_id *list) {
  int n = 0;
  if (!j->flags.pass)
    return xlm_fail(&j->err, XLM_USER, "which pass? give --pass NAME, as in `--pass simplify,fuse`");
  for (const char *at = j->flags.pass; *at; at += *at == ',') {
    size_t length = strcspn(at, ",");
    if (n == MOST_PASSES) return xlm_fail(&j->err, XLM_USER, "--pass: more than %d passes", MOST_PASSES);
    XLM_TRY(xlmc_find_pass(j, at, length, &list[n++]));
    at += length;
  }
  list[n] = XLM_PASS_END;
  return XLM_OK;
}

static bool per_rank(const xlm_pass_id *list) {
  bool any = false;
  for (; *list; list++) any |= xlm_pass_table[*list].per_rank;
  return any;
}

static xlm_status read_settings(xlmc_job *j, const xlm_graph *g, const xlm_pass_id *list,
                                xlm_compile_options *o) {
  XLM_TRY(xlm_request_options(j->settings, g->source, XLM_WITH_TRAIN, 0, o, &j->err));
  if (o->recompute == XLM_RECOMPUTE_AUTO)
    return xlm_fail(&j->err, XLM_USER,
                    "--recompute auto is chosen when a whole run is planned; here say none, marked "
                    "or full");
  return xlmc_find_rank(j, per_rank(list),
                        "a pass per rank: partition, pipeline, chunk_loss, fuse or overlap", o);
}

// Runs one pass on g, or reports why it cannot run.
static xlm_status apply(xlmc_job *j, xlm_pass_context *c, xlm_pass_id id, const xlm_graph **g) {
  const xlm_pass *p = &xlm_pass_table[id];
  const xlm_pass_id one[] = {id, XLM_PASS_END};
  const char *unmet = xlm_pass_unmet(id, *g, j->arena), *idle = p->idle ? p->idle(c) : NULL;
  if (unmet) return xlm_fail(&j->err, XLM_USER, "%s", unmet);
  if (idle) return xlm_fail(&j->err, XLM_USER, "`%s` has nothing to do: %s", p->name, idle);
  *g = xlm_passes_run(c, one, *g);
  return XLM_OK;
}

static int opt(xlmc_job *j) {
  xlm_pass_id list[MOST_PASSES + 1];
  xlm_compile_options o;
  xlm_status s = read_passes(j, list);
  const xlm_graph *g = s == XLM_OK ? xlm_graph_read(j->arena, j->source->text, j->source->n, &j->err) : NULL;
  if (!g) return xlmc_fail(j, XLM_USER);
  s = read_settings(j, g, list, &o);
  if (g->source) xlm_diags_init(&j->diags, j->arena, g->source);
  xlm_pass_context c = {.arena = j->arena, .options = &o, .diags = &j->diags};
  bool prepared = false;
  xlm_mesh_coord(&o.mesh, o.shown_rank, c.coord);
  for (const xlm_pass_id *id = list; s == XLM_OK && *id && g; id++) {
    bool first = xlm_pass_table[*id].per_rank && !prepared;
    if (first && !xlm_passes_prepare(&c, id, g)) return xlmc_tell(j);
    prepared |= first;
    s = apply(j, &c, *id, &g);
  }
  if (s != XLM_OK) return xlmc_fail(j, s);
  if (!g) return xlmc_tell(j);
  xlm_text t = xlm_text_new(j->arena);
  xlm_graph_print(g, &t);
  return xlmc_print(j, t.data, t.n);
}

int xlmc_opt(int argc, char *const *argv) {
  return xlmc_run(argc, argv, xlmc_opt_usage, opt);
}
