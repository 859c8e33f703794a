// Merges adapters into parameters; see lora_merge.h. Dimensions are matched by name: `a` has those that
// products sum over, and the rank; `b` the rank, and the others.
#include "runtime/interchange/lora_merge.h"

#include <stdlib.h>
#include <string.h>

#define END_A ".lora_a"
#define END_B ".lora_b"

typedef struct merger {
  const xlm_store *store;
  xlm_stored *w, *a, *b;
  float *w_at, *a_at, *b_at;
  int64_t a_step[XLM_MAX_RANK], b_step[XLM_MAX_RANK]; // by dimension of w
  int64_t rank, a_rank_step, b_rank_step;
} merger;

static xlm_stored *find(xlm_store *s, const char *name, size_t n, const char *end) {
  for (int i = 0; i < s->n; i++)
    if (!strncmp(s->at[i].name, name, n) && !strcmp(s->at[i].name + n, end)) return &s->at[i];
  return NULL;
}

static int64_t step_of(const xlm_stored *t, const char *dim) { // 0: it has no such dimension
  int64_t step = 1;
  for (int i = t->rank - 1; i >= 0; step *= t->shape[i--])
    if (!strcmp(t->dim[i], dim)) return step;
  return 0;
}

static void find_steps(merger *m) {
  for (int i = 0; i < m->w->rank; i++) {
    m->a_step[i] = step_of(m->a, m->w->dim[i]);
    m->b_step[i] = step_of(m->b, m->w->dim[i]);
  }
  const char *rank = m->a->dim[m->a->rank - 1]; // the last of a
  m->rank = m->a->shape[m->a->rank - 1];
  m->a_rank_step = 1, m->b_rank_step = step_of(m->b, rank);
}

static double product(const merger *m, int64_t a, int64_t b) {
  double sum = 0;
  for (int64_t r = 0; r < m->rank; r++)
    sum += (double)m->a_at[a + r * m->a_rank_step] * m->b_at[b + r * m->b_rank_step];
  return sum;
}

static void add_products(const merger *m, double scale) {
  int64_t index[XLM_MAX_RANK] = {0}, a = 0, b = 0;
  for (int64_t i = 0; i < m->w->n; i++) {
    m->w_at[i] = (float)(m->w_at[i] + scale * product(m, a, b));
    for (int d = m->w->rank - 1; d >= 0; d--) { // the next element's index
      a += m->a_step[d], b += m->b_step[d];
      if (++index[d] < m->w->shape[d]) break;
      a -= m->a_step[d] * index[d], b -= m->b_step[d] * index[d], index[d] = 0;
    }
  }
}

static xlm_status merge(const merger *m, double scale, xlm_error *err) {
  XLM_TRY(xlm_store_get(m->store, m->w, NULL, m->w_at, err));
  XLM_TRY(xlm_store_get(m->store, m->a, NULL, m->a_at, err));
  XLM_TRY(xlm_store_get(m->store, m->b, NULL, m->b_at, err));
  add_products(m, scale);
  return xlm_store_put(m->store, m->w, NULL, m->w_at, err);
}

static xlm_status merge_one(xlm_store *s, xlm_stored *a, xlm_lora_scale *scale, void *arg, xlm_error *err) {
  size_t n = strlen(a->name) - strlen(END_A);
  merger m = {.store = s, .w = find(s, a->name, n, ""), .a = a, .b = find(s, a->name, n, END_B)};
  if (!m.w || !m.b) return xlm_fail(err, XLM_USER, "'%s' is of no parameter", a->name);
  find_steps(&m);
  m.w_at = malloc((size_t)m.w->n * sizeof(float));
  m.a_at = malloc((size_t)m.a->n * sizeof(float)), m.b_at = malloc((size_t)m.b->n * sizeof(float));
  xlm_status status = m.w_at && m.a_at && m.b_at ? merge(&m, scale(arg, m.w->name), err)
                                                 : xlm_fail(err, XLM_ENV, "no memory to merge '%s'", a->name);
  free(m.w_at), free(m.a_at), free(m.b_at);
  m.a->saved = m.b->saved = false;
  return status;
}

xlm_status xlm_lora_merge(xlm_store *s, xlm_lora_scale *scale, void *arg, xlm_error *err) {
  for (int i = 0; i < s->n; i++) {
    xlm_stored *t = &s->at[i];
    size_t n = strlen(t->name), end = strlen(END_A);
    bool is_a = t->role == XLM_ROLE_PARAMETER && n > end && !strcmp(t->name + n - end, END_A);
    if (is_a && t->saved) XLM_TRY(merge_one(s, t, scale, arg, err));
  }
  return XLM_OK;
}
