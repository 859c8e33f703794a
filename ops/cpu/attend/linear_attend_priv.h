// Internals of linear attention: dimensions and strides, tiles, and the states between chunks. The formulas
// are in ops/linear_attend.c; a chunk is a tile of TILE positions.
//
// Tiles are packed to f32 with zeros around: rows as [TILE][np] for keys and [TILE][pp] for values, where np
// and pp are the sizes of the vectors rounded up to whole vectors of the processor. An entry is an index of
// the dimensions of q besides sequence and vector; each has `heads` heads, which share its q and k.
#ifndef XLM_ATTEND_LINEAR_ATTEND_PRIV_H
#define XLM_ATTEND_LINEAR_ATTEND_PRIV_H

#include "ops/cpu/attend/attend_math_priv.h"
#include "ops/cpu/vec_priv.h"
#include "runtime/device/over.h"

typedef struct linear_shape {
  xlm_dim seq, feature, value;
  int n_over;
  xlm_dim over[XLM_MAX_RANK]; // the heads, then `value`
  int64_t steps, chunks, n, np, p, pp;
  int64_t entries, heads;
  int64_t at_once; // entries whose states are in the workspace at the same time
  bool channels;   // decays are those of each channel of the keys
} linear_shape;

typedef struct linear_view { // one operand or result; strides in elements, 0 along dimensions it lacks
  void *data;                // NULL: there is none
  xlm_dtype type;
  over_dims entry, head;
  int64_t step, vector;
} linear_view;

typedef struct linear_decay { // of one chunk and head, in base 2
  double sum[TILE];           // of log_decay up to each position, its own included
  float from_start[TILE];     // 2^sum: of the state before the chunk, at each position
  float to_end[TILE];         // 2^(last - sum): of each position, in the state after the chunk
  float whole;                // 2^last
} linear_decay;

// Decays per channel, with a chunk in parts (see ops/linear_attend.c): no factor is above 1, and each has its
// own exponent, none a difference of sums.
enum { PART = 16, PARTS = TILE / PART };
typedef struct linear_channels { // of one chunk and head
  float *step;                   // [TILE][np]: of each position
  float *from;                   // [TILE][np]: from the beginning of a position's part up to it
  float *to;                     // [TILE][np]: of a position, up to the end of its part
  float *part;                   // [PARTS][np]: of a whole part
  float *all;                    // [np]: of the chunk
} linear_channels;

#define xlm_linear_shape_of XLM_ISA_NAME(xlm_linear_shape_of)
#define xlm_linear_view_of XLM_ISA_NAME(xlm_linear_view_of)
#define xlm_linear_load XLM_ISA_NAME(xlm_linear_load)
#define xlm_linear_store XLM_ISA_NAME(xlm_linear_store)
#define xlm_linear_decay_of XLM_ISA_NAME(xlm_linear_decay_of)
#define xlm_linear_weights XLM_ISA_NAME(xlm_linear_weights)
#define xlm_linear_scale XLM_ISA_NAME(xlm_linear_scale)
#define xlm_linear_mul XLM_ISA_NAME(xlm_linear_mul)
#define xlm_linear_mul_t XLM_ISA_NAME(xlm_linear_mul_t)
#define xlm_linear_channels_of XLM_ISA_NAME(xlm_linear_channels_of)
#define xlm_linear_by XLM_ISA_NAME(xlm_linear_by)
#define xlm_linear_by_parts_before XLM_ISA_NAME(xlm_linear_by_parts_before)
#define xlm_linear_by_parts_after XLM_ISA_NAME(xlm_linear_by_parts_after)
#define xlm_linear_channel_weights XLM_ISA_NAME(xlm_linear_channel_weights)
#define xlm_linear_channel_pairs XLM_ISA_NAME(xlm_linear_channel_pairs)
#define xlm_linear_channel_decay XLM_ISA_NAME(xlm_linear_channel_decay)

