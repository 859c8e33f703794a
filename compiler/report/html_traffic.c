// Communication of one step on the first rank of each stage's rank plan: one row per kind of collective and
// model line, with the bytes that this rank sends, by xlm_traffic_bytes. On a cluster, also the time of its
// calls and what of it is exposed: during which no kernel of this rank runs.
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
  double seconds,
      exposed; // of all calls; exposed: UNKNOWN of messages, whose waits are the pipeline's idle time
} row;

enum { UNKNOWN = -1 };

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
      t->at[i].seconds += r.seconds;
      if (r.exposed != UNKNOWN) t->at[i].exposed += r.exposed;
      return;
    }
  XLM_PUSH(a, t->at, t->n, t->cap, r);
}

// Seconds of `at` during which no kernel of the segment runs.
static double exposed(const xlm_rank_plan *r, const xlm_segment *s, const xlm_interval *times,
                      const xlm_interval *at) {
  double left = at->end - at->start;
  for (uint32_t i = 0; i < s->n; i++) { // kernels are on one stream: they do not overlap
    if (xlm_comm_of(r->instrs[s->first + i].op)) continue;
    double from = times[i].start > at->start ? times[i].start : at->start,
           to = times[i].end < at->end ? times[i].end : at->end;
    if (to > from) left -= to - from;
  }
  return left > 0 ? left : 0;
}

static void add_times(row *x, const xlm_cluster *c, const xlm_plan *p, const xlm_rank_plan *r,
                      const xlm_segment *s, uint32_t instr, const xlm_interval *times) {
  const xlm_instr *in = &r->instrs[instr];
  bool group = xlm_comm_of(in->op)->group;
  const xlm_interval *at = &times[instr - s->first];
  x->seconds = (double)x->calls * (group ? at->end - at->start : xlm_estimate_message(c, p, r, in));
  x->exposed = group ? (double)x->calls * exposed(r, s, times, at) : UNKNOWN;
}

static void add_segment(table *t, xlm_arena *a, const xlm_plan *p, const xlm_rank_plan *r, uint32_t segment,
                        const xlm_cluster *c) {
  const xlm_segment *s = &r->segments[segment];
  int64_t calls = xlm_plan_runs(r, segment);
  const xlm_interval *times = c ? xlm_estimate_instrs(c, p, r, s, a) : NULL;
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
    if (times) add_times(&x, c, p, r, s, i, times);
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
  xlm_html_number(h, NULL, r->seconds);
  xlm_html_number(h, NULL, r->exposed);
  xlm_html_close(h, "]");
}

static void stage(xlm_html *h, const xlm_plan *p, const xlm_rank_plan *r, const xlm_cluster *c) {
  table t = {0};
  for (uint32_t s = 0; s < r->n_segments; s++)
    if (xlm_segment_program(r->segments[s].kind) == h->program) add_segment(&t, h->a, p, r, s, c);
  if (t.n) qsort(t.at, t.n, sizeof *t.at, most_first);
  xlm_html_open(h, NULL, "[");
  for (uint32_t i = 0; i < t.n; i++) write_row(h, &t.at[i]);
  xlm_html_close(h, "]");
}

void xlm_html_traffic(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages, const xlm_cluster *c) {
  xlm_html_open(h, "traffic", "[");
  for (int s = 0; s < stages->n; s++) stage(h, p, p->rank_plans[stages->rank_plan[s]], c);
  xlm_html_close(h, "]");
}
