// linear_attend_bwd on CPUs, in two passes: the states before each chunk and the gradients of those after it,
// both transposed, one head after the other; then the chunks, all heads of an entry in one, which add to the
// gradients of shared queries and keys in their order.
#include "ops/cpu/attend/linear_attend_priv.h"

enum { Q, K, V, DOUT, DECAY, DDECAY = 3 };

typedef struct job {
  linear_shape s;
  linear_view q, k, v, dout, decay, dq, dk, dv, ddecay;
  int64_t first, entries; // whose states are in the workspace
  float *states, *ahead;  // [pp][np] per chunk: the state before it, the gradient to that after it
  float *rooms;
} job;

typedef struct room {              // one worker's part of the workspace
  float *q, *k, *kt, *dq, *dk, *x; // [TILE][np], kt [np][TILE]
  float *scores, *w, *back, *sums; // [TILE][TILE]
  float *v, *vt, *dy, *dv;         // [TILE][pp], vt [pp][TILE]
  float *z;                        // [np][pp]
  float *q_from, *k_to, *y;        // [TILE][np]; these and decays only with decays per channel
  linear_channels decays;
} room;

typedef struct paths {              // the parts of the gradient to log_decay, per position of a chunk
  double into[TILE], out_of[TILE];  // of pairs within the chunk, by their later and their earlier position
  double entered[TILE], left[TILE]; // from the state before it, to the state after it
  double through;                   // from one to the other
} paths;

static int64_t room_floats(const linear_shape *s) {
  return 6 * TILE * s->np + 4 * TILE * TILE + 4 * TILE * s->pp + s->np * s->pp +
         (s->channels ? 3 * TILE * s->np + linear_channels_floats(s) : 0);
}

static room room_of(const job *j, int worker) {
  int64_t keys = TILE * j->s.np, values = TILE * j->s.pp;
  float *at = j->rooms + worker * room_floats(&j->s);
  room r = {.q = at,
            .k = at + keys,
            .kt = at + 2 * keys,
            .dq = at + 3 * keys,
            .dk = at + 4 * keys,
            .x = at + 5 * keys};
  at += 6 * keys;
  r.scores = at, r.w = at + TILE * TILE, r.back = at + 2 * TILE * TILE, r.sums = at + 3 * TILE * TILE;
  at += 4 * TILE * TILE;
  r.v = at, r.vt = at + values, r.dy = at + 2 * values, r.dv = at + 3 * values, r.z = at + 4 * values;
  at = r.z + j->s.np * j->s.pp;
  r.q_from = at, r.k_to = at + keys, r.y = at + 2 * keys, r.decays = linear_channels_at(&j->s, at + 3 * keys);
  return r;
}

// ---- the states

// The state by the chunk's decays, and a tile of keys by those up to its end, or ahead: of queries by those
// from its beginning.
static void decay_chunk(const job *j, const room *r, int64_t entry, int64_t head, int64_t chunk, float *tile,
                        bool ahead, const float *state, float *next) {
  const linear_shape *s = &j->s;
  int64_t np = s->np;
  if (!s->channels) {
    linear_decay d = xlm_linear_decay_of(s, &j->decay, entry, head, chunk);
    xlm_linear_scale(tile, np, ahead ? d.from_start : d.to_end, 0, TILE);
    for (int64_t i = 0; i < np * s->pp; i++) next[i] = d.whole * state[i];
    return;
  }
  xlm_linear_channels_of(&r->decays, s, &j->decay, entry, head, chunk, 0, TILE);
  xlm_linear_by(tile, tile, ahead ? r->decays.from : r->decays.to, np);
  if (ahead)
    xlm_linear_by_parts_before(tile, &r->decays, np, 0, TILE);
  else
    xlm_linear_by_parts_after(tile, &r->decays, np);
  for (int64_t p = 0; p < s->pp; p++)
    for (int64_t i = 0; i < np; i++) next[p * np + i] = r->decays.all[i] * state[p * np + i];
}

