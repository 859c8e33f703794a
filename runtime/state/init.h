// Initial values: normal(std), uniform(a, b), ones, zeros, constant(c).
//
// Element i of a tensor draws from Philox keyed by (seed, hash of the name) at counter i / 4, word i % 4,
// where i counts in the logical tensor: the same weights in every layout, with any number of threads.
#ifndef XLM_STATE_INIT_H
#define XLM_STATE_INIT_H

#include <stdint.h>

#include "runtime/base/philox.h"
#include "runtime/base/status.h"

typedef enum xlm_init_kind { XLM_INIT_CONSTANT, XLM_INIT_NORMAL, XLM_INIT_UNIFORM } xlm_init_kind;

typedef struct xlm_init {
  xlm_init_kind kind;
  float a, b; // constant: a; normal: mean a = 0, standard deviation b; uniform: [a, b)
} xlm_init;

xlm_status xlm_init_parse(const char *text, xlm_init *out, xlm_error *err) XLM_MUST_CHECK;
// Elements [first, first + n) of the logical tensor.
void xlm_init_fill(const xlm_init *init, xlm_philox key, int64_t first, int64_t n, float *out);

#endif
