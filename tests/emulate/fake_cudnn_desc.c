// Descriptors of the fake cuDNN: which attributes each kind has, of which type and length.
#include "tests/emulate/fake_cudnn_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int fake_cudnn_broken(int status, const char *rule) {
  fprintf(stderr, "fake cuDNN: %s\n", rule);
  return status;
}

static const struct rule { // what a kind has; n: how many, 0: any number
  int kind, name, type, n;
  bool may; // be absent
} rules[] = {
    {DNN_TENSOR, DNN_TENSOR_ID, DNN_T_INT64, 1, false},
    {DNN_TENSOR, DNN_TENSOR_TYPE, DNN_T_DATA_TYPE, 1, false},
    {DNN_TENSOR, DNN_TENSOR_SIZES, DNN_T_INT64, RANK, false},
    {DNN_TENSOR, DNN_TENSOR_STRIDES, DNN_T_INT64, RANK, false},
    {DNN_TENSOR, DNN_TENSOR_ALIGNMENT, DNN_T_INT64, 1, false},
    {DNN_TENSOR, DNN_TENSOR_IS_VIRTUAL, DNN_T_BOOLEAN, 1, false},
    {DNN_TENSOR, DNN_TENSOR_IS_VALUE, DNN_T_BOOLEAN, 1, false},
    {DNN_MATMUL, DNN_MATMUL_TYPE, DNN_T_DATA_TYPE, 1, false},
    {DNN_OPERATION_MATMUL, DNN_OPERATION_MATMUL_A, DNN_T_DESCRIPTOR, 1, false},
    {DNN_OPERATION_MATMUL, DNN_OPERATION_MATMUL_B, DNN_T_DESCRIPTOR, 1, false},
    {DNN_OPERATION_MATMUL, DNN_OPERATION_MATMUL_C, DNN_T_DESCRIPTOR, 1, false},
    {DNN_OPERATION_MATMUL, DNN_OPERATION_MATMUL_DESC, DNN_T_DESCRIPTOR, 1, false},
    {DNN_POINTWISE, DNN_POINTWISE_MODE, DNN_T_POINTWISE_MODE, 1, false},
    {DNN_POINTWISE, DNN_POINTWISE_TYPE, DNN_T_DATA_TYPE, 1, false},
    {DNN_POINTWISE, DNN_POINTWISE_AXIS, DNN_T_INT64, 1, true},
    {DNN_OPERATION_POINTWISE, DNN_OPERATION_POINTWISE_DESC, DNN_T_DESCRIPTOR, 1, false},
    {DNN_OPERATION_POINTWISE, DNN_OPERATION_POINTWISE_X, DNN_T_DESCRIPTOR, 1, false},
    {DNN_OPERATION_POINTWISE, DNN_OPERATION_POINTWISE_B, DNN_T_DESCRIPTOR, 1, true},
    {DNN_OPERATION_POINTWISE, DNN_OPERATION_POINTWISE_T, DNN_T_DESCRIPTOR, 1, true},
    {DNN_OPERATION_POINTWISE, DNN_OPERATION_POINTWISE_Y, DNN_T_DESCRIPTOR, 1, false},
    {DNN_REDUCTION, DNN_REDUCTION_OPERATOR, DNN_T_REDUCTION, 1, false},
    {DNN_REDUCTION, DNN_REDUCTION_TYPE, DNN_T_DATA_TYPE, 1, false},
    {DNN_OPERATION_REDUCTION, DNN_OPERATION_REDUCTION_X, DNN_T_DESCRIPTOR, 1, false},
    {DNN_OPERATION_REDUCTION, DNN_OPERATION_REDUCTION_Y, DNN_T_DESCRIPTOR, 1, false},
    {DNN_OPERATION_REDUCTION, DNN_OPERATION_REDUCTION_DESC, DNN_T_DESCRIPTOR, 1, false},
    {DNN_OPERATION_RESHAPE, DNN_RESHAPE_X, DNN_T_DESCRIPTOR, 1, false},
    {DNN_OPERATION_RESHAPE, DNN_RESHAPE_Y, DNN_T_DESCRIPTOR, 1, false},
    {DNN_GRAPH, DNN_GRAPH_HANDLE, DNN_T_HANDLE, 1, false},
    {DNN_GRAPH, DNN_GRAPH_OPERATIONS, DNN_T_DESCRIPTOR, 0, false},
    {DNN_HEURISTICS, DNN_HEURISTICS_GRAPH, DNN_T_DESCRIPTOR, 1, false},
    {DNN_HEURISTICS, DNN_HEURISTICS_MODE, DNN_T_HEURISTIC_MODE, 1, false},
    {DNN_PLAN, DNN_PLAN_HANDLE, DNN_T_HANDLE, 1, false},
    {DNN_PLAN, DNN_PLAN_CONFIG, DNN_T_DESCRIPTOR, 1, false},
    {DNN_VARIANT_PACK, DNN_PACK_IDS, DNN_T_INT64, 0, false},
    {DNN_VARIANT_PACK, DNN_PACK_POINTERS, DNN_T_POINTER, 0, false},
    {DNN_VARIANT_PACK, DNN_PACK_WORKSPACE, DNN_T_POINTER, 1, false},
};
enum { RULES = sizeof rules / sizeof *rules };