static void states_of_head(const job *j, const room *r, int64_t slot, int64_t head) {
  const linear_shape *s = &j->s;
  int64_t entry = j->first + slot, size = s->np * s->pp, last = s->chunks - 1;
  float *state = linear_state(s, j->states, slot, head, 0),
        *ahead = linear_state(s, j->ahead, slot, head, last);
  for (int64_t i = 0; i < size; i++) state[i] = ahead[i] = 0;
  for (int64_t chunk = 0; chunk < last; chunk++, state += size) {
    xlm_linear_load(r->k, s, &j->k, entry, head, chunk, true);
    xlm_linear_load(r->v, s, &j->v, entry, head, chunk, false);
    decay_chunk(j, r, entry, head, chunk, r->k, false, state, state + size);
    xlm_linear_mul_t(r->v, s->pp, s->pp, TILE, r->k, state + size, s->np, true, false);
  }
  for (int64_t chunk = last; chunk > 0; chunk--, ahead -= size) {
    xlm_linear_load(r->q, s, &j->q, entry, head, chunk, true);
    xlm_linear_load(r->dy, s, &j->dout, entry, head, chunk, false);
    decay_chunk(j, r, entry, head, chunk, r->q, true, ahead, ahead - size);
    xlm_linear_mul_t(r->dy, s->pp, s->pp, TILE, r->q, ahead - size, s->np, true, false);
  }
}

// ---- the chunks

// From the weights E in w and D in back: w = A E, back = D E, which is added to the sums of all heads.
static void pairs(const room *r, paths *p) {
  for (int t = 0; t < TILE; t++) p->into[t] = p->out_of[t] = 0;
  for (int t = 0; t < TILE; t++) {
    float *w = r->w + t * TILE, *back = r->back + t * TILE, *sums = r->sums + t * TILE, all[TILE];
    const float *scores = r->scores + t * TILE;
    double into = 0;
    for (int s = 0; s < TILE; s++) {
      back[s] = s <= t ? back[s] * w[s] : 0;
      w[s] *= scores[s];
      sums[s] += back[s];
      all[s] = scores[s] * back[s];
    }
    for (int s = 0; s < t; s++) into += all[s], p->out_of[s] += all[s];
    p->into[t] = into;
  }
}

// to += factor x, row by row, and dots[row] = factor x . with.
static void add_rows(float *to, const float *x, const float *with, const float *factor, int64_t width,
                     double *dots) {
  for (int64_t t = 0; t < TILE; t++, to += width, x += width, with += width) {
    for (int64_t i = 0; i < width; i++) to[i] += factor[t] * x[i];
    dots[t] = (double)factor[t] * vec_dot(x, with, width);
  }
}

static void transpose(float *dst, const float *src, int64_t rows, int64_t columns) { // src [rows][columns]
  enum { BLOCK = 16 };
  for (int64_t i = 0; i < rows; i += BLOCK)
    for (int64_t j = 0; j < columns; j++)
      for (int64_t k = i; k < i + BLOCK && k < rows; k++) dst[j * rows + k] = src[k * columns + j];
}

static void from_before(const job *j, const room *r, const linear_decay *d, const float *state, paths *p) {
  const linear_shape *s = &j->s;
  xlm_linear_mul(r->dy, s->pp, 0, TILE, s->p, state, r->x, s->np, false, false);
  add_rows(r->dq, r->x, r->q, d->from_start, s->np, p->entered);
}

static void from_after(const job *j, const room *r, const linear_decay *d, const float *ahead, paths *p) {
  const linear_shape *s = &j->s;
  xlm_linear_mul(r->v, s->pp, 0, TILE, s->p, ahead, r->x, s->np, false, false);
  add_rows(r->dk, r->x, r->k, d->to_end, s->np, p->left);
  transpose(r->z, ahead, s->pp, s->np);
  xlm_linear_mul(r->k, s->np, 0, TILE, s->n, r->z, r->dv, s->pp, false, false);
  xlm_linear_scale(r->dv, s->pp, d->to_end, 0, TILE);
}

static void store_decay(const linear_shape *s, const linear_view *v, int64_t entry, int64_t head,
                        int64_t chunk, const paths *p) {
  double later = p->through,
         earlier = 0; // of what ends at t or later, and begins at t or later; what began before t
  int64_t at = over_offset(&v->entry, entry) + over_offset(&v->head, head) + chunk * TILE * v->step;
  int rows = xlm_linear_rows_of(s, entry, chunk).end;
  double sum[TILE];
  for (int t = TILE - 1; t >= 0; t--) sum[t] = later += p->entered[t] + p->into[t] - p->out_of[t];
  for (int t = 0; t < rows; t++) {
    float dg = (float)(sum[t] + earlier);
    earlier += p->left[t];
    vec_write(v->type, v->data, at + t * v->step, 1, &dg);
  }
}

