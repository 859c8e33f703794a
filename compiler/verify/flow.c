// The flow of values through the memory of one rank_plan: checks that every read finds what its tensor's
// definition wrote.
//
// For every byte of a slot and of the TEMP and IO areas, a canvas (canvas_priv.h) records which instruction
// wrote it last. A tensor can be read when all its bytes were written by its definition (the nearest tensor
// up the chain of views that an instruction writes). Each segment is run once on an empty canvas; what it
// reads before writing are its needs. Then the schedule is followed: the needs of an entry are looked up in
// earlier entries, in those with the same slot or, for TEMP and IO, in all, up to the latest that wrote
// there. That writer must be the definition, for the same microbatch; a step may read values of any
// microbatch. Values in the STATE area and inputs can always be read.
//
// Entries of one segment usually resolve their needs in the same way, so the last way is cached: the cost
// grows with the instructions of the segments plus the entries of the schedule, not with their product.
#include <string.h>

#include "compiler/verify/canvas_priv.h"
#include "compiler/verify/verify_plan_priv.h"
#include "runtime/plan/streams.h"

typedef struct need {
  uint32_t def, tensor, instr; // instr: UINT32_MAX = an output of the plan
} need;

enum { WAY = 4 };
typedef struct way { // the entries visited for the needs in one area
  uint32_t n, segment[WAY];
  bool same[WAY]; // of the same microbatch?
} way;

typedef struct painting { // the effects of one run of a segment
  canvas area[XLM_AREAS];
  need *needs;
  uint32_t n, cap;
  way ways[XLM_AREAS]; // those of TEMP and IO together at TEMP
  bool known;          // the ways are those of an entry that passed the check
} painting;

typedef struct flow {
  verifier *v;
  const xlm_rank_plan *r;
  uint32_t rank_plan;
  uint32_t *def;       // by tensor
  uint32_t *root;      // by tensor: the one that owns its memory
  bool *always;        // by definition: can always be read
  uint32_t *needed;    // segment + 1 that recorded this need last
  painting *paintings; // [n_segments]
} flow;

// ---- the state of a definition ----

typedef enum sight { NOTHING, OWN, FOREIGN } sight;

// The state of the memory of definition `def`; *other: what overwrote it.
static sight look(const flow *f, const canvas *c, uint32_t def, const paint **other) {
  const xlm_tensor *t = &f->r->tensors[def];
  uint64_t end = t->offset + t->bytes;
  uint32_t i = xlm_canvas_after(c, t->offset);
  if (i == c->n || c->at[i].begin >= end) return NOTHING;
  if (c->at[i].owner == def && c->at[i].begin == t->offset && c->at[i].end == end) return OWN;
  while (i + 1 < c->n && c->at[i].owner == def && c->at[i + 1].begin < end) i++;
  *other = &c->at[i];
  return FOREIGN;
}

// ---- one segment ----

static const char *reader_text(const flow *f, uint32_t instr) {
  return instr == UINT32_MAX ? "whoever looks at the outputs" : xlm_verify_instr(f->v, &f->r->instrs[instr]);
}

static bool written_over(const flow *f, uint32_t instr, uint32_t tensor, const paint *by) {
  const char *what = by->owner ? xlm_verify_tensor(f->v, f->r, by->owner) : "its workspace";
  return xlm_verify_fail(f->v, "%s: %s reads %s, but %s has written %s over it",
                         xlm_verify_owner(f->v, f->rank_plan), reader_text(f, instr),
                         xlm_verify_tensor(f->v, f->r, tensor),
                         xlm_verify_instr(f->v, &f->r->instrs[by->instr]), what);
}

static bool is_free(const flow *f, uint32_t def) {
  return f->always[def] || f->r->tensors[def].area == XLM_AREA_STATE || !f->r->tensors[def].bytes;
}

static bool read_operand(flow *f, uint32_t segment, uint32_t tensor, uint32_t instr) {
  painting *p = &f->paintings[segment];
  uint32_t def = f->def[tensor];
  if (is_free(f, def)) return true;
  const paint *other = NULL;
  sight s = look(f, &p->area[f->r->tensors[def].area], def, &other);
  if (s == FOREIGN) return written_over(f, instr, tensor, other);
  if (s == OWN || f->needed[def] == segment + 1) return true;
  f->needed[def] = segment + 1;
  need n = {def, tensor, instr};
  XLM_PUSH(f->v->arena, p->needs, p->n, p->cap, n);
  return true;
}

