// All ranks as one program, with one actor per kind of ranks; verify_plan.c explains why that suffices. An
// actor walks the communication of its schedule until it must wait; whatever completes the awaited operation
// puts it back on the ready list. When the list is empty, either all have ended or wait.c reports the
// deadlock.
#include "compiler/verify/program_priv.h"
#include "runtime/base/philox.h"

// ---- communication of a rank_plan ----

static bool communicates(const verifier *v, const xlm_instr *in, comm_op *op) {
  if (!xlm_verify_form(in->op, &op->form)) return false;
  uint32_t axes = (uint32_t)xlm_attr_int(&in->attrs, XLM_A_axes, 0);
  for (int i = 0; i < v->plan->mesh.n; i++)
    if (axes >> i & 1 && v->plan->mesh.size[i] > 1) op->axes |= 1u << i;
  op->peer = xlm_attr_int(&in->attrs, XLM_A_peer, -1);
  op->tag = xlm_attr_int(&in->attrs, XLM_A_tag, 0);
  return op->form != COMM_COLLECTIVE || op->axes; // a group of one does not communicate
}

comm_program *xlm_verify_programs(verifier *v) {
  comm_program *all = XLM_NEW_N(v->arena, comm_program, v->plan->n_rank_plans);
  for (uint32_t c = 0; c < v->plan->n_rank_plans; c++) {
    const xlm_rank_plan *r = v->plan->rank_plans[c];
    comm_program *p = &all[c];
    p->first = XLM_NEW_N(v->arena, uint32_t, r->n_segments + 1);
    for (uint32_t s = 0; s < r->n_segments; s++) {
      for (uint32_t i = r->segments[s].first; i < r->segments[s].first + r->segments[s].n; i++) {
        comm_op op = {.instr = i};
        if (communicates(v, &r->instrs[i], &op)) XLM_PUSH(v->arena, p->at, p->n, p->cap, op);
      }
      p->first[s + 1] = p->n;
    }
  }
  return all;
}

// ---- groups and channels ----

int64_t xlm_verify_peer(const verifier *v, int64_t rank, int64_t stage) {
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(&v->plan->mesh, rank, coord);
  coord[v->pp] = (int32_t)stage;
  return xlm_mesh_rank(&v->plan->mesh, coord);
}

static uint32_t group_of(program *p, uint32_t kind, uint32_t axes) {
  xlm_arena *a = p->v->arena;
  const xlm_mesh *mesh = &p->v->plan->mesh;
  if (!p->group_of[axes]) p->group_of[axes] = XLM_NEW_N(a, uint32_t, p->kinds->n);
  uint32_t *of = p->group_of[axes];
  if (of[kind]) return of[kind] - 1;
  shared_group g = {.axes = axes};
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(mesh, p->kinds->at[kind].rank, coord);
  int64_t n = xlm_mesh_group(mesh, axes);
  for (int64_t i = 0; i < n; i++) {
    uint32_t k = p->kinds->of[xlm_mesh_member_rank(mesh, axes, coord, i)];
    if (of[k]) continue;
    of[k] = p->n_groups + 1;
    XLM_PUSH(a, g.kinds, g.n, g.cap, k);
  }
  XLM_PUSH(a, p->groups, p->n_groups, p->cap_groups, g);
  return p->n_groups - 1;
}

static uint32_t add_channel(program *p, uint32_t sender, int64_t stage, int64_t tag) {
  channel c = {.sender = sender, .stage = stage, .tag = tag};
  XLM_PUSH(p->v->arena, p->channels, p->n_channels, p->cap_channels, c);
  return p->n_channels - 1;
}

// Searches channels [from, to), those of one sender: a short list. UINT32_MAX: none.
static uint32_t find_channel(const program *p, uint32_t from, uint32_t to, int64_t stage, int64_t tag) {
  for (uint32_t i = from; i < to; i++)
    if (p->channels[i].stage == stage && p->channels[i].tag == tag) return i;
  return UINT32_MAX;
}

static void open_channels(program *p, uint32_t kind) { // for every message this kind sends
  const actor *a = &p->actors[kind];
  uint32_t from = p->n_channels;
  for (uint32_t i = 0; i < a->program->n; i++) {
    const comm_op *op = &a->program->at[i];
    if (op->form == COMM_COLLECTIVE) a->partner[i] = group_of(p, kind, op->axes);
    if (op->form != COMM_SEND) continue;
    a->partner[i] = find_channel(p, from, p->n_channels, op->peer, op->tag);
    if (a->partner[i] == UINT32_MAX) a->partner[i] = add_channel(p, kind, op->peer, op->tag);
  }
}

