// How recurrences along a sequence are grouped. Groups begin at multiples of these sizes of the place in the
// sequence, in kernels of whole sequences and in those of decoding (ops/linear_attend_from.c, ops/cumsum.c),
// so that both have the same sums. It is what their caches hold.
#ifndef XLM_PLAN_CHUNKS_H
#define XLM_PLAN_CHUNKS_H

#include "runtime/base/cxx.h"

XLM_C_BEGIN

enum {
  XLM_LINEAR_CHUNK = 64, // places that linear_attend takes together
  XLM_CUMSUM_RUN = 64,   // elements that cumsum adds up from zero
};

XLM_C_END

#endif
