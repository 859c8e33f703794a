// Planning for NVIDIA devices: the kernel of each op and its workspace, so that plans can be made and read on
// any machine, also by builds without the kernels.
//
// Operations with a workspace:
// - products: what cuBLASLt may use (blas.h);
// - attention: what cuDNN uses (attend_cudnn.h); our own backward: two numbers per query;
// - linear attention: the states between chunks, in decoding those after a kept one;
// - sums in two fixed steps, also those of fused programs: the partial sums;
// - gradients of tables: token numbers, sorted, and sums of tiles of them;
// - routing: choices of experts, sorted;
// - collectives: pieces of other ranks, added in member order.
#include "ops/cuda/attend_cudnn.h"
#include "ops/cuda/attend_priv.h"
#include "ops/cuda/backend_priv.h"
#include "ops/cuda/blas.h"
#include "ops/cuda/collect_plan_priv.h"
#include "ops/cuda/fused_shape.h"
#include "ops/cuda/linear_attend_priv.h"
#include "ops/cuda/lookup_priv.h"
#include "ops/cuda/norm_sq_priv.h"
#include "ops/cuda/product_priv.h"
#include "ops/cuda/routing_priv.h"
#include "ops/cuda/reduce_shape_priv.h"

// ---- products ----

// tensor_core: operands of bf16 that are read in pieces of 16 bytes; simt: f32 arithmetic by single threads,
// for the rest.
static const char *const products[] = {"cublaslt", "tensor_core", "simt", NULL};

static bool product_may(const xlm_call *c, const xlm_target *t, int variant) {
  (void)t;
  xlm_blas b;
  xlm_matmul m = xlm_cuda_product_of(c);
  return variant == PRODUCT_BLAS          ? xlm_blas_of(&m, &b)
         : variant == PRODUCT_TENSOR_CORE ? product_fits_tensor_cores(&m)
                                          : true;
}

static size_t product(const xlm_call *c, const xlm_target *t) {
  (void)t;
  xlm_blas b;
  xlm_matmul m = xlm_cuda_product_of(c);
  return c->variant == PRODUCT_BLAS && xlm_blas_of(&m, &b) ? xlm_blas_workspace(&b) : 0;
}

// ---- attention ----

// cudnn: see attend_cudnn.h; tensor_core: bf16 throughout, f32 sums; simt: f32 arithmetic by single threads,
// for all types and orders. In the order of the enum there.
static const char *const attends[] = {"cudnn", "tensor_core", "simt", NULL};

static bool attend_may(const xlm_call *c, const xlm_target *t, int variant) {
  xlm_cudnn_attend a;
  if (xlm_call_dim(c, XLM_A_past, 0)) return variant == XLM_ATTEND_SIMT; // caches: attend_caches.cu
  if (variant == XLM_ATTEND_CUDNN) return !t->own_attention && xlm_cudnn_attend_of(c, t->arch, &a);
  return variant == XLM_ATTEND_SIMT || attend_fits_tensor_cores(c);
}

static size_t attend(const xlm_call *c, const xlm_target *t) {
  xlm_cudnn_attend a;
  if (c->variant == XLM_ATTEND_CUDNN && xlm_cudnn_attend_of(c, t->arch, &a))
    return (size_t)(xlm_cudnn_attend_room(&a).library + xlm_cudnn_attend_library(&a, t->arch));
  return c->instr->op == XLM_OP_ATTEND ? 0 : attend_bwd_workspace(c);
}

// tensor_core: the queries and keys are of bf16, and what is multiplied is rounded to it; simt: all in f32,
// by single threads, also all with decays per channel. In the order of the enum there.
static const char *const linear_attends[] = {"tensor_core", "simt", NULL};

static linear_shape linear_shape_planned(const xlm_call *c) {
  return linear_shape_of(c, c->instr->op == XLM_OP_LINEAR_ATTEND_BWD ? 4 : 3);
}

static bool linear_attend_may(const xlm_call *c, const xlm_target *t, int variant) {
  (void)t;
  return variant == LINEAR_SIMT || (!linear_shape_planned(c).channels && c->in_type[0]->dtype == XLM_BF16 &&
                                    c->in_type[1]->dtype == XLM_BF16);
}

static size_t linear_attend(const xlm_call *c, const xlm_target *t) { // states between chunks
  (void)t;
  linear_shape s = linear_shape_planned(c);
  return linear_scratch_of(NULL, &s, c->instr->op == XLM_OP_LINEAR_ATTEND_BWD).bytes;
}

