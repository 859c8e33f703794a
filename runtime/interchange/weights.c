// Determines the tensors of a store's states; see weights.h.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/interchange/weights_priv.h"

static int dim_of(const xlm_stored *t, const char *name) {
  for (int i = 0; i < t->rank; i++)
    if (!strcmp(t->dim[i], name)) return i;
  return -1;
}

static const char *dim_name(const xlm_weights *w, xlm_dim d) {
  return w->plan->rank_plans[0]->dims[d].name;
}

static xlm_st_dtype file_dtype(xlm_dtype t) {
  static const xlm_st_dtype table[XLM_DTYPE_COUNT] = {
      [XLM_F32] = XLM_ST_F32, [XLM_BF16] = XLM_ST_BF16, [XLM_F64] = XLM_ST_F64, [XLM_I32] = XLM_ST_I32};
  return table[t];
}

// ---- pieces ----

static int64_t size_of(const xlm_weights *w, const xlm_stored *t, const xlm_plan_factor *f) {
  int i = dim_of(t, dim_name(w, f->dim));
  return i < 0 ? 0 : f->size ? f->size : t->shape[i];
}

static void reverse(xlm_weights_axis *x, int n) {
  for (int i = 0; i < n / 2; i++) {
    xlm_weights_axis t = x[i];
    x[i] = x[n - 1 - i], x[n - 1 - i] = t;
  }
}

static bool is_plain(const xlm_weights_piece *p, const xlm_st_tensor *x) {
  bool plain = p->n == x->n && p->n == p->state->n && p->n_axes == p->state->rank;
  for (int i = 0; i < p->n_axes; i++) plain = plain && p->axes[i].dim == i && p->axes[i].step == 1;
  return plain;
}

// The factors of a part number its indices: together they have the stride that a slot's index has.
static void begin_part(const xlm_plan_factor *f, xlm_weights_piece *p, int64_t *outer, int64_t *extent) {
  int64_t own = 1;
  for (int i = 0; i < f->n; i++) own *= p->axes[p->n_axes - 1 - i].size;
  int64_t index = own ? *outer / own : 0;
  p->at += f->at * index;
  *outer = f->of * index;
  *extent = own ? *extent / own * f->of : 0;
}

// Also sets the tensor's shape.
static xlm_weights_piece piece_of(const xlm_weights *w, const xlm_plan_weight *entry, const xlm_stored *t,
                                  xlm_st_tensor *x) {
  xlm_weights_piece p = {.state = t,
                         .box = xlm_box_whole(t),
                         .n = 1,
                         .bytes = xlm_st_dtype_bytes(x->dtype),
                         .code = entry->code};
  int64_t outer = 1; // stride of the next factor, from the innermost on
  x->rank = entry->n_groups;
  for (int i = 0; i < x->rank; i++) x->shape[i] = 1;
  for (int i = entry->n_factors - 1; i >= 0; i--) {
    const xlm_plan_factor *f = &entry->factors[i];
    if (!f->dim) {
      begin_part(f, &p, &outer, &x->shape[f->group]);
      continue;
    }
    xlm_weights_axis a = {dim_of(t, dim_name(w, f->dim)), size_of(w, t, f), f->step, outer};
    XLM_ASSERT(p.n_axes < XLM_WEIGHTS_AXES && a.dim >= 0, "weights of %s", t->name);
    p.axes[p.n_axes++] = a;
    outer *= a.size, p.n *= a.size;
    x->shape[f->group] *= a.size;
  }
  x->n = outer;
  reverse(p.axes, p.n_axes);
  p.plain = is_plain(&p, x);
  return p;
}

static void add_piece(xlm_arena *a, xlm_weights_item *x, xlm_weights_piece p) {
  XLM_PUSH(a, x->pieces, x->n_pieces, x->cap_pieces, p);
  for (uint32_t i = x->n_pieces - 1; i > 0 && x->pieces[i - 1].at > p.at; i--)
    x->pieces[i] = x->pieces[i - 1], x->pieces[i - 1] = p;
}

// ---- bands ----

// Is the region of a piece contiguous in the tensor?
static bool is_dense(const xlm_weights_piece *p) {
  return !p->n_axes || p->axes[0].size * p->axes[0].outer == p->n;
}

