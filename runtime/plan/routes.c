// See routes.h. All pipelines of a mesh do the same at the same time, so one stands for all: an actor per
// stage, which walks the messages of two runs of a program, and the collectives that every stage is part of.
#include "runtime/plan/routes.h"

#include <string.h>

#include "runtime/plan/mesh.h"

typedef enum event_form { SEND, RECV, MEET } event_form;

typedef struct event { // of a stage, in the order of its program
  event_form form;
  int32_t peer;
  int64_t tag;
  uint32_t route;
} event;

typedef struct actor {
  event *at;
  uint32_t n, cap, now;
} actor;

typedef struct finder {
  const xlm_plan *p;
  xlm_arena *a;
  int pp, stages;
  actor *actors; // [stages]
  xlm_route *routes;
  uint32_t *under_way; // [routes] messages that are sent and not received
  uint32_t n, cap;
} finder;

static uint32_t group_axes(const xlm_plan *p, const xlm_instr *in) { // without those of size 1
  uint32_t axes = (uint32_t)xlm_attr_int(&in->attrs, XLM_A_axes, 0), found = 0;
  for (int i = 0; i < p->mesh.n; i++)
    if (axes >> i & 1 && p->mesh.size[i] > 1) found |= 1u << i;
  return found;
}

// ---- groups ----

static void find_groups(const xlm_plan *p, xlm_arena *a, xlm_routes *out) {
  bool used[1 << XLM_MAX_AXES] = {0};
  uint32_t *axes = XLM_NEW_N(a, uint32_t, 1 << XLM_MAX_AXES);
  for (uint32_t r = 0; r < p->n_rank_plans; r++)
    for (uint32_t i = 0; i < p->rank_plans[r]->n_instrs; i++)
      if (xlm_op_is_collective(p->rank_plans[r]->instrs[i].op))
        used[group_axes(p, &p->rank_plans[r]->instrs[i])] = true;
  for (uint32_t mask = 1; mask < 1u << XLM_MAX_AXES; mask++)
    if (used[mask]) axes[out->n_axes++] = mask;
  out->axes = axes;
}

// ---- the programs of the stages ----

static const xlm_rank_plan *plan_of_stage(const finder *f, int stage) {
  int32_t coord[XLM_MAX_AXES] = {0};
  coord[f->pp] = stage;
  return f->p->rank_plans[f->p->rank_plan_of[xlm_mesh_rank(&f->p->mesh, coord)]];
}

static void add_segment(finder *f, int stage, const xlm_rank_plan *r, uint32_t segment) {
  const xlm_segment *s = &r->segments[segment];
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    const xlm_instr *in = &r->instrs[i];
    event e = {.form = xlm_op_sends(in->op)      ? SEND
                       : xlm_op_receives(in->op) ? RECV
                                                 : MEET,
               .peer = (int32_t)xlm_attr_int(&in->attrs, XLM_A_peer, -1),
               .tag = xlm_attr_int(&in->attrs, XLM_A_tag, 0)};
    if (e.form == MEET && !(xlm_op_is_collective(in->op) && group_axes(f->p, in) >> f->pp & 1)) continue;
    actor *a = &f->actors[stage];
    XLM_PUSH(f->a, a->at, a->n, a->cap, e);
  }
}

static void write_programs(finder *f, xlm_program_id program) {
  for (int s = 0; s < f->stages; s++) {
    const xlm_rank_plan *r = plan_of_stage(f, s);
    f->actors[s].n = f->actors[s].now = 0;
    for (int round = 0; round < 2; round++) {
      if (program != XLM_PROGRAM_TRAIN && r->segment_of[program] >= 0)
        add_segment(f, s, r, (uint32_t)r->segment_of[program]);
      for (uint32_t i = 0; i < r->n_schedule && program == XLM_PROGRAM_TRAIN; i++)
        add_segment(f, s, r, r->schedule[i].segment);
    }
  }
}

// ---- routes ----

static uint32_t find(const finder *f, int64_t from, int64_t to, int64_t tag) { // f->n: there is none
  for (uint32_t i = 0; i < f->n; i++)
    if (f->routes[i].from == from && f->routes[i].to == to &&
        (f->routes[i].tag == tag || f->routes[i].tag < 0))
      return i;
  return f->n;
}

