// The table of states: tensors, the ranks that have parts of them, and initial values.
#include "runtime/state/store.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/state/init.h"
#include "runtime/state/store_priv.h"
#include "runtime/base/bf16.h"
#include "runtime/plan/mesh.h"

static xlm_view view_of(const xlm_type *t, const xlm_dim_info *dims) {
  xlm_view v = {.rank = t->rank, .n = 1, .run = 1};
  bool whole = true; // all dimensions further in are unsplit
  for (int i = t->rank - 1; i >= 0; i--) {
    const xlm_dim_info *d = v.dim[i] = &dims[t->dim[i]];
    v.n *= d->size;
    if (whole && !d->tail) v.run *= d->size;
    whole = whole && d->size == d->full;
  }
  return v;
}

static int64_t logical_index(const xlm_view *v, int64_t local) {
  int64_t index = 0, stride = 1;
  for (int i = v->rank - 1; i >= 0; i--) {
    const xlm_dim_info *d = v->dim[i];
    index += xlm_dim_global(d, local % d->size) * stride;
    local /= d->size;
    stride *= d->full;
  }
  return index;
}

const xlm_stored *xlm_store_find(const xlm_store *s, const char *name) {
  for (int i = 0; i < s->n; i++)
    if (!strcmp(s->at[i].name, name)) return &s->at[i];
  return NULL;
}

static xlm_stored *entry_of(xlm_store *s, const xlm_rank_plan *rp, const xlm_plan_state *state) {
  for (int i = 0; i < s->n; i++)
    if (!strcmp(s->at[i].name, state->name)) return &s->at[i];
  xlm_stored *t = &s->at[s->n++];
  const xlm_type *type = &rp->tensors[state->tensor].type;
  *t = (xlm_stored){.name = state->name,
                    .role = state->role,
                    .init = state->init,
                    .saved = state->saved,
                    .dtype = type->dtype,
                    .rank = type->rank,
                    .n = 1};
  for (int i = 0; i < type->rank; i++) {
    t->shape[i] = rp->dims[type->dim[i]].full;
    t->dim[i] = rp->dims[type->dim[i]].name;
    t->n *= t->shape[i];
  }
  return t;
}

static bool same_box(const xlm_view *a, const xlm_view *b) {
  for (int i = 0; i < a->rank; i++) {
    const xlm_dim_info *x = a->dim[i], *y = b->dim[i];
    if (x->size != y->size || x->offset != y->offset || x->tail != y->tail ||
        x->tail_offset != y->tail_offset)
      return false;
  }
  return true;
}

static xlm_part *part_of(xlm_store *s, xlm_stored *t, const xlm_view *v) {
  for (int i = 0; i < t->n_parts; i++)
    if (same_box(&t->parts[i].view, v)) return &t->parts[i];
  XLM_PUSH(s->arena, t->parts, t->n_parts, t->cap_parts, (xlm_part){.view = *v});
  return &t->parts[t->n_parts - 1];
}

// Must be called with ranks in ascending order.
static void add_view(xlm_store *s, xlm_stored *t, xlm_view v, bool here) {
  if (!v.n) return;
  xlm_part *p = part_of(s, t, &v);
  if (!p->n_holders || p->holders[p->n_holders - 1] != v.owner)
    XLM_PUSH(s->arena, p->holders, p->n_holders, p->cap_holders, v.owner);
  if (!here) return;
  for (int i = 0; i < t->n_views; i++) v.repeats |= same_box(&t->views[i], &v);
  XLM_PUSH(s->arena, t->views, t->n_views, t->cap_views, v);
}

static int by_name(const void *a,
                   const void *b) { // independent of the layout, so that files are the same
  return strcmp(((const xlm_stored *)a)->name, ((const xlm_stored *)b)->name);
}

static void collect(xlm_store *s, const xlm_plan *p) {
  size_t most = 0;
  for (uint32_t c = 0; c < p->n_rank_plans; c++) most += p->rank_plans[c]->n_states;
  s->at = XLM_NEW_N(s->arena, xlm_stored, most);
  xlm_stored ***entries = XLM_NEW_N(s->arena, xlm_stored **, p->n_rank_plans); // looked up once per rank plan
  for (uint32_t rank = 0; rank < p->n_ranks; rank++) {
    uint32_t which = p->rank_plan_of[rank];
    const xlm_rank_plan *rp = p->rank_plans[which];
    bool fresh = !entries[which], here = s->states.here(s->states.arg, rank);
    if (fresh) entries[which] = XLM_NEW_N(s->arena, xlm_stored *, rp->n_states);
    xlm_dim_info *dims = XLM_NEW_N(s->arena, xlm_dim_info, rp->n_dims);
    xlm_mesh_rank_dims(p, rank, dims);
    for (uint32_t i = 0; i < rp->n_states; i++) {
      if (fresh) entries[which][i] = entry_of(s, rp, &rp->states[i]);
      xlm_view v = view_of(&rp->tensors[rp->states[i].tensor].type, dims);
      v.owner = rank, v.state = i;
      add_view(s, entries[which][i], v, here);
    }
  }
  if (s->n) qsort(s->at, (size_t)s->n, sizeof *s->at, by_name);
}

