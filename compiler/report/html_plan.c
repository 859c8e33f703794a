// `xlmc plan --format html`: the plan as one page. The C code writes the plan's data in compact JSON;
// html_*.js draws it.
#include <string.h>

#include "compiler/report/html_priv.h"
#include "compiler/report/plan_page.h"

static xlm_html_stages choose(const xlm_plan *p, xlm_arena *a) {
  int n = 0;
  for (uint32_t c = 0; c < p->n_rank_plans; c++)
    if (p->rank_plans[c]->stage >= n) n = p->rank_plans[c]->stage + 1;
  uint32_t *rank_plan = XLM_NEW_N(a, uint32_t, n);
  bool *known = XLM_NEW_N(a, bool, n);
  for (uint32_t c = 0; c < p->n_rank_plans; c++) {
    int s = p->rank_plans[c]->stage;
    if (!known[s] || p->rank_plans[c]->arena_bytes > p->rank_plans[rank_plan[s]]->arena_bytes)
      rank_plan[s] = c;
    known[s] = true;
  }
  return (xlm_html_stages){n, rank_plan};
}

static void header(xlm_html *h, const xlm_plan *p, const xlm_report_html *o) {
  xlm_html_string(h, "model", p->model);
  xlm_html_string(h, "preset", p->preset);
  xlm_html_string(h, "path", p->source_path);
  xlm_html_string(h, "hash", p->text_hash);
  xlm_html_string(h, "dtype", xlm_dtype_name(p->dtype));
  xlm_html_string(h, "schedule", o->schedule);
  xlm_html_number(h, "parameterCount", p->parameters);
  xlm_html_number(h, "flopsPerToken", p->model_flops_per_token);
  xlm_html_int(h, "batch", p->batch);
  xlm_html_int(h, "seq", p->seq);
  xlm_html_int(h, "microbatches", p->microbatches);
  xlm_html_string(h, "program", xlm_program_name(h->program));
  xlm_html_string(h, "run", xlm_report_run_name(h->program));
  xlm_html_int(h, "chunk", p->chunk);
  xlm_html_int(h, "threads", p->target.threads);
  xlm_html_int(h, "ranks", p->n_ranks);
  xlm_html_number(h, "limit", (double)o->memory_limit);
  if (o->estimate) {
    xlm_html_string(h, "cluster", o->cluster->name);
    xlm_html_number(h, "stepSeconds", o->estimate->step);
    xlm_html_number(h, "tokensPerSecond", o->estimate->tokens_per_second);
    xlm_html_number(h, "mfu", o->estimate->mfu);
  }
  xlm_html_mesh(h, "mesh", &p->mesh);
}

// The coordinates of a rank plan's ranks: minimum and maximum per axis.
static void coordinates(xlm_html *h, const xlm_plan *p, const uint32_t *count,
                        const int32_t (*low)[XLM_MAX_AXES], const int32_t (*high)[XLM_MAX_AXES], uint32_t c) {
  xlm_html_int(h, "ranks", count[c]);
  xlm_html_open(h, "coord", "[");
  for (int i = 0; i < p->mesh.n; i++) {
    xlm_html_open(h, NULL, "[");
    xlm_html_int(h, NULL, low[c][i]);
    xlm_html_int(h, NULL, high[c][i]);
    xlm_html_close(h, "]");
  }
  xlm_html_close(h, "]");
}

static void bytes(xlm_html *h, const xlm_rank_plan *r) {
  xlm_html_open(h, "bytes", "[");
  for (int k = 0; k < XLM_CATEGORIES; k++) xlm_html_int(h, NULL, (int64_t)r->category_bytes[k]);
  xlm_html_close(h, "]");
  xlm_html_int(h, "free", (int64_t)r->free_bytes);
  xlm_html_int(h, "arena", (int64_t)r->arena_bytes);
  xlm_html_open(h, "slots", "[");
  for (int k = 0; k < XLM_SLOT_AREAS; k++) xlm_html_int(h, NULL, r->slots[k].n);
  xlm_html_close(h, "]");
  if (!r->n_instrs) return;
  const xlm_instr *i = &r->instrs[r->peak_instr];
  xlm_html_open(h, "peak", "[");
  xlm_html_text(h, NULL, xlm_html_label(h->a, i->op, &i->attrs));
  xlm_html_text(h, NULL, i->scope);
  xlm_html_int(h, NULL, xlm_html_line(r, i));
  xlm_html_close(h, "]");
}

