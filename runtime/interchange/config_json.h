// config.json: what other tools read a model's sizes from.
#ifndef XLM_INTERCHANGE_CONFIG_JSON_H
#define XLM_INTERCHANGE_CONFIG_JSON_H

#include "runtime/plan/plan.h"

void xlm_config_print(const xlm_plan *p, xlm_text *out);

// Weights of other tools come with a config.json beside them (or none: then there is nothing to compare). XLM_USER
// names the first key whose value there is not the model's, both values, and what to do. a: for messages.
xlm_status xlm_config_compare(xlm_arena *a, const char *weights, const xlm_plan *p, xlm_error *err) XLM_MUST_CHECK;

#endif
