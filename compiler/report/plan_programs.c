// What a plan's programs are called in reports, and how decoding stores what it reads: parameters in panels,
// and its caches, per sequence and per token.
#include <string.h>

#include "compiler/report/plan_page.h"

const char *xlm_report_run_name(xlm_program_id program) {
  static const char *const name[XLM_PROGRAMS] = {[XLM_PROGRAM_TRAIN] = "step",
                                                 [XLM_PROGRAM_EVAL] = "pass",
                                                 [XLM_PROGRAM_PREFILL] = "chunk",
                                                 [XLM_PROGRAM_DECODE] = "token",
                                                 [XLM_PROGRAM_ENCODE] = "encoding"};
  return name[program];
}

const char *xlm_report_work(const xlm_plan *p, xlm_program_id program, xlm_arena *a) {
  long long batch = p->batch, seq = p->seq;
  if (program == XLM_PROGRAM_TRAIN)
    return xlm_arena_printf(a, "%lld x %lld tokens per step, %s", batch * (long long)p->microbatches, seq,
                            xlm_text_plural(a, p->microbatches, "microbatch"));
  if (program == XLM_PROGRAM_EVAL) return xlm_arena_printf(a, "%lld x %lld tokens", batch, seq);
  if (program == XLM_PROGRAM_ENCODE)
    return xlm_arena_printf(a, "inputs of %s", xlm_text_plural(a, p->batch, "sequence"));
  return xlm_arena_printf(a, "%s of up to %s, %lld at a time", xlm_text_plural(a, p->batch, "sequence"),
                          xlm_text_plural(a, p->seq, "token"),
                          (long long)(program == XLM_PROGRAM_PREFILL ? p->chunk : 1));
}

// ---- caches ----

typedef struct finder {
  const xlm_plan *p;
  xlm_arena *a;
  xlm_caches out;
  uint32_t cap;
  const char **seen; // names of caches: ranks have pieces of one under one name
  uint32_t n_seen, cap_seen;
} finder;

// The dimension whose rows are of one token each; 0: there is none, as in a state. What has the last row only
// is a state, too.
static xlm_dim ring_of(const xlm_rank_plan *r, uint32_t tensor) {
  xlm_dim ring[XLM_MAX_RANK];
  for (uint32_t i = 0; i < r->n_instrs; i++)
    if (r->instrs[i].n_in && r->instrs[i].in[0] == tensor &&
        xlm_attr_dims(&r->instrs[i].attrs, XLM_A_past, ring) &&
        xlm_type_find(&r->tensors[tensor].type, ring[0]) >= 0 && r->dims[ring[0]].full > 1)
      return ring[0];
  return 0;
}

// What one sequence has of it, with its bytes.
static const char *type_of_one(const xlm_rank_plan *r, const xlm_type *t, xlm_arena *a, uint64_t *bytes) {
  xlm_text text = xlm_text_new(a);
  const char *before = "[";
  *bytes = xlm_dtype_bytes(t->dtype);
  xlm_text_add(&text, xlm_dtype_name(t->dtype));
  for (int i = 0; i < t->rank; i++) {
    const xlm_dim_info *d = &r->dims[t->dim[i]];
    if (!strcmp(d->name, "batch")) continue;
    xlm_text_printf(&text, "%s%s %lld", before, d->name, (long long)d->full);
    *bytes *= (uint64_t)d->full;
    before = ", ";
  }
  xlm_text_add(&text, *before == ',' ? "]" : "");
  return text.data;
}

static xlm_cache_row *row_of(finder *f, const char *name, const char *type) {
  for (uint32_t i = 0; i < f->out.n; i++)
    if (!strcmp(f->out.rows[i].name, name) && !strcmp(f->out.rows[i].type, type)) return &f->out.rows[i];
  xlm_cache_row row = {.name = name, .type = type};
  XLM_PUSH(f->a, f->out.rows, f->out.n, f->cap, row);
  return &f->out.rows[f->out.n - 1];
}

static void add(finder *f, const xlm_rank_plan *r, const xlm_plan_state *s) {
  for (uint32_t i = 0; i < f->n_seen; i++)
    if (!strcmp(f->seen[i], s->name)) return;
  XLM_PUSH(f->a, f->seen, f->n_seen, f->cap_seen, s->name);
  uint64_t bytes;
  const char *type = type_of_one(r, &r->tensors[s->tensor].type, f->a, &bytes);
  xlm_cache_row *row = row_of(f, xlm_report_pattern(f->a, s->name), type);
  xlm_dim ring = ring_of(r, s->tensor);
  uint64_t token = ring && r->dims[ring].full ? bytes / (uint64_t)r->dims[ring].full : 0;
  row->n++;
  row->sequence += bytes, row->token += token;
  f->out.sequence += bytes, f->out.token += token;
}

xlm_caches xlm_report_caches(const xlm_plan *p, xlm_arena *a) {
  finder f = {.p = p, .a = a};
  for (uint32_t c = 0; c < p->n_rank_plans; c++) {
    const xlm_rank_plan *r = p->rank_plans[c];
    for (uint32_t i = 0; i < r->n_states; i++)
      if (r->states[i].role == XLM_ROLE_CACHE) add(&f, r, &r->states[i]);
    uint64_t here = r->category_bytes[XLM_CATEGORY_CACHE];
    if (here > f.out.rank) f.out.rank = here;
  }
  return f.out;
}

void xlm_report_caches_text(const xlm_plan *p, xlm_text *out) {
  xlm_arena *a = out->arena;
  xlm_caches c = xlm_report_caches(p, a);
  if (!c.n) return;
  xlm_text_printf(out, "caches  %s per sequence, %s per token%s\n", xlm_text_bytes(a, c.sequence),
                  xlm_text_bytes(a, c.token), p->n_ranks > 1 ? ", over all ranks" : "");
  for (uint32_t i = 0; i < c.n; i++)
    xlm_text_printf(out, "  %4u x %s  %s\n", c.rows[i].n, c.rows[i].name, c.rows[i].type);
}

// ---- panels ----

// Of the rank with the most.
void xlm_report_panels_text(const xlm_plan *p, xlm_text *out) {
  uint64_t most = 0;
  int width = 0;
  for (uint32_t c = 0; c < p->n_rank_plans; c++) {
    const xlm_rank_plan *r = p->rank_plans[c];
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < r->n_states; i++) {
      const xlm_tensor *t = &r->tensors[r->states[i].tensor];
      if (t->type.panels.width) bytes += t->bytes, width = t->type.panels.width;
    }
    if (bytes > most) most = bytes;
  }
  if (most)
    xlm_text_printf(out,
                    "panels  %s of parameters are stored as products read them, %d columns side by side\n",
                    xlm_text_bytes(out->arena, most), width);
}
