// linear_attend on CPUs, in two passes: the states before each chunk, one head after the other; then the
// chunks, all heads of an entry in one, so that the scores of shared queries and keys are computed once. With
// decays per channel the weights are each head's own.
//
// linear_attend_from is the same of some rows of a chunk, or of a few chunks of which the first begins with a
// kept state.
#include "ops/cpu/attend/linear_attend_priv.h"

enum { Q, K, V, DECAY };
enum { STATE, FROM_Q, FROM_K, FROM_V, START, PAST_K, PAST_V, LOG, PAST_LOG };

typedef struct job {
  linear_shape s;
  linear_view q, out;
  linear_keys keys, past;
  linear_view kept;       // decoding: states before each entry's first chunk; data NULL: they are zero
  bool there;             // and may be read where they are
  int64_t pieces;         // of an entry's heads, for several workers
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

static int64_t first_chunk(const job *j, int64_t entry) {
  return linear_start(&j->s, entry) / TILE;
}

// The state before a chunk; NULL: it is zero.
static const float *state_before(const job *j, int64_t slot, int64_t head, int64_t chunk) {
  int64_t entry = j->first + slot, after = chunk - first_chunk(j, entry);
  if (!chunk) return NULL;
  if (!after && j->there)
    return (const float *)j->kept.data + over_offset(&j->kept.entry, entry) +
           over_offset(&j->kept.head, head);
  return linear_state(&j->s, j->states, slot, head, after);
}

static void states_of_head(const job *j, const room *r, int64_t slot, int64_t head) {
  const linear_shape *s = &j->s;
  int64_t entry = j->first + slot, first = first_chunk(j, entry),
          last = (linear_start(s, entry) + s->steps - 1) / TILE;
  linear_room tiles = {r->k, r->v, r->decays};
  if (first && !j->there)
    xlm_linear_state_load(linear_state(s, j->states, slot, head, 0), s, &j->kept, entry, head);
  for (int64_t chunk = first; chunk < last; chunk++)
    xlm_linear_advance(s, &j->keys, &tiles, entry, head, chunk, state_before(j, slot, head, chunk),
                       linear_state(s, j->states, slot, head, chunk + 1 - first));
}

static void head_of_chunk(const job *j, const room *r, int64_t slot, int64_t head, int64_t chunk,
                          linear_rows rows) {
  const linear_shape *s = &j->s;
  int64_t entry = j->first + slot;
  int begin = rows.begin, end = rows.end;
  const float *state = state_before(j, slot, head, chunk);
  linear_decay d = xlm_linear_decay_of(s, &j->keys.decay, entry, head, chunk);
  xlm_linear_load(r->v, s, &j->keys.v, entry, head, chunk, false);
  xlm_linear_weights(r->w, &d, begin, end);
  for (int i = begin * TILE; i < end * TILE; i++) r->w[i] *= r->scores[i];
  if (state) {
    xlm_linear_mul(r->q, s->np, begin, end, s->n, state, r->y, s->pp, false, false);
    xlm_linear_scale(r->y, s->pp, d.from_start, begin, end);
  }
  xlm_linear_mul(r->w, TILE, begin, end, TILE, r->v, r->y, s->pp, state, true);
  xlm_linear_store(r->y, s, &j->out, entry, head, chunk, false);
}

static void channels_of_chunk(const job *j, const room *r, int64_t slot, int64_t head, int64_t chunk,
                              linear_rows rows) {
  const linear_shape *s = &j->s;
  int64_t entry = j->first + slot;
  int begin = rows.begin, end = rows.end;
  const float *state = state_before(j, slot, head, chunk);
  xlm_linear_channels_of(&r->decays, s, &j->keys.decay, entry, head, chunk, begin, end);
  xlm_linear_load(r->v, s, &j->keys.v, entry, head, chunk, false);
  xlm_linear_channel_weights(r->w, r->q, r->k, &r->decays, s, r->q_from, r->k_to, r->kt, begin, end);
  if (state) {
    xlm_linear_by_parts_before(r->q_from, &r->decays, s->np, begin, end);
    xlm_linear_mul(r->q_from, s->np, begin, end, s->n, state, r->y, s->pp, false, false);
  }
  xlm_linear_mul(r->w, TILE, begin, end, TILE, r->v, r->y, s->pp, state, true);
  xlm_linear_store(r->y, s, &j->out, entry, head, chunk, false);
}

// The heads of one piece; `after`: how many chunks after the entry's first.
static void chunk_of_entry(const job *j, const room *r, int64_t slot, int64_t after, int64_t piece) {
  const linear_shape *s = &j->s;
  int64_t entry = j->first + slot, chunk = first_chunk(j, entry) + after, head, last;
  linear_rows rows = xlm_linear_rows_of(s, entry, chunk);
  xlm_pool_range(s->heads, (int)piece, (int)j->pieces, &head, &last);
  if (rows.begin == rows.end || head == last) return;
  xlm_linear_load(r->q, s, &j->q, entry, 0, chunk, true);
  xlm_linear_load(r->k, s, &j->keys.k, entry, 0, chunk, true);
  if (s->channels) {
    for (; head < last; head++) channels_of_chunk(j, r, slot, head, chunk, rows);
    return;
  }
  xlm_attend_transpose(r->kt, r->k, s->np);
  xlm_linear_mul(r->q, s->np, rows.begin, rows.end, s->n, r->kt, r->scores, TILE, false, false);
  for (; head < last; head++) head_of_chunk(j, r, slot, head, chunk, rows);
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
  int64_t begin, end, each = j->s.chunks * j->pieces;
  xlm_pool_range(j->entries * each, worker, workers, &begin, &end);
  for (int64_t u = begin; u < end; u++) chunk_of_entry(j, &r, u / each, u % each / j->pieces, u % j->pieces);
}

static xlm_status run_all(job *j, xlm_pool *pool) {
  bool no_states = j->s.chunks == 1 && j->there;
  j->rooms = j->states + (no_states ? 0 : linear_states(&j->s));
  if (!j->s.chunks) return XLM_OK; // no positions
  for (; j->first < j->s.entries; j->first += j->s.at_once) {
    j->entries = j->s.entries - j->first < j->s.at_once ? j->s.entries - j->first : j->s.at_once;
    if (!no_states) xlm_pool_run(pool, states, j);
    xlm_pool_run(pool, chunks, j);
  }
  return XLM_OK;
}

static int lanes_of(const xlm_target *t) {
  return xlm_cpu_tiles_of[xlm_cpu_isa_of(xlm_cpu_arch_of(t))].lanes;
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  linear_shape s = xlm_linear_shape_of(c, Q, DECAY, lanes_of(t), t->threads);
  return (size_t)(linear_states(&s) + room_floats(&s) * t->threads) * sizeof(float);
}

static xlm_status run(const xlm_call *c) {
  xlm_pool *pool = xlm_cpu_pool(c);
  job j = {
      .s = xlm_linear_shape_of(c, Q, DECAY, VL, xlm_pool_size(pool)), .pieces = 1, .states = c->workspace};
  j.q = xlm_linear_view_of(c, &j.s, c->in_type[Q], c->in[Q]);
  j.keys.k = xlm_linear_view_of(c, &j.s, c->in_type[K], c->in[K]);
  j.keys.v = xlm_linear_view_of(c, &j.s, c->in_type[V], c->in[V]);
  if (c->instr->n_in > DECAY) j.keys.decay = xlm_linear_view_of(c, &j.s, c->in_type[DECAY], c->in[DECAY]);
  j.out = xlm_linear_view_of(c, &j.s, c->out_type[0], c->out[0]);
  return run_all(&j, pool);
}

// ---- decoding

// Rows may begin anywhere in a chunk.
static job job_from(const xlm_call *c, int vl, int threads) {
  job j = {.s = xlm_linear_shape_of(c, FROM_Q, LOG, vl, threads), .states = c->workspace};
  j.kept = xlm_linear_state_view(c, &j.s, c->in_type[STATE], c->in[STATE]);
  j.there = xlm_linear_state_there(&j.s, &j.kept);
  if (j.s.steps) j.s.chunks = (j.s.steps + 2 * TILE - 2) / TILE;
  int64_t units = j.s.at_once * j.s.chunks,
          enough = threads > 1 && units ? (2 * threads + units - 1) / units : 1;
  j.pieces = enough < j.s.heads ? enough : j.s.heads;
  return j;
}

static size_t workspace_from(const xlm_call *c, const xlm_target *t) {
  job j = job_from(c, lanes_of(t), t->threads);
  int64_t kept = j.s.chunks == 1 && j.there ? 0 : linear_states(&j.s);
  return (size_t)(kept + room_floats(&j.s) * t->threads) * sizeof(float);
}

static xlm_status run_from(const xlm_call *c) {
  xlm_pool *pool = xlm_cpu_pool(c);
  job j = job_from(c, VL, xlm_pool_size(pool));
  j.s.start = xlm_linear_numbers_of(c, &j.s, START);
  j.q = xlm_linear_view_of(c, &j.s, c->in_type[FROM_Q], c->in[FROM_Q]);
  xlm_linear_keys_of(c, &j.s, FROM_K, FROM_V, LOG, PAST_K, &j.keys, &j.past);
  j.out = xlm_linear_view_of(c, &j.s, c->out_type[0], c->out[0]);
  return run_all(&j, pool);
}

const xlm_kernel XLM_KERNEL(linear_attend) = {.op = XLM_OP_LINEAR_ATTEND, .workspace = workspace, .run = run};
const xlm_kernel XLM_KERNEL(linear_attend_from) = {
    .op = XLM_OP_LINEAR_ATTEND_FROM, .workspace = workspace_from, .run = run_from};
