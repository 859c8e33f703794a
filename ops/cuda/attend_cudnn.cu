// The variant `cudnn` of attend and attend_bwd. The library has the logsumexp as [batch, heads, queries], in workspace: it
// is copied from or to the place that the call gives it.
#include "ops/cuda/attend_cudnn.h"
#include "ops/cuda/attend_run_priv.h"
#include "ops/cuda/copy_priv.h"

static xlm_status copy_stats(const xlm_call *c, bool to_call) {
  const xlm_cudnn_attend *a = xlm_cudnn_attend_prepared(c);
  const xlm_cudnn_strides *call = &a->at[XLM_CUDNN_STATS];
  int64_t strides[2][3] = {{a->heads * a->queries, a->queries, 1}, {call->batch, call->head, call->row}};
  copy_shape s;
  memset(&s, 0, sizeof s);
  s.n = 3, s.window = COPY_NO_WINDOW;
  s.size[0] = a->batches, s.size[1] = a->heads, s.size[2] = a->queries;
  for (int i = 0; i < 3; i++) s.from_stride[i] = strides[!to_call][i], s.to_stride[i] = strides[to_call][i];
  void *own = (char *)c->workspace + xlm_cudnn_attend_room(a).stats;
  return to_call ? xlm_cuda_copy_strided(c, s, own, c->out[1], sizeof(float))
                 : xlm_cuda_copy_strided(c, s, c->in[XLM_CUDNN_STATS], own, sizeof(float));
}

xlm_status xlm_cuda_attend_cudnn(const xlm_call *c) {
  XLM_TRY(xlm_cudnn_attend_run(c));
  return copy_stats(c, true);
}

xlm_status xlm_cuda_attend_bwd_cudnn(const xlm_call *c) {
  XLM_TRY(copy_stats(c, false));
  return xlm_cudnn_attend_run(c);
}
