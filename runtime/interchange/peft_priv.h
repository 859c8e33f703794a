// The layers that have adapters, for export and import; see peft.h.
#ifndef XLM_INTERCHANGE_PEFT_PRIV_H
#define XLM_INTERCHANGE_PEFT_PRIV_H

#include "runtime/interchange/peft.h"

typedef struct xlm_peft_layer { // that has an adapter
  const char *module;           // "model.layers.0.self_attn.q_proj"
  int64_t rank;
  double alpha;
  bool in_first; // its weight is stored [in, out]
} xlm_peft_layer;

typedef struct xlm_peft {
  xlm_arena *a;
  const xlm_plan *plan;
  xlm_store *store;
  xlm_lora_scale *scale;
  void *arg;
  xlm_peft_layer *layers;
  uint32_t n, cap;
  xlm_plan_weight *entries; // of the factors, in place of the plan's
  uint32_t n_entries;
  xlm_error *err;
} xlm_peft;

// Fills layers and entries from what is filled in before them; only the factors remain `saved`.
xlm_status xlm_peft_layers(xlm_peft *x) XLM_MUST_CHECK;
const char *xlm_peft_without(xlm_arena *a, const char *name, const char *end); // NULL: it does not end so

#define XLM_PEFT_PREFIX "base_model.model."
#define XLM_PEFT_END_WEIGHT ".weight"

#endif
