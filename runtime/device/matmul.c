// See matmul.h.
#include "runtime/device/matmul.h"

#include <string.h>

#include "runtime/base/arena.h"

// ---- of a call ----

typedef struct view { // an operand: strides per dim, in elements
  const xlm_call *c;
  const xlm_type *t;
} view;

// Rows of a ragged dimension are addressed from the start of the tensor, so the dim before it does not move.
static int64_t stride(view v, xlm_dim d) {
  int i = xlm_type_find(v.t, d);
  if (i < 0 || (i + 1 < v.t->rank && v.c->dims[v.t->dim[i + 1]].ragged)) return 0;
  return xlm_call_inner(v.c, v.t, i);
}

static void push(xlm_matmul_index *g, xlm_dim d, view x, view y, view out) {
  XLM_ASSERT(g->n < XLM_MATMUL_DIMS, "more than %d dims in one group of a product", XLM_MATMUL_DIMS);
  int i = g->n++;
  g->size[i] = x.c->dims[d].size;
  g->a[i] = stride(x, d), g->b[i] = stride(y, d), g->c[i] = stride(out, d);
}

xlm_matmul xlm_matmul_of(const xlm_call *c, int at) {
  view x = {c, c->in_type[at]}, y = {c, c->in_type[at + 1]}, out = {c, c->out_type[0]};
  xlm_matmul p = {.a = x.t->dtype, .b = y.t->dtype, .c = out.t->dtype};
  for (int i = 0; i < x.t->rank; i++) {
    xlm_dim d = x.t->dim[i];
    bool summed = xlm_attr_has_dim(&c->instr->attrs, XLM_A_over, d), shared = xlm_type_find(y.t, d) >= 0;
    push(summed ? &p.k : shared ? &p.batch : &p.m, d, x, y, out);
    if (c->dims[d].ragged) p.ragged = summed ? XLM_RAGGED_K : XLM_RAGGED_M;
  }
  for (int i = 0; i < y.t->rank; i++) {
    xlm_dim d = y.t->dim[i];
    if (xlm_type_find(x.t, d) >= 0) continue;
    push(&p.n, d, x, y, out);
    if (c->dims[d].ragged) p.ragged = XLM_RAGGED_N;
  }
  return p;
}

int xlm_matmul_add_operand(const xlm_call *c) {
  int last = c->instr->n_in - 1;
  const xlm_type *t = c->in_type[last], *out = c->out_type[0];
  return t->rank == out->rank && !memcmp(t->dim, out->dim, out->rank * sizeof *t->dim) ? last : 0;
}

int xlm_matmul_bias_operand(const xlm_call *c) {
  return xlm_matmul_add_operand(c) == 2 ? 0 : 2;
}

xlm_matmul xlm_matmul_biased(const xlm_call *c) {
  xlm_matmul p = xlm_matmul_of(c, 0);
  int bias = xlm_matmul_bias_operand(c);
  p.bias = bias ? xlm_call_elements(c, c->in_type[bias]) : 0;
  p.add = xlm_matmul_add_operand(c) > 0;
  return p;
}

// ---- index groups ----

int64_t xlm_matmul_count(const xlm_matmul_index *x) {
  int64_t n = 1;
  for (int d = 0; d < x->n; d++) n *= x->size[d];
  return n;
}

static void move_dim(xlm_matmul_index *x, int to, int from) {
  x->size[to] = x->size[from];
  x->a[to] = x->a[from], x->b[to] = x->b[from], x->c[to] = x->c[from];
}

static bool is_mergeable(const xlm_matmul_index *x, int outer, int inner) {
  int64_t s = x->size[inner];
  return x->a[outer] == x->a[inner] * s && x->b[outer] == x->b[inner] * s && x->c[outer] == x->c[inner] * s;
}

static void simplify_index(xlm_matmul_index *x) {
  int n = 0;
  for (int d = 0; d < x->n; d++) {
    if (x->size[d] == 1) continue;
    if (n > 0 && is_mergeable(x, n - 1, d)) {
      int64_t outer = x->size[n - 1];
      move_dim(x, n - 1, d);
      x->size[n - 1] *= outer;
    } else {
      move_dim(x, n++, d);
    }
  }
  x->n = n;
}

void xlm_matmul_simplify(xlm_matmul *p) {
  if (!p->ragged) simplify_index(&p->batch);
  if (p->ragged != XLM_RAGGED_M) simplify_index(&p->m);
  if (p->ragged != XLM_RAGGED_N) simplify_index(&p->n);
  if (p->ragged != XLM_RAGGED_K) simplify_index(&p->k);
}

// ---- normal form ----

static void sort_by_c(xlm_matmul_index *x) { // insertion sort: stable, at most XLM_MATMUL_DIMS entries
  for (int i = 1; i < x->n; i++)
    for (int j = i; j > 0 && x->c[j - 1] < x->c[j]; j--) {
      xlm_matmul_index t = *x;
      move_dim(&t, 0, j);
      move_dim(x, j, j - 1);
      x->size[j - 1] = t.size[0], x->a[j - 1] = t.a[0], x->b[j - 1] = t.b[0], x->c[j - 1] = t.c[0];
    }
}

static void swap_ab(xlm_matmul_index *x) {
  for (int d = 0; d < x->n; d++) {
    int64_t t = x->a[d];
    x->a[d] = x->b[d];
    x->b[d] = t;
  }
}

static bool is_contiguous_in_c(const xlm_matmul_index *x) {
  return x->n > 0 && x->c[x->n - 1] == 1;
}

static bool swap_roles(xlm_matmul *p) {
  if (is_contiguous_in_c(&p->n) || !is_contiguous_in_c(&p->m)) return false;
  xlm_matmul t = *p;
  p->m = t.n, p->n = t.m, p->a = t.b, p->b = t.a;
  swap_ab(&p->batch), swap_ab(&p->m), swap_ab(&p->n), swap_ab(&p->k);
  if (t.ragged == XLM_RAGGED_M) p->ragged = XLM_RAGGED_N;
  if (t.ragged == XLM_RAGGED_N) p->ragged = XLM_RAGGED_M;
  return true;
}

bool xlm_matmul_normalise(xlm_matmul *p) {
  sort_by_c(&p->m);
  sort_by_c(&p->n);
  xlm_matmul_simplify(p);
  return swap_roles(p);
}
