// The calls of a step, or of a run of another program, by kernel: the table of `xlmc plan` and of its page.
#include <stdlib.h>
#include <string.h>

#include "compiler/report/plan_page.h"

static bool same_kernel(const xlm_instr *a, const xlm_instr *b) {
  return a->op == b->op && !strcmp(a->variant ? a->variant : "", b->variant ? b->variant : "");
}

static const char *kernel_name(const xlm_instr *in, xlm_arena *a) {
  bool named = in->variant && *in->variant;
  return named ? xlm_arena_printf(a, "%s %s", xlm_op_name(in->op), in->variant) : xlm_op_name(in->op);
}

static int largest_first(const void *a, const void *b) {
  const xlm_kernel_row *x = a, *y = b;
  double kx = x->flops + x->bytes, ky = y->flops + y->bytes;
  return kx != ky ? (kx < ky ? 1 : -1) : strcmp(x->name, y->name);
}

static void add(xlm_kernel_row *row, const xlm_plan *p, const xlm_rank_plan *r, const xlm_instr *in,
                int64_t runs, const xlm_cluster *c) {
  bool communicates;
  row->calls += runs;
  row->flops += (double)runs * in->flops;
  row->bytes += (double)runs * in->bytes;
  if (c) row->seconds += (double)runs * xlm_estimate_instr(c, p, r, in, &communicates);
  if (c) row->floor += (double)runs * xlm_estimate_floor(c, r, in);
}

xlm_kernel_row *xlm_report_kernels(const xlm_plan *p, const xlm_rank_plan *r, xlm_program_id program,
                                   const xlm_cluster *c, xlm_arena *a, uint32_t *n) {
  xlm_kernel_row *rows = XLM_NEW_N(a, xlm_kernel_row, r->n_instrs + 1);
  *n = 0;
  for (uint32_t s = 0; s < r->n_segments; s++) {
    const xlm_segment *g = &r->segments[s];
    if (xlm_segment_program(g->kind) != program) continue;
    for (uint32_t i = g->first; i < g->first + g->n; i++) {
      const xlm_instr *in = &r->instrs[i];
      uint32_t k = 0;
      if (xlm_comm_of(in->op)) continue;
      while (k < *n && !same_kernel(rows[k].first, in)) k++;
      if (k == *n) rows[(*n)++] = (xlm_kernel_row){.name = kernel_name(in, a), .first = in};
      add(&rows[k], p, r, in, xlm_plan_runs(r, s), c);
    }
  }
  qsort(rows, *n, sizeof *rows, largest_first);
  return rows;
}
