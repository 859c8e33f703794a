// Adapters of low rank as a folder that PEFT loads onto a model of transformers: adapter_model.safetensors
// and adapter_config.json (peft/utils/save_and_load.py, peft/tuners/lora/config.py).
#ifndef XLM_INTERCHANGE_PEFT_H
#define XLM_INTERCHANGE_PEFT_H

#include "runtime/interchange/export_folder.h"
#include "runtime/interchange/lora_merge.h"

// Writes PARAM.lora_a and .lora_b of every parameter that has them as the factors of the layer whose weight
// the parameter is in the model's `weights` section: [rank, in] and [out, rank]. base: where the weights came
// from, for the configuration; "": unknown. XLM_USER: there are no adapters, or one is not of a whole layer
// (a part of a packed tensor, experts). Afterwards only these factors are saved; every state must be in this
// process.
xlm_status xlm_peft_export(const char *folder, const xlm_plan *p, xlm_store *s, xlm_lora_scale *scale,
                           void *arg, const char *base, const xlm_export_options *o,
                           xlm_error *err) XLM_MUST_CHECK;
// Reads such a folder into PARAM.lora_a and .lora_b: all adapters of the run, and nothing else. XLM_USER:
// ranks, alphas or layers are others than the run's, or the adapters are more than two factors per layer.
xlm_status xlm_peft_import(const char *folder, const xlm_plan *p, xlm_store *s, xlm_lora_scale *scale,
                           void *arg, xlm_error *err) XLM_MUST_CHECK;

#endif
