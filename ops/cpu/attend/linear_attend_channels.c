// Linear attention with a decay for each channel of the keys: weights of pairs, and their gradients. See
// linear_attend_priv.h, and ops/linear_attend.c for the parts of a chunk. Pairs of different parts are
// products of tiles; within a part the decay from one position to the next is multiplied step by step, which
// takes no exponential per pair.
#include "ops/cpu/attend/linear_attend_priv.h"

// Decays over up to PART positions as powers of 2, from sums of their logarithms: forwards up to each
// position (from), backwards from behind it (to), and of the whole part.
static void decays_of_part(const linear_channels *d, int64_t np, int64_t part, bool forwards,
                           bool backwards) {
  const float *log = d->step + part * PART * np;
  float *from = d->from + part * PART * np, *to = d->to + part * PART * np;
  for (int64_t i = 0; i < np; i += VL) {
    lanes sum = lanes_splat(0);
    if (forwards) {
      for (int64_t t = 0; t < PART; t++) {
        sum += lanes_load(log + t * np + i);
        lanes_store(from + t * np + i, lanes_exp2(sum));
      }
    } else {
      for (int64_t t = 0; t < PART; t++) sum += lanes_load(log + t * np + i);
    }
    lanes_store(d->part + part * np + i, lanes_exp2(sum));
    if (!backwards) continue;
    sum = lanes_splat(0);
    for (int64_t t = PART - 1; t >= 0; t--) {
      lanes_store(to + t * np + i, lanes_exp2(sum));
      sum += lanes_load(log + t * np + i);
    }
  }
}

void xlm_linear_channels_of(const linear_channels *d, const linear_shape *s, const linear_view *v,
                            int64_t entry, int64_t head, int64_t chunk, int begin, int end) {
  int64_t np = s->np, first = begin / PART, parts = (end + PART - 1) / PART, size = parts * PART * np;
  bool whole = begin == 0 && end == TILE;
  xlm_linear_load(d->step, s, v, entry, head, chunk, true);
  for (int64_t i = 0; i < size; i++) d->step[i] *= (float)ATTEND_LOG2E;
  for (int64_t part = 0; part < parts; part++)
    decays_of_part(d, np, part, part >= first, whole || part + 1 < parts);
  for (int64_t i = first * PART * np; i < size; i += VL)
    lanes_store(d->step + i, lanes_exp2(lanes_load(d->step + i)));
  for (int64_t i = 0; whole && i < np; i++)
    d->all[i] = d->part[i] * d->part[np + i] * (d->part[2 * np + i] * d->part[3 * np + i]);
}

void xlm_linear_by(float *to, const float *tile, const float *decays, int64_t np) {
  for (int64_t i = 0; i < TILE * np; i++) to[i] = tile[i] * decays[i];
}

static void rows_by(float *tile, int64_t rows, const float *decay, int64_t np) { // each row by the same
  for (int64_t t = 0; t < rows; t++, tile += np)
    for (int64_t i = 0; i < np; i++) tile[i] *= decay[i];
}

static int larger(int a, int b) {
  return a > b ? a : b;
}

void xlm_linear_by_parts_before(float *tile, const linear_channels *d, int64_t np, int begin, int end) {
  for (int part = 0; (part + 1) * PART < end; part++) {
    int row = larger(begin, (part + 1) * PART);
    rows_by(tile + row * np, end - row, d->part + part * np, np);
  }
}

void xlm_linear_by_parts_after(float *tile, const linear_channels *d, int64_t np) {
  for (int64_t part = 1; part < PARTS; part++) rows_by(tile, part * PART, d->part + part * np, np);
}

// ---- weights

// Rows [begin, end) of the weights within a part; moved [np] is room. Inline: usually it is all of them.
ATTEND_INLINE void own_weights(float *w, const float *q, const float *k, const float *step, int64_t np,
                               float *moved, int begin, int end) {
  for (int s = 0; s < end; s++) {
    int first = larger(begin, s + 1);
    memcpy(moved, k + s * np, (size_t)np * sizeof *moved);
    if (s >= begin) w[s * TILE + s] = vec_dot(q + s * np, moved, np);
    for (int t = s + 1; t < first; t++) // on the way to the first row
      for (int64_t i = 0; i < np; i++) moved[i] *= step[t * np + i];
    for (int64_t t = first; t < end; t++) {
      lanes sum = lanes_splat(0);
      for (int64_t i = 0; i < np; i += VL) {
        lanes key = lanes_load(moved + i) * lanes_load(step + t * np + i);
        lanes_store(moved + i, key);
        sum = lanes_fma(lanes_load(q + t * np + i), key, sum);
      }
      w[t * TILE + s] = lanes_sum(sum);
    }
  }
}

// Rows [begin, end), which are of one part, by the keys of the parts before it, which kt has turned.
static void part_weights(float *w, const float *q_from, const float *kt, const linear_shape *s, int part,
                         int begin, int end) {
  int vectors = part * PART / VL, n = (int)s->n;
  for (int t = begin; t < end; t += MR) {
    const float *q = q_from + t * s->np;
    if (end - t >= MR)
      xlm_attend_mul(q, s->np, n, kt, TILE, w + t * TILE, TILE, vectors, false);
    else
      xlm_attend_mul_rows(end - t, q, s->np, n, kt, TILE, w + t * TILE, TILE, vectors, false);
  }
}

