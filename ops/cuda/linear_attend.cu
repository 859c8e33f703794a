// linear_attend: see ops/linear_attend.c, and linear_attend_chunks.cu.
#include "ops/cuda/linear_attend_run_priv.h"

enum { Q, K, V, DECAY };

XLM_CUDA_RUN(linear_attend) {
  linear_shape s = linear_shape_of(c, DECAY);
  linear_scratch scratch = linear_scratch_of(c->workspace, &s, false);
  linear_view q = linear_view_of(c, c->in_type[Q], c->in[Q]), k = linear_view_of(c, c->in_type[K], c->in[K]);
  linear_view v = linear_view_of(c, c->in_type[V], c->in[V]),
              out = linear_view_of(c, c->out_type[0], c->out[0]), decay = {};
  if (c->instr->n_in > DECAY) decay = linear_view_of(c, c->in_type[DECAY], c->in[DECAY]);
  return linear_passes(s, [&](int64_t first, int64_t n) {
    linear_states_args states = {s, k, v, decay, false, scratch.states, scratch.whole, first, n};
    linear_rows_args rows = {s,     q, k,      v,       out, decay, false, false, scratch.states,
                             first, n, s.keys, s.values};
    linear_channel_rows_args by_channel = {s, q, k, v, decay, out, false, scratch.states, first, n};
    XLM_TRY(xlm_cuda_linear_states(c, states));
    if (s.channels) return xlm_cuda_linear_channel_rows(c, by_channel);
    return xlm_cuda_linear_rows(c, rows);
  });
}
