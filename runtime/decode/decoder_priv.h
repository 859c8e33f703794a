// What the ways to decode share: the slots, and a program of the plan on all local ranks.
#ifndef XLM_DECODE_DECODER_PRIV_H
#define XLM_DECODE_DECODER_PRIV_H

#include "runtime/decode/decoder.h"
#include "runtime/exec/text_part.h"

typedef struct row { // what a slot gives a run of a program
  const int32_t *tokens;
  int64_t start, count; // the place of the first in the slot's text, below 0 before it; how many of the
                        // program's positions count
} row;

typedef struct program {
  xlm_program_id id;
  int64_t positions; // of every row
  xlm_text_part *inputs, *logits;
  int n_inputs, n_logits;
} program;

typedef struct encode_part { // a rank's part of an input of the program encode
  int member;                // of the team
  uint32_t index;            // in the rank's inputs
  int input;                 // in encoder.inputs; -1: the counts
  const xlm_rank_plan *rp;
  const xlm_type *type;
  int64_t n; // elements
  size_t bytes;
  char *local; // [n]
} encode_part;

typedef struct encoder { // no inputs: the plan has no such program
  xlm_decoder_input *inputs;
  encode_part *parts;
  int n_inputs, cap_inputs, n_parts, cap_parts;
  const void *const **given; // by slot: its values in this run; NULL: it stays as it is
} encoder;

typedef struct decoder_slot {
  int64_t length; // tokens
  int32_t *tokens;
  float *logits; // behind the last token
} decoder_slot;

// A way to decode: computes what the pieces have appended to their slots, and reads the logits behind it.
typedef xlm_status decoder_run(xlm_decoder *d, const xlm_decoder_piece *pieces, int n, xlm_error *err);

struct xlm_decoder {
  xlm_arena *arena;
  xlm_team *team;
  xlm_step_env env;
  decoder_run *run;
  const char *logits_name;
  int n_slots;
  int64_t seq, vocab;
  decoder_slot *slots;
  row *rows;                     // of a run, by slot
  program eval, prefill, decode; // those that the way uses
  double flops_per_byte;         // of the device
  bool leaves_rows;              // prefill computes rows that count, and few besides (xlm_row_range)
  int64_t prefill_from;          // new tokens of a slot from which on they are for prefill (tests); 0: where it pays
  encoder encoder;
  float *here, *all; // logits of the slots of a put: of this process, NaN where others have them; of all
};

// ---- program.c

void program_open(xlm_decoder *d, xlm_program_id id, program *out);
// Puts the inputs of d->rows and runs it.
xlm_status program_run(xlm_decoder *d, program *p, xlm_error *err) XLM_MUST_CHECK;
// Copies this process's part of the logits at a position of a slot's row, the last that counts, to the slot's.
xlm_status program_logits(xlm_decoder *d, program *p, int slot, int64_t position,
                          xlm_error *err) XLM_MUST_CHECK;

// ---- encode.c

void encoder_open(xlm_decoder *d);

// ---- ways

decoder_run run_window; // over eval: the whole window for every put
decoder_run run_steps;  // over prefill and decode: what is new

// Does a run of prefill cost less than a run of decode for each of a text's new tokens? Decode reads all parameters
// for one token of every slot, prefill for a chunk; it computes this share of its rows. By the plan alone, so that
// all processes agree. flops_per_byte: of the device; 0: it always does.
bool prefill_pays(const xlm_plan *p, double flops_per_byte, int64_t tokens, double share);

#endif
