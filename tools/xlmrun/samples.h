// Samples during training: --sample-interval, --sample-prompt.
#ifndef XLM_XLMRUN_SAMPLES_H
#define XLM_XLMRUN_SAMPLES_H

#include "runtime/train/loop.h"
#include "tools/xlmrun/encoding.h"

typedef struct samples {
  session *s;
  encoding encoding;
  xlm_decoder *decoder; // NULL: no samples
  xlm_generate_options options;
  xlm_sequence *prompts; // [n]
  int64_t *shown;        // [n] of the tokens of each: where its text begins
  xlm_metrics_sample *list;
  int n;
  xlm_arena *last; // of the last texts; NULL: none
} samples;

// Gives the loop what writes samples, if they are asked for. c: for the tokenizer that made the data.
// XLM_USER when the model writes no text, or a prompt does not fit.
xlm_status samples_open(session *s, const corpus *c, samples *out, xlm_loop_options *o);
void samples_close(samples *w);
void samples_introduce(const samples *w); // one line: how often, and what they take of the plan
// Prints the samples of a step, a line each.
void samples_show(const xlm_progress *p);

#endif
