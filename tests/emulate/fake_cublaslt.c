// cuBLASLt as its documentation describes it, on the host: every rule that a call must keep is checked, and
// the product is computed element by element. A broken rule is a status other than 0 and a line on standard
// error.
#include "ops/cuda/cublaslt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bf16.h"
#include "runtime/plan/type.h"

// tests/emulate/emulate.h
const char *emu_enqueue(void *stream, const char *what, const char *(*run)(void *), void (*drop)(void *),
                        void *arg);

struct lt_context {
  int alive;
};
struct lt_matmul_desc {
  int32_t trans_a, trans_b;
  uint32_t epilogue;
  const void *bias;
  int64_t bias_stride;
};
struct lt_matrix_layout {
  int type;
  int64_t rows, cols, ld, stride;
  int32_t batch;
};
struct lt_preference {
  uint64_t workspace;
  uint32_t reductions, align[4];
};

enum { OK = 0, NOT_INITIALISED = 1, INVALID = 7, NOT_SUPPORTED = 15, MAGIC = 0x17A15 };

static int broken(int status, const char *rule) {
  fprintf(stderr, "fake cuBLASLt: %s\n", rule);
  return status;
}

static int create(lt_handle *h) {
  static struct lt_context one = {MAGIC};
  *h = &one;
  return OK;
}

static int destroy(lt_handle h) {
  return h->alive == MAGIC ? OK : broken(NOT_INITIALISED, "no handle");
}

static int desc_create(lt_desc *d, int compute, int scale) {
  if (compute != LT_COMPUTE_32F || scale != LT_R_32F)
    return broken(NOT_SUPPORTED, "sums are computed in another type");
  *d = calloc(1, sizeof **d);
  if (*d) (*d)->epilogue = LT_EPILOGUE_NONE;
  return *d ? OK : 3;
}

static int desc_set(lt_desc d, int attr, const void *value, size_t bytes) {
  const struct {
    int attr;
    void *at;
    size_t bytes;
  } fields[] = {{LT_DESC_TRANSA, &d->trans_a, sizeof d->trans_a},
                {LT_DESC_TRANSB, &d->trans_b, sizeof d->trans_b},
                {LT_DESC_EPILOGUE, &d->epilogue, sizeof d->epilogue},
                {LT_DESC_BIAS, &d->bias, sizeof d->bias},
                {LT_DESC_BIAS_STRIDE, &d->bias_stride, sizeof d->bias_stride}};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    if (fields[i].attr != attr) continue;
    if (bytes != fields[i].bytes) return broken(INVALID, "an attribute of a product has another size");
    memcpy(fields[i].at, value, bytes);
    return OK;
  }
  return broken(INVALID, "no such attribute of a product");
}

static int desc_destroy(lt_desc d) {
  free(d);
  return OK;
}

static int layout_create(lt_layout *l, int type, uint64_t rows, uint64_t cols, int64_t ld) {
  if (type != LT_R_32F && type != LT_R_16BF) return broken(NOT_SUPPORTED, "no such element type");
  if (!rows || !cols) return broken(INVALID, "a matrix without elements");
  if (ld < (int64_t)rows) return broken(INVALID, "the leading dimension is smaller than a column");
  *l = calloc(1, sizeof **l);
  if (!*l) return 3;
  **l = (struct lt_matrix_layout){
      .type = type, .rows = (int64_t)rows, .cols = (int64_t)cols, .ld = ld, .batch = 1};
  return OK;
}

static int layout_set(lt_layout l, int attr, const void *value, size_t bytes) {
  if (attr == LT_LAYOUT_BATCH_COUNT && bytes == sizeof l->batch)
    memcpy(&l->batch, value, bytes);
  else if (attr == LT_LAYOUT_BATCH_STRIDE && bytes == sizeof l->stride)
    memcpy(&l->stride, value, bytes);
  else
    return broken(INVALID, "no such attribute of a matrix, or of another size");
  return OK;
}

static int layout_destroy(lt_layout l) {
  free(l);
  return OK;
}

static int preference_create(lt_preference *p) {
  *p = calloc(1, sizeof **p);
  if (*p) **p = (struct lt_preference){.align = {256, 256, 256, 256}, .reductions = 7};
  return *p ? OK : 3;
}

