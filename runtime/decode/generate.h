// Continues many texts with the slots of a decoder: each at its own position, and when one is finished the
// next takes its slot.
//
// The text of a sequence depends on the seed and on its stream, not on what the other slots do, nor on the
// layout (up to rounding of the logits).
#ifndef XLM_DECODE_GENERATE_H
#define XLM_DECODE_GENERATE_H

#include "runtime/decode/decoder.h"
#include "runtime/decode/sample.h"

XLM_C_BEGIN

typedef enum xlm_finish {
  XLM_FINISH_NONE,
  XLM_FINISH_EOS,     // the token that ends a text was chosen; it is not among the tokens
  XLM_FINISH_STOP,    // the caller said so
  XLM_FINISH_LENGTH,  // max_tokens
  XLM_FINISH_CONTEXT, // the context is full
} xlm_finish;
const char *xlm_finish_name(xlm_finish f); // "eos", "stop", "length", "context"

typedef struct xlm_sequence {
  int32_t *tokens; // [cap] the prompt, at least one token; then what was generated, moved when it grows
  int64_t n_prompt, n, cap;
  uint64_t stream; // token i is drawn with word i of this stream of random numbers
  void *own;       // the caller's
  const void *const *inputs; // for the decoder's inputs (decoder.h); NULL: it has none
  // Results:
  xlm_finish finish;
  int64_t rereads; // how often the context was full and its last half was read again
} xlm_sequence;

typedef struct xlm_generate_options {
  xlm_sample_options sample;
  uint64_t seed;
  int64_t max_tokens;
  int64_t choices; // ids below it are chosen; at most the decoder's vocabulary
  int32_t eos;     // -1: none
  // When a text fills the context: it is finished, or goes on with the last context / 2 tokens as if the text
  // began with them.
  bool stops_when_full;
  // The new tokens of a sequence, one at a time, in every process; true: finish it.
  bool (*token)(void *arg, xlm_sequence *s);
  void (*finished)(void *arg, xlm_sequence *s);
  void *arg;
} xlm_generate_options;

typedef struct xlm_generate_figures { // encode: inputs; prefill: prompts; decode: one token after another
  int64_t encode_sequences, prefill_tokens, decode_tokens;
  double encode_s, prefill_s, decode_s;
} xlm_generate_figures;

// Tokens of a prompt that the model reads: all, or with a longer prompt the last context / 2; 0: none may be
// longer than the context (stops_when_full).
int64_t xlm_generate_reads(const xlm_decoder *d, const xlm_generate_options *o, int64_t n_prompt);

// Begins the sequences in their order. Its memory, and that of the tokens, is in `a`.
xlm_status xlm_generate(xlm_arena *a, xlm_decoder *d, const xlm_generate_options *o, xlm_sequence *sequences,
                        int64_t n, xlm_generate_figures *figures, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
