// Communication of one step on the first rank of each stage's rank plan: one row per kind of collective and
// model line, with the bytes that this rank sends, by xlm_traffic_bytes.
#include <stdlib.h>
#include <string.h>

#include "compiler/report/html_priv.h"
#include "runtime/plan/traffic.h"

typedef struct row {
  const char *op, *scope;
  int axis;
  uint32_t axes, line;
  xlm_segment_kind kind;
  int64_t calls;
  uint64_t bytes; // of all calls
} row;

typedef struct table {
  row *at;
  uint32_t n, cap;
} table;

static bool same(const row *a, const row *b) {
  return a->axis == b->axis && a->axes == b->axes && a->line == b->line && a->kind == b->kind &&
         !strcmp(a->op, b->op) && !strcmp(a->scope, b->scope);
}

static void add(table *t, xlm_arena *a, row r) {
  for (uint32_t i = 0; i < t->n; i++)
    if (same(&t->at[i], &r)) {
      t->at[i].calls += r.calls;
      t->at[i].bytes += r.bytes;
      return;
    }
  XLM_PUSH(a, t->at, t->n, t->cap, r);
}

static void add_segment(table *t, xlm_arena *a, const xlm_plan *p, const xlm_rank_plan *r, uint32_t segment) {
  const xlm_segment *s = &r->segments[segment];
  int64_t calls = xlm_plan_runs(r, segment);
  for (uint32_t i = s->first; i < s->first + s->n; i++) {
    const xlm_instr *in = &r->instrs[i];
    int kind = xlm_html_kind(in->op);
    if (!kind || kind == XLM_HTML_RECV) continue; // a receive is counted at its send
    row x = {.op = xlm_op_name(in->op),
             .scope = xlm_html_pattern(a, in->scope),
             .line = xlm_html_line(r, in),
             .kind = s->kind,
             .calls = calls};
    x.bytes = (uint64_t)calls * xlm_traffic_bytes(&p->mesh, r->coord, in, r->tensors, r->dims, &x.axis);
    x.axes = (uint32_t)xlm_attr_int(&in->attrs, XLM_A_axes, 0);
    int pp = xlm_mesh_axis(&p->mesh, "pp");
    if (!x.axes && pp >= 0) x.axes = 1u << pp, x.axis = pp;
    add(t, a, x);
  }
}

static int most_first(const void *pa, const void *pb) {
  const row *a = pa, *b = pb;
  if (a->axis != b->axis) return a->axis < b->axis ? -1 : 1;
  if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
  if (a->line != b->line) return a->line < b->line ? -1 : 1;
  int op = strcmp(a->op, b->op), scope = strcmp(a->scope, b->scope);
  return op ? op : scope ? scope : (int)a->kind - (int)b->kind;
}

static void write_row(xlm_html *h, const row *r) {
  xlm_html_open(h, NULL, "[");
  xlm_html_int(h, NULL, r->axes);
  xlm_html_text(h, NULL, r->op);
  xlm_html_text(h, NULL, xlm_segment_name(r->kind));
  xlm_html_text(h, NULL, r->scope);
  xlm_html_int(h, NULL, r->line);
  xlm_html_int(h, NULL, r->calls);
  xlm_html_int(h, NULL, (int64_t)r->bytes);
  xlm_html_close(h, "]");
}

static void stage(xlm_html *h, const xlm_plan *p, const xlm_rank_plan *r) {
  table t = {0};
  for (uint32_t s = 0; s < r->n_segments; s++)
    if ((r->segments[s].kind == XLM_SEG_EVAL) == (r->n_schedule == 0)) add_segment(&t, h->a, p, r, s);
  if (t.n) qsort(t.at, t.n, sizeof *t.at, most_first);
  xlm_html_open(h, NULL, "[");
  for (uint32_t i = 0; i < t.n; i++) write_row(h, &t.at[i]);
  xlm_html_close(h, "]");
}

void xlm_html_traffic(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages) {
  xlm_html_open(h, "traffic", "[");
  for (int s = 0; s < stages->n; s++) stage(h, p, p->rank_plans[stages->rank_plan[s]]);
  xlm_html_close(h, "]");
}