static size_t linear_attend_from(const xlm_call *c,
                                 const xlm_target *t) { // states that several chunks advance
  (void)t;
  bool one = c->dims[xlm_call_dim(c, XLM_A_seq, 0)].size <= 1;
  return one ? 0 : (size_t)xlm_call_elements(c, c->in_type[0]) * sizeof(float);
}

// ---- sums in two steps ----

static size_t norm_sq(const xlm_call *c, const xlm_target *t) {
  (void)c, (void)t;
  return XLM_CUDA_NORM_BLOCKS * sizeof(xlm_cuda_norm_part);
}

static size_t by_parts(const xlm_call *c, const xlm_target *t) {
  (void)t;
  return reduce_workspace(c, sizeof(float));
}

static size_t logsumexp(const xlm_call *c, const xlm_target *t) { // parts are two numbers
  (void)t;
  return reduce_workspace(c, 2 * sizeof(float));
}

static size_t fused(const xlm_call *c, const xlm_target *t) {
  (void)t;
  xlm_fused_shape s = xlm_fused_shape_of(c);
  return (size_t)xlm_fused_partial(&s) * sizeof(float);
}

static size_t by_token(const xlm_call *c, const xlm_target *t) { // the losses
  (void)t;
  return (size_t)xlm_call_elements(c, c->in_type[1]) * sizeof(float);
}

static size_t by_token_and_count(const xlm_call *c, const xlm_target *t) { // the losses, and how many count
  return by_token(c, t) + sizeof(float);
}

// ---- tokens and experts ----

static size_t count(const xlm_call *c, const xlm_target *t) { // of targets, unless an operand gives it
  (void)t;
  return c->instr->n_in > 4 ? 0 : sizeof(float);
}

static size_t lookup_bwd(const xlm_call *c, const xlm_target *t) {
  (void)t;
  const xlm_type *sums = c->out_type[0];
  int64_t tokens = xlm_call_elements(c, c->in_type[c->instr->n_in - 1]);
  int at = xlm_type_find(sums, xlm_call_dim(c, XLM_A_vocab, 0));
  int64_t rows = xlm_call_outer(c, sums, at) * xlm_call_size(c, sums, at);
  return xlm_cuda_lookup_scratch_of(NULL, tokens, rows, xlm_call_inner(c, sums, at)).bytes;
}

static size_t routing(const xlm_call *c, const xlm_target *t) {
  (void)t;
  int64_t experts = c->dims[xlm_call_dim(c, XLM_A_experts, 0)].size;
  const xlm_type *e = c->in_type[c->instr->n_in - 1]; // the choices
  return xlm_cuda_routing_scratch_of(NULL, xlm_call_elements(c, e), experts).bytes;
}

// ---- communication ----

static const char *const sums[] = {"exact", NULL};

static bool sum_may(const xlm_call *c, const xlm_target *t, int variant) {
  (void)c, (void)t, (void)variant;
  return true;
}

static bool all_reduce_may(const xlm_call *c, const xlm_target *t, int variant) {
  (void)t;
  return variant == XLM_ALL_REDUCE_TWOSHOT ||
         xlm_all_reduce_is_small(xlm_call_members(c), xlm_type_bytes(c->in_type[0], c->dims));
}

static size_t all_reduce(const xlm_call *c, const xlm_target *t) {
  (void)t;
  int64_t n = xlm_call_members(c), count = xlm_call_elements(c, c->in_type[0]);
  size_t elem = xlm_dtype_bytes(c->in_type[0]->dtype);
  if (c->variant == XLM_ALL_REDUCE_ONESHOT) return (size_t)(n * count) * elem;
  return xlm_collect_room(n, (count + n - 1) / n, elem, 1);
}

static size_t reduce_scatter(const xlm_call *c, const xlm_target *t) { // received, and packed to be sent
  (void)t;
  int64_t piece =
      xlm_collect_beside(c, c->in_type[0], xlm_call_dim(c, XLM_A_from, 0)) * xlm_collect_largest(c, 0);
  return xlm_collect_room(xlm_call_members(c), piece, xlm_dtype_bytes(c->in_type[0]->dtype),
                          xlm_collect_dense(c) ? 1 : 2);
}

static size_t all_gather(const xlm_call *c, const xlm_target *t) {
  (void)t;
  const xlm_type *y = c->out_type[0];
  xlm_dim to = xlm_call_dim(c, XLM_A_to, 0);
  if (xlm_collect_outermost(c, y, to)) return 0;
  int64_t piece = xlm_collect_beside(c, y, to) * xlm_collect_largest(c, 0);
  return xlm_collect_room(xlm_call_members(c), piece, xlm_dtype_bytes(y->dtype), 1);
}

