// The line of a plan's page about the parts in which logits and loss are computed (the chunk_loss pass).
#include <string.h>

#include "compiler/report/report.h"

// Does it choose elements of computed logits by the numbers of an operand?
static bool reads_logits(const xlm_rank_plan *r, const xlm_instr *in) {
  const xlm_op_facts *f = xlm_op_facts_of(in->op);
  xlm_dim vocab[XLM_MAX_RANK];
  if (!f->index || !xlm_attr_dims(&in->attrs, f->index_into, vocab)) return false;
  const xlm_tensor *t = &r->tensors[in->in[0]];
  return t->category == XLM_CATEGORY_ACTIVATION && xlm_type_find(&t->type, vocab[0]) >= 0;
}

typedef struct parts {
  const xlm_instr *first; // of those that read the logits
  int64_t n, tokens;      // how often it is there, each for other tokens; the most of them
} parts;

// One instruction and those that do the same for other tokens: of the same line in the same place of the
// model. A router that picks scores by index is there once per layer.
static parts parts_like(const xlm_rank_plan *r, const xlm_segment *g, const xlm_instr *first) {
  parts p = {.first = first};
  for (uint32_t i = g->first; i < g->first + g->n; i++) {
    const xlm_instr *in = &r->instrs[i];
    if (in->op != first->op || in->line != first->line || strcmp(in->scope, first->scope)) continue;
    if (!reads_logits(r, in)) continue;
    const xlm_type *t = &r->tensors[in->in[xlm_op_facts_of(in->op)->index - 1]].type;
    int64_t tokens = xlm_type_elements(t, r->dims);
    p.n++;
    if (tokens > p.tokens) p.tokens = tokens;
  }
  return p;
}

static parts parts_of(const xlm_rank_plan *r, xlm_program_id program) {
  parts p = {0};
  for (uint32_t s = 0; s < r->n_segments && p.n <= 1; s++) {
    const xlm_segment *g = &r->segments[s];
    if (xlm_segment_program(g->kind) != program) continue;
    for (uint32_t i = g->first; i < g->first + g->n && p.n <= 1; i++)
      if (reads_logits(r, &r->instrs[i])) p = parts_like(r, g, &r->instrs[i]);
  }
  return p;
}

void xlm_report_loss_parts(const xlm_plan *plan, xlm_program_id program, xlm_text *out) {
  parts p = {0};
  for (uint32_t k = 0; k < plan->n_rank_plans && p.n <= 1; k++) p = parts_of(plan->rank_plans[k], program);
  if (p.n > 1)
    xlm_text_printf(out, "logits and loss in %lld parts of at most %s tokens, %s\n", (long long)p.n,
                    xlm_text_thousands(out->arena, p.tokens),
                    xlm_plan_where(plan, p.first->line, out->arena));
}
