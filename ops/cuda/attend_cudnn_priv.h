// What builds cuDNN's descriptors for attention: the graph, and a plan for it.
#ifndef XLM_CUDA_ATTEND_CUDNN_PRIV_H
#define XLM_CUDA_ATTEND_CUDNN_PRIV_H

#include "ops/cuda/attend_cudnn.h"

// After the first failure nothing more is built, and descriptors are NULL.
typedef struct dnn_builder {
  const xlm_cudnn *dnn;
  xlm_cudnn_plan *made; // has what is created
  int bad;              // the first status that is not 0
  const char *what;     // was then done
} dnn_builder;

dnn_desc dnn_create(dnn_builder *b, int kind);
void dnn_check(dnn_builder *b, int status, const char *what);
void dnn_set(dnn_builder *b, dnn_desc d, int attribute, int type, int64_t n, const void *values);
void dnn_set_desc(dnn_builder *b, dnn_desc d, int attribute, dnn_desc value);
void dnn_set_int(dnn_builder *b, dnn_desc d, int attribute, int64_t value);
void dnn_set_type(dnn_builder *b, dnn_desc d, int attribute, int data_type);
void dnn_finalize(dnn_builder *b, dnn_desc d, const char *what);

// The finalized graph of one part (attend_cudnn_graph.c). handle: NULL where it is for a described device.
dnn_desc xlm_cudnn_graph(dnn_builder *b, const xlm_cudnn_attend *a, dnn_handle handle);

#endif
