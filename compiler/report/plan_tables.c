// Tables for plans of several ranks: stages, communication, packed rows.
#include <stdlib.h>
#include <string.h>

#include "compiler/report/plan_page.h"
#include "runtime/plan/traffic.h"

// ---- stages ----

static int by_number(const void *a, const void *b) {
  return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

// The number in "layers.3.attention"; -1 when the scope has none.
static int round_of(const char *scope) {
  for (const char *s = scope; *s; s += strcspn(s, "."), s += *s == '.')
    if (*s >= '0' && *s <= '9') return atoi(s);
  return -1;
}

static const char *ranges(const int *at, uint32_t n, xlm_arena *a) {
  xlm_text t = xlm_text_new(a);
  for (uint32_t i = 0; i < n;) {
    uint32_t last = i;
    while (last + 1 < n && at[last + 1] <= at[last] + 1) last++;
    xlm_text_printf(&t, t.n ? ",%d" : "%d", at[i]);
    if (at[last] > at[i]) xlm_text_printf(&t, "-%d", at[last]);
    i = last + 1;
  }
  return t.n ? t.data : "";
}

static const char *rounds_of(const xlm_rank_plan *r, xlm_arena *a) {
  int *seen = NULL, last = -1;
  uint32_t n = 0, cap = 0;
  for (uint32_t s = 0; s < r->n_segments; s++) {
    const xlm_segment *g = &r->segments[s];
    bool forward = r->n_schedule ? g->kind == XLM_SEG_F : (int)s == r->segment_of[xlm_plan_main(r)];
    for (uint32_t i = g->first; forward && i < g->first + g->n; i++) {
      int k = round_of(r->instrs[i].scope);
      bool message = xlm_op_is_message(r->instrs[i].op); // named after its origin
      if (k < 0 || k == last || message) continue;
      XLM_PUSH(a, seen, n, cap, k);
      last = k;
    }
  }
  if (n) qsort(seen, n, sizeof *seen, by_number);
  return ranges(seen, n, a);
}

xlm_stage_row *xlm_report_stages(const xlm_plan *p, xlm_arena *a, int *n) {
  *n = 1;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    if (p->rank_plans[c]->stage >= *n) *n = p->rank_plans[c]->stage + 1;
  xlm_stage_row *rows = XLM_NEW_N(a, xlm_stage_row, *n);
  for (uint32_t c = 0; c < p->n_rank_plans; c++) {
    xlm_stage_row *row = &rows[p->rank_plans[c]->stage];
    if (!row->rank || p->rank_plans[c]->arena_bytes > row->rank->arena_bytes)
      row->rank = p->rank_plans[c], row->rank_plan = c;
  }
  for (int s = 0; s < *n; s++) rows[s].rounds = rounds_of(rows[s].rank, a);
  return rows;
}

// ---- communication ----

typedef struct traffic {
  const xlm_plan *p;
  const xlm_cluster *c;
  xlm_arena *a;
  xlm_traffic_row *at;
  uint32_t n, cap;
} traffic;

const char *xlm_report_pattern(xlm_arena *a, const char *name) {
  xlm_text t = xlm_text_new(a);
  for (const char *s = name; *s;) {
    size_t n = strcspn(s, "./");
    bool number = n && strspn(s, "0123456789") == n;
    xlm_text_addn(&t, number ? "*" : s, number ? 1 : n);
    s += n;
    if (*s) xlm_text_addn(&t, s++, 1);
  }
  return t.n ? t.data : "";
}

static uint32_t owner(const xlm_rank_plan *r, uint32_t t) {
  while (r->tensors[t].view_of) t = r->tensors[t].view_of;
  return t;
}

const char *xlm_report_value_of(const xlm_rank_plan *r, const xlm_instr *in) {
  const char *name = in->n_in ? r->tensors[in->in[0]].name : NULL;
  if (!name && in->n_in) name = r->tensors[owner(r, in->in[0])].name;
  if (!name && in->n_out) name = r->tensors[in->out[0]].name;
  return name ? name : in->scope;
}

uint32_t xlm_report_line_of(const xlm_rank_plan *r, const xlm_instr *in) {
  return in->line || !in->n_in ? in->line : r->tensors[owner(r, in->in[0])].line;
}

static bool same(const xlm_traffic_row *a, const xlm_traffic_row *b) {
  return a->axes == b->axes && a->line == b->line && a->bytes == b->bytes && !strcmp(a->op, b->op) &&
         !strcmp(a->value, b->value);
}

static void add(traffic *t, uint32_t from, xlm_traffic_row row) {
  for (uint32_t i = from; i < t->n; i++)
    if (same(&t->at[i], &row)) {
      t->at[i].count += row.count;
      t->at[i].seconds += row.seconds;
      return;
    }
  XLM_PUSH(t->a, t->at, t->n, t->cap, row);
}

static void add_instr(traffic *t, uint32_t from, const xlm_rank_plan *r, const xlm_instr *in, int64_t times) {
  xlm_traffic_row row = {.op = xlm_op_name(in->op), .line = xlm_report_line_of(r, in), .count = times};
  if (xlm_op_receives(in->op) || !in->n_in) return;
  bool communication = false;
  row.bytes = xlm_traffic_bytes(&t->p->mesh, r->coord, in, r->tensors, r->dims, &row.axis);
  if (!row.bytes) return;
  row.axes = (uint32_t)xlm_attr_int(&in->attrs, XLM_A_axes, 0);
  if (!row.axes) row.axes = 1u << row.axis;
  row.value = xlm_report_pattern(t->a, xlm_report_value_of(r, in));
  if (t->c)
    row.seconds = (double)times * (xlm_estimate_instr(t->c, t->p, r, in, &communication) +
                                   xlm_estimate_message(t->c, t->p, r, in));
  add(t, from, row);
}

// Appends the rows of one stage to the table and merges: of equal rows the larger count remains.
static void add_stage(traffic *t, const xlm_rank_plan *r, xlm_program_id program) {
  uint32_t from = t->n, kept = t->n;
  for (uint32_t s = 0; s < r->n_segments; s++) {
    const xlm_segment *g = &r->segments[s];
    int64_t times = xlm_plan_runs(r, s);
    if (xlm_segment_program(g->kind) != program) continue;
    for (uint32_t i = g->first; i < g->first + g->n; i++) add_instr(t, from, r, &r->instrs[i], times);
  }
  for (uint32_t i = from; i < t->n; i++) {
    uint32_t k = 0;
    while (k < from && !same(&t->at[k], &t->at[i])) k++;
    if (k == from)
      t->at[kept++] = t->at[i];
    else if (t->at[i].count > t->at[k].count)
      t->at[k] = t->at[i];
  }
  t->n = kept;
}

static int most_first(const void *pa, const void *pb) {
  const xlm_traffic_row *a = pa, *b = pb;
  double x = (double)a->bytes * (double)a->count, y = (double)b->bytes * (double)b->count;
  if (a->axis != b->axis) return a->axis > b->axis ? -1 : 1; // tp, the innermost, first
  if (x != y) return x < y ? 1 : -1;
  if (a->line != b->line) return a->line < b->line ? -1 : 1;
  int op = strcmp(a->op, b->op);
  return op ? op : strcmp(a->value, b->value);
}

xlm_traffic_row *xlm_report_traffic(const xlm_plan *p, xlm_program_id program, const xlm_cluster *c,
                                    xlm_arena *a, uint32_t *n) {
  traffic t = {.p = p, .c = c, .a = a};
  int stages;
  xlm_stage_row *rows = xlm_report_stages(p, a, &stages);
  for (int s = 0; s < stages; s++) add_stage(&t, rows[s].rank, program);
  if (t.n) qsort(t.at, t.n, sizeof *t.at, most_first);
  *n = t.n;
  return t.at;
}

const char *xlm_report_axes(const xlm_mesh *m, uint32_t axes, xlm_arena *a) {
  xlm_text t = xlm_text_new(a);
  for (int i = 0; i < m->n; i++)
    if (axes >> i & 1 && m->size[i] > 1) xlm_text_printf(&t, "%s%s", t.n ? "," : "", m->axis[i]);
  return t.n ? t.data : "";
}

// ---- packed rows ----

typedef struct live { // live bytes, by bound and balanced; of packed tensors and of all
  double packed, packed_balanced, all, all_balanced;
} live;

typedef struct life {
  uint32_t first, last; // instruction; UINT32_MAX = never
} life;

static bool is_packed(const xlm_rank_plan *r, uint32_t t) {
  for (int i = 0; i < r->tensors[t].type.rank; i++)
    if (r->dims[r->tensors[t].type.dim[i]].ragged) return true;
  return false;
}

static void touch(life *lives, uint32_t tensor, uint32_t at) {
  life *l = &lives[tensor];
  if (l->first == UINT32_MAX) l->first = at;
  l->last = at;
}

static bool is_timed(const xlm_rank_plan *r, uint32_t s) { // every instruction of the main program once
  return xlm_segment_program(r->segments[s].kind) == xlm_plan_main(r) && xlm_plan_whole(r, s) == s;
}

static life *find_lives(const xlm_rank_plan *r, xlm_arena *a) {
  life *lives = XLM_NEW_N(a, life, r->n_tensors);
  uint32_t *own = XLM_NEW_N(a, uint32_t, r->n_tensors); // the tensor that owns its memory; a view comes after
                                                        // its base
  for (uint32_t t = 0; t < r->n_tensors; t++) lives[t] = (life){UINT32_MAX, 0};
  for (uint32_t t = 1; t < r->n_tensors; t++) own[t] = r->tensors[t].view_of ? own[r->tensors[t].view_of] : t;
  for (uint32_t s = 0; s < r->n_segments; s++)
    for (uint32_t i = r->segments[s].first; is_timed(r, s) && i < r->segments[s].first + r->segments[s].n;
         i++) {
      const xlm_instr *in = &r->instrs[i];
      for (int k = 0; k < in->n_in; k++) touch(lives, own[in->in[k]], i);
      for (int k = 0; k < in->n_out; k++) touch(lives, own[in->out[k]], i);
    }
  return lives;
}

// Number of slots of each area used by the microbatches of a chunk.
typedef struct copies {
  double of[XLM_SLOT_AREAS];
} copies;

static copies *count_copies(const xlm_rank_plan *r, xlm_arena *a) {
  int chunks = 1;
  for (uint32_t s = 0; s < r->n_segments; s++)
    if (r->segments[s].chunk >= chunks) chunks = r->segments[s].chunk + 1;
  copies *out = XLM_NEW_N(a, copies, chunks);
  for (int k = 0; k < XLM_SLOT_AREAS; k++) {
    bool *seen = XLM_NEW_N(a, bool, (size_t)chunks *(size_t)(r->slots[k].n + 1));
    for (uint32_t i = 0; i < r->n_schedule; i++) {
      int chunk = r->segments[r->schedule[i].segment].chunk, slot = r->schedule[i].slot[k];
      if (slot < 0 || chunk < 0 || seen[chunk * r->slots[k].n + slot]) continue;
      seen[chunk * r->slots[k].n + slot] = true;
      out[chunk].of[k]++;
    }
  }
  return out;
}

static void add_live(live *l, const xlm_rank_plan *r, uint32_t t, double times) {
  double bytes = times * (double)r->tensors[t].bytes, fill = xlm_estimate_fill(r, t);
  bool packed = is_packed(r, t);
  l->all += bytes;
  l->all_balanced += bytes * fill;
  if (packed) l->packed += bytes, l->packed_balanced += bytes * fill;
}

static int chunk_at(const xlm_rank_plan *r, uint32_t instr) {
  for (uint32_t s = 0; s < r->n_segments; s++)
    if (instr >= r->segments[s].first && instr - r->segments[s].first < r->segments[s].n)
      return r->segments[s].chunk > 0 ? r->segments[s].chunk : 0;
  return 0;
}

// Live bytes at the peak, over all positions of one microbatch; slots count for all microbatches in flight of
// their chunk.
static live peak_of(const xlm_rank_plan *r, xlm_arena *a, bool *any) {
  life *lives = find_lives(r, a);
  copies *of_chunk = count_copies(r, a);
  live *delta = XLM_NEW_N(a, live, r->n_instrs + 2), now = {0}, most = {0};
  for (uint32_t t = 1; t < r->n_tensors; t++) {
    *any |= is_packed(r, t);
    if (r->tensors[t].view_of || lives[t].first == UINT32_MAX) continue;
    xlm_area area = r->tensors[t].area;
    if (area != XLM_AREA_TEMP && !xlm_area_has_slots(area)) continue;
    double n =
        area == XLM_AREA_TEMP ? 1 : of_chunk[chunk_at(r, lives[t].first)].of[area - XLM_FIRST_SLOT_AREA];
    add_live(&delta[lives[t].first], r, t, n);
    add_live(&delta[lives[t].last + 1], r, t, -n);
  }
  for (uint32_t i = 0; i < r->n_instrs; i++) {
    now.packed += delta[i].packed, now.packed_balanced += delta[i].packed_balanced;
    now.all += delta[i].all, now.all_balanced += delta[i].all_balanced;
    if (now.packed > most.packed) most.packed = now.packed, most.packed_balanced = now.packed_balanced;
    if (now.all > most.all) most.all = now.all;
    if (now.all_balanced > most.all_balanced) most.all_balanced = now.all_balanced;
  }
  return most;
}

xlm_experts xlm_report_experts(const xlm_plan *p, xlm_arena *a) {
  xlm_experts out = {0};
  for (uint32_t c = 0; c < p->n_rank_plans; c++) {
    const xlm_rank_plan *r = p->rank_plans[c];
    bool any = false;
    if (r->arena_bytes <= out.arena) continue;
    live l = peak_of(r, a, &any);
    if (!any) continue;
    double rest = (double)r->arena_bytes - l.all; // states, inputs, workspace, gaps
    out = (xlm_experts){(uint64_t)l.packed, (uint64_t)l.packed_balanced, r->arena_bytes,
                        (uint64_t)((rest > 0 ? rest : 0) + l.all_balanced)};
  }
  return out;
}

// ---- names and units ----

const char *xlm_report_seconds(xlm_arena *a, double s) {
  if (s >= 100) return xlm_arena_printf(a, "%.0f s", s);
  if (s >= 1) return xlm_arena_printf(a, "%.2f s", s);
  if (s >= 1e-3) return xlm_arena_printf(a, "%.*f ms", s >= 0.1 ? 0 : 2, s * 1e3);
  return xlm_arena_printf(a, "%.1f us", s * 1e6);
}

const char *xlm_report_line(const xlm_source *s, uint32_t line, int most, xlm_arena *a) {
  const char *p = s && line ? s->text : "";
  for (uint32_t i = 1; i < line && p; i++) p = (p = strchr(p, '\n')) ? p + 1 : NULL;
  if (!p) return "";
  p += strspn(p, " \t");
  int n = (int)strcspn(p, "\r\n");
  const char *comment = memchr(p, '#', (size_t)n);
  if (comment) n = (int)(comment - p);
  while (n && p[n - 1] == ' ') n--;
  return n > most ? xlm_arena_printf(a, "%.*s..", most - 2, p) : xlm_arena_printf(a, "%.*s", n, p);
}