static bool overlap(const flow *f, uint32_t tensor, xlm_area area, uint64_t begin, uint64_t end) {
  const xlm_tensor *t = &f->r->tensors[tensor];
  return t->area == area && begin < end && t->bytes && t->offset < end && begin < t->offset + t->bytes;
}

// Only an in-place result may overlap an operand, and no operand or result may overlap the workspace.
static bool check_places(const flow *f, const xlm_instr *in) {
  uint64_t scratch = in->workspace_at, scratch_end = scratch + in->workspace;
  for (int i = 0; i < in->n_in + in->n_out; i++) {
    uint32_t t = i < in->n_in ? in->in[i] : in->out[i - in->n_in];
    if (overlap(f, t, XLM_AREA_TEMP, scratch, scratch_end))
      return xlm_verify_fail(f->v, "%s: the workspace of %s lies over %s",
                             xlm_verify_owner(f->v, f->rank_plan), xlm_verify_instr(f->v, in),
                             xlm_verify_tensor(f->v, f->r, t));
    for (int k = 0; i < in->n_in && k < in->n_out; k++) {
      const xlm_tensor *o = &f->r->tensors[in->out[k]];
      if (f->root[t] == f->root[in->out[k]] || !overlap(f, t, o->area, o->offset, o->offset + o->bytes))
        continue;
      return xlm_verify_fail(f->v, "%s: the result %s of %s overlaps its operand %s",
                             xlm_verify_owner(f->v, f->rank_plan), xlm_verify_tensor(f->v, f->r, in->out[k]),
                             xlm_verify_instr(f->v, in), xlm_verify_tensor(f->v, f->r, t));
    }
  }
  return true;
}

static void write_results(flow *f, painting *p, const xlm_instr *in, uint32_t instr) {
  xlm_arena *a = f->v->arena;
  xlm_canvas_paint(a, &p->area[XLM_AREA_TEMP],
                   (paint){in->workspace_at, in->workspace_at + in->workspace, 0, instr});
  for (int i = 0; i < in->n_out; i++) {
    const xlm_tensor *t = &f->r->tensors[in->out[i]];
    if (t->area == XLM_AREA_STATE) continue;
    xlm_canvas_paint(a, &p->area[t->area], (paint){t->offset, t->offset + t->bytes, in->out[i], instr});
  }
}

static bool same_list(const uint32_t *a, const uint32_t *b, int n) {
  return a == b || !memcmp(a, b, (size_t)n * sizeof *a);
}

static bool same_in_memory(const xlm_rank_plan *r, const xlm_segment *a, const xlm_segment *b) {
  if (a->kind != b->kind || a->chunk != b->chunk || a->n != b->n) return false;
  for (uint32_t i = 0; i < a->n; i++) {
    const xlm_instr *x = &r->instrs[a->first + i], *y = &r->instrs[b->first + i];
    bool waits = (x->after && y->after) ? x->after - a->first == y->after - b->first : x->after == y->after;
    if (!waits || x->stream != y->stream || x->workspace_at != y->workspace_at ||
        x->workspace != y->workspace || x->n_in != y->n_in || x->n_out != y->n_out ||
        !same_list(x->in, y->in, x->n_in) || !same_list(x->out, y->out, x->n_out))
      return false;
  }
  return true;
}

// Variants of a segment usually use the same memory; the result for one then holds for the other.
static bool find_twin(const flow *f, uint32_t segment, uint32_t *twin) {
  for (*twin = 0; *twin < segment; ++*twin)
    if (same_in_memory(f->r, &f->r->segments[*twin], &f->r->segments[segment])) return true;
  return false;
}

static bool paint_segment(flow *f, uint32_t segment) {
  const xlm_segment *s = &f->r->segments[segment];
  uint32_t twin;
  if (find_twin(f, segment, &twin)) {
    f->paintings[segment] = f->paintings[twin];
    return true;
  }
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    const xlm_instr *in = &f->r->instrs[i];
    for (int k = 0; k < in->n_in; k++)
      if (!read_operand(f, segment, in->in[k], i)) return false;
    if (!check_places(f, in)) return false;
    write_results(f, &f->paintings[segment], in, i);
  }
  return true;
}

