// contract, contract_acc and contract_bias: variant "cublaslt" where the library computes it (blas.h), else a
// kernel of our own (product.cu). The product of groups that newer libraries have for some cards is not used.
//
// The algorithm is chosen once, at load: the library's first choice among those whose sums have one order.
#include <pthread.h>

#include "ops/cuda/backend_priv.h"
#include "ops/cuda/blas.h"
#include "ops/cuda/cublaslt.h"
#include "ops/cuda/product_priv.h"
#include "runtime/device/cuda/cuda.h"

#ifdef XLM_CUDA_KERNELS

typedef struct product {
  const xlm_cublaslt *lt;
  lt_handle handle;
  xlm_blas blas;
  lt_algo algo;
} product;

typedef struct descriptors { // of one call
  lt_desc desc;
  lt_layout a, b, d;
} descriptors;

// The library's context of a device, made once and kept until the device closes.
static xlm_status make_handle(xlm_cuda_device *d, void **out, xlm_error *err) {
  const xlm_cublaslt *lt;
  (void)d;
  XLM_TRY(xlm_cublaslt_table(&lt, err));
  int bad = lt->create((lt_handle *)out);
  return bad ? xlm_fail(err, XLM_ENV, "cuBLASLt cannot be opened: status %d", bad) : XLM_OK;
}

static void drop_handle(xlm_cuda_device *d, void *handle) {
  const xlm_cublaslt *lt;
  (void)d;
  if (xlm_cublaslt_table(&lt, NULL) == XLM_OK) (void)lt->destroy((lt_handle)handle);
}

static const xlm_cuda_kept handles = {make_handle, drop_handle};

// Without a device, in tests of single ops, a context lives as long as the process.
static xlm_status handle_of(const xlm_call *c, lt_handle *out, xlm_error *err) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static void *without;
  if (c->device) return xlm_cuda_keep(xlm_cuda_device_of(c->device), &handles, (void **)out, err);
  (void)pthread_mutex_lock(&lock);
  xlm_status s = without ? XLM_OK : make_handle(NULL, &without, err);
  *out = (lt_handle)without;
  (void)pthread_mutex_unlock(&lock);
  return s;
}

static int data_type(xlm_dtype t) {
  return t == XLM_BF16 ? LT_R_16BF : LT_R_32F;
}

static int make_layout(const product *p, const xlm_blas_matrix *m, xlm_dtype t, lt_layout *out) {
  int32_t batch = (int32_t)p->blas.batch;
  int bad = p->lt->layout_create(out, data_type(t), (uint64_t)m->rows, (uint64_t)m->cols, m->ld);
  if (!bad) bad = p->lt->layout_set(*out, LT_LAYOUT_BATCH_COUNT, &batch, sizeof batch);
  if (!bad) bad = p->lt->layout_set(*out, LT_LAYOUT_BATCH_STRIDE, &m->batch, sizeof m->batch);
  return bad;
}

static int make(const product *p, descriptors *d) {
  int32_t trans_a = p->blas.trans_a, trans_b = p->blas.trans_b;
  *d = (descriptors){0};
  uint32_t epilogue = p->blas.biased ? LT_EPILOGUE_BIAS : LT_EPILOGUE_NONE;
  int bad = p->lt->desc_create(&d->desc, LT_COMPUTE_32F, LT_R_32F);
  if (!bad) bad = p->lt->desc_set(d->desc, LT_DESC_TRANSA, &trans_a, sizeof trans_a);
  if (!bad) bad = p->lt->desc_set(d->desc, LT_DESC_TRANSB, &trans_b, sizeof trans_b);
  if (!bad) bad = p->lt->desc_set(d->desc, LT_DESC_EPILOGUE, &epilogue, sizeof epilogue);
  if (!bad && p->blas.biased)
    bad = p->lt->desc_set(d->desc, LT_DESC_BIAS_STRIDE, &p->blas.bias_batch, sizeof p->blas.bias_batch);
  if (!bad) bad = make_layout(p, &p->blas.a, p->blas.in, &d->a);
  if (!bad) bad = make_layout(p, &p->blas.b, p->blas.in, &d->b);
  if (!bad) bad = make_layout(p, &p->blas.d, p->blas.out, &d->d);
  return bad;
}

static void unmake(const product *p, descriptors *d) {
  if (d->desc) (void)p->lt->desc_destroy(d->desc);
  if (d->a) (void)p->lt->layout_destroy(d->a);
  if (d->b) (void)p->lt->layout_destroy(d->b);
  if (d->d) (void)p->lt->layout_destroy(d->d);
}

// Where entries of a batch or a loop begin is as aligned as their distance.
static uint32_t aligned(int64_t batch, int64_t loop, xlm_dtype t) {
  uint32_t align = 256;
  int64_t bytes = (int64_t)xlm_dtype_bytes(t);
  while ((batch * bytes) % align || (loop * bytes) % align) align /= 2;
  return align;
}

static uint32_t alignment(const xlm_blas_matrix *m, xlm_dtype t) {
  return aligned(m->batch, m->loop, t);
}

static int point_to_bias(const product *p, const descriptors *d, const void *at) {
  return p->blas.biased ? p->lt->desc_set(d->desc, LT_DESC_BIAS, &at, sizeof at) : 0;
}