// Is a range of rows a range of the state's dimension? Not if the rows are a finer factor of it.
static bool has_row_boxes(const xlm_weights_piece *p) {
  return !p->n_axes || p->axes[0].size * p->axes[0].step == p->state->shape[p->axes[0].dim];
}

static bool same_rows(const xlm_weights_item *x) {
  const xlm_weights_piece *p = x->pieces;
  for (uint32_t i = 0; i < x->n_pieces; i++)
    if (!p[i].n_axes || !has_row_boxes(&p[i]) || p[i].axes[0].size != p->axes[0].size ||
        p[i].axes[0].outer != p->axes[0].outer)
      return false;
  return p->axes[0].size * p->axes[0].outer == x->tensor.n;
}

static xlm_weights_band band_of(uint32_t first, uint32_t n, const xlm_weights_piece *p, int64_t at) {
  xlm_weights_band b = {.first = first, .n = n, .at = at, .rows = 1, .row = p->n};
  b.whole = !has_row_boxes(p);
  if (p->n_axes && !b.whole) b.rows = p->axes[0].size, b.row = p->axes[0].outer;
  return b;
}

void xlm_weights_set_bands(xlm_arena *a, xlm_weights_item *x) {
  int64_t sum = 0;
  bool dense = true;
  for (uint32_t i = 0; i < x->n_pieces; i++) sum += x->pieces[i].n, dense = dense && is_dense(&x->pieces[i]);
  x->has_holes = sum != x->tensor.n;
  x->bands = XLM_NEW_N(a, xlm_weights_band, x->n_pieces);
  x->n_bands = 1;
  if (dense && !x->has_holes) {
    x->n_bands = (int)x->n_pieces;
    for (uint32_t i = 0; i < x->n_pieces; i++) x->bands[i] = band_of(i, 1, &x->pieces[i], x->pieces[i].at);
  } else if (same_rows(x))
    x->bands[0] = band_of(0, x->n_pieces, x->pieces, 0);
  else
    x->bands[0] = (xlm_weights_band){.n = x->n_pieces, .rows = 1, .row = x->tensor.n, .whole = true};
}

// ---- the lists ----

static xlm_weights_item *item_of(xlm_weights *w, const char *name, bool packed) {
  xlm_weights_list *l = &w->lists[XLM_WEIGHTS_MODEL];
  for (uint32_t i = 0; packed && i < l->n; i++)
    if (!strcmp(l->at[i].tensor.name, name)) return &l->at[i];
  xlm_weights_item fresh = {.tensor = {.name = name, .dtype = XLM_ST_F32, .n = 1}};
  XLM_PUSH(w->arena, l->at, l->n, l->cap, fresh);
  return &l->at[l->n - 1];
}

static const char *numbered(xlm_arena *a, const char *pattern,
                            int64_t i) { // "experts.{experts}.w1" -> "experts.3.w1"
  const char *open = strchr(pattern, '{'), *close = open ? strchr(open, '}') : NULL;
  if (!close) return pattern;
  return xlm_arena_printf(a, "%.*s%lld%s", (int)(open - pattern), pattern, (long long)i, close + 1);
}

static xlm_status add_entry(xlm_weights *w, const xlm_plan_weight *entry, const xlm_stored *t,
                            xlm_error *err) {
  int each = entry->each ? dim_of(t, dim_name(w, entry->each)) : -1;
  int64_t n = each < 0 ? 1 : t->shape[each];
  bool packed = false;
  for (int i = 0; i < entry->n_factors; i++) packed |= !entry->factors[i].dim;
  for (int64_t e = 0; e < n; e++) {
    const char *name = each < 0 ? entry->external : numbered(w->arena, entry->external, e);
    xlm_weights_item *x = item_of(w, name, packed);
    xlm_weights_piece p = piece_of(w, entry, t, &x->tensor);
    if (p.n * n != t->n)
      return xlm_fail(err, XLM_USER, "the layout of '%s' does not fit the parameter '%s'", name, t->name);
    if (each >= 0) p.box.begin[each] = e, p.box.end[each] = e + 1;
    x->optional |= entry->optional;
    add_piece(w->arena, x, p);
  }
  return XLM_OK;
}