static void find_channels(program *p, uint32_t kind, const uint32_t *first) { // for every message it receives
  const actor *a = &p->actors[kind];
  int64_t rank = p->kinds->at[kind].rank;
  for (uint32_t i = 0; i < a->program->n; i++) {
    const comm_op *op = &a->program->at[i];
    if (op->form != COMM_RECV) continue;
    uint32_t sender = p->kinds->of[xlm_verify_peer(p->v, rank, op->peer)];
    int32_t coord[XLM_MAX_AXES];
    xlm_mesh_coord(&p->v->plan->mesh, rank, coord);
    a->partner[i] = find_channel(p, first[sender], first[sender + 1], coord[p->v->pp], op->tag);
    if (a->partner[i] == UINT32_MAX)
      a->partner[i] = add_channel(p, sender, coord[p->v->pp], op->tag); // stays empty
  }
}

// ---- one turn of an actor ----

const comm_op *xlm_verify_at(actor *a) {
  for (; a->run < a->n_runs; a->run++) {
    const uint32_t *of_segment = &a->program->first[a->runs[a->run].segment];
    if (a->op < of_segment[0]) a->op = of_segment[0];
    if (a->op < of_segment[1]) return &a->program->at[a->op];
    a->op = 0;
  }
  return NULL;
}

comm_entry xlm_verify_entry(const program *p, uint32_t kind, int64_t rank) {
  const actor *a = &p->actors[kind];
  return (comm_entry){rank, a->plan, &a->plan->instrs[a->program->at[a->op].instr], &a->runs[a->run]};
}

static void go_on(program *p, uint32_t kind) {
  p->ready[p->n_ready++] = kind;
}

static bool send(program *p, uint32_t kind, const comm_op *op) {
  actor *a = &p->actors[kind];
  channel *c = &p->channels[a->partner[a->op]];
  (void)op;
  message m = {a->op, &a->runs[a->run]};
  if (c->first == c->n) c->first = c->n = 0;
  XLM_PUSH(p->v->arena, c->at, c->n, c->cap, m);
  if (c->waiter) go_on(p, c->waiter - 1);
  c->waiter = 0;
  p->v->operations += p->kinds->at[kind].members;
  return true;
}

static bool recv(program *p, uint32_t kind, const comm_op *op) {
  actor *a = &p->actors[kind];
  channel *c = &p->channels[a->partner[a->op]];
  if (c->first == c->n) {
    c->waiter = kind + 1;
    return false;
  }
  message m = c->at[c->first++];
  const actor *s = &p->actors[c->sender];
  int64_t rank = p->kinds->at[kind].rank;
  comm_entry to = xlm_verify_entry(p, kind, rank);
  comm_entry from = {xlm_verify_peer(p->v, rank, op->peer), s->plan,
                     &s->plan->instrs[s->program->at[m.op].instr], m.run};
  p->v->operations += p->kinds->at[kind].members;
  return xlm_verify_message(p->v, &from, &to);
}

static bool check_group(program *p, const shared_group *g) { // all of its kinds have reached the collective
  const xlm_mesh *mesh = &p->v->plan->mesh;
  int64_t n = xlm_mesh_group(mesh, g->axes), rank = p->kinds->at[g->kinds[0]].rank;
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(mesh, rank, coord);
  if (p->room_n < n) {
    p->room_n = n;
    p->room = XLM_NEW_N(p->v->arena, comm_entry, n);
  }
  comm_entry *e = p->room;
  for (int64_t i = 0; i < n; i++) {
    int64_t member = xlm_mesh_member_rank(mesh, g->axes, coord, i);
    e[i] = xlm_verify_entry(p, p->kinds->of[member], member);
  }
  return xlm_verify_meeting(p->v, g->axes, e, n);
}

// The same instructions meet once per microbatch but are compared once; later meetings differ only in their
// microbatches.
static bool check_once(program *p, const shared_group *g) {
  actor *a = &p->actors[g->kinds[0]];
  uint64_t meeting = 0;
  for (uint32_t i = 0; i < g->n; i++) {
    const actor *b = &p->actors[g->kinds[i]];
    int32_t apart = b->runs[b->run].microbatch - a->runs[a->run].microbatch;
    meeting = xlm_hash_mix(meeting ^ ((uint64_t)(uint32_t)apart << 32 | b->op)) + 1;
  }
  if (a->checked[a->op] == meeting) return true;
  if (!check_group(p, g)) return false;
  a->checked[a->op] = meeting;
  return true;
}