static void insert(finder *f, xlm_route route) { // keeps the order
  xlm_route last = {0};
  XLM_PUSH(f->a, f->routes, f->n, f->cap, last);
  uint32_t i = f->n - 1;
  for (; i; i--) {
    const xlm_route *b = &f->routes[i - 1];
    if (b->from < route.from ||
        (b->from == route.from && (b->to < route.to || (b->to == route.to && b->tag < route.tag))))
      break;
    f->routes[i] = *b;
  }
  f->routes[i] = route;
}

static void find_tags(finder *f) { // one route per tag, with the largest message of any rank
  for (uint32_t r = 0; r < f->p->n_rank_plans; r++) {
    const xlm_rank_plan *plan = f->p->rank_plans[r];
    for (uint32_t i = 0; i < plan->n_instrs; i++) {
      const xlm_instr *in = &plan->instrs[i];
      if (!xlm_op_sends(in->op)) continue;
      xlm_route route = {.from = plan->coord[f->pp],
                         .to = (int32_t)xlm_attr_int(&in->attrs, XLM_A_peer, -1),
                         .tag = xlm_attr_int(&in->attrs, XLM_A_tag, 0),
                         .bytes = plan->tensors[in->in[0]].bytes,
                         .room = 2};
      uint32_t k = find(f, route.from, route.to, route.tag);
      if (k == f->n)
        insert(f, route);
      else if (f->routes[k].bytes < route.bytes)
        f->routes[k].bytes = route.bytes;
    }
  }
}

static const event *next_of(const actor *a, uint32_t *at, event_form form, int peer) {
  while (*at < a->n && (a->at[*at].form != form || a->at[*at].peer != peer)) (*at)++;
  return *at < a->n ? &a->at[(*at)++] : NULL;
}

static bool in_one_order(const finder *f, int from, int to) {
  uint32_t i = 0, k = 0;
  for (;;) {
    const event *sent = next_of(&f->actors[from], &i, SEND, to);
    const event *received = next_of(&f->actors[to], &k, RECV, from);
    if (!sent || !received) return !sent && !received;
    if (sent->tag != received->tag) return false;
  }
}

static void join_tags(finder *f, int from, int to) {
  xlm_route all = {.from = from, .to = to, .tag = -1, .room = 2};
  uint32_t n = 0, found = 0;
  for (uint32_t i = 0; i < f->n; i++) {
    const xlm_route *r = &f->routes[i];
    if (r->from != from || r->to != to) {
      f->routes[n++] = *r;
      continue;
    }
    all.bytes = r->bytes > all.bytes ? r->bytes : all.bytes;
    found++;
  }
  f->n = n;
  if (found) insert(f, all);
}

static void join_where_ordered(finder *f) {
  bool *together = XLM_NEW_N(f->a, bool, (size_t)f->stages *(size_t)f->stages);
  memset(together, 1, (size_t)f->stages * (size_t)f->stages);
  for (int program = 0; program < XLM_PROGRAMS; program++) {
    write_programs(f, (xlm_program_id)program);
    for (int from = 0; from < f->stages; from++)
      for (int to = 0; to < f->stages; to++) together[from * f->stages + to] &= in_one_order(f, from, to);
  }
  for (int from = 0; from < f->stages; from++)
    for (int to = 0; to < f->stages; to++)
      if (together[from * f->stages + to]) join_tags(f, from, to);
}

// ---- how much room ----

static bool step(finder *f, int stage) { // one event of a stage; false: it waits
  actor *a = &f->actors[stage];
  if (a->now == a->n || a->at[a->now].form == MEET) return false;
  const event *e = &a->at[a->now];
  uint32_t *n = &f->under_way[e->route];
  if (e->form == SEND ? *n == f->routes[e->route].room : !*n) return false;
  *n = e->form == SEND ? *n + 1 : *n - 1;
  a->now++;
  return true;
}

static bool meet(finder *f) { // true: all stages have come to a collective, and go on
  for (int s = 0; s < f->stages; s++) {
    const actor *a = &f->actors[s];
    if (a->now == a->n || a->at[a->now].form != MEET) return false;
  }
  for (int s = 0; s < f->stages; s++) f->actors[s].now++;
  return true;
}

