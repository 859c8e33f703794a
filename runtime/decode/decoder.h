// A decoder: the open team of a plan as slots that texts are put into, token by token or in pieces, each slot
// at its own position, and that give the logits of the next token.
//
// A slot is a row of the plan's batch. Every process of a run calls the same functions with the same
// arguments; every process gets the same logits. What a slot computes does not depend on what the others
// hold, up to rounding.
#ifndef XLM_DECODE_DECODER_H
#define XLM_DECODE_DECODER_H

#include "runtime/exec/team.h"

XLM_C_BEGIN

typedef struct xlm_decoder xlm_decoder;

typedef struct xlm_decoder_piece { // new tokens of a slot, behind those that it holds
  int slot;
  const int32_t *tokens; // ids below the vocabulary
  int64_t n;             // > 0
} xlm_decoder_piece;

// What the model is given of a sequence besides its tokens, as the source of a translation or an image.
typedef struct xlm_decoder_input {
  const char *name, *source; // of the model's input; of the tensor of a record that it is
  xlm_dtype dtype;           // XLM_I32, or XLM_F32
  int64_t vocab;             // ids are below it; 0: not ids
  int rank;
  int64_t shape[XLM_MAX_RANK]; // of one sequence, ..
  const char *dim[XLM_MAX_RANK];
  int64_t n; // .. so many elements
} xlm_decoder_input;

typedef struct xlm_decoder_source { // of the sequence of a slot
  int slot;
  const void *const *values; // by input: its elements, int32_t or float
} xlm_decoder_source;

// All memory is in `a`, which must live as long as the decoder; nothing has to be closed. seed: of the run,
// for operations that draw. XLM_USER when the plan's model does not continue texts: it has no logits (an
// output [batch, seq, vocab]), reads no tokens, or depends on inputs that a text does not fill.
xlm_status xlm_decoder_open(xlm_arena *a, xlm_team *team, uint64_t seed, xlm_decoder **out,
                            xlm_error *err) XLM_MUST_CHECK;

int xlm_decoder_slots(const xlm_decoder *d);
int64_t xlm_decoder_vocab(const xlm_decoder *d);
int64_t xlm_decoder_context(const xlm_decoder *d); // tokens that a slot holds at most
uint64_t xlm_decoder_bytes(const xlm_decoder *d);  // of the plan, all local ranks: caches and logits

int64_t xlm_decoder_length(const xlm_decoder *d, int slot); // tokens in it; at most the context
void xlm_decoder_reset(xlm_decoder *d, int slot);           // empties it

// The inputs, in an order that every process has; 0: the model reads tokens alone.
int xlm_decoder_inputs(const xlm_decoder *d, const xlm_decoder_input **out);
// Computes what depends on them for the texts that the slots hold from now on, until it is called for the slot again;
// the others keep theirs. A model with inputs needs it before the first tokens of a slot. Allocates nothing.
xlm_status xlm_decoder_encode(xlm_decoder *d, const xlm_decoder_source *sources, int n,
                              xlm_error *err) XLM_MUST_CHECK;

// Puts pieces into different slots at once; the other slots stay as they are. No slot may get more tokens
// than its context has room for. Allocates nothing.
xlm_status xlm_decoder_put(xlm_decoder *d, const xlm_decoder_piece *pieces, int n,
                           xlm_error *err) XLM_MUST_CHECK;

// The logits behind the last token of a slot that got a piece in the last put: [vocab], until the next put.
const float *xlm_decoder_logits(const xlm_decoder *d, int slot);

XLM_C_END

#endif
