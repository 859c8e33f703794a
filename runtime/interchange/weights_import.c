// Imports tensors of files into states. Each process reads the rows of which its ranks have a part, chunk by
// chunk.
#include <stdlib.h>
#include <string.h>

#include "runtime/base/bf16.h"
#include "runtime/interchange/mxfp4.h"
#include "runtime/interchange/weights_priv.h"

enum { CHUNK = 16 << 20 };

typedef struct importer {
  const xlm_weights *w;
  const xlm_safetensors *from;
  xlm_arena *a; // for messages and temporary items
  char *chunk, *box;
  size_t room;
  xlm_mxfp4 packed; // the tensor that is read, if it is packed
} importer;

static xlm_status make_room(importer *in, const xlm_weights_item *x, const xlm_weights_band *b,
                            xlm_error *err) {
  size_t bytes = (size_t)(xlm_weights_rows(x, b, CHUNK) * b->row) * 8 + 8; // of any type
  if (bytes <= in->room) return XLM_OK;
  free(in->chunk), free(in->box);
  in->chunk = malloc(bytes), in->box = malloc(bytes), in->room = bytes;
  if (in->chunk && in->box) return XLM_OK;
  in->room = 0;
  return xlm_fail(err, XLM_ENV, "no memory for tensor '%s'", x->tensor.name);
}

static bool is_wanted(const xlm_weights_item *x, const xlm_weights_band *b, int64_t row, int64_t rows) {
  for (uint32_t i = b->first; i < b->first + b->n; i++) {
    xlm_box box = xlm_weights_box(b, &x->pieces[i], row, rows);
    if (xlm_store_has(x->pieces[i].state, &box)) return true;
  }
  return false;
}

// In the item's type.
static xlm_status read_chunk(importer *in, const xlm_weights_item *x, const xlm_st_tensor *t, int64_t first,
                             int64_t n, xlm_error *err) {
  if (t == &in->packed.tensor)
    return xlm_mxfp4_read(&in->packed, in->from, first, n, (float *)in->chunk, err);
  return t->dtype == x->tensor.dtype
             ? xlm_safetensors_read(in->from, t, first, n, in->chunk, err)
             : xlm_safetensors_read_floats(in->from, t, first, n, in->box, (float *)in->chunk, err);
}

// A plan for decoding may store a parameter rounded; a box has the tensor's numbers.
static void round_box(const xlm_weights_item *x, const xlm_stored *t, const xlm_box *box, char *values) {
  if (x->tensor.dtype != XLM_ST_F32 || t->dtype != XLM_BF16) return;
  for (int64_t i = 0, n = xlm_box_elements(t, box); i < n; i++) {
    float f;
    memcpy(&f, values + i * (int64_t)sizeof f, sizeof f);
    uint16_t h = xlm_f32_to_bf16(f);
    memcpy(values + i * (int64_t)sizeof h, &h, sizeof h);
  }
}

static xlm_status read_rows(importer *in, const xlm_weights_item *x, const xlm_weights_band *b,
                            const xlm_st_tensor *t, int64_t row, int64_t rows, xlm_error *err) {
  if (!is_wanted(x, b, row, rows)) return XLM_OK;
  XLM_TRY(read_chunk(in, x, t, b->at + row * b->row, rows * b->row, err));
  for (uint32_t i = b->first; i < b->first + b->n; i++) {
    const xlm_weights_piece *p = &x->pieces[i];
    xlm_box box = xlm_weights_box(b, p, row, rows);
    if (!xlm_store_has(p->state, &box)) continue;
    xlm_weights_copy(b, p, &box, in->box, in->chunk, false);
    round_box(x, p->state, &box, in->box);
    XLM_TRY(xlm_store_put(in->w->store, p->state, &box, in->box, err));
  }
  return XLM_OK;
}

