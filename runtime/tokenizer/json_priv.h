// Reading tokenizer.json: what the files that read its sections share.
//
// A section that has something else than what is supported is an error with the key and the value, since it
// would be other ids.
#ifndef XLM_TOKENIZER_JSON_PRIV_H
#define XLM_TOKENIZER_JSON_PRIV_H

#include <jansson.h>

#include "runtime/tokenizer/tokenizer_priv.h"

typedef struct reader {
  xlm_tokenizer *t;
  const json_t *root;
  xlm_error *err;
} reader;

// "path: key is value, ..." with the value as it stands in the file.
xlm_status xlm_json_refuse(const reader *r, const char *key, const json_t *value, const char *why);
// Members of an object. An absent one or null gives `otherwise`; another type is an error.
xlm_status xlm_json_get_bool(const reader *r, const json_t *o, const char *key, bool otherwise, bool *out);
xlm_status xlm_json_get_text(const reader *r, const json_t *o, const char *key, span *out); // at = NULL: none
// The number of an entry of `names` (ends with NULL), or `otherwise`.
xlm_status xlm_json_get_name(const reader *r, const json_t *o, const char *key, const char *const *names,
                             int otherwise, int *out);
// {"String": ..} or {"Regex": ..}
xlm_status xlm_json_get_pattern(const reader *r, const json_t *o, const char *key, const pattern **out);
// The member as a list of steps, to be called for each; a Sequence is its steps.
typedef xlm_status step_fn(reader *r, const json_t *step, const char *type);
xlm_status xlm_json_each_step(reader *r, const char *key, const json_t *value, step_fn *fn);

xlm_status xlm_json_read_model(reader *r);
xlm_status xlm_json_read_added(reader *r); // after model and normalizer
xlm_status xlm_json_read_normalizer(reader *r);
xlm_status xlm_json_read_pre_tokenizer(reader *r);
xlm_status xlm_json_read_decoder(reader *r);
xlm_status xlm_json_read_post_processor(reader *r); // after the vocabulary is complete
// The special tokens by their roles, from the files beside tokenizer.json or by usual names.
xlm_status xlm_json_read_roles(reader *r);

#endif