static int preference_set(lt_preference p, int attr, const void *value, size_t bytes) {
  if (attr == LT_PREFERENCE_WORKSPACE && bytes == sizeof p->workspace)
    memcpy(&p->workspace, value, bytes);
  else if (attr == LT_PREFERENCE_REDUCTIONS && bytes == sizeof p->reductions)
    memcpy(&p->reductions, value, bytes);
  else if (attr >= LT_PREFERENCE_ALIGN_A && attr <= LT_PREFERENCE_ALIGN_D && bytes == sizeof(uint32_t))
    memcpy(&p->align[attr - LT_PREFERENCE_ALIGN_A], value, bytes);
  else
    return broken(INVALID, "no such preference, or of another size");
  return OK;
}

static int preference_destroy(lt_preference p) {
  free(p);
  return OK;
}

static int check_shapes(lt_desc d, lt_layout a, lt_layout b, lt_layout c, lt_layout out) {
  int64_t m = d->trans_a ? a->cols : a->rows, k = d->trans_a ? a->rows : a->cols;
  int64_t k2 = d->trans_b ? b->cols : b->rows, n = d->trans_b ? b->rows : b->cols;
  if (k != k2) return broken(INVALID, "A and B have another k");
  if (out->rows != m || out->cols != n || c->rows != m || c->cols != n)
    return broken(INVALID, "C or D has another shape");
  if (a->type != b->type) return broken(NOT_SUPPORTED, "A and B have different types");
  if (a->type == LT_R_32F && out->type != LT_R_32F)
    return broken(NOT_SUPPORTED, "f32 operands and another result");
  if (c->type != out->type) return broken(NOT_SUPPORTED, "C and D have different types");
  if (a->batch != b->batch || a->batch != out->batch || a->batch != c->batch)
    return broken(INVALID, "the batches have different lengths");
  if (out->batch > 1 && out->stride == 0) return broken(INVALID, "the entries of D overlap");
  return OK;
}

// The algorithm of a product with a bias is chosen for the alignment that the address of the bias has then.
static int check_epilogue(lt_desc d) {
  if (d->epilogue != LT_EPILOGUE_NONE && d->epilogue != LT_EPILOGUE_BIAS)
    return broken(NOT_SUPPORTED, "no such epilogue");
  if (d->epilogue == LT_EPILOGUE_BIAS && !d->bias) return broken(INVALID, "the bias has no address");
  if (d->epilogue == LT_EPILOGUE_NONE && (d->bias || d->bias_stride))
    return broken(INVALID, "there is a bias that no epilogue adds");
  return OK;
}

static uint64_t bias_alignment(lt_desc d) {
  uintptr_t at = (uintptr_t)d->bias;
  uint64_t lowest = (uint64_t)(at & -at);
  return !at || lowest > 64 ? 64 : lowest; // the tests' memory is aligned to 64
}

// What the algorithm stands for: the alignment and the workspace that it was chosen for.
static int heuristic(lt_handle h, lt_desc d, lt_layout a, lt_layout b, lt_layout c, lt_layout out,
                     lt_preference p, int n, lt_heuristic *results, int *found) {
  if (h->alive != MAGIC) return broken(NOT_INITIALISED, "no handle");
  if (n < 1) return broken(INVALID, "no room for an algorithm");
  if (p->reductions & LT_REDUCTION_OUTPUT_TYPE)
    return broken(INVALID, "sums in the output's type are allowed");
  int bad = check_shapes(d, a, b, c, out);
  if (!bad) bad = check_epilogue(d);
  if (bad) return bad;
  memset(results, 0, sizeof *results);
  results->workspace = (size_t)p->workspace;
  results->algo.data[0] = MAGIC, results->algo.data[1] = p->workspace;
  for (int i = 0; i < 4; i++) results->algo.data[2 + i] = p->align[i];
  results->algo.data[6] = bias_alignment(d), results->algo.data[7] = d->epilogue;
  *found = 1;
  return OK;
}

static float load(const void *at, int type, int64_t i) {
  return type == LT_R_32F ? ((const float *)at)[i] : xlm_bf16_to_f32(((const uint16_t *)at)[i]);
}

