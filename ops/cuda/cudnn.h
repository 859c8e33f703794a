// The functions of cuDNN's backend API that attention uses, in one table: the library's own, loaded when
// first used, or a test's. Types and values are those of cudnn_graph.h (cuDNN 9), which does not change them.
//
// Everything is a descriptor: it is created, given attributes, and finalized, which checks it. Operations
// between tensors make a graph; heuristics offer configurations of engines for it; a configuration becomes a
// plan, which says how much workspace it uses; a plan is executed with the addresses of a variant pack.
#ifndef XLM_CUDA_CUDNN_H
#define XLM_CUDA_CUDNN_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

XLM_C_BEGIN

typedef struct dnn_context *dnn_handle;
typedef struct dnn_descriptor *dnn_desc;

enum { // kinds of descriptors
  DNN_POINTWISE = 0,
  DNN_ENGINE = 2,
  DNN_ENGINE_CONFIG = 3,
  DNN_HEURISTICS = 4,
  DNN_PLAN = 5,
  DNN_KNOB_CHOICE = 7,
  DNN_OPERATION_POINTWISE = 13,
  DNN_GRAPH = 15,
  DNN_VARIANT_PACK = 16,
  DNN_TENSOR = 17,
  DNN_MATMUL = 18,
  DNN_OPERATION_MATMUL = 19,
  DNN_REDUCTION = 21,
  DNN_OPERATION_REDUCTION = 22,
  DNN_OPERATION_RESHAPE = 31,
  DNN_DEVICE = 38
};
enum { // types of attributes
  DNN_T_HANDLE = 0,
  DNN_T_DATA_TYPE = 1,
  DNN_T_BOOLEAN = 2,
  DNN_T_INT64 = 3,
  DNN_T_POINTER = 6,
  DNN_T_HEURISTIC_MODE = 8,
  DNN_T_KNOB = 9,
  DNN_T_POINTWISE_MODE = 14,
  DNN_T_DESCRIPTOR = 15,
  DNN_T_REDUCTION = 18,
  DNN_T_CHAR = 24
};
enum { // attributes
  DNN_POINTWISE_MODE = 0,
  DNN_POINTWISE_TYPE = 1,
  DNN_POINTWISE_AXIS = 9,
  DNN_HEURISTICS_MODE = 200,
  DNN_HEURISTICS_GRAPH = 201,
  DNN_HEURISTICS_RESULTS = 202,
  DNN_HEURISTICS_DEVICE = 204,
  DNN_CONFIG_ENGINE = 300,
  DNN_CONFIG_KNOBS = 302,
  DNN_PLAN_HANDLE = 400,
  DNN_PLAN_CONFIG = 401,
  DNN_PLAN_WORKSPACE = 402,
  DNN_PLAN_DEVICE = 407,
  DNN_KNOB_TYPE = 600,
  DNN_KNOB_VALUE = 601,
  DNN_OPERATION_POINTWISE_DESC = 750,
  DNN_OPERATION_POINTWISE_X = 751,
  DNN_OPERATION_POINTWISE_B = 752,
  DNN_OPERATION_POINTWISE_Y = 753,
  DNN_OPERATION_POINTWISE_T = 758,
  DNN_GRAPH_HANDLE = 800,
  DNN_GRAPH_OPERATIONS = 801,
  DNN_TENSOR_ALIGNMENT = 900,
  DNN_TENSOR_TYPE = 901,
  DNN_TENSOR_SIZES = 902,
  DNN_TENSOR_STRIDES = 903,
  DNN_TENSOR_ID = 906,
  DNN_TENSOR_IS_VIRTUAL = 907,
  DNN_TENSOR_IS_VALUE = 908,
  DNN_PACK_IDS = 1000,
  DNN_PACK_POINTERS = 1001,
  DNN_PACK_WORKSPACE = 1003,
  DNN_ENGINE_GRAPH = 1300,
  DNN_ENGINE_INDEX = 1301,
  DNN_ENGINE_DEVICE = 1307,
  DNN_MATMUL_TYPE = 1500,
  DNN_OPERATION_MATMUL_A = 1520,
  DNN_OPERATION_MATMUL_B = 1521,
  DNN_OPERATION_MATMUL_C = 1522,
  DNN_OPERATION_MATMUL_DESC = 1523,
  DNN_REDUCTION_OPERATOR = 1600,
  DNN_REDUCTION_TYPE = 1601,
  DNN_OPERATION_REDUCTION_X = 1610,
  DNN_OPERATION_REDUCTION_Y = 1611,
  DNN_OPERATION_REDUCTION_DESC = 1612,
  DNN_RESHAPE_X = 2200,
  DNN_RESHAPE_Y = 2201,
  DNN_DEVICE_JSON = 2702
};
enum { DNN_FLOAT = 0, DNN_INT32 = 4, DNN_BFLOAT16 = 9, DNN_BOOLEAN = 11 }; // data types
enum {                                                                     // modes of pointwise operations
  DNN_ADD = 0,
  DNN_MUL = 1,
  DNN_DIV = 6,
  DNN_SUB = 9,
  DNN_EXP = 13,
  DNN_LOG = 15,
  DNN_CMP_GT = 302,
  DNN_CMP_GE = 303,
  DNN_GEN_INDEX = 501,
  DNN_BINARY_SELECT = 601
};
enum { DNN_REDUCE_ADD = 0, DNN_REDUCE_MAX = 3 };
enum { DNN_HEURISTIC_A = 3 };
enum { DNN_KNOB_STAGES = 14, DNN_KNOB_KERNEL = 24 };

typedef struct xlm_cudnn { // int: 0 for success
  size_t (*version)(void); // 91900 for 9.19.0
  void (*last_error)(char *text, size_t size);
  int (*create)(dnn_handle *h);
  int (*destroy)(dnn_handle h);
  int (*set_stream)(dnn_handle h, void *stream);
  int (*desc_create)(int kind, dnn_desc *d);
  int (*desc_destroy)(dnn_desc d);
  int (*set)(dnn_desc d, int attribute, int type, int64_t n, const void *values);
  int (*get)(dnn_desc d, int attribute, int type, int64_t room, int64_t *n, void *values);
  int (*finalize)(dnn_desc d);
  int (*execute)(dnn_handle h, dnn_desc plan, dnn_desc pack);
} xlm_cudnn;

// XLM_ENV when there is none, or an old one, with what to do.
xlm_status xlm_cudnn_table(const xlm_cudnn **out, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
