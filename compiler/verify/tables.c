// The tables of a plan: all indices are in range, and every tensor lies within its area. The plan may come
// from a file, so nothing is assumed. Later checks rely on this one.
#include <stdlib.h>

#include "compiler/verify/verify_plan_priv.h"

typedef struct tables {
  verifier *v;
  const xlm_rank_plan *r;
  uint32_t rank_plan;
} tables;

static bool fits(uint64_t offset, uint64_t bytes, uint64_t limit) {
  return offset <= limit && bytes <= limit - offset;
}

static bool slots_fit(const xlm_slots *s, uint64_t bytes) { // consecutive, and within their area
  if (s->n < 0 || !s->at || s->at[0]) return false;
  for (int32_t i = 0; i < s->n; i++)
    if (s->at[i + 1] < s->at[i] || xlm_slot_bytes(s, i) > xlm_slot_bytes(s, 0)) return false;
  return s->at[s->n] <= bytes;
}

static bool check_areas(tables *t) {
  const xlm_rank_plan *r = t->r;
  for (int a = 0; a < XLM_AREAS; a++)
    if (!fits(r->area_begin[a], r->area_bytes[a], r->arena_bytes))
      return xlm_verify_fail(t->v, "%s: area %d of the arena extends beyond its %llu bytes",
                             xlm_verify_owner(t->v, t->rank_plan), a, (unsigned long long)r->arena_bytes);
  for (int k = 0; k < XLM_SLOT_AREAS; k++)
    if (!slots_fit(&r->slots[k], r->area_bytes[XLM_FIRST_SLOT_AREA + k]))
      return xlm_verify_fail(t->v, "%s: %d slots do not fit into their area of %llu bytes",
                             xlm_verify_owner(t->v, t->rank_plan), r->slots[k].n,
                             (unsigned long long)r->area_bytes[XLM_FIRST_SLOT_AREA + k]);
  return true;
}

static bool check_tensor(tables *t, uint32_t i) {
  const xlm_tensor *x = &t->r->tensors[i];
  bool dims = x->type.rank <= XLM_MAX_RANK;
  for (int k = 0; dims && k < x->type.rank; k++) dims = x->type.dim[k] && x->type.dim[k] < t->r->n_dims;
  if (x->area >= XLM_AREAS || x->view_of >= i || !dims || x->type.dtype >= XLM_DTYPE_COUNT)
    return xlm_verify_fail(t->v, "%s: tensor %u of the plan is malformed",
                           xlm_verify_owner(t->v, t->rank_plan), i);
  if (fits(x->offset, x->bytes, xlm_plan_room(t->r, x->area))) return true;
  return xlm_verify_fail(t->v, "%s: %s (%llu bytes at %llu) extends beyond its area of %llu bytes",
                         xlm_verify_owner(t->v, t->rank_plan), xlm_verify_tensor(t->v, t->r, i),
                         (unsigned long long)x->bytes, (unsigned long long)x->offset,
                         (unsigned long long)xlm_plan_room(t->r, x->area));
}

static bool operands_exist(const tables *t, const uint32_t *list, int n) {
  for (int i = 0; i < n; i++)
    if (!list[i] || list[i] >= t->r->n_tensors) return false;
  return true;
}

static bool check_group(tables *t, const xlm_instr *in) {
  const xlm_mesh *mesh = &t->v->plan->mesh;
  int64_t axes = xlm_attr_int(&in->attrs, XLM_A_axes, 0);
  if (axes < 0 || axes >> mesh->n)
    return xlm_verify_fail(t->v, "%s: %s: axes %lld are not all in the mesh, which has %d",
                           xlm_verify_owner(t->v, t->rank_plan), xlm_verify_instr(t->v, in), (long long)axes,
                           mesh->n);
  int64_t lists = xlm_comm_of(in->op)->lists, n = xlm_mesh_group(mesh, (uint32_t)axes),
          sizes = xlm_attr_ints(&in->attrs, XLM_A_sizes).n;
  return !sizes || sizes == lists * n ||
         xlm_verify_fail(t->v, "%s: %s: `sizes` lists %lld; the group's %lld members have %lld",
                         xlm_verify_owner(t->v, t->rank_plan), xlm_verify_instr(t->v, in), (long long)sizes,
                         (long long)n, (long long)(lists * n));
}

// Checks what communication needs so that partners can be compared.
static bool check_partners(tables *t, const xlm_instr *in) {
  verifier *v = t->v;
  comm_form form;
  if (!xlm_verify_form(in->op, &form)) return true;
  if ((form != COMM_RECV && !in->n_in) || (form != COMM_SEND && !in->n_out))
    return xlm_verify_fail(v, "%s: %s lacks its operand or result", xlm_verify_owner(v, t->rank_plan),
                           xlm_verify_instr(v, in));
  if (form == COMM_COLLECTIVE) return check_group(t, in);
  int64_t peer = xlm_attr_int(&in->attrs, XLM_A_peer, -1);
  if (v->pp < 0)
    return xlm_verify_fail(v, "%s: %s goes to stage %lld, but the mesh has no axis pp",
                           xlm_verify_owner(v, t->rank_plan), xlm_verify_instr(v, in), (long long)peer);
  if (peer >= 0 && peer < v->plan->mesh.size[v->pp]) return true;
  return xlm_verify_fail(v, "%s: %s names stage %lld as its partner; there are %d stages",
                         xlm_verify_owner(v, t->rank_plan), xlm_verify_instr(v, in), (long long)peer,
                         v->plan->mesh.size[v->pp]);
}