void xlm_linear_channel_weights(float *w, const float *q, const float *k, const linear_channels *d,
                                const linear_shape *s, float *q_from, float *k_to, float *kt, int begin,
                                int end) {
  int64_t np = s->np;
  int parts = (end + PART - 1) / PART;
  for (int64_t i = begin * np; i < end * np; i++) q_from[i] = q[i] * d->from[i];
  for (int64_t i = 0; i < (end == TILE ? TILE : (parts - 1) * PART) * np; i++) k_to[i] = k[i] * d->to[i];
  for (int i = begin * TILE; i < end * TILE; i++) w[i] = 0;
  for (int part = begin / PART; part < parts;
       part++) { // kt's first np floats are free until the transposition
    int64_t at = part * PART;
    int first = larger(begin - (int)at, 0), last = end - at < PART ? end - (int)at : PART;
    float *own = w + at * TILE + at;
    const float *queries = q + at * np, *keys = k + at * np, *step = d->step + at * np;
    if (first == 0 && last == PART)
      own_weights(own, queries, keys, step, np, kt, 0, PART);
    else
      own_weights(own, queries, keys, step, np, kt, first, last);
  }
  if (parts > 1) xlm_attend_transpose(kt, k_to, np);
  for (int part = 1; part < parts; part++) {
    for (int64_t i = 0; part > 1 && i < np; i++) { // what is before the last part decays along it
      float decay = d->part[(part - 1) * np + i];
      for (int64_t t = 0; t < (part - 1) * PART; t++) kt[i * TILE + t] *= decay;
    }
    int first = larger(begin, part * PART), last = end < (part + 1) * PART ? end : (part + 1) * PART;
    part_weights(w, q_from, kt, s, part, first, last);
  }
}

// ---- gradients

// Adds what pairs s < t of a part give.
static void own_pairs(float *dq, float *dk, const float *q, const float *k, const float *back,
                      const float *step, int64_t np) {
  for (int64_t i = 0; i < np; i += VL)
    for (int64_t s = 0; s < PART; s++) {
      lanes key = lanes_load(k + s * np + i), sum = lanes_load(dk + s * np + i), decay = lanes_splat(1);
      for (int64_t t = s + 1; t < PART; t++) {
        decay *= lanes_load(step + t * np + i);
        lanes by = decay * lanes_splat(back[t * TILE + s]);
        lanes_store(dq + t * np + i, lanes_fma(by, key, lanes_load(dq + t * np + i)));
        sum = lanes_fma(by, lanes_load(q + t * np + i), sum);
      }
      lanes_store(dk + s * np + i, sum);
    }
}

void xlm_linear_channel_pairs(float *dq, float *dk, const float *q, const float *k, const float *back,
                              const linear_channels *d, int64_t np, const float *q_from, float *k_to) {
  int vectors = (int)(np / VL);
  xlm_linear_by_parts_before(dq, d, np, 0, TILE);
  for (int64_t part = 1; part < PARTS; part++) {
    if (part > 1) rows_by(k_to, (part - 1) * PART, d->part + (part - 1) * np, np);
    for (int64_t t = part * PART; t < (part + 1) * PART; t += MR)
      xlm_attend_mul(back + t * TILE, TILE, (int)(part * PART), k_to, np, dq + t * np, np, vectors, true);
  }
  xlm_linear_by(dq, dq, d->from, np);
  for (int64_t part = PARTS - 1; part > 0; part--) { // sums over later parts, up to the beginning of this one
    rows_by(dk, part * PART, d->part + part * np, np);
    for (int64_t t = 0; t < part * PART; t += MR)
      xlm_attend_mul_t(back + part * PART * TILE + t, TILE, PART, q_from + part * PART * np, np, dk + t * np,
                       np, vectors, true);
  }
  xlm_linear_by(dk, dk, d->to, np);
  for (int64_t part = 0; part < PARTS; part++) {
    int64_t at = part * PART, row = at * np;
    own_pairs(dq + row, dk + row, q + row, k + row, back + at * TILE + at, d->step + row, np);
  }
}

void xlm_linear_channel_decay(float *to, const float *q, const float *dq, const float *k, const float *dk,
                              const float *state, const float *ahead, const linear_shape *s) {
  int64_t np = s->np;
  for (int64_t i = 0; i < np; i += VL) {
    double later[VL] = {0};
    for (int64_t j = 0; state && ahead && j < s->p; j++)
      for (int l = 0; l < VL; l++) later[l] += (double)state[j * np + i + l] * ahead[j * np + i + l];
    for (int64_t t = TILE - 1; t >= 0; t--)
      for (int l = 0; l < VL; l++) {
        int64_t at = t * np + i + l;
        later[l] += (double)q[at] * dq[at] - (double)k[at] * dk[at];
        to[at] = (float)later[l];
      }
  }
}