// vl: lanes of a vector of the arch that is planned for; decay: the operand, if the call has so many.
linear_shape xlm_linear_shape_of(const xlm_call *c, int decay, int vl, int threads);
linear_view xlm_linear_view_of(const xlm_call *c, const linear_shape *s, const xlm_type *t, void *data);
// The rows of a chunk as a tile of `width` columns, zeros around; and back.
void xlm_linear_load(float *tile, const linear_shape *s, const linear_view *v, int64_t entry, int64_t head,
                     int64_t chunk, bool keys);
void xlm_linear_store(const float *tile, const linear_shape *s, const linear_view *v, int64_t entry,
                      int64_t head, int64_t chunk, bool keys);
linear_decay xlm_linear_decay_of(const linear_shape *s, const linear_view *v, int64_t entry, int64_t head,
                                 int64_t chunk);
// e [TILE][TILE] = 2^(sum[t] - sum[s]) for s <= t, else 0.
void xlm_linear_weights(float *e, const linear_decay *d);
void xlm_linear_scale(float *tile, int64_t width, const float *factor); // of each row
// c [rows][columns] = (add ? c : 0) + a [rows][k] b [k][columns]; rows and columns are whole strips and
// vectors. lower: a is zero right of its diagonal. _t: a is given transposed, [k][rows]; lower: zero right of
// it as given.
void xlm_linear_mul(const float *a, int64_t lda, int64_t rows, int64_t k, const float *b, float *c,
                    int64_t columns, bool add, bool lower);
void xlm_linear_mul_t(const float *a, int64_t lda, int64_t rows, int64_t k, const float *b, float *c,
                      int64_t columns, bool add, bool lower);

// ---- decays per channel: linear_attend_channels.c. Tiles of the keys' vector are [TILE][np].

void xlm_linear_channels_of(const linear_channels *d, const linear_shape *s, const linear_view *v,
                            int64_t entry, int64_t head, int64_t chunk);
void xlm_linear_by(float *to, const float *tile, const float *decays, int64_t np); // to = tile * decays
// Rows of a tile by the decays of all parts of the chunk before theirs, or after it.
void xlm_linear_by_parts_before(float *tile, const linear_channels *d, int64_t np);
void xlm_linear_by_parts_after(float *tile, const linear_channels *d, int64_t np);
// w [TILE][TILE] = A, zero where s > t. Also computed: q_from = q * from, k_to = k * to; kt [np][TILE] is
// room.
void xlm_linear_channel_weights(float *w, const float *q, const float *k, const linear_channels *d,
                                const linear_shape *s, float *q_from, float *k_to, float *kt);
// From the products with states, dq = S dy and dk = Z v (or zero), to the gradients of queries and keys
// through states and pairs s < t. back [TILE][TILE] = D, zero where s > t; q_from, k_to: of channel_weights,
// k_to is overwritten.
void xlm_linear_channel_pairs(float *dq, float *dk, const float *q, const float *k, const float *back,
                              const linear_channels *d, int64_t np, const float *q_from, float *k_to);
// The gradient to log_decay from those gradients; state and ahead [p][np]: S' and Z, or NULL.
void xlm_linear_channel_decay(float *to, const float *q, const float *dq, const float *k, const float *dk,
                              const float *state, const float *ahead, const linear_shape *s);

static inline int64_t linear_channels_floats(const linear_shape *s) {
  return s->channels ? (3 * TILE + PARTS + 1) * s->np : 0;
}
static inline linear_channels linear_channels_at(const linear_shape *s, float *room) {
  int64_t tile = TILE * s->np;
  return (linear_channels){.step = room,
                           .from = room + tile,
                           .to = room + 2 * tile,
                           .part = room + 3 * tile,
                           .all = room + 3 * tile + PARTS * s->np};
}

static inline int64_t linear_rows(const linear_shape *s, int64_t chunk) {
  return s->steps - chunk * TILE < TILE ? s->steps - chunk * TILE : TILE;
}
// The matrix of the state before (or the gradient after) a chunk.
static inline float *linear_state(const linear_shape *s, float *states, int64_t slot, int64_t head,
                                  int64_t chunk) {
  return states + ((slot * s->heads + head) * s->chunks + chunk) * s->np * s->pp;
}
static inline int64_t linear_states(const linear_shape *s) { // floats
  return s->at_once * s->heads * s->chunks * s->np * s->pp;
}

#endif
