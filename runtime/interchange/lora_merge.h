// Adapters of low rank become part of the parameters they are of, for files of other tools.
#ifndef XLM_INTERCHANGE_LORA_MERGE_H
#define XLM_INTERCHANGE_LORA_MERGE_H

#include "runtime/state/store.h"

// The factor of PARAM.lora_a @ PARAM.lora_b.
typedef double xlm_lora_scale(void *arg, const char *param);

// Adds these products to their parameters; the factors are then no longer saved. Every state must be in this
// process.
xlm_status xlm_lora_merge(xlm_store *s, xlm_lora_scale *scale, void *arg, xlm_error *err) XLM_MUST_CHECK;

#endif
