// Which instruction wrote every byte of an area last.
#ifndef XLM_VERIFY_CANVAS_PRIV_H
#define XLM_VERIFY_CANVAS_PRIV_H

#include <stdint.h>

#include "runtime/base/arena.h"

typedef struct paint {
  uint64_t begin, end;
  uint32_t owner; // definition; 0 = the workspace of `instr`
  uint32_t instr;
} paint;

typedef struct canvas { // disjoint pieces, ascending
  paint *at;
  uint32_t n, cap;
} canvas;

// The first piece that ends after `begin`; c->n: none.
uint32_t xlm_canvas_after(const canvas *c, uint64_t begin);
// Paints over what is there: pieces are cut or replaced.
void xlm_canvas_paint(xlm_arena *a, canvas *c, paint p);

#endif
