// Rows that count. The programs of decoding have room for all sequences and a whole chunk of each; how many
// places count, and of which sequences, is said with every run, by the input `decode/count`. Where a result
// has the rows [batch, chunk] its kernel can leave out the sequences before the first that counts and behind
// the last one, and the places behind the last that counts in any.
//
// Rows that do not count are those of tokens that are not there; nothing that counts depends on them, but
// experts have rows of several places: where there are some, all are computed. So they are where a sequence
// has places before its text, which are rows of another dimension.
#include <string.h>

#include "runtime/exec/exec_priv.h"

static bool is_named(const xlm_exec *e, xlm_dim d, const char *name) {
  return !strcmp(e->rank->dims[d].name, name);
}

static bool makes_rows(const xlm_rank_plan *r, xlm_program_id program) {
  if (r->segment_of[program] < 0) return false;
  const xlm_segment *s = &r->segments[r->segment_of[program]];
  for (uint32_t i = s->first; i < s->first + s->n; i++)
    if (xlm_op_facts_of(r->instrs[i].op)->makes_rows) return true;
  return false;
}

bool xlm_exec_leaves_rows(const xlm_plan *p, xlm_program_id program) {
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    if (makes_rows(p->rank_plans[c], program)) return false;
  return !p->prefix;
}

static const xlm_row_range *rows_of(const xlm_exec *e, const exec_rows *r, const xlm_instr *in) {
  const xlm_type *t = in->n_out == 1 ? &e->rank->tensors[in->out[0]].type : NULL;
  if (!t || t->rank < 2 || t->dim[0] != r->batch) return NULL;
  const xlm_dim_info *d = &e->rank->dims[t->dim[1]];
  if (d->size != d->full || d->ragged) return NULL;
  if (is_named(e, t->dim[1], "chunk.last")) return &r->last;
  return is_named(e, t->dim[1], "chunk") && d->full == r->places ? &r->all : NULL;
}

static void find_rows(xlm_exec *e, xlm_program_id program, const xlm_type *count) {
  const xlm_segment *s = &e->rank->segments[e->rank->segment_of[program]];
  exec_rows *r = &e->rows[program];
  *r = (exec_rows){.batch = count->dim[0], .places = program == XLM_PROGRAM_PREFILL ? e->plan->chunk : 1};
  int64_t sequences = e->rank->dims[r->batch].size;
  r->last = (xlm_row_range){0, sequences, sequences, 1, 1};
  r->all = (xlm_row_range){0, sequences, sequences, r->places, r->places};
  for (uint32_t i = s->first; i < s->first + s->n; i++)
    e->bound[i].call.rows = rows_of(e, r, &e->rank->instrs[i]);
}

void exec_find_rows(xlm_exec *e) {
  static const xlm_program_id programs[] = {XLM_PROGRAM_PREFILL, XLM_PROGRAM_DECODE};
  for (int k = 0; k < 2; k++)
    for (uint32_t i = 0; i < e->rank->n_inputs; i++) {
      const xlm_plan_input *in = &e->rank->inputs[i];
      uint32_t tensor = in->role == XLM_INPUT_COUNT ? in->tensor[programs[k]] : 0;
      if (tensor && xlm_exec_leaves_rows(e->plan, programs[k]))
        find_rows(e, programs[k], &e->rank->tensors[tensor].type);
    }
}

void exec_count_rows(xlm_exec *e, xlm_program_id program, const int32_t *count) {
  exec_rows *r = &e->rows[program];
  int64_t first = count ? r->all.of : 0, end = count ? 0 : r->all.of, most = count ? 0 : r->places;
  for (int64_t i = 0; count && i < r->all.of; i++) {
    if (count[i] <= 0) continue;
    first = i < first ? i : first, end = i + 1;
    most = count[i] > most ? count[i] : most;
  }
  if (!end) first = 0;
  r->all.first = r->last.first = first;
  r->all.n = r->last.n = end - first;
  r->all.most = most < r->places ? most : r->places;
}
