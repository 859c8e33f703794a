// config.json: what other tools read a model's sizes from.
#ifndef XLM_INTERCHANGE_CONFIG_JSON_H
#define XLM_INTERCHANGE_CONFIG_JSON_H

#include "runtime/plan/plan.h"

char *xlm_config_text(const xlm_plan *p); // malloc'd JSON text; NULL: no memory

#endif
