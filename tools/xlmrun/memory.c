// Memory: does the plan fit, and what did the run take.
#include <stdio.h>
#include <stdlib.h>

#include "tools/common/request.h"
#include "tools/xlmrun/session.h"

int session_ranks_here(const session *s) {
  static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS",
                                      "MV2_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE"};
  int n = 0;
  if (!s->mpi) return (int)xlm_mesh_ranks(&s->options.mesh);
  for (size_t i = 0; i < sizeof names / sizeof *names && n < 1; i++)
    if (getenv(names[i])) n = atoi(getenv(names[i]));
  return n > 0 ? n : 0;
}

typedef struct needs { // memory of the plan's ranks
  uint64_t most, here; // of the fullest rank; total of this host (with several hosts: an upper bound)
  uint32_t fullest;
} needs;

static needs count_needs(const session *s) {
  const xlm_plan *p = s->plan;
  needs n = {0};
  uint64_t all = 0;
  for (uint32_t r = 0; r < p->n_ranks; r++) {
    uint64_t bytes = p->rank_plans[p->rank_plan_of[r]]->arena_bytes;
    if (bytes > n.most) n.most = bytes, n.fullest = r;
    all += bytes;
  }
  int here = session_ranks_here(s);
  n.here = !here ? n.most : (uint32_t)here >= p->n_ranks ? all : n.most * (uint64_t)here;
  return n;
}

static const xlm_device_kind *device_of(const session *s) {
  const xlm_backend *b = xlm_backend_find(s->plan->target.backend);
  const char *name = xlm_setting_text(s->settings, XLM_SET_device);
  const xlm_device_kind *kind;
  if (*name && xlm_device_find(name, &kind, NULL) == XLM_OK) return kind;
  return b ? b->device : NULL;
}

typedef struct bound { // what is compared
  const char *who;
  uint64_t need, limit;
  const char *where, *more; // of the memory; what else may help
} bound;

static xlm_status compare(session *s, const bound *b) {
  if (!b->limit || b->need <= b->limit) return XLM_OK;
  s->exit_code = EXIT_DOES_NOT_FIT;
  return xlm_fail(&s->err, XLM_USER,
                  "%s %s and there are %s%s, %s too few: %s a smaller --micro-batch-size or --seq-length, or "
                  "--recompute full%s",
                  b->who, xlm_text_bytes(s->arena, b->need), xlm_text_bytes(s->arena, b->limit), b->where,
                  xlm_text_bytes(s->arena, b->need - b->limit), s->saved ? "make a plan with" : "try",
                  b->more);
}

xlm_status session_check_memory(session *s) {
  needs n = count_needs(s);
  const xlm_device_kind *on = device_of(s);
  bool given = *xlm_setting_text(s->settings, XLM_SET_memory_limit), own = on && on->room && !given;
  bool each = given || own, alone = s->plan->n_ranks == 1;
  int here = session_ranks_here(s);
  bound b = {.limit = xlm_request_memory(s->settings, on, own && here > 0 ? here : 1),
             .need = each ? n.most : n.here,
             .where = own    ? " unused on its GPU"
                      : each ? ""
                             : " on this machine"};
  b.more = alone ? "" : each ? ", or more ranks" : s->mpi ? ", or more machines" : "";
  b.who = alone  ? "this run needs"
          : each ? xlm_arena_printf(s->arena, "rank %u needs", n.fullest)
                 : xlm_arena_printf(s->arena, "the %d ranks of this machine need together", here);
  return compare(s, &b);
}

static void show_part(const session *s, uint64_t bytes, const char *what) {
  if (bytes) printf(", %s %s", xlm_text_bytes(s->arena, bytes), what);
}

void session_show_memory(const session *s) {
  xlm_device_memory m = xlm_exec_memory(xlm_team_exec(s->team, 0));
  if (!m.all) return;
  uint64_t planned = xlm_exec_arena_bytes(xlm_team_exec(s->team, 0));
  printf("of the GPU's %s: arena %s as planned", xlm_text_bytes(s->arena, m.all),
         xlm_text_bytes(s->arena, planned));
  show_part(s, m.arena - planned + m.libraries, "libraries and kernels"); // and their tables
  show_part(s, m.graphs, "graphs");
  show_part(s, m.link, "NCCL");
  show_part(s, m.before, "in use before (context, other programs)");
  printf("\n");
}
