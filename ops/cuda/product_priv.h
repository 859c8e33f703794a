// Matrix products by kernels of our own, as planning and the kernels see them: product_tensor.cu and
// product.cu.
#ifndef XLM_CUDA_PRODUCT_PRIV_H
#define XLM_CUDA_PRODUCT_PRIV_H

#include "runtime/device/matmul.h"
#include "runtime/device/over.h"

XLM_C_BEGIN

enum {
  PRODUCT_BLAS,
  PRODUCT_TENSOR_CORE,
  PRODUCT_SIMT
}; // the variants of contract, contract_acc, contract_bias

typedef struct product_args {
  xlm_matmul p;             // normalised
  int64_t entries, m, n, k; // of a ragged group: of all entries together
  const void *a, *b;
  const void *add, *bias; // NULL: none; bias: p.bias elements, repeated along the result
  void *c;
  const int32_t *offsets; // of ragged rows; NULL: none
} product_args;

// ---- which variant

// Makes m and n one dimension each, of a normalised product: their others become batch entries. false: it
// cannot be done.
static inline bool product_flatten(xlm_matmul *p) {
  xlm_matmul_index *b = &p->batch, *groups[2] = {&p->m, &p->n};
  for (int i = 0; i < 2; i++) {
    xlm_matmul_index *x = groups[i];
    int more = x->n - 1;
    if (more > 0 && (p->ragged || b->n + more > XLM_MATMUL_DIMS)) return false;
    for (int d = 0; d < more; d++, b->n++)
      b->size[b->n] = x->size[d], b->a[b->n] = x->a[d], b->b[b->n] = x->b[d], b->c[b->n] = x->c[d];
    if (more > 0)
      x->size[0] = x->size[more], x->a[0] = x->a[more], x->b[0] = x->b[more], x->c[0] = x->c[more], x->n = 1;
  }
  return true;
}

// How an operand of a flat product is read in pieces of 8 neighbours, each an access of 16 bytes.
typedef enum product_way { PRODUCT_NO_WAY, PRODUCT_ALONG_K, PRODUCT_ACROSS_K } product_way;

static inline product_way product_way_of(const xlm_matmul *p, bool of_b) {
  const xlm_matmul_index *own = of_b ? &p->n : &p->m;
  if (p->k.n != 1) return PRODUCT_NO_WAY;
  for (int d = 0; d < p->batch.n; d++)
    if ((of_b ? p->batch.b : p->batch.a)[d] % 8) return PRODUCT_NO_WAY;
  int64_t k = (of_b ? p->k.b : p->k.a)[0], across = own->n ? (of_b ? own->b : own->a)[0] : 0;
  // Ragged rows begin anywhere, so they cannot be what pieces go along.
  if (k == 1 && across % 8 == 0 && p->ragged != XLM_RAGGED_K) return PRODUCT_ALONG_K;
  bool ragged = p->ragged == (of_b ? XLM_RAGGED_N : XLM_RAGGED_M);
  return across == 1 && k % 8 == 0 && !ragged ? PRODUCT_ACROSS_K : PRODUCT_NO_WAY;
}

static inline bool product_fits_tensor_cores(const xlm_matmul *p) { // none with a bias
  xlm_matmul q = *p;
  (void)xlm_matmul_normalise(&q);
  if (q.bias || q.a != XLM_BF16 || q.b != XLM_BF16 || !product_flatten(&q)) return false;
  return product_way_of(&q, false) && product_way_of(&q, true);
}

// ---- for kernels too

// Element offset of index i of a group; stride is the group's a, b or c.
static inline XLM_HOST_DEVICE int64_t product_place(const xlm_matmul_index *x, const int64_t *stride,
                                                    int64_t i) {
  int64_t at = 0;
  for (int d = x->n - 1; d > 0; d--) at += over_split(&i, x->size[d]) * stride[d];
  return x->n ? at + i * stride[0] : 0;
}

typedef struct product_entry { // one batch entry: its sizes, and where its operands begin
  int64_t m, n, k, a, b, c;
} product_entry;

static inline XLM_HOST_DEVICE product_entry product_entry_of(const product_args *g, int64_t e) {
  const xlm_matmul *p = &g->p;
  product_entry r = {g->m, g->n, g->k, 0, 0, 0};
  uint32_t left = (uint32_t)e; // the results of 2^32 entries would fit no memory
  for (int d = p->batch.n - 1; d >= 0; d--) {
    uint32_t size = (uint32_t)p->batch.size[d], i = left % size;
    left /= size;
    r.a += i * p->batch.a[d], r.b += i * p->batch.b[d], r.c += i * p->batch.c[d];
  }
  if (p->ragged == XLM_RAGGED_NONE) return r;
  const xlm_matmul_index *x = p->ragged == XLM_RAGGED_M ? &p->m : p->ragged == XLM_RAGGED_N ? &p->n : &p->k;
  int64_t begin = g->offsets[e], size = g->offsets[e + 1] - begin;
  *(p->ragged == XLM_RAGGED_M ? &r.m : p->ragged == XLM_RAGGED_N ? &r.n : &r.k) = size;
  r.a += begin * x->a[0], r.b += begin * x->b[0], r.c += begin * x->c[0];
  return r;
}

XLM_C_END

#ifdef __cplusplus
// There is at least one row and one column (product_tensor.cu).
xlm_status xlm_cuda_product_tensor(const xlm_call *c, const product_args &g);
#endif

#endif