static void store(void *at, int type, int64_t i, float x) {
  if (type == LT_R_32F)
    ((float *)at)[i] = x;
  else
    ((uint16_t *)at)[i] = xlm_f32_to_bf16(x);
}

static int64_t place(lt_layout l, int32_t entry, bool trans, int64_t row, int64_t col) {
  return entry * l->stride + (trans ? col + row * l->ld : row + col * l->ld);
}

typedef struct pending { // a product on a stream, everything by value
  struct lt_matmul_desc d;
  struct lt_matrix_layout a, b, out;
  const void *at_a, *at_b, *at_c;
  void *at_out;
  float scale, keep;
} pending;

static const char *compute(void *arg) {
  pending *p = arg;
  int64_t k = p->d.trans_a ? p->a.rows : p->a.cols;
  for (int32_t e = 0; e < p->out.batch; e++)
    for (int64_t j = 0; j < p->out.cols; j++)
      for (int64_t i = 0; i < p->out.rows; i++) {
        float sum = 0;
        for (int64_t x = 0; x < k; x++)
          sum += load(p->at_a, p->a.type, place(&p->a, e, p->d.trans_a, i, x)) *
                 load(p->at_b, p->b.type, place(&p->b, e, p->d.trans_b, x, j));
        int64_t to = place(&p->out, e, false, i, j);
        float old = p->keep != 0 ? p->keep * load(p->at_c, p->out.type, to) : 0;
        float bias = p->d.bias ? load(p->d.bias, p->out.type, e * p->d.bias_stride + i) : 0;
        store(p->at_out, p->out.type, to, p->scale * sum + old + bias);
      }
  return NULL;
}

static int check_memory(lt_desc d, const void *const at[4], const lt_algo *algo, const void *workspace,
                        size_t bytes) {
  for (int i = 0; i < 4; i++)
    if ((uintptr_t)at[i] %
        (algo->data[2 + i] < 64 ? algo->data[2 + i] : 64)) // the tests' memory is aligned to 64
      return broken(INVALID, "an operand is less aligned than the algorithm was chosen for");
  if (algo->data[7] != d->epilogue) return broken(INVALID, "the algorithm was chosen for another epilogue");
  if (d->bias && (uintptr_t)d->bias % algo->data[6])
    return broken(INVALID, "the bias is less aligned than the algorithm was chosen for");
  if (bytes < algo->data[1] || (algo->data[1] && !workspace)) return broken(INVALID, "too little workspace");
  return OK;
}

static int matmul(lt_handle h, lt_desc d, const void *alpha, const void *a, lt_layout la, const void *b,
                  lt_layout lb, const void *beta, const void *c, lt_layout lc, void *out, lt_layout lout,
                  const lt_algo *algo, void *workspace, size_t workspace_bytes, void *stream) {
  if (h->alive != MAGIC || algo->data[0] != MAGIC) return broken(INVALID, "no handle or algorithm");
  int bad = check_shapes(d, la, lb, lc, lout);
  if (!bad && (lc->ld != lout->ld || lc->stride != lout->stride))
    bad = broken(NOT_SUPPORTED, "C and D lie differently");
  if (!bad) bad = check_epilogue(d);
  if (!bad) bad = check_memory(d, (const void *[]){a, b, c, out}, algo, workspace, workspace_bytes);
  if (bad) return bad;
  pending now = {*d, *la, *lb, *lout, a, b, c, out, *(const float *)alpha, *(const float *)beta};
  if (!stream) return compute(&now) ? INVALID : OK;
  pending *later = malloc(sizeof *later);
  if (!later) return 3;
  *later = now;
  return emu_enqueue(stream, "cublasLtMatmul", compute, free, later) ? INVALID : OK;
}

xlm_status xlm_cublaslt_table(const xlm_cublaslt **out, xlm_error *err) {
  static const xlm_cublaslt table = {
      create,     destroy,        desc_create,       desc_set,       desc_destroy,       layout_create,
      layout_set, layout_destroy, preference_create, preference_set, preference_destroy, heuristic,
      matmul};
  (void)err;
  *out = &table;
  return XLM_OK;
}
