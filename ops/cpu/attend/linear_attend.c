// linear_attend on CPUs, in two passes: the states before each chunk, one head after the other; then the
// chunks, all heads of an entry in one, so that the scores of shared queries and keys are computed once. With
// decays per channel the weights are each head's own.
#include "ops/cpu/attend/linear_attend_priv.h"

enum { Q, K, V, DECAY };

typedef struct job {
  linear_shape s;
  linear_view q, k, v, decay, out;
  int64_t first, entries; // whose states are in the workspace
  float *states, *rooms;
} job;

typedef struct room {   // one worker's part of the workspace
  float *q, *k, *kt;    // [TILE][np], [TILE][np], [np][TILE]
  float *scores, *w;    // [TILE][TILE]
  float *v, *y;         // [TILE][pp]
  float *q_from, *k_to; // [TILE][np]; these and decays only with decays per channel
  linear_channels decays;
} room;

static int64_t room_floats(const linear_shape *s) {
  return 3 * TILE * s->np + 2 * TILE * TILE + 2 * TILE * s->pp +
         (s->channels ? 2 * TILE * s->np + linear_channels_floats(s) : 0);
}

static room room_of(const job *j, int worker) {
  const linear_shape *s = &j->s;
  room r = {.q = j->rooms + worker * room_floats(s)};
  r.k = r.q + TILE * s->np, r.kt = r.k + TILE * s->np;
  r.scores = r.kt + TILE * s->np, r.w = r.scores + TILE * TILE;
  r.v = r.w + TILE * TILE, r.y = r.v + TILE * s->pp;
  r.q_from = r.y + TILE * s->pp, r.k_to = r.q_from + TILE * s->np;
  r.decays = linear_channels_at(s, r.k_to + TILE * s->np);
  return r;
}

// The state by the chunk's decays, and the keys in r by those up to its end.
static void decay_chunk(const job *j, const room *r, int64_t entry, int64_t head, int64_t chunk,
                        const float *state, float *next) {
  const linear_shape *s = &j->s;
  if (!s->channels) {
    linear_decay d = xlm_linear_decay_of(s, &j->decay, entry, head, chunk);
    xlm_linear_scale(r->k, s->np, d.to_end);
    for (int64_t i = 0; i < s->np * s->pp; i++) next[i] = d.whole * state[i];
    return;
  }
  xlm_linear_channels_of(&r->decays, s, &j->decay, entry, head, chunk);
  xlm_linear_by(r->k, r->k, r->decays.to, s->np);
  xlm_linear_by_parts_after(r->k, &r->decays, s->np);
  for (int64_t i = 0; i < s->np; i++)
    for (int64_t p = 0; p < s->pp; p++) next[i * s->pp + p] = r->decays.all[i] * state[i * s->pp + p];
}

static void states_of_head(const job *j, const room *r, int64_t slot, int64_t head) {
  const linear_shape *s = &j->s;
  int64_t entry = j->first + slot, size = s->np * s->pp;
  float *state = linear_state(s, j->states, slot, head, 0);
  for (int64_t i = 0; i < size; i++) state[i] = 0;
  for (int64_t chunk = 0; chunk + 1 < s->chunks; chunk++, state += size) {
    xlm_linear_load(r->k, s, &j->k, entry, head, chunk, true);
    xlm_linear_load(r->v, s, &j->v, entry, head, chunk, false);
    decay_chunk(j, r, entry, head, chunk, state, state + size);
    xlm_linear_mul_t(r->k, s->np, s->np, TILE, r->v, state + size, s->pp, true, false);
  }
}