static void classes(xlm_html *h, const xlm_plan *p) {
  uint32_t *count = XLM_NEW_N(h->a, uint32_t, p->n_rank_plans);
  int32_t(*low)[XLM_MAX_AXES] = xlm_arena_alloc(h->a, sizeof *low * p->n_rank_plans);
  int32_t(*high)[XLM_MAX_AXES] = xlm_arena_alloc(h->a, sizeof *high * p->n_rank_plans);
  for (uint32_t rank = 0; rank < p->n_ranks; rank++) {
    int32_t coord[XLM_MAX_AXES];
    uint32_t c = p->rank_plan_of[rank];
    xlm_mesh_coord(&p->mesh, rank, coord);
    for (int i = 0; i < p->mesh.n; i++) {
      if (!count[c] || coord[i] < low[c][i]) low[c][i] = coord[i];
      if (!count[c] || coord[i] > high[c][i]) high[c][i] = coord[i];
    }
    count[c]++;
  }
  xlm_html_open(h, "classes", "[");
  for (uint32_t c = 0; c < p->n_rank_plans; c++) {
    xlm_html_open(h, NULL, "{");
    xlm_html_int(h, "stage", p->rank_plans[c]->stage);
    coordinates(h, p, count, (const int32_t(*)[XLM_MAX_AXES])low, (const int32_t(*)[XLM_MAX_AXES])high, c);
    bytes(h, p->rank_plans[c]);
    xlm_html_close(h, "}");
  }
  xlm_html_close(h, "]");
}

static void caches(xlm_html *h, const xlm_plan *p) {
  xlm_caches c = xlm_report_caches(p, h->a);
  xlm_html_open(h, "caches", "{");
  xlm_html_int(h, "sequence", (int64_t)c.sequence);
  xlm_html_int(h, "token", (int64_t)c.token);
  xlm_html_int(h, "rank", (int64_t)c.rank);
  xlm_html_open(h, "rows", "[");
  for (uint32_t i = 0; i < c.n; i++) {
    xlm_html_open(h, NULL, "[");
    xlm_html_text(h, NULL, c.rows[i].name);
    xlm_html_int(h, NULL, c.rows[i].n);
    xlm_html_text(h, NULL, c.rows[i].type);
    xlm_html_int(h, NULL, (int64_t)c.rows[i].sequence);
    xlm_html_int(h, NULL, (int64_t)c.rows[i].token);
    xlm_html_close(h, "]");
  }
  xlm_html_close(h, "]");
  xlm_html_close(h, "}");
}

static void write_stages(xlm_html *h, const xlm_plan *p, const xlm_html_stages *s, const xlm_cluster *c) {
  xlm_html_open(h, "stages", "[");
  for (int i = 0; i < s->n; i++) {
    xlm_html_open(h, NULL, "{");
    xlm_html_int(h, "class", s->rank_plan[i]);
    xlm_html_stage(h, p, p->rank_plans[s->rank_plan[i]], c);
    xlm_html_close(h, "}");
  }
  xlm_html_close(h, "]");
}

void xlm_report_plan_html(const xlm_plan *p, const xlm_report_html *o, xlm_text *out) {
  xlm_html h = xlm_html_new(out);
  h.program = o->program;
  xlm_html_stages s = choose(p, h.a);
  xlm_html_head(
      out, xlm_arena_printf(h.a, "%s%s%s: plan", p->model, p->preset ? " " : "", p->preset ? p->preset : ""),
      &p->mesh);
  xlm_html_open(&h, NULL, "{");
  header(&h, p, o);
  xlm_html_open(&h, "classNames", "[");
  for (int c = 0; c < XLM_CATEGORIES; c++) xlm_html_string(&h, NULL, xlm_category_name((xlm_category)c));
  xlm_html_close(&h, "]");
  classes(&h, p);
  caches(&h, p);
  xlm_html_parameters(&h, p, &s);
  xlm_html_updates(&h, p, &s, o->updates, o->n_updates);
  xlm_html_times(&h, p, &s, o->estimate);
  xlm_html_kernels(&h, p, &s, o->cluster);
  xlm_html_traffic(&h, p, &s, o->cluster);
  write_stages(&h, p, &s, o->cluster);
  xlm_html_source(&h, "source", o->source);
  xlm_html_texts(&h, "texts");
  xlm_html_close(&h, "}");
  xlm_html_foot(out, "plan");
}