void xlm_weights_set_own(xlm_arena *a, xlm_weights_item *x, const xlm_stored *t, xlm_st_dtype dtype) {
  *x = (xlm_weights_item){.tensor = {.name = t->name, .dtype = dtype, .rank = t->rank, .n = t->n}};
  memcpy(x->tensor.shape, t->shape, sizeof t->shape);
  xlm_weights_piece p = {.state = t,
                         .box = xlm_box_whole(t),
                         .n = t->n,
                         .bytes = xlm_st_dtype_bytes(dtype),
                         .plain = true};
  if (t->rank)
    p.n_axes = 1, p.axes[0] = (xlm_weights_axis){0, t->shape[0], 1, t->n / (t->shape[0] ? t->shape[0] : 1)};
  add_piece(a, x, p);
}

static void add_own(xlm_weights *w, xlm_weights_part part, const xlm_stored *t) {
  xlm_weights_list *l = &w->lists[part];
  xlm_weights_item x;
  xlm_weights_set_own(w->arena, &x, t, part == XLM_WEIGHTS_MODEL ? XLM_ST_F32 : file_dtype(t->dtype));
  XLM_PUSH(w->arena, l->at, l->n, l->cap, x);
}

static const xlm_plan_weight *entry_of(const xlm_plan *p, const char *param) {
  for (uint32_t i = 0; i < p->n_weights; i++)
    if (!strcmp(p->weights[i].param, param)) return &p->weights[i];
  return NULL;
}

bool xlm_weights_is_parameter(const xlm_stored *t) {
  return t->role == XLM_ROLE_PARAMETER;
}

// A state that other tools have, too (the bias of a router): one with an entry is exported and imported.
static bool is_mapped_state(const xlm_stored *t) {
  return t->role == XLM_ROLE_STATE && t->dtype == XLM_F32;
}

static xlm_status add_state(xlm_weights *w, const xlm_stored *t, xlm_error *err) {
  const xlm_plan_weight *entry = entry_of(w->plan, t->name);
  if (xlm_weights_is_parameter(t) && t->dtype != XLM_F32 && t->dtype != XLM_BF16)
    return xlm_fail(err, XLM_USER, "parameter '%s' is stored neither in f32 nor in bf16", t->name);
  if (entry && (xlm_weights_is_parameter(t) || is_mapped_state(t)))
    XLM_TRY(add_entry(w, entry, t, err));
  else if (xlm_weights_is_parameter(t))
    add_own(w, XLM_WEIGHTS_MODEL, t);
  if (!xlm_weights_is_parameter(t)) add_own(w, XLM_WEIGHTS_REST, t);
  return XLM_OK;
}

static xlm_status build(xlm_weights *w, xlm_error *err) {
  for (int i = 0; i < w->store->n; i++)
    if (w->store->at[i].saved) XLM_TRY(add_state(w, &w->store->at[i], err));
  for (int part = 0; part < XLM_WEIGHTS_PARTS; part++)
    for (uint32_t i = 0; i < w->lists[part].n; i++) xlm_weights_set_bands(w->arena, &w->lists[part].at[i]);
  return XLM_OK;
}

xlm_status xlm_weights_new(const xlm_store *s, const xlm_plan *p, xlm_weights **out, xlm_error *err) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_status status;
  *out = NULL;
  if (a && XLM_ARENA_TRY(a)) {
    xlm_weights *w = XLM_NEW(a, xlm_weights);
    *w = (xlm_weights){.arena = a, .store = s, .plan = p};
    status = build(w, err);
    if (status == XLM_OK) {
      *out = w;
      return status;
    }
  } else
    status = xlm_fail(err, XLM_ENV, "no memory for the table of weights");
  if (a) xlm_arena_free(a);
  return status;
}

void xlm_weights_free(xlm_weights *w) {
  if (w) xlm_arena_free(w->arena);
}

int xlm_weights_count(const xlm_weights *w, xlm_weights_part part) {
  return (int)w->lists[part].n;
}

const xlm_st_tensor *xlm_weights_at(const xlm_weights *w, xlm_weights_part part, int i) {
  return &w->lists[part].at[i].tensor;
}

bool xlm_weights_held_by(const xlm_weights *w, xlm_weights_part part, int i, int64_t rank) {
  const xlm_weights_item *x = &w->lists[part].at[i];
  for (uint32_t k = 0; k < x->n_pieces; k++)
    if (xlm_store_held_by(x->pieces[k].state, rank)) return true;
  return false;
}
