// A folder of weights as other tools load them: safetensors, config.json, generation_config.json, tokenizer.
#ifndef XLM_INTERCHANGE_EXPORT_FOLDER_H
#define XLM_INTERCHANGE_EXPORT_FOLDER_H

#include "runtime/interchange/config_json.h"
#include "runtime/interchange/weights.h"

typedef struct xlm_export_options {
  xlm_st_dtype dtype;              // of parameters: F32, F16 or BF16; states are F32
  uint64_t file_bytes;             // of a file of tensors, about; 0 = 5 GB, as other tools write them
  const char *beside;              // the folder whose files of a tokenizer are copied
  const xlm_config_tokens *tokens; // of that tokenizer; NULL: there is none
  const xlm_text *adapter_config;  // the weights are adapters, in one file, and this is their configuration
} xlm_export_options;

// Written beside `folder` and renamed; XLM_USER if `folder` exists, or a number is too large for F16.
xlm_status xlm_export_folder(const char *folder, const xlm_plan *p, const xlm_weights *w,
                             const xlm_export_options *o, xlm_error *err) XLM_MUST_CHECK;

#endif
