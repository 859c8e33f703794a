// Explains why some ranks cannot proceed: follows the chain from a waiting rank to the rank it waits for,
// until one has ended (a partner is missing) or repeats (a cycle). It walks actual ranks, not kinds, so the
// reported cycle exists.
#include "compiler/verify/program_priv.h"

enum { MOST_LINKS = 8 };

static actor *actor_of(const program *p, int64_t rank) {
  return &p->actors[p->kinds->of[rank]];
}

static bool waits_in_group(const program *p, int64_t rank, uint32_t group) {
  actor *a = actor_of(p, rank);
  const comm_op *op = xlm_verify_at(a);
  return op && op->form == COMM_COLLECTIVE && a->partner[a->op] == group;
}

// The rank that `rank` waits for; that one has not ended.
static int64_t waits_for(const program *p, int64_t rank) {
  const xlm_mesh *mesh = &p->v->plan->mesh;
  actor *a = actor_of(p, rank);
  const comm_op *op = xlm_verify_at(a);
  if (op->form == COMM_RECV) return xlm_verify_peer(p->v, rank, op->peer);
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(mesh, rank, coord);
  for (int64_t i = 0;; i++) {
    int64_t member = xlm_mesh_member_rank(mesh, op->axes, coord, i);
    if (!waits_in_group(p, member, a->partner[a->op])) return member;
  }
}

static const char *stands(const program *p, int64_t rank) {
  comm_entry e = xlm_verify_entry(p, p->kinds->of[rank], rank);
  const comm_op *op = xlm_verify_at(actor_of(p, rank));
  const char *tag =
      op->form == COMM_RECV ? xlm_arena_printf(p->v->arena, ", tag %lld", (long long)op->tag) : "";
  return xlm_arena_printf(p->v->arena, "%s in %s, %s%s,", xlm_verify_rank(p->v, rank),
                          xlm_verify_instr(p->v, e.instr), xlm_verify_run(p->v, e.plan, e.run), tag);
}

// A message between the two that is never received: probably the intended one.
static const char *another_message(const program *p, int64_t rank, int64_t from) {
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(&p->v->plan->mesh, rank, coord);
  for (uint32_t i = 0; i < p->n_channels; i++) {
    const channel *c = &p->channels[i];
    if (c->sender != p->kinds->of[from] || c->stage != coord[p->v->pp] || c->first == c->n) continue;
    const actor *s = &p->actors[c->sender];
    return xlm_arena_printf(
        p->v->arena, "; it sends %s with tag %lld, which is not received",
        xlm_verify_instr(p->v, &s->plan->instrs[s->program->at[c->at[c->first].op].instr]),
        (long long)c->tag);
  }
  return "";
}

static void explain_ended(program *p, int64_t rank, int64_t ended) {
  bool receives = xlm_verify_at(actor_of(p, rank))->form == COMM_RECV;
  xlm_verify_fail(p->v, "%s waits for %s, which ends without %s%s", stands(p, rank),
                  xlm_verify_rank(p->v, ended), receives ? "sending it a message" : "entering it",
                  receives ? another_message(p, rank, ended) : "");
}

static void explain_circle(program *p, int64_t first) {
  xlm_text t = xlm_text_new(p->v->arena);
  int64_t rank = first;
  int links = 0, collectives = 0;
  do {
    int64_t next = waits_for(p, rank);
    collectives += xlm_verify_at(actor_of(p, rank))->form == COMM_COLLECTIVE;
    if (links++ < MOST_LINKS)
      xlm_text_printf(&t, "%s%s waits for %s", t.n ? "; " : "", stands(p, rank), xlm_verify_rank(p->v, next));
    rank = next;
  } while (rank != first);
  xlm_verify_fail(p->v, "%s: %.1700s%s",
                  collectives == links ? "ranks enter their collectives in different orders and wait forever"
                                       : "ranks wait for each other forever",
                  t.data, links > MOST_LINKS ? "; and so on around the cycle" : "");
}

void xlm_verify_explain_wait(program *p) {
  uint8_t *seen = XLM_NEW_N(p->v->arena, uint8_t, p->v->plan->n_ranks);
  int64_t rank = 0;
  while (!xlm_verify_at(actor_of(p, rank))) rank++;
  while (!seen[rank]) {
    seen[rank] = 1;
    int64_t next = waits_for(p, rank);
    if (!xlm_verify_at(actor_of(p, next))) {
      explain_ended(p, rank, next);
      return;
    }
    rank = next;
  }
  explain_circle(p, rank);
}
