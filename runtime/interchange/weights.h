// A store's states as the tensors of files.
//
// Parameters have the names and layouts of other tools, as the model's `weights` section maps them: one
// tensor of a file may hold several parameters (packed q, k, v) and one parameter may be several tensors (one
// per expert). Parameters without an entry, all of them in a model without the section, and all other states
// have their own names and shapes.
//
// Tensors are made and read in chunks of rows, each from a box of each state in it, so that memory is needed
// for a chunk and never for a tensor.
#ifndef XLM_INTERCHANGE_WEIGHTS_H
#define XLM_INTERCHANGE_WEIGHTS_H

#include "runtime/interchange/safetensors.h"
#include "runtime/state/store.h"

typedef enum xlm_weights_part {
  XLM_WEIGHTS_MODEL, // parameters, as F32, and the states that have an entry
  XLM_WEIGHTS_REST,  // all other saved states, in their own types; those with an entry too
  XLM_WEIGHTS_PARTS,
} xlm_weights_part;

typedef struct xlm_weights xlm_weights;

// Both must outlive it.
xlm_status xlm_weights_new(const xlm_store *s, const xlm_plan *p, xlm_weights **out,
                           xlm_error *err) XLM_MUST_CHECK;
void xlm_weights_free(xlm_weights *w);
// The same tensors, in the same order, on every process and in every layout.
int xlm_weights_count(const xlm_weights *w, xlm_weights_part part);
const xlm_st_tensor *xlm_weights_at(const xlm_weights *w, xlm_weights_part part, int i); // without data
// Does a rank hold a part of it?
bool xlm_weights_held_by(const xlm_weights *w, xlm_weights_part part, int i, int64_t rank);

// ---- out ----

typedef struct xlm_weights_cursor { // begins as {.w, .chunk_bytes, .part, .tensors, .n}
  const xlm_weights *w;
  size_t chunk_bytes; // about; a row is never cut
  xlm_weights_part part;
  const int *tensors; // indices, in the order of the file
  int n;
  int at, band, piece; // the next step
  int64_t row;
} xlm_weights_cursor;

typedef struct xlm_weights_step { // a box that goes into a chunk
  const xlm_stored *state;
  xlm_box box;
  size_t chunk_bytes;
  bool first, last;                      // of its chunk
  const struct xlm_weights_piece *piece; // for xlm_weights_place
  const struct xlm_weights_band *band;
  bool has_holes;
} xlm_weights_step;

// The next step; false: the file is done. Chunks follow each other in the file.
bool xlm_weights_next(xlm_weights_cursor *c, xlm_weights_step *step);
// Puts the box, dense as xlm_store_get gives it, into its chunk; what no state has is 0.
void xlm_weights_place(const xlm_weights_step *step, const void *box, void *chunk);
// The most bytes that a chunk has, and a box.
size_t xlm_weights_most(const xlm_weights_cursor *c);

// ---- in ----

// Parameters from F32, F16, BF16 or F64 tensors; each process reads what its ranks need. Names are looked up
// as mapped, then without their first component ("transformer."), then as the model's own. A state with an
// entry that the files do not have stays as it is. XLM_USER names what parameter is missing or has another
// shape.
xlm_status xlm_weights_import(const xlm_weights *w, const xlm_safetensors *from,
                              xlm_error *err) XLM_MUST_CHECK;
// The other states, all of them; optimizer: those of the optimizer too.
xlm_status xlm_weights_import_rest(const xlm_weights *w, const xlm_safetensors *from, bool optimizer,
                                   xlm_error *err) XLM_MUST_CHECK;

#endif
