// `xlmc plan` for several ranks: a table of stages, whether they fit, communication and its causes, and the
// estimate.
#include <string.h>

#include "compiler/report/plan_page.h"
#include "runtime/base/dict.h"

typedef struct page {
  const xlm_plan *p;
  const xlm_plan_page *o;
  xlm_text *t;
  xlm_arena *a;
  xlm_stage_row *stage;
  int n_stages;
} page;

static void header(page *g) {
  bool piped = g->n_stages > 1 && g->o->program == XLM_PROGRAM_TRAIN;
  xlm_report_plan_header(g->p, g->o->program, piped ? g->o->schedule : NULL, g->t);
}

// ---- stages ----

typedef struct column {
  const char *name;
  uint32_t categories; // bit set
  uint32_t programs;   // for which it is there, a bit set; 0 = all
} column;

#define BIT(c) (1u << XLM_CATEGORY_##c)
#define OF(p) (1u << XLM_PROGRAM_##p)
static const column columns[] = {
    {"params", BIT(PARAMETER), 0},        {"grads", BIT(GRADIENT), OF(TRAIN)},
    {"optim", BIT(OPTIMIZER), OF(TRAIN)}, {"caches", BIT(CACHE), OF(PREFILL) | OF(DECODE) | OF(ENCODE)},
    {"activations", BIT(ACTIVATION), 0},  {"comm", BIT(COMM), 0},
    {"workspace", BIT(WORKSPACE), 0},     {"other", BIT(STATE) | BIT(IO), 0},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static bool has_column(const page *g, int c) {
  return !columns[c].programs || columns[c].programs >> g->o->program & 1;
}

static size_t width_of_rounds(const page *g) {
  size_t w = strlen("rounds");
  for (int s = 0; s < g->n_stages; s++)
    if (strlen(g->stage[s].rounds) > w) w = strlen(g->stage[s].rounds);
  return w < 24 ? w : 24;
}

static const char *where(page *g, const xlm_rank_plan *r) {
  const xlm_instr *in = &r->instrs[r->peak_instr];
  const char *scope = *in->scope ? in->scope : xlm_report_value_of(r, in);
  uint32_t line = xlm_report_line_of(r, in);
  if (!*scope) scope = "the step";
  return line ? xlm_arena_printf(g->a, "%s of %s, %s", xlm_op_name(in->op), scope,
                                 xlm_plan_where(g->p, line, g->a))
              : xlm_arena_printf(g->a, "%s of %s", xlm_op_name(in->op), scope);
}

static void stage_table(page *g) {
  size_t rounds = 7 + width_of_rounds(g) + 2;
  xlm_text_add(g->t, "stage  rounds");
  xlm_text_pad(g->t, rounds);
  for (int c = 0; c < COLUMNS; c++)
    if (has_column(g, c)) xlm_text_printf(g->t, "%11s ", columns[c].name);
  xlm_text_add(g->t, "       peak  at\n");
  for (int s = 0; s < g->n_stages; s++) {
    const xlm_rank_plan *r = g->stage[s].rank;
    xlm_text_printf(g->t, "%-6d %s", s, *g->stage[s].rounds ? g->stage[s].rounds : "-");
    xlm_text_pad(g->t, rounds);
    for (int c = 0; c < COLUMNS; c++) {
      if (!has_column(g, c)) continue;
      uint64_t bytes = 0;
      for (int k = 0; k < XLM_CATEGORIES; k++)
        bytes += columns[c].categories >> k & 1 ? r->category_bytes[k] : 0;
      xlm_text_printf(g->t, "%11s ", xlm_text_bytes(g->a, bytes));
    }
    xlm_text_printf(g->t, "%11s  %s\n", xlm_text_bytes(g->a, r->arena_bytes), r->n_instrs ? where(g, r) : "");
  }
}

static int fullest(const page *g) {
  int most = 0;
  for (int s = 1; s < g->n_stages; s++)
    if (g->stage[s].rank->arena_bytes > g->stage[most].rank->arena_bytes) most = s;
  return most;
}

static void fits(page *g) {
  int s = fullest(g);
  uint64_t need = g->stage[s].rank->arena_bytes, limit = g->o->memory_limit;
  if (!limit)
    xlm_text_printf(
        g->t, "the fullest rank, of stage %d, needs %s; --memory-limit or --cluster says whether that fits\n",
        s, xlm_text_bytes(g->a, need));
  else if (need <= limit)
    xlm_text_printf(g->t, "FITS  %s on every rank, %s free on the fullest\n", xlm_text_bytes(g->a, limit),
                    xlm_text_bytes(g->a, limit - need));
  else
    xlm_text_printf(g->t, "DOES NOT FIT  stage %d needs %s, %s over the %s of a rank\n", s,
                    xlm_text_bytes(g->a, need), xlm_text_bytes(g->a, need - limit),
                    xlm_text_bytes(g->a, limit));
  if (g->o->advice) xlm_text_printf(g->t, "  %s\n", g->o->advice);
}

static void experts(page *g) {
  xlm_experts e = xlm_report_experts(g->p, g->a);
  if (!e.worst) return;
  xlm_text_printf(
      g->t,
      "experts  rows routed to experts: %s with a balanced router, %s planned for the worst case; the rank "
      "%s and %s\n",
      xlm_text_bytes(g->a, e.balanced), xlm_text_bytes(g->a, e.worst), xlm_text_bytes(g->a, e.arena_balanced),
      xlm_text_bytes(g->a, e.arena));
}

// ---- communication ----

static void traffic_row(page *g, const xlm_traffic_row *r) {
  xlm_text_printf(g->t, "%-6s %-15s %7lld x %-11s", xlm_report_axes(&g->p->mesh, r->axes, g->a), r->op,
                  (long long)r->count, xlm_text_bytes(g->a, r->bytes));
  xlm_text_printf(g->t, " %-30s", *r->value ? r->value : "-");
  if (r->line) xlm_text_printf(g->t, " %s", xlm_plan_where(g->p, r->line, g->a));
  const char *line = xlm_report_line(g->o->source, r->line, 48, g->a);
  if (*line) xlm_text_printf(g->t, "  %s", line);
  xlm_text_add(g->t, "\n");
}

// The largest rows of each axis, in the order of the table.
static void traffic_rows(page *g, const xlm_traffic_row *rows, uint32_t n) {
  uint32_t top = g->o->top ? (uint32_t)g->o->top : 24, axes = 0;
  for (uint32_t i = 0; i < n; i++) axes += !i || rows[i].axis != rows[i - 1].axis;
  uint32_t each = axes ? (top + axes - 1) / axes : 0, of_axis = 0;
  uint64_t rest = 0, rest_rows = 0;
  for (uint32_t i = 0; i < n; i++) {
    of_axis = i && rows[i].axis == rows[i - 1].axis ? of_axis + 1 : 0;
    if (of_axis < each)
      traffic_row(g, &rows[i]);
    else
      rest += rows[i].bytes * (uint64_t)rows[i].count, rest_rows++;
  }
  if (rest_rows)
    xlm_text_printf(g->t, "and %llu smaller kinds, %s together\n", (unsigned long long)rest_rows,
                    xlm_text_bytes(g->a, rest));
}

static void axis_totals(page *g, const xlm_traffic_row *rows, uint32_t n) {
  xlm_text_add(g->t, "sent per axis");
  for (uint32_t i = 0, k; i < n; i = k) {
    uint64_t bytes = 0;
    double seconds = 0;
    for (k = i; k < n && rows[k].axis == rows[i].axis; k++)
      bytes += rows[k].bytes * (uint64_t)rows[k].count, seconds += rows[k].seconds;
    xlm_text_printf(g->t, "%s  %s %s", i ? "," : "", g->p->mesh.axis[rows[i].axis],
                    xlm_text_bytes(g->a, bytes));
    if (seconds > 0) xlm_text_printf(g->t, " in %s", xlm_report_seconds(g->a, seconds));
  }
  xlm_text_add(g->t, "\n");
}

static void communication(page *g) {
  uint32_t n;
  xlm_traffic_row *rows = xlm_report_traffic(g->p, g->o->program, g->o->cluster, g->a, &n);
  xlm_text_printf(g->t, "\ncommunication per %s and rank: how often x bytes sent, of what, for which line\n",
                  xlm_report_run_name(g->o->program));
  if (!n) xlm_text_add(g->t, "none\n");
  traffic_rows(g, rows, n);
  if (n) axis_totals(g, rows, n);
  xlm_text_printf(g->t, "verified: %s ranks, %s operations matched, no cycle\n",
                  xlm_text_thousands(g->a, g->p->n_ranks), xlm_text_thousands(g->a, g->o->verified));
}

// ---- updates ----

// "layers.3.attention.wq" -> "layers.*.attention.wq": one name for the parameters of all rounds.
static const char *of_all_rounds(xlm_arena *a, const char *path) {
  xlm_text t = xlm_text_new(a);
  for (const char *p = path; *p;) {
    size_t n = strcspn(p, "."), digits = strspn(p, "0123456789");
    xlm_text_printf(&t, "%s%.*s", t.n ? "." : "", digits == n ? 1 : (int)n, digits == n ? "*" : p);
    p += n + (p[n] == '.');
  }
  return t.data;
}

// The names of a row's parameters, in lines of at most 110 characters.
static void put_names(const xlm_update_row *u, xlm_text *t) {
  xlm_dict seen = {0};
  size_t width = 0;
  for (int64_t i = 0; i < u->parameters; i++) {
    const char *name = of_all_rounds(t->arena, u->names[i]);
    if (xlm_dict_get(&seen, name)) continue;
    xlm_dict_put(t->arena, &seen, name, (void *)(uintptr_t)u);
    bool fits = width && width + strlen(name) + 2 <= 110;
    xlm_text_printf(t, "%s%s", fits ? ", " : width ? ",\n    " : "    ", name);
    width = (fits ? width + 2 : 4) + strlen(name);
  }
  xlm_text_add(t, "\n");
}

void xlm_report_updates(const xlm_plan_page *o, xlm_text *t) {
  size_t group = strlen("default");
  for (int i = 0; i < o->n_updates; i++)
    if (strlen(o->updates[i].choice.group) > group) group = strlen(o->updates[i].choice.group);
  if (!o->n_updates) return;
  xlm_text_add(t, "\nupdates\n  group");
  xlm_text_pad(t, 4 + group);
  xlm_text_add(t, "optimizer   tensors  parameters  learning rate  weight decay\n");
  for (int i = 0; i < o->n_updates; i++) {
    const xlm_update_row *u = &o->updates[i];
    xlm_text_printf(t, "  %s", u->choice.group);
    xlm_text_pad(t, 4 + group);
    xlm_text_printf(t, "%-10s %8lld %11s", u->choice.frozen ? "frozen" : u->choice.optimizer->name,
                    (long long)u->parameters, xlm_text_count(t->arena, u->elements));
    if (!u->choice.frozen) xlm_text_printf(t, " %11s %-3g %11g", "x", u->choice.lr, u->choice.weight_decay);
    xlm_text_add(t, "\n");
    put_names(u, t);
  }
}

static void model_flops(page *g) {
  const xlm_plan *p = g->p;
  double tokens = (double)(p->batch * p->microbatches * p->seq);
  xlm_text_printf(g->t, "\nmodel FLOPs  %s per token, ", xlm_text_count(g->a, p->model_flops_per_token));
  if (g->o->program == XLM_PROGRAM_TRAIN)
    xlm_text_printf(g->t, "forward and backward; %s per step\n",
                    xlm_text_count(g->a, p->model_flops_per_token * tokens));
  else
    xlm_text_add(g->t, "forward\n");
}

void xlm_report_plan_ranks(const xlm_plan *p, const xlm_plan_page *o, xlm_text *out) {
  page g = {.p = p, .o = o, .t = out, .a = out->arena};
  g.stage = xlm_report_stages(p, g.a, &g.n_stages);
  header(&g);
  stage_table(&g);
  fits(&g);
  xlm_report_panels_text(p, out);
  xlm_report_caches_text(p, out);
  experts(&g);
  communication(&g);
  model_flops(&g);
  xlm_report_loss_parts(p, o->program, out);
  xlm_report_updates(o, out);
  xlm_report_estimate(p, o, out);
}
