// Verifies a whole plan before launch: first each rank_plan by itself, its tables (tables.c) and its flow of
// values (flow.c), then the communication of all ranks as one program (kinds.c, program.c).
//
// Why few simulated ranks suffice. Ranks are sorted into kinds: two ranks are of one kind only if they have
// the same rank_plan and position in the pipeline, and if for every set of axes used for communication their
// groups have the same kinds, member by member (the coarsest such partition, refined until stable). Run the
// plan in rounds in which every rank proceeds as far as it can. By induction, ranks of one kind are at the
// same place after every round: they run the same instructions, and what each waits for comes from ranks of
// equal kinds, which are at equal places. So one rank per kind, with a collective complete when every *kind*
// of its group has arrived, and a message put into the channel (kind of sender, stage of receiver, tag),
// proceeds exactly as far as all ranks would. The order of turns does not matter: sends do not wait, receives
// name their sender, and groups are fixed; the outcome of such a program does not depend on scheduling (Kahn
// 1974), so if one order deadlocks, all do.
//
// Rejected: operations or sizes that do not match, mixed-up microbatches, collectives in different orders,
// deadlocks, partners that have ended, messages that are never received.
#include "compiler/verify/verify_plan.h"

#include "compiler/verify/verify_plan_priv.h"

enum { MAX_MASKS = 1 << XLM_MAX_AXES };

static void add_mask(uint32_t *masks, int *n, uint32_t mask) {
  for (int i = 0; i < *n; i++)
    if (masks[i] == mask) return;
  masks[(*n)++] = mask;
}

static int masks_of(const verifier *v, const comm_program *programs, uint32_t masks[MAX_MASKS]) {
  int n = 0;
  for (uint32_t c = 0; c < v->plan->n_rank_plans; c++)
    for (uint32_t i = 0; i < programs[c].n; i++) {
      const comm_op *op = &programs[c].at[i];
      add_mask(masks, &n, op->form == COMM_COLLECTIVE ? op->axes : 1u << v->pp);
    }
  return n;
}

static bool check_communication(verifier *v) {
  const comm_program *programs = xlm_verify_programs(v);
  if (!programs) return false;
  uint32_t masks[MAX_MASKS];
  int n = masks_of(v, programs, masks);
  if (!n) return true; // there is no communication
  rank_kinds kinds = xlm_verify_kinds(v, masks, n);
  for (int p = 0; p < XLM_PROGRAMS; p++)
    if (!xlm_verify_program(v, programs, &kinds, (xlm_program_id)p)) return false;
  return true;
}

static bool check_classes(verifier *v) {
  for (uint32_t c = 0; c < v->plan->n_rank_plans; c++)
    if (!xlm_verify_flow(v, c)) return false;
  return true;
}

xlm_plan_check xlm_plan_verify(const xlm_plan *p, xlm_arena *a) {
  verifier v = {.plan = p, .arena = a, .pp = xlm_mesh_axis(&p->mesh, "pp")};
  (void)(xlm_verify_tables(&v) && check_classes(&v) && check_communication(&v));
  return (xlm_plan_check){.operations = v.operations, .text = v.wrong};
}
