// Shared by the files that read a saved plan. After the first error a reader continues with harmless values
// and sets `failed`; the first error is the one reported.
#ifndef XLM_PLAN_JSON_READ_PRIV_H
#define XLM_PLAN_JSON_READ_PRIV_H

#include <jansson.h>

#include "runtime/plan/plan.h"

typedef struct reader {
  xlm_arena *a;
  xlm_error *err;
  bool failed, no_memory; // no_memory: why it failed
  uint32_t n_dims, n_tensors, n_instrs, n_segments; // of the rank plan being read
  int depth;
  struct {
    const char *list;
    uint32_t index;
  } at[2]; // [depth] the entries being read: rank_plans[0].instructions[17]
} reader;

// The first finding, behind the place of the entry being read.
void xlm_json_say(reader *r, const char *fmt, ...) XLM_PRINTF(2, 3);
void xlm_json_fail(reader *r, const char *what, const char *key);
// Entry i of the list v, which is being read from now on; at depth 1 within an entry at depth 0.
const json_t *xlm_json_entry(reader *r, int depth, const char *list, const json_t *v, uint32_t i);

// Members of the object o. A value outside [low, high] or of the wrong kind is an error; the result is then
// `low`, or a similarly harmless value.
int64_t xlm_json_int(reader *r, const json_t *o, const char *key, int64_t low, int64_t high);
int64_t xlm_json_int_or(reader *r, const json_t *o, const char *key, int64_t low, int64_t high,
                        int64_t unset);
double xlm_json_number(reader *r, const json_t *o, const char *key);
const char *xlm_json_text(reader *r, const json_t *o, const char *key);
const char *xlm_json_text_or_null(reader *r, const json_t *o, const char *key);
bool xlm_json_bool(const json_t *o, const char *key);
// A list of at most `most` entries; *n: its length.
const json_t *xlm_json_list(reader *r, const json_t *o, const char *key, size_t most, uint32_t *n);
// A list of indices low <= i < end.
uint32_t *xlm_json_indices(reader *r, const json_t *o, const char *key, uint32_t low, uint32_t end,
                           uint32_t most, uint32_t *n);
// n non-negative numbers, from the member `key` or from the list v.
void xlm_json_longs(reader *r, const json_t *o, const char *key, uint64_t *at, uint32_t n);
void xlm_json_to_longs(reader *r, const json_t *v, const char *key, uint64_t *at, uint32_t n);
double xlm_json_to_number(reader *r, const json_t *v, const char *key);
// The value of this name.
int xlm_json_enum(reader *r, const json_t *o, const char *key, xlm_enum set);
int xlm_json_to_enum(reader *r, const json_t *v, const char *key, xlm_enum set);
const xlm_code *xlm_json_code(reader *r, const json_t *o);           // a program
xlm_init xlm_json_init(reader *r, const json_t *v, const char *key); // ["normal", 0.02]
xlm_attrs xlm_json_attrs(reader *r, const json_t *o);

xlm_rank_plan *xlm_json_rank(reader *r, const json_t *o, uint8_t n_axes);

#endif