static size_t bytes_of(int type) {
  return type == DNN_T_BOOLEAN                                                       ? sizeof(bool)
         : type == DNN_T_INT64                                                       ? sizeof(int64_t)
         : type == DNN_T_HANDLE || type == DNN_T_DESCRIPTOR || type == DNN_T_POINTER ? sizeof(void *)
                                                                                     : sizeof(int);
}

const void *fake_desc_find(dnn_desc d, int name) {
  for (int i = 0; i < d->n; i++)
    if (d->at[i].name == name) return d->at[i].values;
  return NULL;
}

int64_t fake_desc_count(dnn_desc d, int name) {
  for (int i = 0; i < d->n; i++)
    if (d->at[i].name == name) return d->at[i].n;
  return 0;
}

dnn_desc fake_desc_at(dnn_desc d, int name) {
  const void *v = fake_desc_find(d, name);
  return v ? *(const dnn_desc *)v : NULL;
}

int fake_desc_int(dnn_desc d, int name) {
  return *(const int *)fake_desc_find(d, name);
}

int64_t fake_desc_int64(dnn_desc d, int name) {
  const void *v = fake_desc_find(d, name);
  return v ? *(const int64_t *)v : 0;
}

int fake_desc_create(int kind, dnn_desc *d) {
  *d = calloc(1, sizeof **d);
  if (!*d) return 4003;
  (*d)->alive = MAGIC, (*d)->kind = kind;
  return OK;
}

int fake_desc_set(dnn_desc d, int name, int type, int64_t n, const void *values) {
  if (!d || d->alive != MAGIC) return fake_cudnn_broken(BAD_PARAM, "no descriptor");
  if (d->finalized) return fake_cudnn_broken(BAD_PARAM, "an attribute of a finalized descriptor");
  if (fake_desc_find(d, name) || d->n == ATTRIBUTES)
    return fake_cudnn_broken(BAD_PARAM, "an attribute twice, or too many");
  for (int i = 0; i < RULES; i++) {
    const struct rule *r = &rules[i];
    if (r->kind != d->kind || r->name != name) continue;
    if (r->type != type || n < 1 || (r->n && r->n != n))
      return fake_cudnn_broken(BAD_PARAM, "an attribute of another type or length");
    attribute a = {name, type, n, malloc((size_t)n * bytes_of(type))};
    if (!a.values) return 4003;
    memcpy(a.values, values, (size_t)n * bytes_of(type));
    d->at[d->n++] = a;
    return OK;
  }
  return fake_cudnn_broken(BAD_PARAM, "a descriptor without such an attribute");
}

int fake_desc_complete(dnn_desc d) {
  for (int i = 0; i < RULES; i++)
    if (rules[i].kind == d->kind && !rules[i].may && !fake_desc_find(d, rules[i].name))
      return fake_cudnn_broken(BAD_PARAM, "an attribute is missing");
  return OK;
}