xlm_status xlm_store_new(const xlm_plan *p, xlm_states states, xlm_store **out, xlm_error *err) {
  *out = NULL;
  xlm_arena *a = xlm_arena_new(0);
  if (!a) return xlm_fail(err, XLM_ENV, "no memory for the table of states");
  if (XLM_ARENA_TRY(a)) {
    xlm_store *s = XLM_NEW(a, xlm_store);
    s->arena = a;
    s->states = states;
    collect(s, p);
    *out = s;
    return XLM_OK;
  }
  xlm_arena_free(a);
  return xlm_fail(err, XLM_ENV, "no memory for the table of states");
}

void xlm_store_free(xlm_store *s) {
  if (s) xlm_arena_free(s->arena);
}

typedef struct init_job {
  const xlm_store *store;
  uint64_t seed;
  bool zeroed;
  atomic_flag failed; // the first to fail sets the error
  xlm_status status;
  xlm_error *err;
} init_job;

static void store_floats(xlm_dtype type, char *to, const float *from, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if (type == XLM_BF16)
      ((uint16_t *)to)[i] = xlm_f32_to_bf16(from[i]);
    else if (type == XLM_F64)
      ((double *)to)[i] = from[i];
    else
      ((int32_t *)to)[i] = (int32_t)from[i];
  }
}

// Local elements [begin, end) of a view: filled run by run in a buffer and written from there.
static xlm_status init_view(const init_job *j, const xlm_stored *t, const xlm_view *v, int64_t begin,
                            int64_t end, xlm_error *err) {
  enum { MOST = 2048 };
  xlm_philox key = xlm_philox_key(j->seed, xlm_hash_text(t->name));
  size_t bytes = xlm_dtype_bytes(t->dtype);
  float values[MOST];
  double piece[MOST]; // of any other type
  for (int64_t at = begin; at < end;) {
    int64_t n = 0;
    for (int64_t part; n < MOST && at + n < end; n += part) {
      int64_t left = v->run - (at + n) % v->run, room = end - at < MOST ? end - at - n : MOST - n;
      part = left < room ? left : room;
      xlm_init_fill(&t->init, key, t->shape, t->rank, logical_index(v, at + n), part, values + n);
    }
    bool same = t->dtype == XLM_F32;
    if (!same) store_floats(t->dtype, (char *)piece, values, n);
    XLM_TRY(xlm_view_put(j->store, v, bytes, at, n, same ? (void *)values : piece, err));
    at += n;
  }
  return XLM_OK;
}

static xlm_status init_states(const init_job *j, int worker, int workers, xlm_error *err) {
  for (int i = 0; i < j->store->n; i++) {
    const xlm_stored *t = &j->store->at[i];
    bool zero = xlm_init_is_zero(&t->init);
    for (int k = 0; k < t->n_views && !(zero && j->zeroed); k++) {
      int64_t begin, end;
      xlm_pool_range(t->views[k].n, worker, workers, &begin, &end);
      XLM_TRY(init_view(j, t, &t->views[k], begin, end, err));
    }
  }
  return XLM_OK;
}

static void init_worker(void *arg, int worker, int workers) {
  init_job *j = (init_job *)arg;
  xlm_error err;
  xlm_status s = init_states(j, worker, workers, &err);
  if (s == XLM_OK || atomic_flag_test_and_set(&j->failed)) return;
  j->status = s;
  if (j->err) *j->err = err;
}

xlm_status xlm_store_init(const xlm_store *s, uint64_t seed, bool zeroed, xlm_pool *pool, xlm_error *err) {
  init_job job = {.store = s, .seed = seed, .zeroed = zeroed, .failed = ATOMIC_FLAG_INIT, .err = err};
  xlm_pool_run(pool, init_worker, &job);
  return job.status;
}
