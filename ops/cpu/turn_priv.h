// A square of words turned in registers: what lies along rows of memory becomes vectors across them.
#ifndef XLM_OPS_CPU_TURN_PRIV_H
#define XLM_OPS_CPU_TURN_PRIV_H

#include <stdint.h>

#include "ops/cpu/inline_priv.h"
#include "ops/cpu/isa.h"

enum { TURN = XLM_ISA_NAME(xlm_tiles_lanes) };
typedef uint32_t turn_words __attribute__((vector_size(TURN * 4)));

// Lanes of two vectors in fours: the same of each four; whole fours.
#define TURN_OF(i) 4 * (i), 4 * (i) + 1, 4 * (i) + 2, 4 * (i) + 3
#if defined(XLM_ISA_avx512)
#define TURN_FOURS(a, b, i, j, k, l)                                                                         \
  __builtin_shufflevector(a, b, TURN_OF(i), TURN_OF(j), TURN_OF(k), TURN_OF(l))
#define TURN_MIX(a, b, c, d)                                                                                 \
  a, b, c, d, a + 4, b + 4, c + 4, d + 4, a + 8, b + 8, c + 8, d + 8, a + 12, b + 12, c + 12, d + 12
#elif defined(XLM_ISA_avx2)
#define TURN_FOURS(a, b, i, j) __builtin_shufflevector(a, b, TURN_OF(i), TURN_OF(j))
#define TURN_MIX(a, b, c, d) a, b, c, d, a + 4, b + 4, c + 4, d + 4
#else
#define TURN_MIX(a, b, c, d) a, b, c, d
#endif

// t[i] becomes lane i of all TURN vectors.
XLM_INLINE void turn_square(turn_words t[TURN]) {
  turn_words a[TURN];
  XLM_UNROLL for (int i = 0; i < TURN; i += 4) { // within each four lanes
    a[i] = __builtin_shufflevector(t[i], t[i + 1], TURN_MIX(0, TURN, 1, TURN + 1));
    a[i + 1] = __builtin_shufflevector(t[i], t[i + 1], TURN_MIX(2, TURN + 2, 3, TURN + 3));
    a[i + 2] = __builtin_shufflevector(t[i + 2], t[i + 3], TURN_MIX(0, TURN, 1, TURN + 1));
    a[i + 3] = __builtin_shufflevector(t[i + 2], t[i + 3], TURN_MIX(2, TURN + 2, 3, TURN + 3));
  }
  XLM_UNROLL for (int i = 0; i < TURN; i += 4) {
    t[i] = __builtin_shufflevector(a[i], a[i + 2], TURN_MIX(0, 1, TURN, TURN + 1));
    t[i + 1] = __builtin_shufflevector(a[i], a[i + 2], TURN_MIX(2, 3, TURN + 2, TURN + 3));
    t[i + 2] = __builtin_shufflevector(a[i + 1], a[i + 3], TURN_MIX(0, 1, TURN, TURN + 1));
    t[i + 3] = __builtin_shufflevector(a[i + 1], a[i + 3], TURN_MIX(2, 3, TURN + 2, TURN + 3));
  }
#if defined(XLM_ISA_avx512) // t[4 i + w] has in its lane q of four: word 4 q + w of rows 4 i ..
  XLM_UNROLL for (int w = 0; w < 4; w++) {
    turn_words x = TURN_FOURS(t[w], t[4 + w], 0, 1, 4, 5), y = TURN_FOURS(t[w], t[4 + w], 2, 3, 6, 7);
    turn_words u = TURN_FOURS(t[8 + w], t[12 + w], 0, 1, 4, 5),
               v = TURN_FOURS(t[8 + w], t[12 + w], 2, 3, 6, 7);
    t[w] = TURN_FOURS(x, u, 0, 2, 4, 6), t[4 + w] = TURN_FOURS(x, u, 1, 3, 5, 7);
    t[8 + w] = TURN_FOURS(y, v, 0, 2, 4, 6), t[12 + w] = TURN_FOURS(y, v, 1, 3, 5, 7);
  }
#elif defined(XLM_ISA_avx2)
  XLM_UNROLL for (int w = 0; w < 4; w++) {
    turn_words x = t[w], y = t[4 + w];
    t[w] = TURN_FOURS(x, y, 0, 2), t[4 + w] = TURN_FOURS(x, y, 1, 3);
  }
#endif
}

#endif
