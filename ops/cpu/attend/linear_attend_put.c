// linear_attend_put on CPUs: states of chunks that are complete now, in place, by the sums of whole
// sequences.
#include "ops/cpu/attend/linear_attend_priv.h"

enum { STATE, K, V, START, COUNT, PAST_K, PAST_V, LOG, PAST_LOG };

typedef struct job {
  linear_shape s;
  linear_keys keys;
  linear_keys past;
  linear_view state;
  bool there;
  float *rooms;
} job;

static int64_t room_floats(const linear_shape *s) {
  return TILE * (s->np + s->pp) + s->np * s->pp + linear_channels_floats(s);
}

// The chunks [*chunk, *end) are complete after the call's rows, and were not before.
static void complete(const linear_shape *s, int64_t entry, int64_t *chunk, int64_t *end) {
  int64_t start = linear_start(s, entry);
  *chunk = start / TILE, *end = (start + linear_count(s, entry)) / TILE;
}

static void advance(const job *j, int worker, int64_t entry, int64_t head) {
  const linear_shape *s = &j->s;
  int64_t chunk, end;
  float *room = j->rooms + worker * room_floats(s), *state = room + TILE * (s->np + s->pp);
  linear_room r = {
      .k = room, .v = room + TILE * s->np, .decays = linear_channels_at(s, state + s->np * s->pp)};
  complete(s, entry, &chunk, &end);
  if (chunk == end) return;
  if (j->there)
    state = (float *)j->state.data + over_offset(&j->state.entry, entry) + over_offset(&j->state.head, head);
  else if (chunk)
    xlm_linear_state_load(state, s, &j->state, entry, head);
  for (; chunk < end; chunk++)
    xlm_linear_advance(s, &j->keys, &r, entry, head, chunk, chunk ? state : NULL, state);
  if (!j->there) xlm_linear_state_store(state, s, &j->state, entry, head);
}

static void work(void *arg, int worker, int workers) {
  const job *j = arg;
  int64_t begin, end;
  xlm_pool_range(j->s.entries * j->s.heads, worker, workers, &begin, &end);
  for (int64_t u = begin; u < end; u++) advance(j, worker, u / j->s.heads, u % j->s.heads);
}

static size_t workspace(const xlm_call *c, const xlm_target *t) {
  linear_shape s =
      xlm_linear_shape_of(c, K, LOG, xlm_cpu_tiles_of[xlm_cpu_isa_of(xlm_cpu_arch_of(t))].lanes, t->threads);
  return (size_t)(room_floats(&s) * t->threads) * sizeof(float);
}

static xlm_status run(const xlm_call *c) {
  xlm_pool *pool = xlm_cpu_pool(c);
  job j = {.s = xlm_linear_shape_of(c, K, LOG, VL, xlm_pool_size(pool)), .rooms = c->workspace};
  j.s.start = xlm_linear_numbers_of(c, &j.s, START), j.s.count = xlm_linear_numbers_of(c, &j.s, COUNT);
  xlm_linear_keys_of(c, &j.s, K, V, LOG, PAST_K, &j.keys, &j.past);
  j.state = xlm_linear_state_view(c, &j.s, c->out_type[0], c->out[0]);
  j.there = xlm_linear_state_there(&j.s, &j.state);
  bool any = false;
  for (int64_t entry = 0, chunk, end; entry < j.s.entries; entry++) {
    complete(&j.s, entry, &chunk, &end);
    any |= chunk < end;
  }
  if (any) xlm_pool_run(pool, work, &j);
  return XLM_OK;
}

const xlm_kernel XLM_KERNEL(linear_attend_put) = {
    .op = XLM_OP_LINEAR_ATTEND_PUT, .workspace = workspace, .run = run};