static void head_of_chunk(const job *j, const room *r, int64_t slot, int64_t head, int64_t chunk) {
  const linear_shape *s = &j->s;
  int64_t entry = j->first + slot;
  linear_decay d = xlm_linear_decay_of(s, &j->decay, entry, head, chunk);
  xlm_linear_load(r->v, s, &j->v, entry, head, chunk, false);
  xlm_linear_weights(r->w, &d);
  for (int i = 0; i < TILE * TILE; i++) r->w[i] *= r->scores[i];
  if (chunk) {
    xlm_linear_mul(r->q, s->np, TILE, s->n, linear_state(s, j->states, slot, head, chunk), r->y, s->pp, false,
                   false);
    xlm_linear_scale(r->y, s->pp, d.from_start);
  }
  xlm_linear_mul(r->w, TILE, TILE, TILE, r->v, r->y, s->pp, chunk > 0, true);
  xlm_linear_store(r->y, s, &j->out, entry, head, chunk, false);
}

static void channels_of_chunk(const job *j, const room *r, int64_t slot, int64_t head, int64_t chunk) {
  const linear_shape *s = &j->s;
  int64_t entry = j->first + slot;
  xlm_linear_channels_of(&r->decays, s, &j->decay, entry, head, chunk);
  xlm_linear_load(r->v, s, &j->v, entry, head, chunk, false);
  xlm_linear_channel_weights(r->w, r->q, r->k, &r->decays, s, r->q_from, r->k_to, r->kt);
  if (chunk) {
    xlm_linear_by_parts_before(r->q_from, &r->decays, s->np);
    xlm_linear_mul(r->q_from, s->np, TILE, s->n, linear_state(s, j->states, slot, head, chunk), r->y, s->pp,
                   false, false);
  }
  xlm_linear_mul(r->w, TILE, TILE, TILE, r->v, r->y, s->pp, chunk > 0, true);
  xlm_linear_store(r->y, s, &j->out, entry, head, chunk, false);
}

static void chunk_of_entry(const job *j, const room *r, int64_t slot, int64_t chunk) {
  const linear_shape *s = &j->s;
  xlm_linear_load(r->q, s, &j->q, j->first + slot, 0, chunk, true);
  xlm_linear_load(r->k, s, &j->k, j->first + slot, 0, chunk, true);
  if (s->channels) {
    for (int64_t head = 0; head < s->heads; head++) channels_of_chunk(j, r, slot, head, chunk);
    return;
  }
  xlm_attend_transpose(r->kt, r->k, s->np);
  xlm_linear_mul(r->q, s->np, TILE, s->n, r->kt, r->scores, TILE, false, false);
  for (int64_t head = 0; head < s->heads; head++) head_of_chunk(j, r, slot, head, chunk);
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
  linear_shape s =
      xlm_linear_shape_of(c, DECAY, xlm_cpu_tiles_of[xlm_cpu_isa_of(xlm_cpu_arch_of(t))].lanes, t->threads);
  return (size_t)(linear_states(&s) + room_floats(&s) * t->threads) * sizeof(float);
}

static xlm_status run(const xlm_call *c) {
  xlm_pool *pool = xlm_cpu_pool(c);
  job j = {.s = xlm_linear_shape_of(c, DECAY, VL, xlm_pool_size(pool)), .states = c->workspace};
  j.q = xlm_linear_view_of(c, &j.s, c->in_type[Q], c->in[Q]);
  j.k = xlm_linear_view_of(c, &j.s, c->in_type[K], c->in[K]);
  j.v = xlm_linear_view_of(c, &j.s, c->in_type[V], c->in[V]);
  if (c->instr->n_in > DECAY) j.decay = xlm_linear_view_of(c, &j.s, c->in_type[DECAY], c->in[DECAY]);
  j.out = xlm_linear_view_of(c, &j.s, c->out_type[0], c->out[0]);
  j.rooms = j.states + linear_states(&j.s);
  if (!j.s.chunks) return XLM_OK; // no positions
  for (; j.first < j.s.entries; j.first += j.s.at_once) {
    j.entries = j.s.entries - j.first < j.s.at_once ? j.s.entries - j.first : j.s.at_once;
    xlm_pool_run(pool, states, &j);
    xlm_pool_run(pool, chunks, &j);
  }
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(linear_attend) = {.op = XLM_OP_LINEAR_ATTEND, .workspace = workspace, .run = run};
