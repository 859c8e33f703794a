// Selects the next token from logits.
#ifndef XLM_XLMRUN_CHOOSE_H
#define XLM_XLMRUN_CHOOSE_H

#include <stdint.h>

typedef struct choice { // a candidate; scratch memory
  float p;
  int32_t token;
} choice;

// temperature 0: the most likely token. top_k 0 and top_p 1: all tokens. unit: uniform in (0, 1). scratch: n
// entries.
int32_t choose_token(const float *logits, int64_t n, double temperature, int64_t top_k, double top_p,
                     double unit, choice *scratch);

#endif
