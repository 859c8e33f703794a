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

// ---- descriptors ----

enum { OK = 0, BAD_PARAM = 2000, NOT_FINALIZED = 2004, NOT_SUPPORTED = 3000, MAGIC = 0xD22 };
enum { CONFIG_GRAPH = 1 << 20 }; // the attribute that heuristics give a configuration
enum { ATTRIBUTES = 10 };

typedef struct attribute {
  int name, type;
  int64_t n;
  char *values;
} attribute;

struct dnn_context {
  int alive;
  void *stream;
};
struct dnn_descriptor {
  int alive, kind, n;
  bool finalized;
  attribute at[ATTRIBUTES];
  struct program *program; // of a plan
};

// A broken rule: says so, returns `status`.
int fake_cudnn_broken(int status, const char *rule);
int fake_desc_create(int kind, dnn_desc *d);
int fake_desc_set(dnn_desc d, int name, int type, int64_t n, const void *values);
int fake_desc_complete(dnn_desc d); // has it all attributes that it must have?

const void *fake_desc_find(dnn_desc d, int name); // the values of an attribute; NULL: absent
int64_t fake_desc_count(dnn_desc d, int name);
dnn_desc fake_desc_at(dnn_desc d, int name); // absent: NULL, 0
int64_t fake_desc_int64(dnn_desc d, int name);
int fake_desc_int(dnn_desc d, int name); // it is there

#endif
