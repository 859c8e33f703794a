// Dependencies between the streams; see streams.h.
#include "runtime/plan/streams.h"

xlm_stream xlm_stream_of(xlm_op_id op) {
  return xlm_comm_of(op) ? XLM_STREAM_COMM : XLM_STREAM_KERNELS;
}

typedef struct place { // bytes of the arena that an instruction touches
  uint64_t begin, end;
  bool written;
} place;

typedef struct look {
  const xlm_rank_plan *r;
  const xlm_segment *s;
  place *places;
  uint32_t *first; // [n + 1] into places
  struct {
    uint32_t *at; // instructions of a stream so far, relative to the segment's first
    uint32_t n;
    uint32_t waited; // how many of them the other stream has already waited for
  } stream[XLM_STREAMS];
} look;

static uint32_t add(place *p, uint64_t begin, uint64_t bytes, bool written) {
  *p = (place){begin, begin + bytes, written};
  return bytes != 0;
}

static void find_places(look *l, xlm_arena *a) {
  const xlm_rank_plan *r = l->r;
  uint32_t count = 0, n = 0;
  for (uint32_t i = 0; i < l->s->n; i++)
    count += r->instrs[l->s->first + i].n_in + r->instrs[l->s->first + i].n_out + 1u;
  l->places = XLM_NEW_N(a, place, count);
  l->first = XLM_NEW_N(a, uint32_t, l->s->n + 1);
  for (uint32_t i = 0; i < l->s->n; i++) {
    const xlm_instr *in = &r->instrs[l->s->first + i];
    for (int k = 0; k < in->n_in + in->n_out; k++) {
      const xlm_tensor *t = &r->tensors[k < in->n_in ? in->in[k] : in->out[k - in->n_in]];
      n += add(&l->places[n], r->area_begin[t->area] + t->offset, t->bytes, k >= in->n_in);
    }
    n += add(&l->places[n], r->area_begin[XLM_AREA_TEMP] + in->workspace_at, in->workspace, true);
    l->first[i + 1] = n;
  }
}

static bool conflict(const look *l, uint32_t x, uint32_t y) {
  for (uint32_t i = l->first[x]; i < l->first[x + 1]; i++)
    for (uint32_t k = l->first[y]; k < l->first[y + 1]; k++) {
      const place *p = &l->places[i], *q = &l->places[k];
      if (p->begin < q->end && q->begin < p->end && (p->written || q->written)) return true;
    }
  return false;
}

static look *start(const xlm_rank_plan *r, const xlm_segment *s, xlm_arena *a) {
  look *l = XLM_NEW(a, look);
  *l = (look){.r = r, .s = s};
  find_places(l, a);
  for (int k = 0; k < XLM_STREAMS; k++) l->stream[k].at = XLM_NEW_N(a, uint32_t, s->n);
  return l;
}

static xlm_stream note(look *l, uint32_t i) { // returns the other stream
  xlm_stream mine = l->r->instrs[l->s->first + i].stream;
  l->stream[mine].at[l->stream[mine].n++] = i;
  return mine == XLM_STREAM_KERNELS ? XLM_STREAM_COMM : XLM_STREAM_KERNELS;
}

// How many instructions of the other stream must finish before i: up to the last one that conflicts with it,
// if that is beyond those already waited for.
static uint32_t needs(const look *l, xlm_stream other, uint32_t i) {
  for (uint32_t k = l->stream[other].n; k > l->stream[other].waited; k--)
    if (conflict(l, l->stream[other].at[k - 1], i)) return k;
  return 0;
}

void xlm_streams_order(const xlm_rank_plan *r, const xlm_segment *s, xlm_arena *a, uint32_t *after) {
  look *l = start(r, s, a);
  for (uint32_t i = 0; i < s->n; i++) {
    xlm_stream other = note(l, i);
    uint32_t k = needs(l, other, i);
    after[i] = k ? s->first + l->stream[other].at[k - 1] + 1 : 0;
    if (k) l->stream[other].waited = k;
  }
}

// The plan may order more than necessary, but only with respect to earlier instructions of the segment.
static void believe(look *l, xlm_stream other, uint32_t after) {
  while (l->stream[other].waited < l->stream[other].n &&
         l->s->first + l->stream[other].at[l->stream[other].waited] < after)
    l->stream[other].waited++;
}

bool xlm_streams_check(const xlm_rank_plan *r, const xlm_segment *s, xlm_arena *a, uint32_t *first,
                       uint32_t *then) {
  look *l = start(r, s, a);
  for (uint32_t i = 0; i < s->n; i++) {
    xlm_stream other = note(l, i);
    believe(l, other, r->instrs[s->first + i].after);
    uint32_t k = needs(l, other, i);
    if (!k) continue;
    *first = s->first + l->stream[other].at[k - 1];
    *then = s->first + i;
    return false;
  }
  return true;
}
