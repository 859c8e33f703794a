// Internals of linear attention: dimensions and strides, tiles, and the states between chunks. The formulas
// are in ops/linear_attend.c; a chunk is a tile of TILE positions, of which the first is a multiple of TILE:
// its number is that of the position by TILE.
//
// In decoding (ops/linear_attend_from.c) a call has the rows of some positions, and the earlier ones of the
// first one's chunk are in caches. Rows of tiles are computed by the same functions as those of whole
// sequences, so that they have the same bits.
//
// Tiles are packed to f32 with zeros around: rows as [TILE][np] for keys and [TILE][pp] for values, where np
// and pp are the sizes of the vectors rounded up to whole vectors of the processor. An entry is an index of
// the dimensions of q besides sequence and vector; each has `heads` heads, which share its q and k.
#ifndef XLM_ATTEND_LINEAR_ATTEND_PRIV_H
#define XLM_ATTEND_LINEAR_ATTEND_PRIV_H

#include "ops/cpu/attend/attend_math_priv.h"
#include "ops/cpu/vec_priv.h"
#include "runtime/device/over.h"
#include "runtime/plan/chunks.h"

_Static_assert((int)TILE == (int)XLM_LINEAR_CHUNK, "a chunk is a tile");

typedef struct linear_numbers { // one for each entry; at NULL: there are none
  const int32_t *at;
  over_dims entry;
} linear_numbers;

typedef struct linear_shape {
  const xlm_type *like; // has the dimensions of q
  xlm_dim seq, feature, value;
  int n_over;
  xlm_dim over[XLM_MAX_RANK];          // the heads, then `value`
  int64_t steps, chunks, n, np, p, pp; // chunks: that an entry has at most
  int64_t entries, heads;
  int64_t at_once;             // entries whose states are in the workspace at the same time
  bool channels;               // decays are those of each channel of the keys
  linear_numbers start, count; // decoding: the position of the first row; how many count, NULL: all
} linear_shape;

typedef struct linear_view { // one operand or result; strides in elements, 0 along dimensions it lacks
  void *data;                // NULL: there is none
  xlm_dtype type;
  over_dims entry, head;
  int64_t step, vector;
  int64_t ring;                   // of a cache: position p is at p modulo this
  const struct linear_view *past; // the cache of earlier positions; NULL: there is none
} linear_view;

typedef struct linear_rows { // of a chunk
  int64_t first;             // that of the operands at the chunk's first position; it may be before 0
  int begin, end;            // [0, begin) are in caches, [begin, end) the call's own; there are no others
} linear_rows;

typedef struct linear_keys { // what states are made of
  linear_view k, v, decay;
} linear_keys;

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
#define xlm_linear_state_view XLM_ISA_NAME(xlm_linear_state_view)
#define xlm_linear_past_of XLM_ISA_NAME(xlm_linear_past_of)
#define xlm_linear_numbers_of XLM_ISA_NAME(xlm_linear_numbers_of)
#define xlm_linear_rows_of XLM_ISA_NAME(xlm_linear_rows_of)
#define xlm_linear_advance XLM_ISA_NAME(xlm_linear_advance)
#define xlm_linear_state_there XLM_ISA_NAME(xlm_linear_state_there)
#define xlm_linear_state_load XLM_ISA_NAME(xlm_linear_state_load)
#define xlm_linear_state_store XLM_ISA_NAME(xlm_linear_state_store)
#define xlm_linear_keys_of XLM_ISA_NAME(xlm_linear_keys_of)
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

// like: the operand that has q's dimensions; decay: the operand, if the call has so many; vl: lanes of a
// vector of the arch that is planned for.
linear_shape xlm_linear_shape_of(const xlm_call *c, int like, int decay, int vl, int threads);
linear_view xlm_linear_view_of(const xlm_call *c, const linear_shape *s, const xlm_type *t, void *data);
// Decoding: of a state, rows of keys by values; of a cache; of operand `start` or `count`.
linear_view xlm_linear_state_view(const xlm_call *c, const linear_shape *s, const xlm_type *t, void *data);
linear_view xlm_linear_past_of(const xlm_call *c, const linear_shape *s, const xlm_type *t, void *data);
linear_numbers xlm_linear_numbers_of(const xlm_call *c, const linear_shape *s, int operand);
linear_rows xlm_linear_rows_of(const linear_shape *s, int64_t entry, int64_t chunk);
// The rows of a chunk as a tile of `width` columns, zeros around; and back, its own ones.
void xlm_linear_load(float *tile, const linear_shape *s, const linear_view *v, int64_t entry, int64_t head,
                     int64_t chunk, bool keys);
