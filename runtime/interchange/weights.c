// Exchange of parameters with other tools. A mapping is, per external tensor, a list of pieces; a piece is a
// strided copy between the external tensor and one parameter's logical tensor: the dims of the groups, each
// with its stride on both sides, and an offset on both sides (the part of a packed tensor, the index of an
// expert).
#include "runtime/interchange/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_AXES = XLM_MAX_RANK * XLM_MAX_RANK, TILE = 32 };

typedef struct axis {
  int64_t size, inner, outer; // strides, in elements, in the parameter and in the external tensor
} axis;

typedef struct piece {
  const xlm_stored *param;
  int n_axes;
  axis axes[XLM_MAX_RANK];
  int64_t inner_at, outer_at; // where it begins on both sides
} piece;

typedef struct item { // an external tensor
  const char *name;
  int rank;
  int64_t shape[XLM_MAX_RANK], n;
  piece *pieces;
  uint32_t n_pieces, cap_pieces;
} item;

typedef struct mapping {
  xlm_arena *arena;
  const xlm_plan *plan;
  item *items;
  uint32_t n, cap;
} mapping;

// Strided copies. to_outer: parameter -> external. Two innermost axes go in tiles: one side is usually
// transposed.

static void copy_tile(const axis *x, const axis *y, float *inner, float *outer, bool to_outer) {
  for (int64_t i = 0; i < x->size; i++) {
    float *a = inner + i * x->inner, *b = outer + i * x->outer;
    for (int64_t j = 0; j < y->size; j++) {
      if (to_outer)
        b[j * y->outer] = a[j * y->inner];
      else
        a[j * y->inner] = b[j * y->outer];
    }
  }
}

static void copy_matrix(const axis *x, const axis *y, float *inner, float *outer, bool to_outer) {
  for (int64_t i = 0; i < x->size; i += TILE)
    for (int64_t j = 0; j < y->size; j += TILE) {
      axis a = *x, b = *y;
      if (a.size > i + TILE) a.size = i + TILE;
      if (b.size > j + TILE) b.size = j + TILE;
      a.size -= i, b.size -= j;
      copy_tile(&a, &b, inner + i * a.inner + j * b.inner, outer + i * a.outer + j * b.outer, to_outer);
    }
}

static void copy_axes(const axis *x, int n, float *inner, float *outer, bool to_outer) {
  static const axis one = {1, 0, 0};
  if (n == 2)
    copy_matrix(&x[0], &x[1], inner, outer, to_outer);
  else if (n < 2)
    copy_matrix(&one, n ? x : &one, inner, outer, to_outer);
  else
    for (int64_t i = 0; i < x->size; i++)
      copy_axes(x + 1, n - 1, inner + i * x->inner, outer + i * x->outer, to_outer);
}

static void copy_piece(const piece *p, float *param, float *external, bool to_outer) {
  copy_axes(p->axes, p->n_axes, param + p->inner_at, external + p->outer_at, to_outer);
}

// Building the mapping.

static int64_t stride_of(const xlm_stored *t, const char *dim, int64_t *size) {
  int64_t stride = 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    if (!strcmp(t->dim[i], dim)) return *size = t->shape[i], stride;
    stride *= t->shape[i];
  }
  return *size = 0, 0;
}

// The two axes that matter for speed go last: the one dense outside, and before it the one dense in the
// parameter.
static void order_axes(piece *p) {
  for (int last = p->n_axes - 1, pass = 0; pass < 2 && last > 0; pass++, last--)
    for (int i = 0; i < last; i++) {
      int64_t here = pass ? p->axes[i].inner : p->axes[i].outer,
              there = pass ? p->axes[last].inner : p->axes[last].outer;
      axis t = p->axes[i];
      if (here < there) p->axes[i] = p->axes[last], p->axes[last] = t;
    }
}

static item *item_of(mapping *m, const char *name, bool packed) {
  for (uint32_t i = 0; packed && i < m->n; i++)
    if (!strcmp(m->items[i].name, name)) return &m->items[i];
  item fresh = {.name = name, .n = 1};
  XLM_PUSH(m->arena, m->items, m->n, m->cap, fresh);
  return &m->items[m->n - 1];
}

