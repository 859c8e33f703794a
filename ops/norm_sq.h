// The result of norm_sq: an exact sum, so that it does not depend on the order or grouping of additions.
//
// The sum is represented by XLM_NORM_LIMBS numbers in f64. Limb k is a multiple of u(k) = 2^(XLM_NORM_LOWEST
// + 32 k) and less than 2^32 u(k) in the result of norm_sq: the weighted digits of the sum in base 2^32. The
// square of an f32 (24 bits, at least 2^-149) is a multiple of u(0), and the sum of 2^40 of the largest fits
// in the last limb. Limbs of up to 2^20 ranks add without rounding, in any order. Non-finite values are put
// in the last limb.
#ifndef XLM_OPS_NORM_SQ_H
#define XLM_OPS_NORM_SQ_H

enum { XLM_NORM_LIMBS = 19, XLM_NORM_LOWEST = -298 };

#endif