void xlm_linear_store(const float *tile, const linear_shape *s, const linear_view *v, int64_t entry,
                      int64_t head, int64_t chunk, bool keys);
linear_decay xlm_linear_decay_of(const linear_shape *s, const linear_view *v, int64_t entry, int64_t head,
                                 int64_t chunk);
// Rows [begin, end) of e [TILE][TILE] = 2^(sum[t] - sum[s]) for s <= t, else 0.
void xlm_linear_weights(float *e, const linear_decay *d, int begin, int end);
// Rows [begin, end), each by its factor.
void xlm_linear_scale(float *tile, int64_t width, const float *factor, int begin, int end);
// Rows [begin, end) of c [..][columns] = (add ? c : 0) + a [..][k] b [k][columns]; columns are whole vectors.
// lower: a is zero right of its diagonal.
void xlm_linear_mul(const float *a, int64_t lda, int begin, int end, int64_t k, const float *b, float *c,
                    int64_t columns, bool add, bool lower);
// The same with a given transposed, [k][rows], for all rows, which are whole strips; lower: zero right of the
// diagonal as given.
void xlm_linear_mul_t(const float *a, int64_t lda, int64_t rows, int64_t k, const float *b, float *c,
                      int64_t columns, bool add, bool lower);

// ---- decays per channel: linear_attend_channels.c. Tiles of the keys' vector are [TILE][np].

// The decays that rows [begin, end) need; with all of the chunk's rows also `all`.
void xlm_linear_channels_of(const linear_channels *d, const linear_shape *s, const linear_view *v,
                            int64_t entry, int64_t head, int64_t chunk, int begin, int end);
void xlm_linear_by(float *to, const float *tile, const float *decays, int64_t np); // to = tile * decays
// Rows of a tile by the decays of all parts of the chunk before theirs, or after it.
void xlm_linear_by_parts_before(float *tile, const linear_channels *d, int64_t np, int begin, int end);
void xlm_linear_by_parts_after(float *tile, const linear_channels *d, int64_t np);
// Rows [begin, end) of w [TILE][TILE] = A, zero where s > t. Also computed: q_from = q * from of these rows,
// k_to = k * to of the parts before the last one's; kt [np][TILE] is room.
void xlm_linear_channel_weights(float *w, const float *q, const float *k, const linear_channels *d,
                                const linear_shape *s, float *q_from, float *k_to, float *kt, int begin,
                                int end);
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

// ---- states: linear_attend_state.c

typedef struct linear_room { // for the tiles of one chunk
  float *k, *v;              // [TILE][np], [TILE][pp]
  linear_channels decays;
} linear_room;

// The state after a chunk, all of whose rows are there, from that before it, [np][pp]; they may be the same.
// state NULL: zero.
void xlm_linear_advance(const linear_shape *s, const linear_keys *from, const linear_room *r, int64_t entry,
                        int64_t head, int64_t chunk, const float *state, float *next);
// Decoding: has a kept state the form [np][pp], so that it is used where it is? Otherwise it is copied.
bool xlm_linear_state_there(const linear_shape *s, const linear_view *state);
void xlm_linear_state_load(float *to, const linear_shape *s, const linear_view *state, int64_t entry,
                           int64_t head);
void xlm_linear_state_store(const float *from, const linear_shape *s, const linear_view *state, int64_t entry,
                            int64_t head);
// Keys, values and decays with their caches, operands past_k and the next ones, which *past is to hold;
// decay: the operand, if the call has so many.
void xlm_linear_keys_of(const xlm_call *c, const linear_shape *s, int k, int v, int decay, int past_k,
                        linear_keys *keys, linear_keys *past);

static inline int64_t linear_start(const linear_shape *s, int64_t entry) { // the position of the first row
  return s->start.at ? s->start.at[over_offset(&s->start.entry, entry)] : 0;
}
static inline int64_t linear_count(const linear_shape *s, int64_t entry) { // of rows
  int64_t n = s->count.at ? s->count.at[over_offset(&s->count.entry, entry)] : s->steps;
  return n < s->steps ? n : s->steps;
}
// The matrix of the state before (or the gradient after) a chunk, numbered from the first that the call has.
static inline float *linear_state(const linear_shape *s, float *states, int64_t slot, int64_t head,
                                  int64_t chunk) {
  return states + ((slot * s->heads + head) * s->chunks + chunk) * s->np * s->pp;
}
static inline int64_t linear_states(const linear_shape *s) { // floats
  return s->at_once * s->heads * s->chunks * s->np * s->pp;
}

#endif