static void add_piece(mapping *m, item *x, piece p) {
  XLM_PUSH(m->arena, x->pieces, x->n_pieces, x->cap_pieces, p);
}

static const char *dim_name(const mapping *m, xlm_dim d) {
  return m->plan->rank_plans[0]->dims[d].name;
}

static void shape_of(const mapping *m, const xlm_plan_weight *w, const xlm_stored *t, item *x) {
  x->rank = w->n_groups;
  x->n = 1;
  for (int g = 0; g < w->n_groups; g++) {
    int64_t size;
    x->shape[g] = w->group[g].parts > 0 ? w->group[g].parts : 1;
    for (int i = 0; i < w->group[g].n; i++) {
      stride_of(t, dim_name(m, w->group[g].dim[i]), &size);
      x->shape[g] *= size;
    }
    x->n *= x->shape[g];
  }
}

static piece piece_of(const mapping *m, const xlm_plan_weight *w, const xlm_stored *t, const item *x) {
  piece p = {.param = t};
  int64_t outer = 1; // stride outside of the next dim, walking from the innermost
  for (int g = w->n_groups - 1; g >= 0; g--) {
    const xlm_plan_weight_group *group = &w->group[g];
    int64_t next = outer * x->shape[g];
    for (int i = group->n - 1; i >= 0; i--) {
      axis a = {.outer = outer};
      a.inner = stride_of(t, dim_name(m, group->dim[i]), &a.size);
      XLM_ASSERT(p.n_axes < XLM_MAX_RANK, "weights of %s: too many dimensions", t->name);
      p.axes[p.n_axes++] = a;
      outer *= a.size;
    }
    if (group->parts > 0) p.outer_at += group->part * outer;
    outer = next;
  }
  order_axes(&p);
  return p;
}

static const char *numbered(mapping *m, const char *pattern,
                            int64_t i) { // "experts.{experts}.w1" -> "experts.3.w1"
  const char *open = strchr(pattern, '{'), *close = open ? strchr(open, '}') : NULL;
  if (!close) return pattern;
  return xlm_arena_printf(m->arena, "%.*s%lld%s", (int)(open - pattern), pattern, (long long)i, close + 1);
}

static void add_weight(mapping *m, const xlm_plan_weight *w, const xlm_stored *t) {
  int64_t count = 1, stride = 0;
  bool packed = false;
  if (w->each) stride = stride_of(t, dim_name(m, w->each), &count);
  for (int g = 0; g < w->n_groups; g++) packed |= w->group[g].parts > 0;
  for (int64_t e = 0; e < count; e++) {
    item *x = item_of(m, w->each ? numbered(m, w->external, e) : w->external, packed);
    shape_of(m, w, t, x);
    piece p = piece_of(m, w, t, x);
    p.inner_at = e * stride;
    add_piece(m, x, p);
  }
}

static void add_own(mapping *m, const xlm_stored *t) {
  item *x = item_of(m, t->name, false);
  x->rank = t->rank;
  x->n = t->n;
  memcpy(x->shape, t->shape, sizeof x->shape);
  add_piece(m, x, (piece){.param = t, .n_axes = 1, .axes = {{t->n, 1, 1}}});
}

static const xlm_plan_weight *entry_of(const xlm_plan *p, const char *param) {
  for (uint32_t i = 0; i < p->n_weights; i++)
    if (!strcmp(p->weights[i].param, param)) return &p->weights[i];
  return NULL;
}

static bool is_parameter(const xlm_stored *t) {
  return !strcmp(t->role, "parameter");
}

// A state that other tools know, too (the bias of a router): with an entry it goes out and comes in.
static bool is_mapped_state(const xlm_stored *t) {
  return !strcmp(t->role, "state") && t->saved && t->dtype == XLM_F32;
}

static void build(mapping *m, const xlm_store *s) {
  for (int i = 0; i < s->n; i++) {
    const xlm_stored *t = &s->at[i];
    const xlm_plan_weight *w = entry_of(m->plan, t->name);
    if (!is_parameter(t) && (!w || !is_mapped_state(t))) continue;
    if (w)
      add_weight(m, w, t);
    else
      add_own(m, t);
  }
}

