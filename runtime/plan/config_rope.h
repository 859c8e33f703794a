// Scaled rotary frequencies as a config.json has them: under `rope_scaling`, or under `rope_parameters`,
// where they may be nested by the kind of layer.
#ifndef XLM_PLAN_CONFIG_ROPE_H
#define XLM_PLAN_CONFIG_ROPE_H

#include <jansson.h>

#include "runtime/base/arena.h"

XLM_C_BEGIN

// The object with the settings, of several the first that scales; NULL: nothing is scaled. *key: the name it
// has.
const json_t *xlm_config_rope(const json_t *config, const char **key);
const char *xlm_config_rope_type(const json_t *scaling); // "llama3"

// How two differ, as in "factor = 8 there and 4 here"; what one leaves out has its usual value. NULL: they do
// not.
const char *xlm_config_rope_differs(const json_t *there, const json_t *here, xlm_arena *a);

XLM_C_END

#endif
