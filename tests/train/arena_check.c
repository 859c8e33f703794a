// Models the arena as a row of cells between all boundaries of tensors; each cell records the value written
// there last, and for which microbatch. The schedule is run on it instruction by instruction, without
// lifetimes: a read that finds another value than it needs means that memory was reused too early.
#include "tests/train/arena_check.h"

#include <stdlib.h>
#include <string.h>

typedef struct owner {
  uint32_t value; // tensor; 0 = nothing, SCRATCH = some kernel's workspace
  int32_t microbatch;
} owner;

enum { SCRATCH = UINT32_MAX };
enum { WHOLE_STEP = -2 }; // instead of a microbatch: what the prologue computes

typedef struct range {
  uint64_t begin, end;
} range;

typedef struct model {
  const xlm_rank_plan *p;
  xlm_arena *a;
  uint64_t *edge; // sorted places; cell i is [edge[i], edge[i + 1])
  uint32_t n_edges;
  owner *cell;
  uint32_t *value; // tensor -> the tensor that an instruction (or none) wrote, of which it is a view
  bool *is_state;
  int32_t microbatch;
  const int32_t *slot; // of the entry that runs; NULL: none
  const xlm_instr *now;
} model;

static const char *complain(model *m, uint32_t tensor, const char *what) {
  const char *name = tensor && tensor != SCRATCH ? m->p->tensors[tensor].name : NULL;
  return xlm_arena_printf(m->a, "instruction %d `%s` (%s, line %u), microbatch %d: tensor %u '%s' %s",
                          m->now ? (int)(m->now - m->p->instrs) : -1,
                          m->now ? xlm_op_name(m->now->op) : "the feeder", m->now ? m->now->scope : "",
                          m->now ? m->now->line : 0, m->microbatch, tensor, name ? name : "", what);
}

static range range_of(const model *m, uint32_t tensor) {
  const xlm_tensor *t = &m->p->tensors[tensor];
  uint64_t at = xlm_plan_place(m->p, t, m->slot);
  return (range){at, at + t->bytes};
}

static range scratch_of(const model *m, const xlm_instr *in) {
  uint64_t at = m->p->area_begin[XLM_AREA_TEMP] + in->workspace_at;
  return (range){at, at + in->workspace};
}

// ---- cells ----

