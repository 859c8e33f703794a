// A squared norm as norm_sq gives it: a sum that is exact, so that it does not depend on who added what.
//
// The sum is XLM_NORM_LIMBS numbers in f64. Limb k is a multiple of u(k) = 2^(XLM_NORM_LOWEST + 32 k), below
// 2^32 u(k) where norm_sq makes it: the digits of the sum in base 2^32, each at its weight. The square of an
// f32 (24 bits, the least 2^-149) is a multiple of u(0), and 2^40 of the largest stay below the last limb's
// end. Limbs of up to 2^20 ranks add without rounding, in any order. What is not finite stands in the last
// limb.
#ifndef XLM_OPS_NORM_SQ_H
#define XLM_OPS_NORM_SQ_H

enum { XLM_NORM_LIMBS = 19, XLM_NORM_LOWEST = -298 };

#endif
