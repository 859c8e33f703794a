// See blas.h.
#include "ops/cuda/blas.h"

#include <string.h>

xlm_matmul xlm_cuda_product_of(const xlm_call *c) {
  if (c->instr->op == XLM_OP_CONTRACT_BIAS) return xlm_matmul_biased(c);
  return xlm_matmul_of(c, c->instr->op == XLM_OP_CONTRACT_ACC);
}

typedef struct axis { // one dimension of a product: strides in its A, B, C
  int64_t size, a, b, c;
} axis;

static axis axis_at(const xlm_matmul_index *x, int d) {
  return (axis){x->size[d], x->a[d], x->b[d], x->c[d]};
}

// The dimensions of a group that are not the matrix's own go to `more`; the innermost is the matrix's.
static axis split(const xlm_matmul_index *x, axis *more, int *n_more) {
  for (int d = 0; d + 1 < x->n; d++) more[(*n_more)++] = axis_at(x, d);
  return x->n ? axis_at(x, x->n - 1) : (axis){.size = 1};
}

static int64_t larger(int64_t x, int64_t y) {
  return x > y ? x : y;
}

// A matrix with `fast` and `slow` indices as stored column-major: the one with the unit stride runs along a
// column. An index with one entry has any stride. false: neither has the unit stride.
static bool stored(int64_t n_fast, int64_t fast, int64_t n_slow, int64_t slow, xlm_blas_matrix *m) {
  if (n_fast > 1 && fast != 1) return false;
  int64_t ld = n_slow > 1 ? slow : n_fast;
  if (ld < larger(n_fast, 1)) return false; // overlapping, or broadcast
  *m = (xlm_blas_matrix){.rows = n_fast, .cols = n_slow, .ld = ld};
  return true;
}

static bool types_fit(const xlm_matmul *p) {
  return p->a == p->b && (p->c == XLM_F32 || p->a == XLM_BF16);
}

// Every row of D has its element of the bias, and every column and entry the same ones, or one after the
// other those of the next entry.
static bool bias_fits(int64_t bias, xlm_blas *b) {
  int64_t rows = b->d.rows, batch = b->d.batch % bias, loop = b->d.loop % bias;
  b->biased = true, b->bias_batch = batch, b->bias_loop = loop;
  return (b->d.cols == 1 || b->d.ld % bias == 0) &&
         batch * (b->batch - 1) + loop * (b->loops - 1) + rows <= bias;
}

bool xlm_blas_of(const xlm_matmul *p, xlm_blas *out) {
  xlm_matmul q = *p;
  bool swapped = xlm_matmul_normalise(&q);
  axis more[3 * XLM_MATMUL_DIMS];
  int n_more = 0;
  if (q.ragged || !types_fit(&q) || q.k.n > 1) return false;
  for (int d = 0; d < q.batch.n; d++) more[n_more++] = axis_at(&q.batch, d);
  axis m = split(&q.m, more, &n_more), n = split(&q.n, more, &n_more), k = split(&q.k, more, &n_more);
  if (n_more > 2 || !m.size || !n.size || !k.size) return false;
  xlm_blas r = {.first_is_b = !swapped, .in = q.a, .out = q.c, .batch = 1, .loops = 1};
  // D: n along columns. A is the product's B [k, n]; B is its A [m, k].
  if (!stored(n.size, n.c, m.size, m.c, &r.d)) return false;
  r.trans_a = !stored(n.size, n.b, k.size, k.b, &r.a);
  if (r.trans_a && !stored(k.size, k.b, n.size, n.b, &r.a)) return false;
  r.trans_b = !stored(k.size, k.a, m.size, m.a, &r.b);
  if (r.trans_b && !stored(m.size, m.a, k.size, k.a, &r.b)) return false;
  int longest = n_more == 2 && more[1].size > more[0].size;
  for (int i = 0; i < n_more; i++) {
    const axis *x = &more[i];
    bool batch = i == longest;
    *(batch ? &r.batch : &r.loops) = x->size;
    *(batch ? &r.a.batch : &r.a.loop) = x->b;
    *(batch ? &r.b.batch : &r.b.loop) = x->a;
    *(batch ? &r.d.batch : &r.d.loop) = x->c;
  }
  *out = r;
  return !q.bias || bias_fits(q.bias, out);
}

uint64_t xlm_blas_workspace(const xlm_blas *b) {
  const uint64_t most = 32 << 20, parts = 32;
  double bytes = (double)b->d.rows * (double)b->d.cols * (double)b->batch * sizeof(float) * (double)parts;
  return bytes < (double)most ? ((uint64_t)bytes + 255) / 256 * 256 : most;
}
