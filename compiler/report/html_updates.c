// The table of updates: for every group its optimizer and the states of the optimizer, with their bytes on
// one rank.
#include <string.h>

#include "compiler/report/html_priv.h"
#include "runtime/base/dict.h"

typedef struct state_kind { // states of a kind: "adam.m"
  const char *kind;
  int64_t n;      // tensors
  uint64_t bytes; // maximum over the ranks of a stage
} state_kind;

typedef struct row {
  const xlm_update_row *update;
  state_kind *at;
  uint32_t n, cap;
} row;

static state_kind *kind_of(xlm_html *h, row *x, const char *state) {
  const char *kind = xlm_arena_strndup(h->a, state, strcspn(state, "/"));
  for (uint32_t i = 0; i < x->n; i++)
    if (!strcmp(x->at[i].kind, kind)) return &x->at[i];
  XLM_PUSH(h->a, x->at, x->n, x->cap, (state_kind){.kind = kind});
  return &x->at[x->n - 1];
}

static row *rows_of(xlm_html *h, const xlm_update_row *updates, int n, xlm_dict *by_parameter) {
  row *rows = XLM_NEW_N(h->a, row, n);
  for (int i = 0; i < n; i++) {
    rows[i].update = &updates[i];
    for (int64_t k = 0; k < updates[i].parameters; k++)
      xlm_dict_put(h->a, by_parameter, updates[i].names[k], &rows[i]);
  }
  return rows;
}

// Adds the states of a stage's rank.
static void add_rank(xlm_html *h, const xlm_rank_plan *r, row *rows, int n_rows,
                     const xlm_dict *by_parameter) {
  const int64_t *owner = xlm_html_owners(r, h->a);
  row *here = XLM_NEW_N(h->a, row, n_rows);
  for (uint32_t i = 0; i < r->n_states; i++) {
    if (owner[i] < 0) continue;
    row *x = xlm_dict_get(by_parameter, r->states[owner[i]].name);
    if (!x) continue;
    state_kind *k = kind_of(h, &here[x - rows], r->states[i].name);
    k->n++, k->bytes += r->tensors[r->states[i].tensor].bytes;
  }
  for (int i = 0; i < n_rows; i++)
    for (uint32_t k = 0; k < here[i].n; k++) {
      state_kind *all = kind_of(h, &rows[i], here[i].at[k].kind);
      all->n += here[i].at[k].n;
      if (here[i].at[k].bytes > all->bytes) all->bytes = here[i].at[k].bytes;
    }
}

static void write_row(xlm_html *h, const row *x) {
  const xlm_update_choice *c = &x->update->choice;
  xlm_html_open(h, NULL, "[");
  xlm_html_text(h, NULL, c->group);
  xlm_html_text(h, NULL, c->frozen ? "frozen" : c->optimizer->name);
  xlm_html_int(h, NULL, x->update->parameters);
  xlm_html_int(h, NULL, (int64_t)x->update->elements);
  xlm_html_number(h, NULL, c->lr);
  xlm_html_number(h, NULL, c->weight_decay);
  xlm_html_open(h, NULL, "[");
  for (uint32_t i = 0; i < x->n; i++) {
    xlm_html_open(h, NULL, "[");
    xlm_html_text(h, NULL, x->at[i].kind);
    xlm_html_int(h, NULL, x->at[i].n);
    xlm_html_int(h, NULL, (int64_t)x->at[i].bytes);
    xlm_html_close(h, "]");
  }
  xlm_html_close(h, "]");
  xlm_html_close(h, "]");
}

void xlm_html_updates(xlm_html *h, const xlm_plan *p, const xlm_html_stages *stages,
                      const xlm_update_row *updates, int n) {
  xlm_dict by_parameter = {0};
  row *rows = rows_of(h, updates, n, &by_parameter);
  for (int s = 0; s < stages->n; s++)
    add_rank(h, p->rank_plans[stages->rank_plan[s]], rows, n, &by_parameter);
  xlm_html_open(h, "updates", "[");
  for (int i = 0; i < n; i++) write_row(h, &rows[i]);
  xlm_html_close(h, "]");
}
