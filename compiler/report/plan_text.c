// `xlmc plan` as text: bytes per category, the tensors live at the peak, and the distribution of FLOPs.
#include <stdlib.h>
#include <string.h>

#include "compiler/report/plan_page.h"
#include "compiler/report/report.h"

typedef struct page {
  const xlm_plan *p;
  const xlm_rank_plan *r;
  const xlm_report_options *o;
  xlm_text *t;
  xlm_arena *a;
} page;

static const char *where(page *g, uint32_t line, const char *scope) {
  const char *s = scope && *scope ? scope : "model";
  return line ? xlm_arena_printf(g->a, "%s, %s", s, xlm_plan_where(g->p, line, g->a)) : s;
}

void xlm_report_plan_header(const xlm_plan *p, xlm_program_id program, const char *schedule, xlm_text *t) {
  xlm_arena *a = t->arena;
  xlm_text_printf(t, "%s%s%s  %s parameters  %s   %s", p->model, p->preset ? " " : "",
                  p->preset ? p->preset : "", xlm_text_count(a, p->parameters), xlm_dtype_name(p->dtype),
                  xlm_text_plural(a, p->n_ranks, "rank"));
  for (int i = 0; i < p->mesh.n; i++)
    xlm_text_printf(t, "%s%s %d", i ? " x " : " = ", p->mesh.axis[i], p->mesh.size[i]);
  xlm_text_printf(t, "   %s%s%s", xlm_report_work(p, program, a), schedule ? ", " : "",
                  schedule ? schedule : "");
  xlm_text_printf(t, "\nplanned for %s %s\n\n", p->target.backend, p->target.arch);
}

static void memory_table(page *g) {
  const xlm_rank_plan *r = g->r;
  xlm_text_add(g->t, "memory of one rank, at its peak\n");
  for (int c = 0; c < XLM_CATEGORIES; c++) {
    if (!r->category_bytes[c]) continue;
    xlm_text_printf(g->t, "  %s", xlm_category_name((xlm_category)c));
    xlm_text_pad(g->t, 16);
    xlm_text_printf(g->t, "%12s\n", xlm_text_bytes(g->a, r->category_bytes[c]));
  }
  if (r->free_bytes) xlm_text_printf(g->t, "  between         %10s\n", xlm_text_bytes(g->a, r->free_bytes));
  xlm_text_printf(g->t, "  arena           %12s   %s bytes\n", xlm_text_bytes(g->a, r->arena_bytes),
                  xlm_text_thousands(g->a, (int64_t)r->arena_bytes));
  if (r->n_instrs) {
    const xlm_instr *i = &r->instrs[r->peak_instr];
    xlm_text_printf(g->t, "  the peak is at `%s` of %s\n", xlm_op_name(i->op), where(g, i->line, i->scope));
  }
}

static void fits(page *g) {
  uint64_t limit = g->o->memory_limit, need = g->r->arena_bytes;
  if (!limit) return;
  if (need <= limit)
    xlm_text_printf(g->t, "FITS  %s, %s free\n", xlm_text_bytes(g->a, limit),
                    xlm_text_bytes(g->a, limit - need));
  else
    xlm_text_printf(g->t, "DOES NOT FIT  %s over the limit of %s\n", xlm_text_bytes(g->a, need - limit),
                    xlm_text_bytes(g->a, limit));
}

typedef struct row {
  const char *name;
  double key;
  const xlm_tensor *tensor;
} row;

static int descending(const void *a, const void *b) {
  const row *x = a, *y = b;
  return x->key != y->key ? (x->key < y->key ? 1 : -1) : strcmp(x->name, y->name);
}

// By tensor: does the program write it?
static const bool *find_written(const page *g) {
  const xlm_rank_plan *r = g->r;
  bool *written = XLM_NEW_N(g->a, bool, r->n_tensors);
  for (uint32_t s = 0; s < r->n_segments; s++) {
    const xlm_segment *x = &r->segments[s];
    if (xlm_segment_program(x->kind) != g->o->program) continue;
    for (uint32_t i = x->first; i < x->first + x->n; i++)
      for (int k = 0; k < r->instrs[i].n_out; k++) written[r->instrs[i].out[k]] = true;
  }
  return written;
}

