// Parameters under the names and layouts of other tools, as the model's `weights` section maps them.
//
// One external tensor may hold several parameters (packed q, k, v) and one parameter may be several external
// tensors (one per expert). Parameters without an entry, and all of them in a model without the section, keep
// their own names and shapes.
#ifndef XLM_INTERCHANGE_WEIGHTS_H
#define XLM_INTERCHANGE_WEIGHTS_H

#include "runtime/interchange/safetensors.h"
#include "runtime/state/store.h"

// Writes all parameters as F32, and the states that have an entry.
xlm_status xlm_weights_export(const xlm_store *s, const xlm_plan *p, const char *path, uint64_t *hash,
                              uint64_t *size, xlm_error *err) XLM_MUST_CHECK;
// Reads all parameters from F32, F16, BF16 or F64 tensors. Names are looked up as mapped, then without their
// first component ("transformer."), then as the model's own. A state that the file does not
// have stays as it is. XLM_USER names what parameter is missing or has another
// shape.
xlm_status xlm_weights_import(const xlm_store *s, const xlm_plan *p, const xlm_safetensors *from,
                              xlm_error *err) XLM_MUST_CHECK;

#endif
