// config.json: a model's sizes for other tools.
#ifndef XLM_INTERCHANGE_CONFIG_JSON_H
#define XLM_INTERCHANGE_CONFIG_JSON_H

#include "runtime/plan/plan.h"

// Ids of a tokenizer's tokens that begin, end and pad a text; -1: it has none.
typedef struct xlm_config_tokens {
  int32_t bos, eos, pad;
} xlm_config_tokens;

// dtype: of the weights beside it, "float32". tokens: NULL: no tokenizer. What the model's config section
// says of a token stands; of others the ids are those of `tokens`, or null.
void xlm_config_print(const xlm_plan *p, const char *dtype, const xlm_config_tokens *tokens, xlm_text *out);
// generation_config.json: the tokens.
void xlm_generation_config_print(const xlm_plan *p, const xlm_config_tokens *tokens, xlm_text *out);

// Compares the model with the config.json beside weights of other tools, if there is one. XLM_USER names the
// first key with a different value, both values, and what to do. a: for messages.
xlm_status xlm_config_compare(xlm_arena *a, const char *weights, const xlm_plan *p,
                              xlm_error *err) XLM_MUST_CHECK;

// Numbers and conditions of that file by key, as texts for settings; NULL where it has none. Those of its
// rope_parameters count as its own. path: of the file; NULL: there is none, and no value.
xlm_status xlm_config_values(xlm_arena *a, const char *weights, const char *const *keys, int n,
                             const char **values, const char **path, xlm_error *err) XLM_MUST_CHECK;

#endif