static bool collective(program *p, uint32_t kind, const comm_op *op) {
  actor *a = &p->actors[kind];
  shared_group *g = &p->groups[a->partner[a->op]];
  (void)op;
  if (++g->arrived < g->n) return false;
  g->arrived = 0;
  if (!check_once(p, g)) return false;
  for (uint32_t i = 0; i < g->n; i++) {
    p->v->operations += p->kinds->at[g->kinds[i]].members;
    if (g->kinds[i] == kind) continue;
    p->actors[g->kinds[i]].op++;
    go_on(p, g->kinds[i]);
  }
  return true;
}

static bool (*const act[COMM_FORMS])(program *, uint32_t, const comm_op *) = {send, recv, collective};

static void take_turn(program *p, uint32_t kind) {
  actor *a = &p->actors[kind];
  for (const comm_op *op; (op = xlm_verify_at(a)) && act[op->form](p, kind, op);) a->op++;
}

// ---- the whole program ----

const xlm_segment_run *xlm_verify_runs(verifier *v, const xlm_rank_plan *r, xlm_program_id p, uint32_t *n) {
  *n = p == XLM_PROGRAM_TRAIN ? r->n_schedule : r->segment_of[p] >= 0;
  if (p == XLM_PROGRAM_TRAIN || !*n) return r->schedule;
  xlm_segment_run *run = XLM_NEW(v->arena, xlm_segment_run);
  run->segment = (uint32_t)r->segment_of[p];
  return run;
}

static void start(program *p, const comm_program *programs, xlm_program_id which) {
  xlm_arena *a = p->v->arena;
  uint32_t n = p->kinds->n, *first = XLM_NEW_N(a, uint32_t, n + 1);
  p->actors = XLM_NEW_N(a, actor, n);
  p->ready = XLM_NEW_N(a, uint32_t, n);
  for (uint32_t k = 0; k < n; k++) {
    uint32_t rank_plan = p->kinds->at[k].rank_plan;
    const xlm_rank_plan *r = p->v->plan->rank_plans[rank_plan];
    uint32_t n_runs;
    const xlm_segment_run *runs = xlm_verify_runs(p->v, r, which, &n_runs);
    p->actors[k] = (actor){.plan = r,
                           .program = &programs[rank_plan],
                           .runs = runs,
                           .n_runs = n_runs,
                           .partner = XLM_NEW_N(a, uint32_t, programs[rank_plan].n),
                           .checked = XLM_NEW_N(a, uint64_t, programs[rank_plan].n)};
    open_channels(p, k);
    first[k + 1] = p->n_channels;
  }
  for (uint32_t k = 0; k < n; k++) find_channels(p, k, first);
}

static void check_unread(program *p) {
  for (uint32_t i = 0; i < p->n_channels; i++) {
    const channel *c = &p->channels[i];
    if (c->first == c->n) continue;
    const actor *s = &p->actors[c->sender];
    int64_t rank = p->kinds->at[c->sender].rank;
    message m = c->at[c->first];
    xlm_verify_fail(p->v, "%s sends %s in %s (tag %lld) to %s, which ends without receiving it",
                    xlm_verify_rank(p->v, rank),
                    xlm_verify_instr(p->v, &s->plan->instrs[s->program->at[m.op].instr]),
                    xlm_verify_run(p->v, s->plan, m.run), (long long)c->tag,
                    xlm_verify_rank(p->v, xlm_verify_peer(p->v, rank, c->stage)));
  }
}

bool xlm_verify_program(verifier *v, const comm_program *programs, const rank_kinds *kinds,
                        xlm_program_id which) {
  program *p = XLM_NEW(v->arena, program);
  p->v = v;
  p->kinds = kinds;
  start(p, programs, which);
  for (uint32_t k = kinds->n; k-- > 0;) go_on(p, k);
  while (p->n_ready && !v->wrong) take_turn(p, p->ready[--p->n_ready]);
  for (uint32_t k = 0; k < kinds->n && !v->wrong; k++)
    if (xlm_verify_at(&p->actors[k])) xlm_verify_explain_wait(p);
  if (!v->wrong) check_unread(p);
  return !v->wrong;
}
