// A graph of the fake cuDNN as a program: operations on tensors, in their order.
#ifndef XLM_EMULATE_FAKE_CUDNN_PRIV_H
#define XLM_EMULATE_FAKE_CUDNN_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "ops/cuda/cudnn.h"

enum { RANK = 4, TENSORS = 64, OPERATIONS = 32 };

typedef struct tensor {
  int64_t id, size[RANK], stride[RANK], alignment;
  int type;
  bool is_virtual, is_value;
  float *values; // while it runs: of virtual ones, dense
  void *address; // while it runs: of the others
  float value;   // by value
} tensor;

typedef struct operation {
  int kind, mode;
  int64_t axis;
  int x, b, t, y; // tensors; -1: none
} operation;

typedef struct program {
  int users; // the plan and what is enqueued
  int n_tensors, n_operations, products;
  tensor tensor[TENSORS];
  operation operation[OPERATIONS];
} program;

int64_t fake_cudnn_elements(const tensor *t);
// All operations. Virtual tensors have memory for their values, all others an address or a value.
void fake_cudnn_compute(program *p);

#endif