static bool enlarge(finder *f) { // the route of the first stage that waits to send
  for (int s = 0; s < f->stages; s++) {
    const actor *a = &f->actors[s];
    if (a->now == a->n || a->at[a->now].form != SEND) continue;
    f->routes[a->at[a->now].route].room++;
    return true;
  }
  return false; // all have ended; the verifier refuses plans whose receivers wait for nothing
}

static void run(finder *f) {
  bool moves;
  for (int s = 0; s < f->stages; s++)
    for (uint32_t i = 0; i < f->actors[s].n; i++) {
      event *e = &f->actors[s].at[i];
      if (e->form != MEET)
        e->route = find(f, e->form == SEND ? s : e->peer, e->form == SEND ? e->peer : s, e->tag);
      XLM_ASSERT(e->form == MEET || e->route < f->n, "stage %d has a message that is not sent", s);
    }
  memset(f->under_way, 0, f->n * sizeof *f->under_way);
  do {
    moves = false;
    for (int s = 0; s < f->stages; s++)
      while (step(f, s)) moves = true;
  } while (moves || meet(f) || enlarge(f));
}

static void find_routes(const xlm_plan *p, xlm_arena *a, xlm_routes *out) {
  finder f = {.p = p, .a = a, .pp = xlm_mesh_axis(&p->mesh, "pp")};
  if (f.pp < 0) return;
  f.stages = p->mesh.size[f.pp];
  f.actors = XLM_NEW_N(a, actor, f.stages);
  find_tags(&f);
  join_where_ordered(&f);
  f.under_way = XLM_NEW_N(a, uint32_t, f.n + 1);
  for (int program = 0; program < XLM_PROGRAMS; program++) {
    write_programs(&f, (xlm_program_id)program);
    run(&f);
  }
  out->at = f.routes, out->n = f.n;
}

xlm_routes xlm_plan_routes(const xlm_plan *p, xlm_arena *a) {
  xlm_routes r = {0};
  find_groups(p, a, &r);
  find_routes(p, a, &r);
  return r;
}

const xlm_route *xlm_route_find(const xlm_routes *r, int64_t from, int64_t to, int64_t tag) {
  for (uint32_t i = 0; i < r->n; i++)
    if (r->at[i].from == from && r->at[i].to == to && (r->at[i].tag == tag || r->at[i].tag < 0))
      return &r->at[i];
  return NULL;
}

static bool members_share_a_plan(const xlm_plan *p, uint32_t rank, uint32_t axes) {
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(&p->mesh, rank, coord);
  for (int64_t i = 0, n = xlm_mesh_group(&p->mesh, axes); i < n; i++)
    if (p->rank_plan_of[xlm_mesh_member_rank(&p->mesh, axes, coord, i)] != p->rank_plan_of[rank])
      return false;
  return true;
}

static bool has_messages(const xlm_rank_plan *r, const xlm_segment *s) {
  for (uint32_t i = s->first; i < s->first + s->n; i++)
    if (xlm_op_is_message(r->instrs[i].op)) return true;
  return false;
}

// Every rank plan has one segment of the kind, which runs once per step, and no message is in it.
static bool is_once_everywhere(const xlm_plan *p, xlm_segment_kind kind) {
  for (uint32_t k = 0; k < p->n_rank_plans; k++) {
    const xlm_rank_plan *r = p->rank_plans[k];
    int n = 0;
    for (uint32_t s = 0; s < r->n_segments; s++) {
      if (r->segments[s].kind != kind) continue;
      if (n++ || xlm_plan_runs(r, s) != 1 || has_messages(r, &r->segments[s])) return false;
    }
    if (!n) return false;
  }
  return true;
}

bool xlm_plan_runs_together(const xlm_plan *p, uint32_t rank, uint32_t segment) {
  const xlm_rank_plan *r = p->rank_plans[p->rank_plan_of[rank]];
  const xlm_segment *s = &r->segments[segment];
  uint32_t known = 0; // the mask that was looked at last
  if (has_messages(r, s)) return false;
  if (is_once_everywhere(p, s->kind)) return true;
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    uint32_t axes = xlm_op_is_collective(r->instrs[i].op) ? group_axes(p, &r->instrs[i]) : 0;
    if (axes && axes != known && !members_share_a_plan(p, rank, axes)) return false;
    known = axes ? axes : known;
  }
  return true;
}