// A parameter as f32, in memory that is kept for the next piece: collected from all processes (export), or
// what this one has of it (import).
typedef struct holder {
  const xlm_store *store;
  const xlm_stored *param;
  float *whole; // owned
} holder;

static xlm_status release(const holder *h, xlm_error *err) {
  return h->param && h->whole ? xlm_store_put(h->store, h->param, 0, h->param->n, h->whole, err) : XLM_OK;
}

static xlm_status hold(holder *h, const xlm_stored *t, bool collect, xlm_error *err) {
  if (h->param == t) return XLM_OK;
  h->param = NULL;
  if (t->dtype != XLM_F32) return xlm_fail(err, XLM_USER, "parameter '%s' is not kept in f32", t->name);
  float *bigger = realloc(h->whole, (size_t)t->n * sizeof(float) + 1);
  if (!bigger)
    return xlm_fail(err, XLM_ENV, "no memory for parameter '%s' (%lld values)", t->name, (long long)t->n);
  h->whole = bigger;
  XLM_TRY(collect ? xlm_store_read(h->store, t, h->whole, err)
                  : xlm_store_get(h->store, t, 0, t->n, h->whole, err));
  h->param = t;
  return XLM_OK;
}

// Export.

typedef struct exporter {
  const mapping *m;
  holder from;
  float *buffer;
} exporter;

static bool is_plain_copy(const item *x) { // the parameter's own order: one piece that is dense on both sides
  const piece *p = x->pieces;
  if (x->n_pieces != 1 || p->inner_at || p->param->n != x->n) return false;
  for (int i = 0; i < p->n_axes; i++)
    if (p->axes[i].inner != p->axes[i].outer && p->axes[i].size > 1) return false;
  return true;
}

static xlm_status fill_item(void *arg, int i, const void **data, xlm_error *err) {
  exporter *e = arg;
  const item *x = &e->m->items[i];
  if (is_plain_copy(x)) {
    XLM_TRY(hold(&e->from, x->pieces->param, true, err));
    *data = e->from.whole;
    return XLM_OK;
  }
  free(e->buffer);
  e->buffer = calloc((size_t)x->n + 1, sizeof(float));
  if (!e->buffer) return xlm_fail(err, XLM_ENV, "no memory for tensor '%s'", x->name);
  for (uint32_t k = 0; k < x->n_pieces; k++) {
    XLM_TRY(hold(&e->from, x->pieces[k].param, true, err));
    copy_piece(&x->pieces[k], e->from.whole, e->buffer, true);
  }
  *data = e->buffer;
  return XLM_OK;
}

static xlm_status write_items(const mapping *m, const xlm_store *s, const char *path, uint64_t *hash,
                              uint64_t *size, xlm_error *err) {
  xlm_st_tensor *list = XLM_NEW_N(m->arena, xlm_st_tensor, m->n);
  for (uint32_t i = 0; i < m->n; i++) {
    list[i] = (xlm_st_tensor){.name = m->items[i].name, .dtype = XLM_ST_F32, .rank = m->items[i].rank};
    memcpy(list[i].shape, m->items[i].shape, sizeof m->items[i].shape);
  }
  exporter e = {.m = m, .from = {.store = s}};
  xlm_status status = xlm_safetensors_write(path, list, (int)m->n, fill_item, &e, hash, size, err);
  free(e.buffer);
  free(e.from.whole);
  return status;
}

xlm_status xlm_weights_export(const xlm_store *s, const xlm_plan *p, const char *path, uint64_t *hash,
                              uint64_t *size, xlm_error *err) {
  mapping m = {.arena = xlm_arena_new(0), .plan = p};
  if (!m.arena) return xlm_fail(err, XLM_ENV, "no memory for the table of weights");
  xlm_status status;
  if (XLM_ARENA_TRY(m.arena)) {
    build(&m, s);
    status = write_items(&m, s, path, hash, size, err);
  } else
    status = xlm_fail(err, XLM_ENV, "no memory for the table of weights");
  xlm_arena_free(m.arena);
  return status;
}

// Import.

