// Names of the plan's enumerations, as used in reports and in JSON.
#include "runtime/plan/plan.h"

#include <string.h>

static const char *const class_names[XLM_CATEGORIES] = {"parameters", "gradients", "optimizer", "state",
                                                     "activations", "comm", "workspace", "io"};
static const char *const variant_names[XLM_VARIANTS] = {"only", "first", "middle", "last"};
static const char *const segment_names[XLM_SEG_KINDS] = {"F", "B", "W", "step", "eval", "prologue"};

static const char *const input_roles[XLM_INPUT_ROLES] = {"tokens", "lr", "step"};

const char *xlm_input_role_name(xlm_input_role r) { return input_roles[r]; }

bool xlm_input_role_find(const char *name, xlm_input_role *out) {
  for (int r = 0; r < XLM_INPUT_ROLES; r++) {
    *out = (xlm_input_role)r;
    if (!strcmp(name, input_roles[r])) return true;
  }
  return false;
}

const char *xlm_category_name(xlm_category c) {
  return class_names[c];
}
const char *xlm_segment_name(xlm_segment_kind k) {
  return segment_names[k];
}
const char *xlm_variant_name(xlm_segment_variant v) {
  return variant_names[v];
}

int64_t xlm_plan_runs(const xlm_rank_plan *r, uint32_t segment) {
  int64_t n = r->eval_segment == (int64_t)segment;
  for (uint32_t i = 0; i < r->n_schedule; i++) n += r->schedule[i].segment == segment;
  return n;
}

uint32_t xlm_plan_whole(const xlm_rank_plan *r, uint32_t segment) {
  for (uint32_t i = 0; i < r->n_segments; i++) {
    const xlm_segment *s = &r->segments[segment], *o = &r->segments[i];
    if (o->kind == s->kind && o->chunk == s->chunk && o->variant > s->variant) segment = i;
  }
  return segment;
}
