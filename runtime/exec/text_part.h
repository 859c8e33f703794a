// What a text has to do with the tensors of a plan: the inputs that its tokens fill, and the logits of the
// tokens that follow.
#ifndef XLM_EXEC_TEXT_PART_H
#define XLM_EXEC_TEXT_PART_H

#include "runtime/plan/plan.h"

XLM_C_BEGIN

// What fills an input. A text is one document. STARTS, COUNTS: of the programs of decoding.
typedef enum xlm_filling {
  XLM_FILL_NOTHING, // a text does not say it
  XLM_FILL_TOKENS,
  XLM_FILL_POSITIONS,
  XLM_FILL_ZEROS,
  XLM_FILL_STARTS,
  XLM_FILL_COUNTS
} xlm_filling;
xlm_filling xlm_filling_of(const xlm_plan_input *in);

typedef struct xlm_text_part { // of an input [batch] or [batch, seq], or of logits [batch, seq, vocab], in any
                               // order, on one rank
  int member;       // of the team
  uint32_t index;   // in the rank's inputs or outputs
  xlm_filling with; // of an input
  const xlm_type *type;
  const xlm_dim_info *batch, *seq, *vocab; // NULL: it has no such dimension
  int64_t batch_stride, seq_stride, vocab_stride;
  size_t bytes; // per element
  char *local;  // an input: the whole tensor; logits: the range that contains one position
  int64_t n;    // number of elements in it
} xlm_text_part;

// Sets type, dimensions, strides and bytes. `seq`: that of the model, the chunk of it that a program
// computes, or the last place of that. false: this rank has none of the tensor.
bool xlm_text_part_of(const xlm_rank_plan *rp, const xlm_type *t, xlm_text_part *out);

// Is it an output [batch, seq, vocab] of the program?
bool xlm_is_logits(const xlm_rank_plan *rp, const xlm_plan_output *o, xlm_program_id id);
// The first of the plan, by name: the same in every process; NULL: there is none. *out: where its full sizes
// are.
const char *xlm_find_logits(const xlm_plan *p, xlm_program_id id, xlm_text_part *out);
// For messages: the program's first output, which is not logits, as "`image` is [batch, classes]"; NULL: it
// has none.
const char *xlm_other_output(const xlm_plan *p, xlm_program_id id, xlm_arena *a);

XLM_C_END

#endif
