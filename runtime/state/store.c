// Logical tensors over views. A view's elements are stored in the order of their logical indices, so the part
// of a view that falls into a range of logical indices is found by binary search over its runs.
#include "runtime/state/store.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/state/init.h"
#include "runtime/state/store_priv.h"
#include "runtime/base/bf16.h"
#include "runtime/plan/mesh.h"

static xlm_view view_of(const xlm_type *t, const xlm_dim_info *dims, void *data) {
  xlm_view v = {.rank = t->rank, .n = 1, .run = 1, .data = data};
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

// The first run that ends after logical index `first`.
static int64_t find_run(const xlm_view *v, int64_t first) {
  int64_t low = 0, high = v->n / v->run;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (logical_index(v, middle * v->run) + v->run <= first)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

// Copies what the view has of [first, first + n) between it and `other`.
static void exchange(const xlm_view *v, size_t bytes, int64_t first, int64_t n, char *other, bool to_view) {
  if (!v->n) return;
  for (int64_t r = find_run(v, first); r < v->n / v->run; r++) {
    int64_t begin = logical_index(v, r * v->run), skip = begin < first ? first - begin : 0;
    if (begin >= first + n) return;
    int64_t end = begin + v->run < first + n ? begin + v->run : first + n;
    char *mine = v->data + (size_t)(r * v->run + skip) * bytes,
         *theirs = other + (size_t)(begin + skip - first) * bytes;
    size_t size = (size_t)(end - begin - skip) * bytes;
    if (to_view)
      memcpy(mine, theirs, size);
    else
      memcpy(theirs, mine, size);
  }
}

void xlm_view_scatter(const xlm_view *v, size_t bytes, int64_t first, int64_t n, const char *from,
                      char *out) {
  for (int64_t at = first, part; at < first + n; at += part) {
    int64_t left = v->run - at % v->run;
    part = left < first + n - at ? left : first + n - at;
    memcpy(out + (size_t)logical_index(v, at) * bytes, from + (size_t)(at - first) * bytes,
           (size_t)part * bytes);
  }
}

void xlm_store_get(const xlm_stored *t, int64_t first, int64_t n, void *out) {
  for (int i = 0; i < t->n_views; i++)
    if (!t->views[i].repeats) exchange(&t->views[i], xlm_dtype_bytes(t->dtype), first, n, out, false);
}

void xlm_store_put(const xlm_stored *t, int64_t first, int64_t n, const void *in) {
  char *source = (char *)(uintptr_t)in; // only read
  for (int i = 0; i < t->n_views; i++)
    exchange(&t->views[i], xlm_dtype_bytes(t->dtype), first, n, source, true);
}

void *xlm_store_whole(const xlm_stored *t) {
  return t->n_views == 1 && !t->n_away && t->views[0].n == t->n ? t->views[0].data : NULL;
}

const xlm_stored *xlm_store_find(const xlm_store *s, const char *name) {
  for (int i = 0; i < s->n; i++)
    if (!strcmp(s->at[i].name, name)) return &s->at[i];
  return NULL;
}

static xlm_stored *entry_of(xlm_store *s, const xlm_plan *p, const xlm_rank_plan *rp,
                            const xlm_plan_state *state) {
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
  t->views = XLM_NEW_N(s->arena, xlm_view, p->n_ranks);
  t->away = XLM_NEW_N(s->arena, xlm_view, p->n_ranks);
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

static bool is_among(const xlm_view *list, int n, const xlm_view *v) {
  for (int i = 0; i < n; i++)
    if (same_box(&list[i], v)) return true;
  return false;
}

// What ranks here hold counts before what others do, so that a state that is here whole is never asked for.
static void add_view(xlm_stored *t, xlm_view v, bool here) {
  if (here) {
    v.repeats = is_among(t->views, t->n_views, &v);
    t->views[t->n_views++] = v;
  } else if (!is_among(t->away, t->n_away, &v))
    t->away[t->n_away++] = v;
}

static void drop_held(xlm_stored *t) {
  int kept = 0;
  for (int i = 0; i < t->n_away; i++)
    if (t->away[i].n && !is_among(t->views, t->n_views, &t->away[i])) t->away[kept++] = t->away[i];
  t->n_away = kept;
}

static int by_name(const void *a,
                   const void *b) { // an order that no layout changes: the same files from each
  return strcmp(((const xlm_stored *)a)->name, ((const xlm_stored *)b)->name);
}

static void collect(xlm_store *s, const xlm_plan *p, xlm_store_address *address, void *arg) {
  size_t most = 0;
  for (uint32_t c = 0; c < p->n_rank_plans; c++) most += p->rank_plans[c]->n_states;
  s->at = XLM_NEW_N(s->arena, xlm_stored, most);
  xlm_stored ***entries = XLM_NEW_N(s->arena, xlm_stored **, p->n_rank_plans); // found once per rank plan
  for (uint32_t rank = 0; rank < p->n_ranks; rank++) {
    uint32_t which = p->rank_plan_of[rank];
    const xlm_rank_plan *rp = p->rank_plans[which];
    bool fresh = !entries[which];
    if (fresh) entries[which] = XLM_NEW_N(s->arena, xlm_stored *, rp->n_states);
    xlm_dim_info *dims = XLM_NEW_N(s->arena, xlm_dim_info, rp->n_dims);
    xlm_mesh_rank_dims(p, rank, dims);
    for (uint32_t i = 0; i < rp->n_states; i++) {
      if (fresh) entries[which][i] = entry_of(s, p, rp, &rp->states[i]);
      void *at = address(arg, rank, i); // NULL: another process has it
      xlm_view v = view_of(&rp->tensors[rp->states[i].tensor].type, dims, at);
      v.owner = rank;
      add_view(entries[which][i], v, at != NULL);
    }
  }
  for (int i = 0; i < s->n; i++) drop_held(&s->at[i]);
  if (s->n) qsort(s->at, (size_t)s->n, sizeof *s->at, by_name);
}

xlm_status xlm_store_new(const xlm_plan *p, xlm_store_address *address, void *arg, xlm_store **out,
                         xlm_error *err) {
  *out = NULL;
  xlm_arena *a = xlm_arena_new(0);
  if (!a) return xlm_fail(err, XLM_ENV, "no memory for the table of states");
  if (XLM_ARENA_TRY(a)) {
    xlm_store *s = XLM_NEW(a, xlm_store);
    s->arena = a;
    collect(s, p, address, arg);
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
  const xlm_init *inits;
  uint64_t seed;
  bool zeroed;
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

// Local elements [begin, end) of a view, run by run.
static void init_view(const init_job *j, const xlm_stored *t, const xlm_init *init, const xlm_view *v,
                      int64_t begin, int64_t end) {
  xlm_philox key = xlm_philox_key(j->seed, xlm_hash_text(t->name));
  size_t bytes = xlm_dtype_bytes(t->dtype);
  float part[1024];
  for (int64_t at = begin, n; at < end; at += n) {
    int64_t left = v->run - at % v->run, logical = logical_index(v, at);
    n = left < end - at ? left : end - at;
    char *to = v->data + (size_t)at * bytes;
    if (t->dtype == XLM_F32) {
      xlm_init_fill(init, key, logical, n, (float *)to);
      continue;
    }
    n = n < 1024 ? n : 1024;
    xlm_init_fill(init, key, logical, n, part);
    store_floats(t->dtype, to, part, n);
  }
}

static void init_worker(void *arg, int worker, int workers) {
  const init_job *j = arg;
  for (int i = 0; i < j->store->n; i++) {
    const xlm_stored *t = &j->store->at[i];
    const xlm_init *init = &j->inits[i];
    bool zero = init->kind == XLM_INIT_CONSTANT && init->a == 0;
    for (int k = 0; k < t->n_views; k++) {
      int64_t begin, end;
      xlm_pool_range(t->views[k].n, worker, workers, &begin, &end);
      size_t bytes = xlm_dtype_bytes(t->dtype);
      if (!zero)
        init_view(j, t, init, &t->views[k], begin, end);
      else if (!j->zeroed)
        memset(t->views[k].data + (size_t)begin * bytes, 0, (size_t)(end - begin) * bytes);
    }
  }
}

xlm_status xlm_store_init(const xlm_store *s, uint64_t seed, bool zeroed, xlm_pool *pool, xlm_error *err) {
  xlm_init *inits = calloc((size_t)s->n + 1, sizeof *inits);
  if (!inits) return xlm_fail(err, XLM_ENV, "no memory for %d initialisers", s->n);
  xlm_status status = XLM_OK;
  for (int i = 0; i < s->n && status == XLM_OK; i++) {
    status = xlm_init_parse(s->at[i].init ? s->at[i].init : "zeros", &inits[i], err);
    if (status != XLM_OK) status = xlm_fail_in(err, "state '%s'", s->at[i].name);
  }
  init_job job = {s, inits, seed, zeroed};
  if (status == XLM_OK) xlm_pool_run(pool, init_worker, &job);
  free(inits);
  return status;
}