static xlm_status read_item(importer *in, const xlm_weights_item *x, const xlm_st_tensor *t, xlm_error *err) {
  for (int k = 0; k < x->n_bands; k++) {
    const xlm_weights_band *b = &x->bands[k];
    int64_t most = xlm_weights_rows(x, b, CHUNK);
    XLM_TRY(make_room(in, x, b, err));
    for (int64_t row = 0, rows; row < b->rows; row += rows) {
      rows = most < b->rows - row ? most : b->rows - row;
      XLM_TRY(read_rows(in, x, b, t, row, rows, err));
    }
  }
  return XLM_OK;
}

// ---- parameters ----

static const char *shape_text(xlm_arena *a, const int64_t *shape, int rank) {
  xlm_text t = xlm_text_new(a);
  for (int i = 0; i < rank; i++) xlm_text_printf(&t, "%s%lld", i ? ", " : "", (long long)shape[i]);
  return t.data;
}

static bool same_shape(const xlm_st_tensor *a, const xlm_st_tensor *b) {
  return a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof(int64_t) * (size_t)a->rank);
}

// A size that config.json says under no name of the model, or that a run sets otherwise.
static const char *hint(xlm_arena *a, const xlm_weights_item *x, const xlm_st_tensor *t) {
  const xlm_weights_piece *p = x->pieces;
  for (int i = 0; i < t->rank && t->rank == x->tensor.rank && p->n_axes == t->rank; i++) {
    if (t->shape[i] == x->tensor.shape[i]) continue;
    const char *dim = p->state->dim[p->axes[i].dim];
    return !strcmp(dim, "seq") ? xlm_arena_printf(a, ": give --seq-length %lld", (long long)t->shape[i])
                               : xlm_arena_printf(a, ": its dimension `%s` differs", dim);
  }
  return "";
}

// Rows of the file are positions, and those that the model has are the first.
static bool has_more_positions(const importer *in, const xlm_weights_item *x, const xlm_st_tensor *t) {
  const xlm_weights_piece *p = x->pieces;
  if (!in->w->store->first_positions || x->n_pieces != 1 || !p->n_axes || t->rank != x->tensor.rank) return false;
  for (int i = 1; i < t->rank; i++)
    if (t->shape[i] != x->tensor.shape[i]) return false;
  const xlm_weights_axis *rows = &p->axes[0];
  return !strcmp(p->state->dim[rows->dim], "seq") && rows->size == x->tensor.shape[0] &&
         t->shape[0] > x->tensor.shape[0];
}

static xlm_status check(importer *in, const xlm_weights_item *x, const xlm_st_tensor *t, xlm_error *err) {
  if (!same_shape(t, &x->tensor) && !has_more_positions(in, x, t))
    return xlm_fail(err, XLM_USER, "tensor '%s' has shape [%s] in the file, but the model has [%s]%s",
                    x->tensor.name, shape_text(in->a, t->shape, t->rank),
                    shape_text(in->a, x->tensor.shape, x->tensor.rank), hint(in->a, x, t));
  if (t->dtype <= XLM_ST_F64) return XLM_OK;
  return xlm_fail(err, XLM_USER, "tensor '%s' is of type %s; F32, F16, BF16 and F64 can be read",
                  x->tensor.name, xlm_st_dtype_name(t->dtype));
}

const xlm_st_tensor *xlm_weights_find(const xlm_safetensors *from, const char *name) {
  const xlm_st_tensor *t = xlm_safetensors_find(from, name);
  const char *dot = strchr(name, '.');
  return t || !dot ? t : xlm_safetensors_find(from, dot + 1);
}

const xlm_st_tensor *xlm_weights_find_own(const xlm_safetensors *from, const xlm_weights_item *x) {
  const xlm_stored *t = x->pieces->state;
  return x->n_pieces == 1 && t->n == x->tensor.n ? xlm_safetensors_find(from, t->name) : NULL;
}

// Looks up the model's own name and shape: the item becomes that tensor.
static const xlm_st_tensor *find_own(const importer *in, xlm_weights_item *x) {
  const xlm_st_tensor *found = xlm_weights_find_own(in->from, x);
  if (!found) return NULL;
  xlm_weights_set_own(in->a, x, x->pieces->state, XLM_ST_F32);
  xlm_weights_set_bands(in->a, x);
  return found;
}