// The gradient to the values: k_to by the later parts' decays is the chunk's keys at its end.
static void values_of_channels(const job *j, const room *r, const float *ahead) {
  const linear_shape *s = &j->s;
  if (ahead) {
    memcpy(r->y, r->k_to, (size_t)(TILE * s->np) * sizeof *r->y);
    xlm_linear_by_parts_after(r->y, &r->decays, s->np);
    transpose(r->z, ahead, s->pp, s->np);
    xlm_linear_mul(r->y, s->np, 0, TILE, s->n, r->z, r->dv, s->pp, false, false);
  }
  xlm_linear_mul_t(r->w, TILE, TILE, TILE, r->dy, r->dv, s->pp, ahead, true);
}

// The gradients to queries and keys: dq and dk add up all heads, x and y are this head's without the pairs of
// a position with itself, of which log_decay has no part.
static void keys_of_channels(const job *j, const room *r, const float *state, const float *ahead) {
  const linear_shape *s = &j->s;
  int64_t np = s->np, size = TILE * np;
  for (int64_t i = 0; i < size; i++) r->x[i] = r->y[i] = 0;
  if (state) xlm_linear_mul(r->dy, s->pp, 0, TILE, s->p, state, r->x, np, false, false);
  if (ahead) xlm_linear_mul(r->v, s->pp, 0, TILE, s->p, ahead, r->y, np, false, false);
  xlm_linear_channel_pairs(r->x, r->y, r->q, r->k, r->back, &r->decays, np, r->q_from, r->k_to);
  for (int64_t t = 0; t < TILE; t++)
    for (int64_t i = t * np; i < (t + 1) * np; i++) {
      r->dq[i] += r->x[i] + r->back[t * TILE + t] * r->k[i];
      r->dk[i] += r->y[i] + r->back[t * TILE + t] * r->q[i];
    }
}

static void channels_of_chunk(const job *j, const room *r, int64_t slot, int64_t head, int64_t chunk) {
  const linear_shape *s = &j->s;
  int64_t entry = j->first + slot;
  const float *state = chunk ? linear_state(s, j->states, slot, head, chunk) : NULL, *next = NULL,
              *ahead = NULL;
  if (chunk + 1 < s->chunks) {
    next = linear_state(s, j->states, slot, head, chunk + 1);
    ahead = linear_state(s, j->ahead, slot, head, chunk);
  }
  xlm_linear_channels_of(&r->decays, s, &j->decay, entry, head, chunk, 0, TILE);
  xlm_linear_load(r->v, s, &j->v, entry, head, chunk, false);
  xlm_linear_load(r->dy, s, &j->dout, entry, head, chunk, false);
  xlm_attend_transpose(r->vt, r->v, s->pp);
  xlm_linear_mul(r->dy, s->pp, 0, TILE, s->p, r->vt, r->back, TILE, false, false);
  for (int t = 0; t < TILE; t++)
    for (int i = t + 1; i < TILE; i++) r->back[t * TILE + i] = 0;
  xlm_linear_channel_weights(r->w, r->q, r->k, &r->decays, s, r->q_from, r->k_to, r->kt, 0, TILE);
  values_of_channels(j, r, ahead);
  xlm_linear_store(r->dv, s, &j->dv, entry, head, chunk, false);
  keys_of_channels(j, r, state, ahead);
  xlm_linear_channel_decay(r->kt, r->q, r->x, r->k, r->y, next, ahead, s);
  xlm_linear_store(r->kt, s, &j->ddecay, entry, head, chunk, true);
}

static void head_of_chunk(const job *j, const room *r, int64_t slot, int64_t head, int64_t chunk) {
  const linear_shape *s = &j->s;
  int64_t entry = j->first + slot;
  const float *state = linear_state(s, j->states, slot, head, chunk);
  const float *ahead = linear_state(s, j->ahead, slot, head, chunk);
  bool before = chunk > 0, after = chunk + 1 < s->chunks;
  linear_decay d = xlm_linear_decay_of(s, &j->decay, entry, head, chunk);
  paths p = {.through = before && after ? (double)d.whole * vec_dot(state, ahead, s->np * s->pp) : 0};
  xlm_linear_load(r->v, s, &j->v, entry, head, chunk, false);
  xlm_linear_load(r->dy, s, &j->dout, entry, head, chunk, false);
  xlm_attend_transpose(r->vt, r->v, s->pp);
  xlm_linear_mul(r->dy, s->pp, 0, TILE, s->p, r->vt, r->back, TILE, false, false);
  xlm_linear_weights(r->w, &d, 0, TILE);
  pairs(r, &p);
  if (before) from_before(j, r, &d, state, &p);
  if (after) from_after(j, r, &d, ahead, &p);
  xlm_linear_mul_t(r->w, TILE, TILE, TILE, r->dy, r->dv, s->pp, after, true);
  xlm_linear_store(r->dv, s, &j->dv, entry, head, chunk, false);
  if (j->ddecay.data) store_decay(s, &j->ddecay, entry, head, chunk, &p);
}

