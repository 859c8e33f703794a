// Selects the next token from logits.
//
// The definitions are those of Hugging Face transformers (generation/logits_process.py), applied in the order
// of its GenerationMixin._get_logits_processor:
//   repetition penalty r  of every token that is in the text: x < 0 ? x * r : x / r
//   temperature T         x / T; 0: the token with the largest x, and nothing below applies
//   top-k                 tokens at least as likely as the k-th
//   top-p                 of these, by falling probability, the tokens before which less than p lies
//   min-p                 of these, the tokens at least min_p times as likely as the likeliest
// Then a token is drawn with probability softmax(x) over those that are left. The likeliest is always left.
#ifndef XLM_DECODE_SAMPLE_H
#define XLM_DECODE_SAMPLE_H

#include <stdint.h>

#include "runtime/base/arena.h"

XLM_C_BEGIN

typedef struct xlm_sample_options {
  double temperature;        // >= 0
  int64_t top_k;             // 0: all
  double top_p, min_p;       // 1 and 0: all
  double repetition_penalty; // > 0; 1: none
} xlm_sample_options;

typedef struct xlm_candidate {
  double p; // probability
  int32_t token;
} xlm_candidate;

typedef struct xlm_sampler { // memory for one choice at a time; it keeps nothing between choices
  int64_t vocab;
  float *logits, *values;
  uint8_t *seen;
  xlm_candidate *list;
} xlm_sampler;

xlm_sampler xlm_sampler_new(xlm_arena *a, int64_t vocab);

// The tokens that may be drawn, in s->list, in an order that depends on logits and options alone; returns
// their number, at least 1. logits: [vocab], -infinity where a token may not be chosen, and NaN means the
// same; text: the n tokens so far (ids >= vocab are ignored). Where top_p ends among equal probabilities, the
// least ids are left.
int64_t xlm_sample_candidates(xlm_sampler *s, const xlm_sample_options *o, const float *logits,
                              const int32_t *text, int64_t n);

// Draws one of them. unit: uniform in (0, 1).
int32_t xlm_sample(xlm_sampler *s, const xlm_sample_options *o, const float *logits, const int32_t *text,
                   int64_t n, double unit);

XLM_C_END

#endif