// ---- the schedule ----

typedef struct entries {
  const xlm_segment_run *at;
  uint32_t n;
  int64_t *before[XLM_SLOT_AREAS]; // the previous entry in the same slot; -1 = none
} entries;

static int64_t before(const entries *e, int64_t i, xlm_area area) {
  return xlm_area_has_slots(area) ? e->before[area - XLM_FIRST_SLOT_AREA][i] : i - 1;
}

static const char *when(const flow *f, const entries *e, int64_t i) {
  return i < (int64_t)e->n ? xlm_verify_run(f->v, f->r, &e->at[i]) : "the end of the step";
}

// Looks up a need of entry i (n: the end of the step); *steps: the number of entries visited.
static bool find(const flow *f, const entries *e, int64_t i, int32_t microbatch, need d, uint32_t *steps) {
  xlm_area area = f->r->tensors[d.def].area;
  *steps = 0;
  for (int64_t j = before(e, i, area); j >= 0; j = before(e, j, area)) {
    const paint *other = NULL;
    ++*steps;
    sight s = look(f, &f->paintings[e->at[j].segment].area[area], d.def, &other);
    if (s == NOTHING) continue;
    if (s == FOREIGN) return written_over(f, d.instr, d.tensor, other);
    if (microbatch < 0 || e->at[j].microbatch == microbatch) return true;
    return xlm_verify_fail(f->v, "%s: in %s %s reads %s, which %s wrote last",
                           xlm_verify_owner(f->v, f->rank_plan), when(f, e, i), reader_text(f, d.instr),
                           xlm_verify_tensor(f->v, f->r, d.tensor), when(f, e, j));
  }
  return xlm_verify_fail(f->v, "%s: in %s %s reads %s, which was not written before",
                         xlm_verify_owner(f->v, f->rank_plan), when(f, e, i), reader_text(f, d.instr),
                         xlm_verify_tensor(f->v, f->r, d.tensor));
}

static way way_from(const entries *e, int64_t i, xlm_area area, uint32_t steps) {
  way w = {.n = steps};
  int64_t j = before(e, i, area);
  for (uint32_t k = 0; k < steps && k < WAY; k++, j = before(e, j, area)) {
    if (j < 0) return (way){.n = UINT32_MAX};
    w.segment[k] = e->at[j].segment;
    w.same[k] = e->at[j].microbatch == e->at[i].microbatch;
  }
  return w;
}

static bool same_way(const entries *e, int64_t i, xlm_area area, const way *known) {
  way w = way_from(e, i, area, known->n);
  return w.n == known->n && !memcmp(w.segment, known->segment, sizeof w.segment) &&
         !memcmp(w.same, known->same, sizeof w.same);
}

static bool check_entry(flow *f, const entries *e, int64_t i) {
  painting *p = &f->paintings[e->at[i].segment];
  for (int k = 0; k < XLM_SLOT_AREAS; k++)
    if (e->at[i].slot[k] < 0 && p->area[XLM_FIRST_SLOT_AREA + k].n)
      return xlm_verify_fail(f->v, "%s: %s writes values of a slot and has none",
                             xlm_verify_owner(f->v, f->rank_plan), when(f, e, i));
  bool known = p->known;
  for (int a = XLM_FIRST_SLOT_AREA; known && a <= XLM_AREA_TEMP; a++)
    known = same_way(e, i, (xlm_area)a, &p->ways[a]);
  if (known) return true;
  uint32_t most[XLM_AREAS] = {0};
  for (uint32_t k = 0; k < p->n; k++) {
    xlm_area area = f->r->tensors[p->needs[k].def].area;
    uint32_t steps, *of = &most[xlm_area_has_slots(area) ? area : XLM_AREA_TEMP];
    if (!find(f, e, i, e->at[i].microbatch, p->needs[k], &steps)) return false;
    if (steps > *of) *of = steps;
  }
  p->known = true;
  for (int a = XLM_FIRST_SLOT_AREA; a <= XLM_AREA_TEMP; a++) {
    p->known &= most[a] <= WAY;
    p->ways[a] = way_from(e, i, (xlm_area)a, most[a]);
  }
  return true;
}

