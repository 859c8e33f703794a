// A folder of weights as other tools load them: safetensors, config.json, generation_config.json.
#ifndef XLM_INTERCHANGE_EXPORT_FOLDER_H
#define XLM_INTERCHANGE_EXPORT_FOLDER_H

#include "runtime/interchange/weights.h"

// The files of a tokenizer in the folder `beside` are copied. Parameters are of `dtype` (F32, F16 or BF16),
// states F32. Files have about file_bytes; 0 = 5 GB, as other tools write them. Written beside `folder` and
// renamed; XLM_USER if `folder` exists, or a number is too large for F16.
xlm_status xlm_export_folder(const char *folder, const xlm_plan *p, const xlm_weights *w, xlm_st_dtype dtype,
                             uint64_t file_bytes, const char *beside, xlm_error *err) XLM_MUST_CHECK;

#endif
