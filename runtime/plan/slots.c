// Slots of one area differ in size. A plan may come from a file, so the bounds of every entry of the schedule
// in its slots are checked; otherwise a run could overwrite other values.
#include "runtime/plan/plan.h"

typedef struct reach { // bytes from the start of a slot, per area with slots
  uint64_t bytes[XLM_SLOT_AREAS];
} reach;

static void extend(reach *r, const xlm_tensor *t) {
  if (!xlm_area_has_slots(t->area)) return;
  uint64_t *bytes = &r->bytes[t->area - XLM_FIRST_SLOT_AREA];
  if (t->offset + t->bytes > *bytes) *bytes = t->offset + t->bytes;
}

static reach reach_of(const xlm_rank_plan *p, const xlm_segment *s) {
  reach r = {0};
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    const xlm_instr *in = &p->instrs[i];
    for (int k = 0; k < in->n_in; k++) extend(&r, &p->tensors[in->in[k]]);
    for (int k = 0; k < in->n_out; k++) extend(&r, &p->tensors[in->out[k]]);
  }
  for (uint32_t i = 0; s->kind == XLM_SEG_F && i < p->n_inputs; i++) // inputs are filled before the forward
    if (p->inputs[i].chunk < 0 || p->inputs[i].chunk == s->chunk)
      extend(&r, &p->tensors[p->inputs[i].tensor[XLM_PROGRAM_TRAIN]]);
  xlm_program_id program = xlm_segment_program(s->kind);
  for (uint32_t i = 0; program != XLM_PROGRAM_TRAIN && i < p->n_inputs; i++)
    extend(&r, &p->tensors[p->inputs[i].tensor[program]]);
  return r;
}

static bool within(const xlm_rank_plan *p, const reach *r, const int32_t *slot) {
  for (int k = 0; k < XLM_SLOT_AREAS; k++)
    if (r->bytes[k] > xlm_slot_bytes(&p->slots[k], slot[k])) return false;
  return true;
}

bool xlm_plan_slots_suffice(const xlm_rank_plan *p, uint32_t *entry) {
  static const int32_t none[XLM_SLOT_AREAS] = {-1, -1, -1};
  for (uint32_t s = 0; s < p->n_segments; s++) {
    reach r = reach_of(p, &p->segments[s]);
    for (*entry = 0; *entry < p->n_schedule; ++*entry)
      if (p->schedule[*entry].segment == s && !within(p, &r, p->schedule[*entry].slot)) return false;
    if (xlm_segment_program(p->segments[s].kind) != XLM_PROGRAM_TRAIN && !within(p, &r, none)) return false;
  }
  return true;
}
