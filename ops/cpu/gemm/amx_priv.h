// The instructions on AMX tiles that products use. A tile has 16 rows of 16 words; its number is a constant.
//
// xlm_amx_dot is TDPBF16PS: acc[i][j] += sum over q of a[i][q] . b[q][j], words of two bf16 numbers each. The
// even and the odd numbers of a row are summed apart, in their order, the two sums are added, and what that
// gives is added to acc; denormal numbers count as zero (Intel 64 and IA-32 Architectures Software
// Developer's Manual, volume 2).
//
// With XLM_EMULATED tests/ops defines them, so that processors without them run the same products.
#ifndef XLM_GEMM_AMX_PRIV_H
#define XLM_GEMM_AMX_PRIV_H

#include <stdint.h>

// Before tiles are loaded from what was just written, p among it: compilers' functions do not say that they
// read it, so that stores to it could be moved behind them, or left out.
static inline void xlm_amx_written(const void *p) {
  __asm__ volatile("" : : "r"(p) : "memory");
}

typedef struct xlm_amx_config { // of LDTILECFG
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} xlm_amx_config;
_Static_assert(sizeof(xlm_amx_config) == 64, "the operand of LDTILECFG");

#if !defined(XLM_EMULATED)
#include <immintrin.h>
#define xlm_amx_configure(config) _tile_loadconfig(config)
#define xlm_amx_release() _tile_release()
#define xlm_amx_zero(tile) _tile_zero(tile)
#define xlm_amx_load(tile, from, stride) _tile_loadd(tile, from, stride)
#define xlm_amx_store(tile, to, stride) _tile_stored(tile, to, stride)
#define xlm_amx_dot(acc, a, b) _tile_dpbf16ps(acc, a, b)
#endif

#endif
