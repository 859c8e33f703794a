// Boxes of logical tensors and views. In every dimension, the intersection of a view and a box consists of
// one or two ranges of local indices; iterating over the outer dimensions yields runs that are contiguous on
// both sides. Short runs go through a buffer on the stack, so that device transfers are large.
#include <stdlib.h>
#include <string.h>

#include "runtime/state/store.h"
#include "runtime/state/store_priv.h"

enum { PIECE = 32 << 10 }; // size of that buffer in bytes

int64_t xlm_box_elements(const xlm_stored *t, const xlm_box *b) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++) n *= b->end[i] - b->begin[i];
  return n;
}

xlm_box xlm_box_whole(const xlm_stored *t) {
  xlm_box b = {{0}, {0}};
  memcpy(b.end, t->shape, sizeof t->shape);
  return b;
}

typedef struct range { // local indices [begin, end) are indices [at, ..) of the box
  int64_t begin, end, at;
} range;

static range overlap(int64_t local, int64_t size, int64_t offset, int64_t begin, int64_t end) {
  int64_t from = offset > begin ? offset : begin, to = offset + size < end ? offset + size : end;
  return to > from ? (range){local + from - offset, local + to - offset, from - begin} : (range){0, 0, 0};
}

// Intersects a dimension; adjacent ranges are merged.
static int ranges_of(const xlm_dim_info *d, int64_t begin, int64_t end, range out[2]) {
  int64_t first = d->size - d->tail;
  range head = overlap(0, first, d->offset, begin, end),
        tail = overlap(first, d->tail, d->tail_offset, begin, end);
  int n = 0;
  if (head.end > head.begin) out[n++] = head;
  if (tail.end > tail.begin) out[n++] = tail;
  bool joined = n == 2 && head.end == tail.begin && head.at + (head.end - head.begin) == tail.at;
  if (joined) out[0].end = tail.end;
  return joined ? 1 : n;
}

typedef struct walk {
  int rank;
  int n[XLM_MAX_RANK];
  range at[XLM_MAX_RANK][2];
  int64_t local[XLM_MAX_RANK], box[XLM_MAX_RANK]; // strides
  int inner; // dimensions from here on form one run: whole on both sides except the first, which is one range
  xlm_box_run *run;
  void *arg;
} walk;

static xlm_status walk_from(const walk *w, int i, int64_t local, int64_t box, xlm_error *err) {
  for (int k = 0; k < w->n[i]; k++) {
    const range *r = &w->at[i][k];
    int64_t l = local + r->begin * w->local[i], b = box + r->at * w->box[i];
    if (i == w->inner) {
      XLM_TRY(w->run(w->arg, l, b, (r->end - r->begin) * w->local[i], err));
      continue;
    }
    for (int64_t x = r->begin; x < r->end; x++, l += w->local[i], b += w->box[i])
      XLM_TRY(walk_from(w, i + 1, l, b, err));
  }
  return XLM_OK;
}

// false: the intersection is empty.
static bool walk_new(const xlm_view *v, const xlm_box *b, walk *w) {
  *w = (walk){.rank = v->rank};
  int64_t local = 1, box = 1;
  bool whole = true; // all dimensions further in
  for (int i = v->rank - 1; i >= 0; i--) {
    int64_t size = b->end[i] - b->begin[i];
    w->n[i] = ranges_of(v->dim[i], b->begin[i], b->end[i], w->at[i]);
    if (!w->n[i]) return false;
    w->local[i] = local, w->box[i] = box;
    if (whole) w->inner = i;
    const range *r = &w->at[i][0];
    whole = whole && w->n[i] == 1 && r->end - r->begin == v->dim[i]->size && size == v->dim[i]->size;
    local *= v->dim[i]->size, box *= size;
  }
  return true;
}

xlm_status xlm_view_runs(const xlm_view *v, const xlm_box *b, xlm_box_run *run, void *arg, xlm_error *err) {
  walk w;
  if (!walk_new(v, b, &w)) return XLM_OK;
  w.run = run, w.arg = arg;
  return v->rank ? walk_from(&w, 0, 0, 0, err) : run(arg, 0, 0, 1, err);
}

static bool meets(const xlm_view *v, const xlm_box *b) {
  walk w;
  return walk_new(v, b, &w);
}

// ---- between a view and memory ----

typedef struct transfer {
  const xlm_store *s;
  const xlm_view *v;
  size_t bytes; // of an element
  char *memory; // the box, dense
  // Local elements [begin, begin + n), as read from or to be written to the device's memory.
  char piece[PIECE];
  int64_t begin, n;
} transfer;

