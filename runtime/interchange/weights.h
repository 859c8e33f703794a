// Maps a store's states to tensors in files.
//
// Parameters have the names and layouts of other tools, as given by the model's `weights` section: a tensor
// may contain several parameters (packed q, k, v), and a parameter may consist of several tensors (one per
// expert). Parameters without an entry (all of them without that section) and all other states have the
// model's names and shapes.
//
// Tensors are written and read in chunks of rows, each made of a box of each of its states, so that memory is
// needed for a chunk but never for a whole tensor.
#ifndef XLM_INTERCHANGE_WEIGHTS_H
#define XLM_INTERCHANGE_WEIGHTS_H

#include "runtime/interchange/safetensors.h"
#include "runtime/state/store.h"

typedef enum xlm_weights_part {
  XLM_WEIGHTS_MODEL, // parameters, as F32 (a state in BF16 gets them rounded), and states with an entry
  XLM_WEIGHTS_REST,  // all other saved states, in their own types; also those with an entry
  XLM_WEIGHTS_PARTS,
} xlm_weights_part;

typedef struct xlm_weights xlm_weights;

// Both s and p must outlive it.
xlm_status xlm_weights_new(const xlm_store *s, const xlm_plan *p, xlm_weights **out,
                           xlm_error *err) XLM_MUST_CHECK;
void xlm_weights_free(xlm_weights *w);
// The same tensors, in the same order, on every process and in every layout.
int xlm_weights_count(const xlm_weights *w, xlm_weights_part part);
const xlm_st_tensor *xlm_weights_at(const xlm_weights *w, xlm_weights_part part, int i); // without data
// Does the rank have a part of it?
bool xlm_weights_held_by(const xlm_weights *w, xlm_weights_part part, int i, int64_t rank);

// ---- out ----

typedef struct xlm_weights_cursor { // initialised as {.w, .chunk_bytes, .part, .tensors, .n}
  const xlm_weights *w;
  size_t chunk_bytes; // approximate; rows are not cut
  xlm_weights_part part;
  const int *tensors; // indices, in the order of the file
  int n;
  int at, band, piece; // the next step
  int64_t row;
} xlm_weights_cursor;

typedef struct xlm_weights_step { // a box that is part of a chunk
  const xlm_stored *state;
  xlm_box box;
  size_t chunk_bytes;
  bool first, last;                      // of its chunk
  const struct xlm_weights_piece *piece; // for xlm_weights_place
  const struct xlm_weights_band *band;
  bool has_holes;
} xlm_weights_step;

// Advances to the next step; false: the file is complete. Chunks are consecutive in the file.
bool xlm_weights_next(xlm_weights_cursor *c, xlm_weights_step *step);
// Copies the box, dense as returned by xlm_store_get, into its chunk; elements without a state are 0.
void xlm_weights_place(const xlm_weights_step *step, const void *box, void *chunk);
// The maximum number of bytes of a chunk or a box.
size_t xlm_weights_most(const xlm_weights_cursor *c);

// Of the model's tensors: is it one of parameters, not of states?
bool xlm_weights_is_trained(const xlm_weights *w, int tensor);
// Does an entry of the tensor compute its elements (`as`)?
bool xlm_weights_computed(const xlm_weights *w, xlm_weights_part part, int i);

// All of a tensor of parameters, as f32, in pieces of whole rows. Every state must be in this process.
typedef xlm_status xlm_weights_sink(void *arg, const float *values, int64_t n, xlm_error *err);
xlm_status xlm_weights_stream(const xlm_weights *w, int tensor, xlm_weights_sink *sink, void *arg,
                              xlm_error *err) XLM_MUST_CHECK;

// ---- in ----

// Imports parameters from F32, F16, BF16 or F64 tensors, or MXFP4 (mxfp4.h); each process reads what its
// ranks need. Names are looked up as mapped, then without their first component ("transformer."), then as the
// model's own. States, and parameters whose entry is `optional`, are left unchanged where the files lack
// them. XLM_USER names a parameter that is missing or has another shape.
xlm_status xlm_weights_import(const xlm_weights *w, const xlm_safetensors *from,
                              xlm_error *err) XLM_MUST_CHECK;
// The tensors of the files that the model does not have, without copies of those it has (a tied head) and
// buffers that tools computed (rotary frequencies, causal masks).
typedef struct xlm_weights_left {
  int n, of;
  const char *first; // NULL: none
} xlm_weights_left;
xlm_status xlm_weights_find_left(const xlm_weights *w, const xlm_safetensors *from, xlm_weights_left *out,
                                 xlm_error *err) XLM_MUST_CHECK;
// Imports all other states; optimizer: including those of the optimizer.
xlm_status xlm_weights_import_rest(const xlm_weights *w, const xlm_safetensors *from, bool optimizer,
                                   xlm_error *err) XLM_MUST_CHECK;

#endif
