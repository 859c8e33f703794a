// AMX tiles computed one number after the other, as ops/cpu/gemm/amx_priv.h defines them. What the processor
// faults on ends the program: a tile that was not configured, a palette that is not 1.
#ifndef XLM_TESTS_OPS_EMULATED_AMX_H
#define XLM_TESTS_OPS_EMULATED_AMX_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cpu/gemm/amx_priv.h"
#include "tests/ops/emulated_dot.h"

typedef struct emulated_tile {
  uint32_t word[16][16];
} emulated_tile;

static _Thread_local struct {
  bool configured;
  emulated_tile tile[8];
} emulated;

static inline emulated_tile *tile_at(int n) {
  if (emulated.configured && n >= 0 && n < 8) return &emulated.tile[n];
  fprintf(stderr, "tile %d is not configured\n", n);
  abort();
}

static inline void xlm_amx_configure(const xlm_amx_config *c) {
  bool whole = c->palette == 1 && c->start_row == 0;
  for (int i = 0; i < 16; i++) whole = whole && (i >= 8 || (c->rows[i] == 16 && c->row_bytes[i] == 64));
  for (int i = 8; i < 16; i++) whole = whole && !c->rows[i] && !c->row_bytes[i];
  if (!whole) abort(); // the only shape that is emulated
  memset(&emulated, 0, sizeof emulated);
  emulated.configured = true;
}

static inline void xlm_amx_release(void) {
  emulated.configured = false;
}

static inline void xlm_amx_zero(int tile) {
  memset(tile_at(tile), 0, sizeof(emulated_tile));
}

static inline void xlm_amx_load(int tile, const void *from, int64_t stride) {
  for (int i = 0; i < 16; i++) memcpy(tile_at(tile)->word[i], (const char *)from + i * stride, 64);
}

static inline void xlm_amx_store(int tile, void *to, int64_t stride) {
  for (int i = 0; i < 16; i++) memcpy((char *)to + i * stride, tile_at(tile)->word[i], 64);
}

static inline void xlm_amx_dot(int acc, int a, int b) {
  emulated_tile *c = tile_at(acc);
  const emulated_tile *x = tile_at(a), *y = tile_at(b);
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 16; j++) {
      float sum[2] = {0, 0};
      for (int q = 0; q < 16; q++) {
        const uint32_t u = x->word[i][q], v = y->word[q][j];
        sum[0] = emulated_flush(fmaf(emulated_float(u << 16), emulated_float(v << 16), sum[0]));
        sum[1] =
            emulated_flush(fmaf(emulated_float(u & 0xffff0000u), emulated_float(v & 0xffff0000u), sum[1]));
      }
      float f = emulated_flush(emulated_float(c->word[i][j]) + emulated_flush(sum[0] + sum[1]));
      memcpy(&c->word[i][j], &f, 4);
    }
}

#endif