xlm_status xlm_view_get(const xlm_store *s, const xlm_view *v, size_t bytes, int64_t first, int64_t n,
                        void *to, xlm_error *err) {
  return s->states.get(s->states.arg, (uint32_t)v->owner, v->state, (size_t)first * bytes, to,
                       (size_t)n * bytes, err);
}

xlm_status xlm_view_put(const xlm_store *s, const xlm_view *v, size_t bytes, int64_t first, int64_t n,
                        const void *from, xlm_error *err) {
  return s->states.put(s->states.arg, (uint32_t)v->owner, v->state, (size_t)first * bytes, from,
                       (size_t)n * bytes, err);
}

// Runs are in the order of local elements, so what follows a short one is read with it.
static xlm_status get_run(void *arg, int64_t local, int64_t box, int64_t n, xlm_error *err) {
  transfer *t = arg;
  int64_t most = PIECE / (int64_t)t->bytes;
  char *to = t->memory + (size_t)box * t->bytes;
  if (n >= most / 2) return xlm_view_get(t->s, t->v, t->bytes, local, n, to, err);
  if (local < t->begin || local + n > t->begin + t->n) {
    t->begin = local;
    t->n = t->v->n - local < most ? t->v->n - local : most;
    XLM_TRY(xlm_view_get(t->s, t->v, t->bytes, t->begin, t->n, t->piece, err));
  }
  memcpy(to, t->piece + (size_t)(local - t->begin) * t->bytes, (size_t)n * t->bytes);
  return XLM_OK;
}

static xlm_status put_piece(transfer *t, xlm_error *err) {
  int64_t n = t->n;
  t->n = 0;
  return n ? xlm_view_put(t->s, t->v, t->bytes, t->begin, n, t->piece, err) : XLM_OK;
}

// Adjacent short runs are combined; memory between other runs must not be written.
static xlm_status put_run(void *arg, int64_t local, int64_t box, int64_t n, xlm_error *err) {
  transfer *t = arg;
  int64_t most = PIECE / (int64_t)t->bytes;
  const char *from = t->memory + (size_t)box * t->bytes;
  if (t->n && (local != t->begin + t->n || t->n + n > most)) XLM_TRY(put_piece(t, err));
  if (n > most) return xlm_view_put(t->s, t->v, t->bytes, local, n, from, err);
  if (!t->n) t->begin = local;
  memcpy(t->piece + (size_t)t->n * t->bytes, from, (size_t)n * t->bytes);
  t->n += n;
  return XLM_OK;
}

xlm_status xlm_store_get(const xlm_store *s, const xlm_stored *t, const xlm_box *b, void *out,
                         xlm_error *err) {
  transfer x = {.s = s, .bytes = xlm_dtype_bytes(t->dtype), .memory = out};
  xlm_box whole = xlm_box_whole(t);
  if (!b) b = &whole;
  for (int i = 0; i < t->n_views; i++) {
    if (t->views[i].repeats) continue;
    x.v = &t->views[i], x.n = 0;
    XLM_TRY(xlm_view_runs(x.v, b, get_run, &x, err));
  }
  return XLM_OK;
}

xlm_status xlm_store_put(const xlm_store *s, const xlm_stored *t, const xlm_box *b, const void *in,
                         xlm_error *err) {
  transfer x = {.s = s, .bytes = xlm_dtype_bytes(t->dtype), .memory = (char *)(uintptr_t)in}; // only read
  xlm_box whole = xlm_box_whole(t);
  if (!b) b = &whole;
  for (int i = 0; i < t->n_views; i++) {
    x.v = &t->views[i], x.n = 0;
    XLM_TRY(xlm_view_runs(x.v, b, put_run, &x, err));
    XLM_TRY(put_piece(&x, err));
  }
  return XLM_OK;
}

static int by_rank(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

bool xlm_part_held_by(const xlm_part *p, int64_t rank) {
  return bsearch(&rank, p->holders, (size_t)p->n_holders, sizeof *p->holders, by_rank) != NULL;
}

bool xlm_store_has(const xlm_stored *t, const xlm_box *b) {
  for (int i = 0; i < t->n_views; i++)
    if (meets(&t->views[i], b)) return true;
  return false;
}

bool xlm_store_held_by(const xlm_stored *t, int64_t rank) {
  for (int i = 0; i < t->n_parts; i++)
    if (xlm_part_held_by(&t->parts[i], rank)) return true;
  return false;
}
