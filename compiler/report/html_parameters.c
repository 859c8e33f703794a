// The split of each parameter: parameters that differ only in the index of a repeat, with the same shape,
// share a row. Also the split of its optimizer state, which ZeRO may split further.
#include <string.h>

#include "compiler/report/html_priv.h"

typedef struct row {
  const char *name, *type;
  const xlm_rank_plan *r;
  const xlm_tensor *t;
  uint32_t optimizer; // axes that the optimizer's values are split over
  int64_t copies;
  uint64_t stages; // bits; the 64th stands for all later ones
} row;

typedef struct table {
  row *at;
  uint32_t n, cap;
} table;

static uint32_t optimizer_axes(const xlm_rank_plan *r, const int64_t *owner, uint32_t parameter) {
  for (uint32_t i = 0; i < r->n_states; i++)
    if (owner[i] == parameter) return xlm_html_split(&r->tensors[r->states[i].tensor].type, r->dims);
  return xlm_html_split(&r->tensors[r->states[parameter].tensor].type, r->dims); // it has none
}

static void add(table *t, xlm_html *h, const xlm_plan *p, const xlm_rank_plan *r, const int64_t *owner,
                uint32_t state, int stage) {
  const xlm_plan_state *s = &r->states[state];
  const xlm_tensor *tensor = &r->tensors[s->tensor];
  row x = {.name = xlm_html_pattern(h->a, s->name),
           .type = xlm_html_type(h->a, &tensor->type, r->dims, &p->mesh),
           .r = r,
           .t = tensor,
           .copies = 1,
           .stages = 1ull << (stage < 63 ? stage : 63)};
  x.optimizer = optimizer_axes(r, owner, state);
  for (uint32_t i = 0; i < t->n; i++)
    if (!strcmp(t->at[i].name, x.name) && !strcmp(t->at[i].type, x.type) &&
        t->at[i].optimizer == x.optimizer) {
      t->at[i].copies++;
      t->at[i].stages |= x.stages;
      return;
    }
  XLM_PUSH(h->a, t->at, t->n, t->cap, x);
}

static void dims(xlm_html *h, const row *x) {
  xlm_html_open(h, NULL, "[");
  for (int i = 0; i < x->t->type.rank; i++) {
    const xlm_dim_info *d = &x->r->dims[x->t->type.dim[i]];
    xlm_html_open(h, NULL, "[");
    xlm_html_text(h, NULL, d->name);
    xlm_html_int(h, NULL, d->full);
    xlm_html_int(h, NULL, d->size);
    xlm_html_int(h, NULL, d->axes);
    xlm_html_close(h, "]");
  }
  xlm_html_close(h, "]");
}

static void stages_of(xlm_html *h, const row *x) {
  xlm_html_open(h, NULL, "[");
  for (int s = 0; s < 64; s++)
    if (x->stages >> s & 1) xlm_html_int(h, NULL, s);
  xlm_html_close(h, "]");
}

static void write_row(xlm_html *h, const row *x) {
  xlm_html_open(h, NULL, "[");
  xlm_html_text(h, NULL, x->name);
  xlm_html_int(h, NULL, x->copies);
  dims(h, x);
  xlm_html_text(h, NULL, xlm_dtype_name(x->t->type.dtype));
  xlm_html_int(h, NULL, (int64_t)x->t->bytes);
  xlm_html_int(h, NULL, x->t->line);
  xlm_html_int(h, NULL, x->optimizer);
  stages_of(h, x);
  xlm_html_close(h, "]");
}

void xlm_html_parameters(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages) {
  table t = {0};
  for (int s = 0; s < stages->n; s++) {
    const xlm_rank_plan *r = p->rank_plans[stages->rank_plan[s]];
    const int64_t *owner = xlm_html_owners(r, h->a);
    for (uint32_t i = 0; i < r->n_states; i++)
      if (r->states[i].role == XLM_ROLE_PARAMETER) add(&t, h, p, r, owner, i, s);
  }
  xlm_html_open(h, "parameters", "[");
  for (uint32_t i = 0; i < t.n; i++) write_row(h, &t.at[i]);
  xlm_html_close(h, "]");
}
