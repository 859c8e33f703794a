// What `rope` turns, and by which angles: for the kernels of all backends.
#ifndef XLM_DEVICE_ROPE_H
#define XLM_DEVICE_ROPE_H

#include "runtime/device/kernel.h"

XLM_C_BEGIN

typedef struct xlm_rope {
  xlm_dim feature, seq; // seq 0: positions are operand 1
  bool factors;         // operand 2, f32 [pairs], divides the frequencies
  int64_t size;         // of feature
  int64_t start, pairs; // its elements [start, start + 2 pairs) are turned; the others are copied
  bool interleaved;     // pair j is (2j, 2j + 1), otherwise (j, j + pairs)
  int64_t position;     // added to every place in `seq`
  double sign, scale;   // of the angles; factor on what is turned
} xlm_rope;

xlm_rope xlm_rope_of(const xlm_call *c);
// Radians per position of pair j, before factors. With scaling, as in transformers' modeling_rope_utils: `original` is
// original_max_position_embeddings, `low` and `high` are low_freq_factor and high_freq_factor (llama3),
// beta_slow and beta_fast (yarn: Peng et al., "YaRN", sections 3.2 and 3.3).
double xlm_rope_frequency(const xlm_call *c, const xlm_rope *r, int64_t j);

XLM_C_END

#endif
