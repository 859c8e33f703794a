// config.json: what other tools read a model's sizes from.
#ifndef XLM_INTERCHANGE_CONFIG_JSON_H
#define XLM_INTERCHANGE_CONFIG_JSON_H

#include "runtime/plan/plan.h"

void xlm_config_print(const xlm_plan *p, xlm_text *out);

#endif
