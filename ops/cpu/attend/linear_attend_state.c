// The state of linear attention after a chunk from that before it. See linear_attend_priv.h.
#include "ops/cpu/attend/linear_attend_priv.h"

// The state by the chunk's decays, and the keys in r by those up to its end.
static void decay_chunk(const linear_shape *s, const linear_view *decay, const linear_room *r, int64_t entry,
                        int64_t head, int64_t chunk, const float *state, float *next) {
  if (!s->channels) {
    linear_decay d = xlm_linear_decay_of(s, decay, entry, head, chunk);
    xlm_linear_scale(r->k, s->np, d.to_end, 0, TILE);
    for (int64_t i = 0; state && i < s->np * s->pp; i++) next[i] = d.whole * state[i];
    return;
  }
  xlm_linear_channels_of(&r->decays, s, decay, entry, head, chunk, 0, TILE);
  xlm_linear_by(r->k, r->k, r->decays.to, s->np);
  xlm_linear_by_parts_after(r->k, &r->decays, s->np);
  for (int64_t i = 0; state && i < s->np; i++)
    for (int64_t p = 0; p < s->pp; p++) next[i * s->pp + p] = r->decays.all[i] * state[i * s->pp + p];
}

void xlm_linear_advance(const linear_shape *s, const linear_keys *from, const linear_room *r, int64_t entry,
                        int64_t head, int64_t chunk, const float *state, float *next) {
  xlm_linear_load(r->k, s, &from->k, entry, head, chunk, true);
  xlm_linear_load(r->v, s, &from->v, entry, head, chunk, false);
  for (int64_t i = 0; !state && i < s->np * s->pp; i++) next[i] = 0;
  decay_chunk(s, &from->decay, r, entry, head, chunk, state, next);
  xlm_linear_mul_t(r->k, s->np, s->np, TILE, r->v, next, s->pp, true, false);
}

bool xlm_linear_state_there(const linear_shape *s, const linear_view *state) {
  return state->type == XLM_F32 && state->vector == 1 && state->step == s->p && s->n == s->np &&
         s->p == s->pp;
}

void xlm_linear_state_load(float *to, const linear_shape *s, const linear_view *state, int64_t entry,
                           int64_t head) {
  int64_t at = over_offset(&state->entry, entry) + over_offset(&state->head, head);
  for (int64_t i = 0; i < s->np; i++, to += s->pp)
    for (int64_t p = 0; p < s->pp; p++)
      to[p] = i < s->n && p < s->p
                  ? vec_read_one(state->type, state->data, at + i * state->step + p * state->vector)
                  : 0;
}

void xlm_linear_state_store(const float *from, const linear_shape *s, const linear_view *state, int64_t entry,
                            int64_t head) {
  int64_t at = over_offset(&state->entry, entry) + over_offset(&state->head, head);
  for (int64_t i = 0; i < s->n; i++, from += s->pp)
    for (int64_t p = 0; p < s->p; p++)
      vec_write(state->type, state->data, at + i * state->step + p * state->vector, 1, from + p);
}
