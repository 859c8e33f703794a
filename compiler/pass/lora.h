// Adapters of low rank; see lora.c.
#ifndef XLM_PASS_LORA_H
#define XLM_PASS_LORA_H

#include "compiler/pass/pass.h"

typedef struct xlm_lora_fault {
  xlm_span span; // empty: of no place in the model text
  const char *text, *help;
} xlm_lora_fault;

// Model graph -> model graph with the factors PARAM.lora_a and PARAM.lora_b of every matrix that one of the n
// patterns matches, and their products. NULL: a pattern that matches nothing, or a parameter that is not only
// a factor of alike products; *f says which.
xlm_graph *xlm_pass_lora(const xlm_graph *g, xlm_arena *a, const xlm_lora *list, int n, xlm_lora_fault *f);

#endif