static void heads_of_chunk(const job *j, const room *r, int64_t slot, int64_t chunk) {
  const linear_shape *s = &j->s;
  xlm_attend_transpose(r->kt, r->k, s->np);
  xlm_linear_mul(r->q, s->np, 0, TILE, s->n, r->kt, r->scores, TILE, false, false);
  for (int i = 0; i < TILE * TILE; i++) r->sums[i] = 0;
  for (int64_t head = 0; head < s->heads; head++) head_of_chunk(j, r, slot, head, chunk);
  xlm_linear_mul(r->sums, TILE, 0, TILE, TILE, r->k, r->dq, s->np, true, true);
  xlm_linear_mul_t(r->sums, TILE, TILE, TILE, r->q, r->dk, s->np, true, true);
}

static void chunk_of_entry(const job *j, const room *r, int64_t slot, int64_t chunk) {
  const linear_shape *s = &j->s;
  int64_t entry = j->first + slot;
  xlm_linear_load(r->q, s, &j->q, entry, 0, chunk, true);
  xlm_linear_load(r->k, s, &j->k, entry, 0, chunk, true);
  for (int64_t i = 0; i < TILE * s->np; i++) r->dq[i] = r->dk[i] = 0;
  if (s->channels)
    for (int64_t head = 0; head < s->heads; head++) channels_of_chunk(j, r, slot, head, chunk);
  else
    heads_of_chunk(j, r, slot, chunk);
  xlm_linear_store(r->dq, s, &j->dq, entry, 0, chunk, true);
  xlm_linear_store(r->dk, s, &j->dk, entry, 0, chunk, true);
}

static void states(void *arg, int worker, int workers) {
  const job *j = arg;
  room r = room_of(j, worker);
  int64_t begin, end;
  xlm_pool_range(j->entries * j->s.heads, worker, workers, &begin, &end);
  for (int64_t u = begin; u < end; u++) states_of_head(j, &r, u / j->s.heads, u % j->s.heads);
}

static void chunks(void *arg, int worker, int workers) {
  const job *j = arg;
  room r = room_of(j, worker);
  int64_t begin, end;
  xlm_pool_range(j->entries * j->s.chunks, worker, workers, &begin, &end);
  for (int64_t u = begin; u < end; u++) chunk_of_entry(j, &r, u / j->s.chunks, u % j->s.chunks);
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  linear_shape s = xlm_linear_shape_of(
      c, Q, DECAY, xlm_cpu_tiles_of[xlm_cpu_isa_of(xlm_cpu_arch_of(t))].lanes, t->threads);
  return (size_t)(2 * linear_states(&s) + room_floats(&s) * t->threads) * sizeof(float);
}

static job job_of(const xlm_call *c, int threads) {
  job j = {.s = xlm_linear_shape_of(c, Q, DECAY, VL, threads), .states = c->workspace};
  linear_view *in[] = {&j.q, &j.k, &j.v, &j.dout, &j.decay}, *out[] = {&j.dq, &j.dk, &j.dv, &j.ddecay};
  for (int i = 0; i < c->instr->n_in; i++) *in[i] = xlm_linear_view_of(c, &j.s, c->in_type[i], c->in[i]);
  for (int i = 0; i < c->instr->n_out; i++) *out[i] = xlm_linear_view_of(c, &j.s, c->out_type[i], c->out[i]);
  j.ahead = j.states + linear_states(&j.s);
  j.rooms = j.ahead + linear_states(&j.s);
  return j;
}

static xlm_status run(const xlm_call *c) {
  xlm_pool *pool = xlm_cpu_pool(c);
  job j = job_of(c, xlm_pool_size(pool));
  if (!j.s.chunks) return XLM_OK; // no positions
  for (; j.first < j.s.entries; j.first += j.s.at_once) {
    j.entries = j.s.entries - j.first < j.s.at_once ? j.s.entries - j.first : j.s.at_once;
    xlm_pool_run(pool, states, &j);
    xlm_pool_run(pool, chunks, &j);
  }
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(linear_attend_bwd) = {
    .op = XLM_OP_LINEAR_ATTEND_BWD, .workspace = workspace, .run = run};
