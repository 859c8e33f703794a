// What a model's text says for other tools: names and layouts of its parameters (`weights`), public names of
// its settings (`as`), and keys of config.json (`config`).
#ifndef XLM_PLAN_EXTERNAL_H
#define XLM_PLAN_EXTERNAL_H

#include "runtime/plan/op.h"
#include "runtime/plan/span.h"

XLM_C_BEGIN

enum { XLM_MAX_FACTORS = 24 }; // of one tensor

// A factor of an external dimension, whose indices are those of its factors, the first outermost.
typedef struct xlm_plan_factor {
  uint8_t group;      // the external dimension; factors are in its order
  xlm_dim dim;        // of the parameter; 0: a part
  int64_t size, step; // dim: index i stands for index i * step, i < size; size 0: all of it
  int64_t at, of;     // part: the parameter has indices from `at` on, out of `of`
  uint8_t n;          // part: the next n factors number its indices; 0: it is one index
} xlm_plan_factor;

// Maps a parameter to tensors of other tools.
typedef struct xlm_plan_weight {
  const char *param, *external; // "layers.0.attention.wq", "model.layers.0.self_attn.q_proj.weight"
  xlm_dim each;                 // `external` has {its name}: one tensor per index of it; 0: one tensor
  bool optional;                // files may lack it
  const struct xlm_code *code;  // of an external element from that of the parameter (register 0); NULL: the same.
                                // Only in sections that are written and never read
  uint8_t n_groups, n_factors;  // n_groups: external rank
  const xlm_plan_factor *factors;
} xlm_plan_weight;

typedef enum xlm_plan_number { XLM_NUMBER_REAL, XLM_NUMBER_INT, XLM_NUMBER_BOOL } xlm_plan_number;

typedef struct xlm_plan_config { // a dim or let, with its public names
  const char *name;
  uint8_t n_aliases;
  const char *alias[8];
  double value;
  xlm_plan_number kind;
} xlm_plan_config;

typedef struct xlm_plan_key { // of the model's config section
  const char *key, *json;     // json: its value, as a JSON text
  xlm_span span;
} xlm_plan_key;

XLM_C_END

#endif