static size_t all_to_all(const xlm_call *c, const xlm_target *t) {
  (void)t;
  return xlm_collect_room(xlm_call_members(c), xlm_collect_exchanged(c),
                          xlm_dtype_bytes(c->in_type[0]->dtype), 2);
}

static size_t rows_of_experts(const xlm_call *c, const xlm_target *t) { // how many, by expert and member
  (void)t;
  bool back = c->instr->op == XLM_OP_COLLECT_ROWS;
  int64_t from = xlm_call_size(c, c->in_type[0], 0), to = xlm_call_size(c, c->out_type[0], 0);
  return xlm_collect_counts(xlm_call_members(c), back ? to : from, back ? from : to);
}

// ---- the kernels ----

static const xlm_kernel with_scratch[] = {
    {.op = XLM_OP_CONTRACT, .variants = products, .applicable = product_may, .workspace = product},
    {.op = XLM_OP_CONTRACT_ACC, .variants = products, .applicable = product_may, .workspace = product},
    {.op = XLM_OP_CONTRACT_BIAS, .variants = products, .applicable = product_may, .workspace = product},
    {.op = XLM_OP_ATTEND, .variants = attends, .applicable = attend_may, .workspace = attend},
    {.op = XLM_OP_ATTEND_BWD, .variants = attends, .applicable = attend_may, .workspace = attend},
    {.op = XLM_OP_ATTEND_BIAS_BWD, .workspace = attend},
    {.op = XLM_OP_LINEAR_ATTEND,
     .variants = linear_attends,
     .applicable = linear_attend_may,
     .workspace = linear_attend},
    {.op = XLM_OP_LINEAR_ATTEND_BWD,
     .variants = linear_attends,
     .applicable = linear_attend_may,
     .workspace = linear_attend},
    {.op = XLM_OP_LINEAR_ATTEND_FROM, .workspace = linear_attend_from},
    {.op = XLM_OP_NORM_SQ, .workspace = norm_sq},
    {.op = XLM_OP_SUM, .workspace = by_parts},
    {.op = XLM_OP_MEAN, .workspace = by_parts},
    {.op = XLM_OP_AMAX, .workspace = by_parts},
    {.op = XLM_OP_LOGSUMEXP, .workspace = logsumexp},
    {.op = XLM_OP_FUSED, .workspace = fused},
    {.op = XLM_OP_CROSS_ENTROPY, .workspace = by_token},
    {.op = XLM_OP_CROSS_ENTROPY_BWD, .workspace = count},
    {.op = XLM_OP_CROSS_ENTROPY_GRAD, .workspace = by_token_and_count},
    {.op = XLM_OP_LOOKUP_BWD, .workspace = lookup_bwd},
    {.op = XLM_OP_LOOKUP_BWD_ACC, .workspace = lookup_bwd},
    {.op = XLM_OP_DISPATCH, .workspace = routing},
    {.op = XLM_OP_DISPATCH_BWD, .workspace = routing},
    {.op = XLM_OP_COMBINE, .workspace = routing},
    {.op = XLM_OP_COMBINE_BWD, .workspace = routing},
    {.op = XLM_OP_ALL_REDUCE,
     .variants = xlm_all_reduce_names,
     .applicable = all_reduce_may,
     .workspace = all_reduce},
    {.op = XLM_OP_REDUCE_SCATTER, .variants = sums, .applicable = sum_may, .workspace = reduce_scatter},
    {.op = XLM_OP_ALL_GATHER, .workspace = all_gather},
    {.op = XLM_OP_ALL_TO_ALL, .workspace = all_to_all},
    {.op = XLM_OP_SEND_ROWS, .workspace = rows_of_experts},
    {.op = XLM_OP_COLLECT_ROWS, .workspace = rows_of_experts},
};

// All others with a kernel use only registers and shared memory.
static const xlm_kernel others[XLM_OP_COUNT] = {
#define XLM_CUDA(name, NAME) [XLM_OP_##NAME] = {.op = XLM_OP_##NAME},
#include "ops/cuda/kernels.def"
#undef XLM_CUDA
};

const xlm_kernel *xlm_cuda_planned(xlm_op_id op) {
  for (size_t i = 0; i < sizeof with_scratch / sizeof *with_scratch; i++)
    if (with_scratch[i].op == op) return &with_scratch[i];
  return others[op].op == op ? &others[op] : NULL;
}