// An entry without a slot is independent; the end of the step (entry n) reads the first slot.
static int64_t *follow_slots(const flow *f, const xlm_segment_run *runs, uint32_t n, int k) {
  int64_t *out = XLM_NEW_N(f->v->arena, int64_t, n + 1),
          *last = XLM_NEW_N(f->v->arena, int64_t, f->r->slots[k].n + 1);
  for (int32_t s = 0; s <= f->r->slots[k].n; s++) last[s] = -1;
  for (uint32_t i = 0; i <= n; i++) {
    int32_t slot = i < n ? runs[i].slot[k] : 0;
    out[i] = slot < 0 ? -1 : last[slot];
    if (slot >= 0) last[slot] = i;
  }
  return out;
}

static entries follow(const flow *f, const xlm_segment_run *runs, uint32_t n) {
  entries e = {.at = runs, .n = n};
  for (int k = 0; k < XLM_SLOT_AREAS; k++) e.before[k] = follow_slots(f, runs, n, k);
  return e;
}

static bool check_outputs(flow *f, const entries *e, xlm_program_id program) {
  for (uint32_t i = 0; i < f->r->n_outputs; i++) {
    uint32_t t = f->r->outputs[i].tensor, steps;
    if (f->r->outputs[i].program != program || is_free(f, f->def[t])) continue;
    if (!find(f, e, e->n, -1, (need){f->def[t], t, UINT32_MAX}, &steps)) return false;
  }
  return true;
}

static bool check_program(flow *f, xlm_program_id program) {
  uint32_t n;
  const xlm_segment_run *runs = xlm_verify_runs(f->v, f->r, program, &n);
  entries e = follow(f, runs, n);
  for (uint32_t i = 0; i < n; i++)
    if (!check_entry(f, &e, i)) return false;
  return check_outputs(f, &e, program);
}

// ---- one rank_plan ----

static void find_definitions(flow *f) {
  const xlm_rank_plan *r = f->r;
  bool *written = XLM_NEW_N(f->v->arena, bool, r->n_tensors);
  for (uint32_t i = 0; i < r->n_instrs; i++)
    for (int k = 0; k < r->instrs[i].n_out; k++) written[r->instrs[i].out[k]] = true;
  for (uint32_t t = 1; t < r->n_tensors; t++) { // a view comes after its base
    f->root[t] = r->tensors[t].view_of ? f->root[r->tensors[t].view_of] : t;
    f->def[t] = written[t] || !r->tensors[t].view_of ? t : f->def[r->tensors[t].view_of];
  }
  for (uint32_t i = 0; i < r->n_inputs; i++)
    for (int p = 0; p < XLM_PROGRAMS; p++) f->always[r->inputs[i].tensor[p]] = true;
}

// The analysis above assumes one stream; instructions that run concurrently must not conflict in memory.
static bool check_streams(flow *f) {
  for (uint32_t s = 0; s < f->r->n_segments; s++) {
    uint32_t first, then, twin;
    if (!find_twin(f, s, &twin) && !xlm_streams_check(f->r, &f->r->segments[s], f->v->arena, &first, &then))
      return xlm_verify_fail(f->v, "%s: %s does not wait for %s, which uses the same memory",
                             xlm_verify_owner(f->v, f->rank_plan),
                             xlm_verify_instr(f->v, &f->r->instrs[then]),
                             xlm_verify_instr(f->v, &f->r->instrs[first]));
  }
  return true;
}

bool xlm_verify_flow(verifier *v, uint32_t rank_plan) {
  const xlm_rank_plan *r = v->plan->rank_plans[rank_plan];
  xlm_arena *a = v->arena;
  flow f = {.v = v,
            .r = r,
            .rank_plan = rank_plan,
            .def = XLM_NEW_N(a, uint32_t, r->n_tensors),
            .root = XLM_NEW_N(a, uint32_t, r->n_tensors),
            .always = XLM_NEW_N(a, bool, r->n_tensors + 1),
            .needed = XLM_NEW_N(a, uint32_t, r->n_tensors),
            .paintings = XLM_NEW_N(a, painting, r->n_segments)};
  find_definitions(&f);
  if (!check_streams(&f)) return false;
  for (uint32_t s = 0; s < r->n_segments; s++)
    if (!paint_segment(&f, s)) return false;
  for (int p = 0; p < XLM_PROGRAMS; p++)
    if (!check_program(&f, (xlm_program_id)p)) return false;
  return true;
}