static const xlm_st_tensor *find(const xlm_safetensors *from, const char *name) {
  const xlm_st_tensor *t = xlm_safetensors_find(from, name);
  const char *dot = strchr(name, '.');
  return t || !dot ? t : xlm_safetensors_find(from, dot + 1);
}

static const char *shape_text(mapping *m, const int64_t *shape, int rank) {
  xlm_text t = xlm_text_new(m->arena);
  for (int i = 0; i < rank; i++) xlm_text_printf(&t, "%s%lld", i ? ", " : "", (long long)shape[i]);
  return t.data;
}

static xlm_status check(mapping *m, const item *x, const xlm_st_tensor *t, xlm_error *err) {
  bool same = t->rank == x->rank && !memcmp(t->shape, x->shape, sizeof(int64_t) * (size_t)x->rank);
  if (!same)
    return xlm_fail(err, XLM_USER, "tensor '%s' has shape [%s] in the file, but the model wants [%s]",
                    x->name, shape_text(m, t->shape, t->rank), shape_text(m, x->shape, x->rank));
  if (t->dtype <= XLM_ST_F64) return XLM_OK;
  return xlm_fail(err, XLM_USER, "tensor '%s' is of type %s; F32, F16, BF16 and F64 can be read", x->name,
                  xlm_st_dtype_name(t->dtype));
}

static xlm_status read_item(mapping *m, const item *x, const xlm_st_tensor *t, holder *to, xlm_error *err) {
  XLM_TRY(check(m, x, t, err));
  float *buffer = malloc((size_t)x->n * sizeof(float) + 1);
  if (!buffer) return xlm_fail(err, XLM_ENV, "no memory for tensor '%s'", x->name);
  xlm_status s = xlm_safetensors_floats(t, 0, x->n, buffer) ? XLM_OK : XLM_USER;
  for (uint32_t k = 0; k < x->n_pieces && s == XLM_OK; k++) {
    if (to->param != x->pieces[k].param) s = release(to, err);
    if (s == XLM_OK) s = hold(to, x->pieces[k].param, false, err);
    if (s == XLM_OK) copy_piece(&x->pieces[k], to->whole, buffer, false);
  }
  free(buffer);
  return s;
}

static xlm_status read_items(mapping *m, const xlm_store *store, const xlm_safetensors *from,
                             xlm_error *err) {
  holder to = {.store = store};
  int missing = 0;
  const char *first = NULL;
  xlm_status s = XLM_OK;
  for (uint32_t i = 0; i < m->n && s == XLM_OK; i++) {
    const item *x = &m->items[i];
    const xlm_st_tensor *t = find(from, x->name);
    if (!t && x->n_pieces == 1 &&
        x->pieces->param->n == x->n) { // under the model's own name, in its own shape
      t = xlm_safetensors_find(from, x->pieces->param->name);
      if (t) {
        item own = {.name = t->name, .rank = x->pieces->param->rank, .n = x->n, .n_pieces = 1};
        piece whole = {.param = x->pieces->param, .n_axes = 1, .axes = {{x->n, 1, 1}}};
        memcpy(own.shape, x->pieces->param->shape, sizeof own.shape);
        own.pieces = &whole;
        s = read_item(m, &own, t, &to, err);
        continue;
      }
    }
    if (t)
      s = read_item(m, x, t, &to, err);
    else if (is_parameter(x->pieces->param) && !missing++)
      first = x->name;
  }
  if (s == XLM_OK) s = release(&to, err);
  free(to.whole);
  if (s == XLM_OK && missing)
    s = xlm_fail(err, XLM_USER, "the weights lack %d of the model's %u tensors, first '%s'", missing, m->n,
                 first);
  return s;
}

xlm_status xlm_weights_import(const xlm_store *s, const xlm_plan *p, const xlm_safetensors *from,
                              xlm_error *err) {
  mapping m = {.arena = xlm_arena_new(0), .plan = p};
  if (!m.arena) return xlm_fail(err, XLM_ENV, "no memory for the table of weights");
  xlm_status status;
  if (XLM_ARENA_TRY(m.arena)) {
    build(&m, s);
    status = read_items(&m, s, from, err);
  } else
    status = xlm_fail(err, XLM_ENV, "no memory for the table of weights");
  xlm_arena_free(m.arena);
  return status;
}
