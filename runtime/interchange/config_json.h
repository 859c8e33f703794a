// config.json: a model's sizes for other tools.
#ifndef XLM_INTERCHANGE_CONFIG_JSON_H
#define XLM_INTERCHANGE_CONFIG_JSON_H

#include "runtime/plan/plan.h"

// dtype: of the weights beside it, "float32". Tokens of which the model's config section says nothing are
// null.
void xlm_config_print(const xlm_plan *p, const char *dtype, xlm_text *out);
void xlm_generation_config_print(const xlm_plan *p, xlm_text *out); // generation_config.json: the tokens

// Compares the model with the config.json beside weights of other tools, if there is one. XLM_USER names the
// first key with a different value, both values, and what to do. a: for messages.
xlm_status xlm_config_compare(xlm_arena *a, const char *weights, const xlm_plan *p,
                              xlm_error *err) XLM_MUST_CHECK;

// Numbers and conditions of that file by key, as texts for settings; NULL where it has none. Those of its
// rope_parameters count as its own. path: of the file; NULL: there is none, and no value.
xlm_status xlm_config_values(xlm_arena *a, const char *weights, const char *const *keys, int n,
                             const char **values, const char **path, xlm_error *err) XLM_MUST_CHECK;

#endif