static bool check_instr(tables *t, uint32_t i) {
  const xlm_instr *in = &t->r->instrs[i];
  if (!in->op || in->op >= XLM_OP_COUNT || !operands_exist(t, in->in, in->n_in) ||
      !operands_exist(t, in->out, in->n_out))
    return xlm_verify_fail(t->v, "%s: instruction %u refers to tensors that do not exist",
                           xlm_verify_owner(t->v, t->rank_plan), i);
  if (in->workspace && !fits(in->workspace_at, in->workspace, t->r->area_bytes[XLM_AREA_TEMP]))
    return xlm_verify_fail(t->v, "%s: the workspace of %s extends beyond its area",
                           xlm_verify_owner(t->v, t->rank_plan), xlm_verify_instr(t->v, in));
  return check_partners(t, in);
}

static bool slots_exist(const xlm_rank_plan *r, const xlm_segment_run *run) {
  for (int k = 0; k < XLM_SLOT_AREAS; k++)
    if (run->slot[k] < -1 || run->slot[k] >= r->slots[k].n) return false;
  return true;
}

static bool check_slots(tables *t) {
  uint32_t entry;
  if (xlm_plan_slots_suffice(t->r, &entry)) return true;
  if (entry == t->r->n_schedule)
    return xlm_verify_fail(t->v, "%s: a program outside the schedule uses a slot and has none",
                           xlm_verify_owner(t->v, t->rank_plan));
  return xlm_verify_fail(t->v, "%s: entry %u of the schedule has no slot, or one that is too small",
                         xlm_verify_owner(t->v, t->rank_plan), entry + 1);
}

static bool same_work(const xlm_segment *a, const xlm_segment *b) {
  return a->kind == b->kind && a->chunk == b->chunk;
}

// The first variant of a segment runs once, before the others, and the last once, after them; `only` has no
// others.
static bool variants_in_order(const xlm_rank_plan *r, uint32_t segment, xlm_segment_variant *wrong) {
  const xlm_segment *s = &r->segments[segment];
  int last = -1;
  for (uint32_t i = 0; i < r->n_schedule; i++) {
    const xlm_segment *g = &r->segments[r->schedule[i].segment];
    if (!same_work(s, g)) continue;
    *wrong = g->variant;
    bool follows = g->variant == XLM_VARIANT_ONLY     ? last <= XLM_VARIANT_ONLY
                   : g->variant == XLM_VARIANT_MIDDLE ? last != XLM_VARIANT_ONLY && last < XLM_VARIANT_LAST
                                                      : last != XLM_VARIANT_ONLY && last < (int)g->variant;
    if (!follows || (g->variant == XLM_VARIANT_FIRST && last >= 0)) return false;
    last = (int)g->variant;
  }
  return true;
}

static bool is_first_of_work(const xlm_rank_plan *r, uint32_t segment) {
  for (uint32_t i = 0; i < segment; i++)
    if (same_work(&r->segments[i], &r->segments[segment])) return false;
  return true;
}

static bool check_variants(tables *t) {
  for (uint32_t s = 0; s < t->r->n_segments; s++) {
    xlm_segment_variant wrong;
    if (!is_first_of_work(t->r, s) || variants_in_order(t->r, s, &wrong)) continue;
    return xlm_verify_fail(t->v, "%s: the schedule runs the %s variant of segment %s out of its order",
                           xlm_verify_owner(t->v, t->rank_plan), xlm_variant_name(wrong),
                           xlm_segment_name(t->r->segments[s].kind));
  }
  return true;
}

// Every segment that is a program of its own is that of its kind, and no other is.
static bool check_programs(tables *t) {
  const xlm_rank_plan *r = t->r;
  for (int p = 0; p < XLM_PROGRAMS; p++) {
    int64_t s = r->segment_of[p];
    bool known = s < (int64_t)r->n_segments && p != XLM_PROGRAM_TRAIN;
    if (s >= 0 && (!known || (int)xlm_segment_program(r->segments[s].kind) != p))
      return xlm_verify_fail(t->v, "%s: segment %lld is not the program `%s`",
                             xlm_verify_owner(t->v, t->rank_plan), (long long)s,
                             xlm_program_name((xlm_program_id)p));
  }
  for (uint32_t i = 0; i < r->n_schedule; i++)
    if (xlm_segment_program(r->segments[r->schedule[i].segment].kind) != XLM_PROGRAM_TRAIN)
      return xlm_verify_fail(t->v, "%s: entry %u of the schedule is a segment of another program",
                             xlm_verify_owner(t->v, t->rank_plan), i + 1);
  for (uint32_t i = 0; i < r->n_outputs; i++)
    if (!xlm_plan_has(r, r->outputs[i].program))
      return xlm_verify_fail(
          t->v, "%s: the output `%.200s` is of the program `%s`, which the plan does not have",
          xlm_verify_owner(t->v, t->rank_plan), r->outputs[i].name, xlm_program_name(r->outputs[i].program));
  return true;
}

