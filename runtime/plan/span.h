// A range of the model text. Nodes, instructions and buffers carry one throughout compilation.
#ifndef XLM_PLAN_SPAN_H
#define XLM_PLAN_SPAN_H

#include <stdint.h>

#include "runtime/base/cxx.h"

XLM_C_BEGIN

typedef struct xlm_span { // bytes [begin, end) of the source; empty = none
  uint32_t begin, end;
} xlm_span;

typedef struct xlm_source {
  const char *path; // as the user wrote it
  const char *text; // n bytes, then a NUL
  uint32_t n;
  uint32_t lines;
  const uint32_t *line_start; // [lines]
} xlm_source;

XLM_C_END

#endif
