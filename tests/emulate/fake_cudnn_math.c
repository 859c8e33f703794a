// What the fake cuDNN computes: element by element, in f32.
#include <math.h>

#include "runtime/base/bf16.h"
#include "runtime/plan/type.h"
#include "tests/emulate/fake_cudnn_priv.h"

int64_t fake_cudnn_elements(const tensor *t) {
  return t->size[0] * t->size[1] * t->size[2] * t->size[3];
}

typedef struct place {
  int64_t at[RANK];
} place;

static place place_of(const tensor *t, int64_t i) { // of element i, the last index fastest
  place p;
  for (int k = RANK - 1; k >= 0; k--) p.at[k] = i % t->size[k], i /= t->size[k];
  return p;
}

static int64_t offset_of(const tensor *t, place p) {
  int64_t at = 0;
  for (int k = 0; k < RANK; k++) at += p.at[k] * t->stride[k];
  return at;
}

// The element of t for a place of a tensor of these sizes: one of 1 is repeated, heads are shared by a group.
static place within(const tensor *t, place p, const int64_t *size) {
  for (int k = 0; k < RANK; k++) p.at[k] = p.at[k] * t->size[k] / size[k];
  return p;
}

static float load(const tensor *t, place p) {
  if (t->is_value) return t->value;
  if (t->is_virtual)
    return t->values[((p.at[0] * t->size[1] + p.at[1]) * t->size[2] + p.at[2]) * t->size[3] + p.at[3]];
  int64_t at = offset_of(t, p);
  return t->type == DNN_FLOAT ? ((const float *)t->address)[at]
                              : xlm_bf16_to_f32(((const uint16_t *)t->address)[at]);
}

static void store(tensor *t, int64_t i, float x) {
  int64_t at = t->is_virtual ? i : offset_of(t, place_of(t, i));
  if (t->is_virtual)
    t->values[i] = t->type == DNN_BFLOAT16 ? xlm_bf16_to_f32(xlm_f32_to_bf16(x)) : x;
  else if (t->type == DNN_FLOAT)
    ((float *)t->address)[at] = x;
  else
    ((uint16_t *)t->address)[at] = xlm_f32_to_bf16(x);
}

static float dot(const tensor *a, const tensor *b, const tensor *y, place to) {
  float sum = 0;
  place left = to, right = to;
  left.at[1] = to.at[1] * a->size[1] / y->size[1], right.at[1] = to.at[1] * b->size[1] / y->size[1];
  for (int64_t k = 0; k < a->size[3]; k++) {
    left.at[3] = right.at[2] = k;
    sum += load(a, left) * load(b, right);
  }
  return sum;
}

static float reduced(const operation *o, const tensor *x, const tensor *y, place to) {
  place p;
  int64_t each[RANK], n = 1;
  for (int k = 0; k < RANK; k++) n *= each[k] = x->size[k] / y->size[k];
  float result = o->mode == DNN_REDUCE_MAX ? -INFINITY : 0;
  for (int64_t i = 0; i < n; i++) {
    int64_t rest = i;
    for (int k = RANK - 1; k >= 0; k--) p.at[k] = to.at[k] * each[k] + rest % each[k], rest /= each[k];
    result = o->mode == DNN_REDUCE_MAX ? fmaxf(result, load(x, p)) : result + load(x, p);
  }
  return result;
}

// The element of x that lies where this one of y does.
static float reshaped(const tensor *x, const tensor *y, place to) {
  int64_t at = offset_of(y, to);
  place p = {{0}};
  for (int turn = 0; turn < RANK; turn++) { // by the largest stride that is left
    int most = -1;
    for (int k = 0; k < RANK; k++)
      if (x->size[k] > 1 && !p.at[k] && x->stride[k] <= at && (most < 0 || x->stride[k] > x->stride[most]))
        most = k;
    if (most >= 0) p.at[most] = at / x->stride[most], at %= x->stride[most];
  }
  return load(x, p);
}

static float mapped(const operation *o, const program *p, place to) {
  const tensor *y = &p->tensor[o->y], *x = &p->tensor[o->x];
  float a = load(x, within(x, to, y->size)), b = 0, t = 0;
  if (o->b >= 0) b = load(&p->tensor[o->b], within(&p->tensor[o->b], to, y->size));
  if (o->t >= 0) t = load(&p->tensor[o->t], within(&p->tensor[o->t], to, y->size));
  switch (o->mode) {
  case DNN_ADD:
    return a + b;
  case DNN_SUB:
    return a - b;
  case DNN_MUL:
    return a * b;
  case DNN_DIV:
    return a / b;
  case DNN_EXP:
    return expf(a);
  case DNN_LOG:
    return logf(a);
  case DNN_CMP_GE:
    return a >= b;
  case DNN_CMP_GT:
    return a > b;
  case DNN_GEN_INDEX:
    return (float)to.at[o->axis];
  case DNN_BINARY_SELECT:
    return t != 0 ? a : b;
  default:
    return NAN;
  }
}

static void run_operation(program *p, const operation *o) {
  tensor *y = &p->tensor[o->y];
  const tensor *x = &p->tensor[o->x];
  int64_t n = fake_cudnn_elements(y);
  for (int64_t i = 0; i < n; i++) {
    place to = place_of(y, i);
    store(y, i,
          o->kind == DNN_OPERATION_MATMUL      ? dot(x, &p->tensor[o->b], y, to)
          : o->kind == DNN_OPERATION_REDUCTION ? reduced(o, x, y, to)
          : o->kind == DNN_OPERATION_RESHAPE   ? reshaped(x, y, to)
                                               : mapped(o, p, to));
  }
}

void fake_cudnn_compute(program *p) {
  for (int i = 0; i < p->n_operations; i++) run_operation(p, &p->operation[i]);
}
