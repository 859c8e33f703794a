// Names of the plan's enumerations, as used in reports and in JSON.
#include "runtime/plan/plan.h"

const char *xlm_category_name(xlm_category c) {
  return xlm_enum_name(XLM_ENUM_CATEGORY, c);
}
const char *xlm_segment_name(xlm_segment_kind k) {
  return xlm_enum_name(XLM_ENUM_SEGMENT, k);
}
const char *xlm_program_name(xlm_program_id p) {
  return xlm_enum_name(XLM_ENUM_PROGRAM, p);
}
const char *xlm_variant_name(xlm_segment_variant v) {
  return xlm_enum_name(XLM_ENUM_VARIANT, v);
}

xlm_program_id xlm_segment_program(xlm_segment_kind k) {
  if (k == XLM_SEG_EVAL) return XLM_PROGRAM_EVAL;
  if (k == XLM_SEG_PREFILL) return XLM_PROGRAM_PREFILL;
  if (k == XLM_SEG_ENCODE) return XLM_PROGRAM_ENCODE;
  return k == XLM_SEG_DECODE ? XLM_PROGRAM_DECODE : XLM_PROGRAM_TRAIN;
}

xlm_program_id xlm_plan_main(const xlm_rank_plan *r) {
  int p = 0;
  while (p < XLM_PROGRAMS - 1 && !xlm_plan_has(r, (xlm_program_id)p)) p++;
  return (xlm_program_id)p;
}

int64_t xlm_plan_runs(const xlm_rank_plan *r, uint32_t segment) {
  int64_t n = 0;
  for (int p = 0; p < XLM_PROGRAMS; p++) n += r->segment_of[p] == (int64_t)segment;
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

xlm_model_line xlm_plan_model_line(const xlm_plan *p, uint32_t line) {
  return xlm_text_line(p->source_path, p->source_text, line);
}

const char *xlm_plan_where(const xlm_plan *p, uint32_t line, xlm_arena *a) {
  xlm_model_line at = xlm_plan_model_line(p, line);
  return xlm_arena_printf(a, "%.*s:%u", at.n, at.path, at.line);
}
