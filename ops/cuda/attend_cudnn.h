// Attention as cuDNN computes it: bf16, multiples of 128 queries and keys, causal or not, with a window or
// without. What it does not compute is left to our own kernels. The backward pass is the library's
// deterministic one: before Blackwell it writes the gradients of all scores to workspace, so it runs over
// parts of the batch and of the heads, one after another.
#ifndef XLM_CUDA_ATTEND_CUDNN_H
#define XLM_CUDA_ATTEND_CUDNN_H

#include "ops/cuda/cudnn.h"
#include "runtime/device/kernel.h"

XLM_C_BEGIN

// Variants of attend and attend_bwd, as plan.c names them.
enum { XLM_ATTEND_CUDNN, XLM_ATTEND_TENSOR_CORE, XLM_ATTEND_SIMT };

// The tensors of the library's graph. The operands have their positions in the call, results after operands:
// attend has Q to STATS, attend_bwd all. Scalars are passed by value.
enum {
  XLM_CUDNN_Q,
  XLM_CUDNN_K,
  XLM_CUDNN_V,
  XLM_CUDNN_OUT,
  XLM_CUDNN_STATS, // the logsumexp, f32; the graph's is [batch, heads, queries]
  XLM_CUDNN_DOUT,
  XLM_CUDNN_DQ,
  XLM_CUDNN_DK,
  XLM_CUDNN_DV,
  XLM_CUDNN_OPERANDS,
  XLM_CUDNN_SUMS = XLM_CUDNN_OPERANDS, // of dout * out, like STATS; backward only
  XLM_CUDNN_SCALE,                     // float
  XLM_CUDNN_MASKED,                    // float: the score of what is not seen
  XLM_CUDNN_WINDOW,                    // int32_t
  XLM_CUDNN_ONE,                       // float; backward only
  XLM_CUDNN_TENSORS
};

// ---- planning: pure, in every build (attend_cudnn_plan.c)

typedef struct xlm_cudnn_strides { // in elements; features are contiguous
  int64_t batch, head, row;
} xlm_cudnn_strides;

typedef struct xlm_cudnn_attend {   // equal calls have equal bytes
  int64_t backward, causal, window; // window 0: none
  int64_t batches, heads, kv_heads, queries, keys, features;
  int64_t part_batches, part_heads, part_kv_heads; // of one execution; each divides its whole
  xlm_cudnn_strides at[XLM_CUDNN_OPERANDS];
  double scale;
} xlm_cudnn_attend;

// Of a part, for the gradients of its scores: 512 MiB; less in tests.
extern uint64_t xlm_cudnn_part_bytes;

// Is an attend or attend_bwd one that cuDNN computes on cards of this arch? NULL: on some.
bool xlm_cudnn_attend_of(const xlm_call *c, const char *arch, xlm_cudnn_attend *out);

typedef struct xlm_cudnn_room { // offsets in the workspace of a call, in bytes
  uint64_t stats, sums;         // of the whole call; of one part
  uint64_t library;             // what is left, to its end
} xlm_cudnn_room;
xlm_cudnn_room xlm_cudnn_attend_room(const xlm_cudnn_attend *a);
// What cuDNN itself asks for on cards of this arch.
uint64_t xlm_cudnn_attend_library(const xlm_cudnn_attend *a, const char *arch);

// ---- the library's plan (attend_cudnn_engine.c)

enum { XLM_CUDNN_DESCRIPTORS = 160 };
typedef struct xlm_cudnn_plan { // of one part
  const xlm_cudnn *dnn;
  dnn_desc desc[XLM_CUDNN_DESCRIPTORS]; // all that the plan is made of
  int n;
  dnn_desc plan; // one of them
  uint64_t workspace;
} xlm_cudnn_plan;

typedef struct xlm_cudnn_place { // where it will run
  dnn_handle handle;             // NULL: on `device`
  dnn_desc device;               // a finalized DNN_DEVICE, which may describe a card that is not there
  int major;                     // of the card's compute capability; 0: unknown
} xlm_cudnn_place;

// Does this version have what is planned for cards of this arch?
bool xlm_cudnn_attends(const xlm_cudnn *dnn, const char *arch);
// The first plan that the library has within `most` bytes of workspace. XLM_ENV: none, with what it says.
xlm_status xlm_cudnn_plan_make(xlm_cudnn_plan *out, const xlm_cudnn *dnn, const xlm_cudnn_place *where,
                               const xlm_cudnn_attend *a, uint64_t most, xlm_error *err) XLM_MUST_CHECK;
void xlm_cudnn_plan_free(xlm_cudnn_plan *p);
// Enqueues one part. at: addresses of the tensors, of scalars on the host; NULL: the graph has none.
xlm_status xlm_cudnn_plan_run(const xlm_cudnn_plan *p, dnn_handle handle, void *const at[XLM_CUDNN_TENSORS],
                              void *workspace, xlm_error *err) XLM_MUST_CHECK;

// ---- calls (attend_cudnn_run.c), where the build has kernels

// Of a prepared call of this variant.
const xlm_cudnn_attend *xlm_cudnn_attend_prepared(const xlm_call *c);
// Enqueues all parts. The logsumexp is in the workspace.
xlm_status xlm_cudnn_attend_run(const xlm_call *c) XLM_MUST_CHECK;

XLM_C_END

#endif