static bool check_schedule(tables *t) {
  const xlm_rank_plan *r = t->r;
  for (uint32_t i = 0; i < r->n_segments; i++)
    if (!fits(r->segments[i].first, r->segments[i].n, r->n_instrs) || r->segments[i].kind >= XLM_SEG_KINDS ||
        r->segments[i].variant >= XLM_VARIANTS)
      return xlm_verify_fail(t->v, "%s: segment %u of the plan is malformed",
                             xlm_verify_owner(t->v, t->rank_plan), i);
  for (uint32_t i = 0; i < r->n_schedule; i++) {
    const xlm_segment_run *run = &r->schedule[i];
    if (run->segment >= r->n_segments || !slots_exist(r, run) || run->microbatch < -1 ||
        run->microbatch >= t->v->plan->microbatches)
      return xlm_verify_fail(
          t->v, "%s: entry %u of the schedule names a segment, slot or microbatch that does not exist",
          xlm_verify_owner(t->v, t->rank_plan), i + 1);
  }
  if (!check_variants(t)) return false;
  return check_programs(t) && check_slots(t);
}

static bool check_ids(tables *t) { // unique ids of states, inputs, outputs
  const xlm_rank_plan *r = t->r;
  uint32_t most = 0;
  for (uint32_t i = 0; i < r->n_states; i++) most = r->states[i].tensor > most ? r->states[i].tensor : most;
  for (uint32_t i = 0; i < r->n_inputs; i++) {
    for (int p = 0; p < XLM_PROGRAMS; p++)
      most = r->inputs[i].tensor[p] > most ? r->inputs[i].tensor[p] : most;
  }
  for (uint32_t i = 0; i < r->n_outputs; i++)
    most = r->outputs[i].tensor > most ? r->outputs[i].tensor : most;
  if (!most || most < r->n_tensors) return true;
  return xlm_verify_fail(t->v, "%s: a state, input or output is tensor %u, which does not exist",
                         xlm_verify_owner(t->v, t->rank_plan), most);
}

// ---- permanent tensors must not overlap ----

static int by_offset(const void *a, const void *b) {
  const xlm_tensor *x = *(const xlm_tensor *const *)a, *y = *(const xlm_tensor *const *)b;
  if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
  return (x > y) - (x < y);
}

static bool check_permanent(tables *t, xlm_area area) {
  const xlm_rank_plan *r = t->r;
  const xlm_tensor **list = XLM_NEW_N(t->v->arena, const xlm_tensor *, r->n_tensors);
  uint32_t n = 0;
  for (uint32_t i = 1; i < r->n_tensors; i++)
    if (r->tensors[i].area == area && !r->tensors[i].view_of && r->tensors[i].bytes)
      list[n++] = &r->tensors[i];
  qsort(list, n, sizeof *list, by_offset);
  for (uint32_t i = 1; i < n; i++)
    if (list[i - 1]->offset + list[i - 1]->bytes > list[i]->offset)
      return xlm_verify_fail(t->v, "%s: %s and %s overlap", xlm_verify_owner(t->v, t->rank_plan),
                             xlm_verify_tensor(t->v, r, (uint32_t)(list[i - 1] - r->tensors)),
                             xlm_verify_tensor(t->v, r, (uint32_t)(list[i] - r->tensors)));
  return true;
}

static bool check_rank_plan(verifier *v, uint32_t rank_plan) {
  tables t = {.v = v, .r = v->plan->rank_plans[rank_plan], .rank_plan = rank_plan};
  if (!check_areas(&t)) return false;
  for (uint32_t i = 1; i < t.r->n_tensors; i++)
    if (!check_tensor(&t, i)) return false;
  for (uint32_t i = 0; i < t.r->n_instrs; i++)
    if (!check_instr(&t, i)) return false;
  return check_ids(&t) && check_schedule(&t) && check_permanent(&t, XLM_AREA_STATE) &&
         check_permanent(&t, XLM_AREA_IO);
}

bool xlm_verify_tables(verifier *v) {
  const xlm_plan *p = v->plan;
  int64_t ranks = p->mesh.n <= XLM_MAX_AXES;
  for (int i = 0; ranks && i < p->mesh.n; i++) {
    bool right = p->mesh.axis[i] && p->mesh.size[i] >= 1 && p->mesh.size[i] <= XLM_MAX_RANKS / ranks;
    ranks = right ? ranks * p->mesh.size[i] : 0;
  }
  if (!ranks || ranks != p->n_ranks)

    return xlm_verify_fail(v, "the plan is for %u ranks and its mesh has another number", p->n_ranks);
  for (uint32_t r = 0; r < p->n_ranks; r++)
    if (p->rank_plan_of[r] >= p->n_rank_plans)
      return xlm_verify_fail(v, "rank %u has plan %u, which does not exist", r, p->rank_plan_of[r]);
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    if (!check_rank_plan(v, c)) return false;
  return true;
}