static void largest_tensors(page *g) {
  const xlm_rank_plan *r = g->r;
  const bool *written = find_written(g);
  row *rows = XLM_NEW_N(g->a, row, r->n_tensors);
  uint32_t n = 0;
  for (uint32_t i = 1; i < r->n_tensors; i++) {
    const xlm_tensor *t = &r->tensors[i];
    if (!written[i] || t->view_of || t->category != XLM_CATEGORY_ACTIVATION) continue;
    rows[n++] = (row){.name = t->name ? t->name : "", .key = (double)t->bytes, .tensor = t};
  }
  qsort(rows, n, sizeof *rows, descending);
  int top = g->o->top ? g->o->top : 8;
  if (n) xlm_text_add(g->t, "\nlargest activations\n");
  for (uint32_t i = 0; i < n && (int)i < top; i++) {
    const xlm_tensor *t = rows[i].tensor;
    xlm_text_printf(g->t, "  %12s  %s[", xlm_text_bytes(g->a, t->bytes), xlm_dtype_name(t->type.dtype));
    for (int k = 0; k < t->type.rank; k++) {
      const xlm_dim_info *d = &r->dims[t->type.dim[k]];
      xlm_text_printf(g->t, "%s%s %lld", k ? ", " : "", d->name, (long long)d->size);
    }
    xlm_text_printf(g->t, "]  %s  %s\n", rows[i].name, xlm_plan_where(g->p, t->line, g->a));
  }
}

static void op_table(page *g) {
  uint32_t n;
  xlm_kernel_row *rows = xlm_report_kernels(g->p, g->r, g->o->program, g->o->cluster, g->a, &n);
  double flops = 0, bytes = 0;
  int width = 18;
  for (uint32_t i = 0; i < n; i++) {
    if ((int)strlen(rows[i].name) > width) width = (int)strlen(rows[i].name);
    flops += rows[i].flops, bytes += rows[i].bytes;
  }
  xlm_text_printf(g->t, "\nkernels of one %s\n  %-*s    calls      FLOPs  share      bytes  share%s\n",
                  xlm_report_run_name(g->o->program), width, "op", g->o->cluster ? "      floor" : "");
  for (uint32_t i = 0; i < n; i++) {
    xlm_text_printf(
        g->t, "  %-*s %8lld %10s %5.1f%% %10s %5.1f%%", width, rows[i].name, (long long)rows[i].calls,
        xlm_text_count(g->a, rows[i].flops), flops > 0 ? 100 * rows[i].flops / flops : 0.0,
        xlm_text_bytes(g->a, (uint64_t)rows[i].bytes), bytes > 0 ? 100 * rows[i].bytes / bytes : 0.0);
    if (g->o->cluster) xlm_text_printf(g->t, " %10s", xlm_report_seconds(g->a, rows[i].floor));
    xlm_text_add(g->t, "\n");
  }
}

void xlm_report_plan_text(const xlm_plan *p, const xlm_report_options *o, xlm_text *out) {
  page g = {.p = p, .r = p->rank_plans[0], .o = o, .t = out, .a = out->arena};
  xlm_report_plan_header(p, o->program, NULL, out);
  memory_table(&g);
  fits(&g);
  xlm_report_panels_text(p, out);
  xlm_report_caches_text(p, out);
  xlm_text_printf(out, "\nmodel FLOPs     %s per token%s\n",
                  xlm_text_count(out->arena, p->model_flops_per_token),
                  o->program == XLM_PROGRAM_TRAIN ? ", forward and backward" : ", forward");
  xlm_report_loss_parts(p, o->program, out);
  op_table(&g);
  largest_tensors(&g);
}