static int choose(product *p, const descriptors *d, uint64_t workspace, int *found) {
  // Not dereferenced: an address that is as aligned as the vectors of a run are, and no more.
  const void *like_bias =
      (const void *)(uintptr_t)aligned(p->blas.bias_batch, p->blas.bias_loop, p->blas.out);
  uint32_t reductions = LT_REDUCTION_IN_PLACE | LT_REDUCTION_COMPUTE_TYPE; // not in the output's type
  uint32_t a = alignment(&p->blas.a, p->blas.in), b = alignment(&p->blas.b, p->blas.in),
           out = alignment(&p->blas.d, p->blas.out);
  lt_preference pref = NULL;
  lt_heuristic result = {.state = -1};
  *found = 0;
  int bad = point_to_bias(p, d, like_bias);
  if (!bad) bad = p->lt->preference_create(&pref);
  if (!bad) bad = p->lt->preference_set(pref, LT_PREFERENCE_WORKSPACE, &workspace, sizeof workspace);
  if (!bad) bad = p->lt->preference_set(pref, LT_PREFERENCE_REDUCTIONS, &reductions, sizeof reductions);
  if (!bad) bad = p->lt->preference_set(pref, LT_PREFERENCE_ALIGN_A, &a, sizeof a);
  if (!bad) bad = p->lt->preference_set(pref, LT_PREFERENCE_ALIGN_B, &b, sizeof b);
  if (!bad) bad = p->lt->preference_set(pref, LT_PREFERENCE_ALIGN_C, &out, sizeof out);
  if (!bad) bad = p->lt->preference_set(pref, LT_PREFERENCE_ALIGN_D, &out, sizeof out);
  if (!bad) bad = p->lt->heuristic(p->handle, d->desc, d->a, d->b, d->d, d->d, pref, 1, &result, found);
  if (!bad && result.state) *found = 0;
  if (pref) (void)p->lt->preference_destroy(pref);
  p->algo = result.algo;
  return bad;
}

static xlm_status prepare(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  product *p = XLM_NEW(a, product);
  xlm_matmul m = xlm_cuda_product_of(c);
  *prepared = p;
  if (c->variant != PRODUCT_BLAS) return XLM_OK;
  if (!xlm_blas_of(&m, &p->blas))
    return xlm_fail(err, XLM_USER,
                    "the plan computes a product with cuBLASLt that cuBLASLt does not compute");
  XLM_TRY(xlm_cublaslt_table(&p->lt, err));
  descriptors d = {0};
  XLM_TRY(handle_of(c, &p->handle, err));
  int found = 0, bad = make(p, &d);
  if (!bad) bad = choose(p, &d, c->instr->workspace, &found);
  unmake(p, &d);
  if (bad) return xlm_fail(err, XLM_ENV, "cuBLASLt cannot prepare a product: status %d", bad);
  if (!found)
    return xlm_fail(err, XLM_ENV, "cuBLASLt has no algorithm for a product of %lld x %lld by %lld",
                    (long long)p->blas.d.cols, (long long)p->blas.d.rows,
                    (long long)(p->blas.trans_b ? p->blas.b.cols : p->blas.b.rows));
  return XLM_OK;
}

static char *moved(const void *at, int64_t elements, xlm_dtype t) {
  return (char *)at + elements * (int64_t)xlm_dtype_bytes(t);
}

static xlm_status run(const xlm_call *c, int at, const void *add) {
  const product *p = (const product *)c->prepared;
  const xlm_blas *x = &p->blas;
  const void *a = c->in[at + (x->first_is_b ? 1 : 0)], *b = c->in[at + (x->first_is_b ? 0 : 1)];
  const float one = 1, beta = add ? 1 : 0;
  descriptors d;
  int bad = make(p, &d);
  for (int64_t i = 0; i < x->loops && !bad; i++) {
    void *out = moved(c->out[0], i * x->d.loop, x->out);
    bad = point_to_bias(p, &d, x->biased ? moved(c->in[2], i * x->bias_loop, x->out) : NULL);
    if (!bad)
      bad = p->lt->matmul(p->handle, d.desc, &one, moved(a, i * x->a.loop, x->in), d.a,
                          moved(b, i * x->b.loop, x->in), d.b, &beta,
                          add ? moved(add, i * x->d.loop, x->out) : out, d.d, out, d.d, &p->algo,
                          c->workspace, c->instr->workspace, xlm_cuda_stream(c));
  }
  unmake(p, &d);
  return bad ? xlm_fail(c->err, XLM_ENV, "cuBLASLt cannot compute a product: status %d", bad) : XLM_OK;
}

// What is added to: NULL for the first microbatch.
static const void *accumulator(const xlm_call *c) {
  return xlm_attr_int(&c->instr->attrs, XLM_A_store, 0) ? NULL : c->in[0];
}

xlm_status xlm_cuda_prepare_contract(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  return prepare(c, a, prepared, err);
}

xlm_status xlm_cuda_contract(const xlm_call *c) {
  return c->variant == PRODUCT_BLAS ? run(c, 0, NULL) : xlm_cuda_product_own(c, 0, NULL);
}

xlm_status xlm_cuda_prepare_contract_acc(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  return prepare(c, a, prepared, err);
}

xlm_status xlm_cuda_contract_acc(const xlm_call *c) {
  return c->variant == PRODUCT_BLAS ? run(c, 1, accumulator(c)) : xlm_cuda_product_own(c, 1, accumulator(c));
}

xlm_status xlm_cuda_prepare_contract_bias(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  return prepare(c, a, prepared, err);
}

xlm_status xlm_cuda_contract_bias(const xlm_call *c) {
  int add = xlm_matmul_add_operand(c);
  const void *from = add ? c->in[add] : NULL;
  return c->variant == PRODUCT_BLAS ? run(c, 0, from) : xlm_cuda_product_own(c, 0, from);
}

#endif