static int by_place(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void make_cells(model *m) {
  const xlm_rank_plan *p = m->p;
  uint32_t slots = 1, n = 0;
  for (int k = 0; k < XLM_SLOT_AREAS; k++)
    if ((uint32_t)p->slots[k].n > slots) slots = (uint32_t)p->slots[k].n;
  m->edge = XLM_NEW_N(m->a, uint64_t, 2 * ((uint64_t)p->n_tensors * slots + p->n_instrs));
  for (uint32_t t = 1; t < p->n_tensors; t++) {
    xlm_area area = p->tensors[t].area;
    int32_t copies = xlm_area_has_slots(area) ? p->slots[area - XLM_FIRST_SLOT_AREA].n : 1;
    for (int32_t s = 0; s < copies; s++) {
      m->slot = (const int32_t[]){s, s, s};
      range r = range_of(m, t);
      m->edge[n++] = r.begin, m->edge[n++] = r.end;
    }
  }
  m->slot = NULL;
  for (uint32_t i = 0; i < p->n_instrs; i++) {
    range r = scratch_of(m, &p->instrs[i]);
    m->edge[n++] = r.begin, m->edge[n++] = r.end;
  }
  qsort(m->edge, n, sizeof *m->edge, by_place);
  for (uint32_t i = 0; i < n; i++)
    if (!m->n_edges || m->edge[i] != m->edge[m->n_edges - 1]) m->edge[m->n_edges++] = m->edge[i];
  m->cell = XLM_NEW_N(m->a, owner, m->n_edges);
}

static uint32_t cell_at(const model *m, uint64_t place) {
  return (uint32_t)((uint64_t *)bsearch(&place, m->edge, m->n_edges, sizeof place, by_place) - m->edge);
}

static void claim(model *m, range r, uint32_t value) {
  if (r.begin == r.end) return;
  uint32_t end = cell_at(m, r.end);
  for (uint32_t c = cell_at(m, r.begin); c < end; c++) m->cell[c] = (owner){value, m->microbatch};
}

// ---- reading and writing ----

static uint32_t root(const model *m, uint32_t t) {
  while (t != SCRATCH && m->p->tensors[t].view_of) t = m->p->tensors[t].view_of;
  return t;
}

// A state has the value of an earlier microbatch or step; anything else must have been computed in the
// prologue, in this microbatch or, for values that the step reads, in any.
static bool may_read(const model *m, uint32_t value, owner o) {
  if (m->is_state[value])
    return o.value == 0 || (o.value != SCRATCH && root(m, o.value) == value && o.microbatch != m->microbatch);
  return o.value == value &&
         (o.microbatch == m->microbatch || o.microbatch == WHOLE_STEP || m->microbatch < 0);
}

static const char *read_tensor(model *m, uint32_t t) {
  range r = range_of(m, t);
  if (r.begin == r.end) return NULL;
  uint32_t end = cell_at(m, r.end), value = m->value[t];
  for (uint32_t c = cell_at(m, r.begin); c < end; c++)
    if (!may_read(m, value, m->cell[c])) {
      owner o = m->cell[c];
      const char *by = o.value && o.value != SCRATCH ? m->p->tensors[o.value].name : NULL;
      return complain(m, t,
                      xlm_arena_printf(m->a, "is read, but its memory holds %u '%s' of microbatch %d",
                                       o.value,
                                       o.value == SCRATCH ? "scratch"
                                       : by               ? by
                                                          : "",
                                       o.microbatch));
    }
  return NULL;
}

static bool overlap(range a, range b) {
  return a.begin < b.end && b.begin < a.end;
}

// Operands, results and scratch of one instruction share memory only where the plan says so (in place).
static const char *check_apart(model *m, const xlm_instr *in) {
  for (int k = 0; k < in->n_out; k++) {
    range out = range_of(m, in->out[k]);
    if (overlap(out, scratch_of(m, in))) return complain(m, in->out[k], "overlaps the instruction's scratch");
    for (int i = 0; i < in->n_in; i++)
      if (overlap(out, range_of(m, in->in[i])) && root(m, in->in[i]) != root(m, in->out[k]))
        return complain(m, in->out[k], "overlaps an operand");
    for (int j = 0; j < k; j++)
      if (overlap(out, range_of(m, in->out[j]))) return complain(m, in->out[k], "overlaps another result");
  }
  for (int i = 0; i < in->n_in; i++)
    if (overlap(range_of(m, in->in[i]), scratch_of(m, in)))
      return complain(m, in->in[i], "overlaps the instruction's scratch");
  return NULL;
}

static const char *run_instr(model *m, const xlm_instr *in) {
  const char *wrong = check_apart(m, in);
  m->now = in;
  for (int i = 0; i < in->n_in && !wrong; i++) wrong = read_tensor(m, in->in[i]);
  if (wrong) return wrong;
  claim(m, scratch_of(m, in), SCRATCH);
  for (int k = 0; k < in->n_out; k++) claim(m, range_of(m, in->out[k]), in->out[k]);
  return NULL;
}

static void feed(model *m, xlm_segment_kind kind) {
  xlm_program_id program = xlm_segment_program(kind);
  m->now = NULL;
  for (uint32_t i = 0; i < m->p->n_inputs; i++) {
    const xlm_plan_input *in = &m->p->inputs[i];
    uint32_t t = in->tensor[program];
    if (in->whole_step != (kind == XLM_SEG_PROLOGUE)) continue;
    if (xlm_area_has_slots(m->p->tensors[t].area) &&
        (!m->slot || m->slot[m->p->tensors[t].area - XLM_FIRST_SLOT_AREA] < 0))
      continue;
    if (t) claim(m, range_of(m, t), t);
  }
}

static const char *run_segment(model *m, uint32_t segment, int32_t microbatch, const int32_t *slot) {
  const xlm_segment *s = &m->p->segments[segment];
  const char *wrong = NULL;
  m->microbatch = s->kind == XLM_SEG_PROLOGUE ? WHOLE_STEP : microbatch;
  m->slot = slot;
  if (s->kind == XLM_SEG_PROLOGUE || s->kind == XLM_SEG_F || s->kind == XLM_SEG_STEP ||
      xlm_segment_program(s->kind) != XLM_PROGRAM_TRAIN)
    feed(m, s->kind);
  for (uint32_t i = 0; i < s->n && !wrong; i++) wrong = run_instr(m, &m->p->instrs[s->first + i]);
  return wrong;
}

static const char *read_outputs(model *m, xlm_program_id program) {
  const char *wrong = NULL;
  m->now = NULL;
  m->microbatch = -1;
  for (uint32_t i = 0; i < m->p->n_outputs && !wrong; i++)
    if (m->p->outputs[i].program == program && !m->is_state[m->value[m->p->outputs[i].tensor]])
      wrong = read_tensor(m, m->p->outputs[i].tensor);
  return wrong;
}

// One training step, then the other programs, each of which finds only states.
static const char *run_schedule(model *m) {
  const xlm_rank_plan *p = m->p;
  const char *wrong = NULL;
  for (uint32_t i = 0; i < p->n_schedule && !wrong; i++)
    wrong = run_segment(m, p->schedule[i].segment, p->schedule[i].microbatch, p->schedule[i].slot);
  if (!wrong && p->n_schedule) wrong = read_outputs(m, XLM_PROGRAM_TRAIN);
  for (int k = XLM_PROGRAM_TRAIN + 1; k < XLM_PROGRAMS && !wrong; k++) {
    if (!xlm_plan_has(p, (xlm_program_id)k)) continue;
    memset(m->cell, 0, m->n_edges * sizeof *m->cell);
    wrong = run_segment(m, (uint32_t)p->segment_of[k], -1, NULL);
    if (!wrong) wrong = read_outputs(m, (xlm_program_id)k);
  }
  return wrong;
}

// ---- what does not need running ----

static const char *check_place(model *m, uint32_t t) {
  const xlm_tensor *x = &m->p->tensors[t];
  uint64_t room = xlm_plan_room(m->p, x->area);
  if (x->offset % 64) return complain(m, t, "is not aligned");
  if (x->bytes < xlm_type_bytes(&x->type, m->p->dims)) return complain(m, t, "has too few bytes");
  return x->offset + x->bytes > room ? complain(m, t, "lies outside its area") : NULL;
}

static const char *check_sums(model *m) {
  const xlm_rank_plan *p = m->p;
  uint64_t classes = p->free_bytes, areas = 0;
  for (int c = 0; c < XLM_CATEGORIES; c++) classes += p->category_bytes[c];
  for (int a = 0; a < XLM_AREAS; a++) {
    if (p->area_begin[a] != areas) return "the areas are not one after the other";
    areas += p->area_bytes[a];
  }
  for (int k = 0; k < XLM_SLOT_AREAS; k++)
    if (p->area_bytes[XLM_FIRST_SLOT_AREA + k] != p->slots[k].at[p->slots[k].n])
      return "the slots do not fill their area";
  if (areas != p->arena_bytes) return "the areas do not add up to the arena";
  if (classes != p->arena_bytes)
    return xlm_arena_printf(m->a, "classes and free bytes add up to %llu of %llu bytes",
                            (unsigned long long)classes, (unsigned long long)p->arena_bytes);
  for (uint32_t i = 0; i < p->n_instrs; i++)
    if (p->instrs[i].workspace &&
        p->instrs[i].workspace_at + p->instrs[i].workspace > p->area_bytes[XLM_AREA_TEMP])
      return "scratch outside the temporary area";
  return NULL;
}

static void resolve(model *m) {
  const xlm_rank_plan *p = m->p;
  bool *written = XLM_NEW_N(m->a, bool, p->n_tensors);
  m->value = XLM_NEW_N(m->a, uint32_t, p->n_tensors);
  m->is_state = XLM_NEW_N(m->a, bool, p->n_tensors);
  for (uint32_t i = 0; i < p->n_instrs; i++)
    for (int k = 0; k < p->instrs[i].n_out; k++) written[p->instrs[i].out[k]] = true;
  for (uint32_t t = 1; t < p->n_tensors; t++)
    m->value[t] = written[t] || !p->tensors[t].view_of ? t : m->value[p->tensors[t].view_of];
  for (uint32_t i = 0; i < p->n_states; i++) m->is_state[p->states[i].tensor] = true;
}

const char *arena_check(const xlm_rank_plan *p, xlm_arena *a) {
  model m = {.p = p, .a = a};
  const char *wrong = check_sums(&m);
  for (uint32_t t = 1; t < p->n_tensors && !wrong; t++) wrong = check_place(&m, t);
  if (wrong) return wrong;
  resolve(&m);
  make_cells(&m);
  return run_schedule(&m);
}