static xlm_status find_packed(importer *in, const xlm_weights_item *x, const xlm_st_tensor **t,
                              xlm_error *err) {
  XLM_TRY(xlm_mxfp4_find(in->from, x->tensor.name, &in->packed, err));
  if (in->packed.blocks) *t = &in->packed.tensor;
  return XLM_OK;
}

static xlm_status missing(importer *in, int n, const char *first, xlm_error *err) {
  int count = xlm_safetensors_count(in->from);
  const char **names = XLM_NEW_N(in->a, const char *, count + 1);
  for (int i = 0; i < count; i++) names[i] = xlm_safetensors_at(in->from, i)->name;
  const char *near = xlm_text_nearest(first, names, (size_t)count);
  return xlm_fail(err, XLM_USER, "the weights lack %d of the model's %u tensors, first '%s'%s%s%s", n,
                  in->w->lists[XLM_WEIGHTS_MODEL].n, first, near ? " (there is '" : "", near ? near : "",
                  near ? "')" : "");
}

static xlm_status import_model(importer *in, xlm_error *err) {
  const xlm_weights_list *l = &in->w->lists[XLM_WEIGHTS_MODEL];
  const char *first = NULL;
  int n_missing = 0;
  for (uint32_t i = 0; i < l->n; i++) {
    xlm_weights_item x = l->at[i];
    const xlm_st_tensor *t = xlm_weights_find(in->from, x.tensor.name);
    if (!t) t = find_own(in, &x);
    if (!t) XLM_TRY(find_packed(in, &x, &t, err));
    if (!t) {
      if (xlm_weights_is_parameter(x.pieces->state) && !x.optional && !n_missing++) first = x.tensor.name;
      continue;
    }
    XLM_TRY(check(in, &x, t, err));
    XLM_TRY(read_item(in, &x, t, err));
  }
  return n_missing ? missing(in, n_missing, first, err) : XLM_OK;
}

// ---- other states ----

static xlm_status import_states(importer *in, bool optimizer, xlm_error *err) {
  const xlm_weights_list *l = &in->w->lists[XLM_WEIGHTS_REST];
  for (uint32_t i = 0; i < l->n; i++) {
    const xlm_weights_item *x = &l->at[i];
    const char *name = x->tensor.name;
    if (!optimizer && x->pieces->state->role == XLM_ROLE_OPTIMIZER) continue;
    const xlm_st_tensor *t = xlm_safetensors_find(in->from, name);
    if (!t)
      return xlm_fail(err, XLM_USER, "it has no state '%s': the model or the optimizer has changed", name);
    if (!same_shape(t, &x->tensor) || t->dtype != x->tensor.dtype)
      return xlm_fail(err, XLM_USER, "its state '%s' has another shape or type", name);
    XLM_TRY(read_item(in, x, t, err));
  }
  return XLM_OK;
}

static xlm_status import(const xlm_weights *w, const xlm_safetensors *from, xlm_weights_part part,
                         bool optimizer, xlm_error *err) {
  importer *volatile in = calloc(1, sizeof *in);
  xlm_status status;
  if (in) *in = (importer){.w = w, .from = from, .a = xlm_arena_new(0)};
  if (in && in->a && XLM_ARENA_TRY(in->a))
    status = part == XLM_WEIGHTS_MODEL ? import_model(in, err) : import_states(in, optimizer, err);
  else
    status = xlm_fail(err, XLM_ENV, "no memory to read weights");
  if (!in) return status;
  free(in->chunk), free(in->box), xlm_mxfp4_free(&in->packed);
  if (in->a) xlm_arena_free(in->a);
  free(in);
  return status;
}

xlm_status xlm_weights_import(const xlm_weights *w, const xlm_safetensors *from, xlm_error *err) {
  return import(w, from, XLM_WEIGHTS_MODEL, false, err);
}

xlm_status xlm_weights_import_rest(const xlm_weights *w, const xlm_safetensors *from, bool optimizer,
                                   xlm_error *err) {
  return import(w, from, XLM_WEIGHTS_REST, optimizer, err);
}
