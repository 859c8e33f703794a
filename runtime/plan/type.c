// Types shared by graph, plan and kernels; see type.h.
#include "runtime/plan/type.h"

#include <string.h>

static const struct {
  const char *name;
  size_t bytes;
} dtype_table[XLM_DTYPE_COUNT] = {
    [XLM_F32] = {"f32", 4}, [XLM_BF16] = {"bf16", 2}, [XLM_F64] = {"f64", 8}, [XLM_I32] = {"i32", 4}};

static const struct {
  const char *name;
  xlm_attr_kind kind;
  const char *doc;
} attr_table[XLM_ATTR_KEYS] = {
#define XLM_ATTR(name, kind, doc) {#name, XLM_ATTR_##kind, doc},
#include "runtime/plan/attr.def"
#undef XLM_ATTR
};

const char *xlm_dtype_name(xlm_dtype t) {
  return dtype_table[t].name;
}
size_t xlm_dtype_bytes(xlm_dtype t) {
  return dtype_table[t].bytes;
}

bool xlm_dtype_parse(const char *name, xlm_dtype *out) {
  for (int i = 0; i < XLM_DTYPE_COUNT; i++)
    if (!strcmp(name, dtype_table[i].name)) {
      *out = (xlm_dtype)i;
      return true;
    }
  return false;
}

const char *xlm_attr_name(xlm_attr_key k) {
  return attr_table[k].name;
}
xlm_attr_kind xlm_attr_kind_of(xlm_attr_key k) {
  return attr_table[k].kind;
}
const char *xlm_attr_doc(xlm_attr_key k) {
  return attr_table[k].doc;
}

bool xlm_attr_parse(const char *name, xlm_attr_key *out) {
  for (int i = 0; i < XLM_ATTR_KEYS; i++)
    if (!strcmp(name, attr_table[i].name)) {
      *out = (xlm_attr_key)i;
      return true;
    }
  return false;
}

const xlm_attr *xlm_attr_find(const xlm_attrs *as, xlm_attr_key key) {
  for (int i = 0; i < as->n; i++)
    if (as->at[i].key == key) return &as->at[i];
  return NULL;
}

bool xlm_attr_same(const xlm_attr *a, const xlm_attr *b) {
  if (a->key != b->key) return false;
  switch (xlm_attr_kind_of(a->key)) {
  case XLM_ATTR_DIMS:
    return a->n == b->n && !memcmp(a->dims, b->dims, a->n * sizeof *a->dims);
  case XLM_ATTR_TEXT:
    return !strcmp(a->text, b->text);
  case XLM_ATTR_CODE:
    return a->code == b->code;
  default:
    return a->i == b->i; // INT, FLOAT: compared as bits
  }
}

int64_t xlm_attr_int(const xlm_attrs *as, xlm_attr_key key, int64_t unset) {
  const xlm_attr *a = xlm_attr_find(as, key);
  return a ? a->i : unset;
}

double xlm_attr_float(const xlm_attrs *as, xlm_attr_key key, double unset) {
  const xlm_attr *a = xlm_attr_find(as, key);
  return a ? a->f : unset;
}

const char *xlm_attr_text(const xlm_attrs *as, xlm_attr_key key, const char *unset) {
  const xlm_attr *a = xlm_attr_find(as, key);
  return a ? a->text : unset;
}

int xlm_attr_dims(const xlm_attrs *as, xlm_attr_key key, xlm_dim out[XLM_MAX_RANK]) {
  const xlm_attr *a = xlm_attr_find(as, key);
  if (!a) return 0;
  memcpy(out, a->dims, a->n * sizeof *out);
  return a->n;
}

bool xlm_attr_has_dim(const xlm_attrs *as, xlm_attr_key key, xlm_dim d) {
  const xlm_attr *a = xlm_attr_find(as, key);
  for (int i = 0; a && i < a->n; i++)
    if (a->dims[i] == d) return true;
  return false;
}

int xlm_type_find(const xlm_type *t, xlm_dim d) {
  for (int i = 0; i < t->rank; i++)
    if (t->dim[i] == d) return i;
  return -1;
}

int64_t xlm_type_elements(const xlm_type *t, const xlm_dim_info *dims) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++) {
    bool packed = i + 1 < t->rank && dims[t->dim[i + 1]].ragged; // a ragged dimension that follows counts the
                                                                 // rows of this one too
    if (!packed) n *= dims[t->dim[i]].size;
  }
  return n;
}

size_t xlm_type_bytes(const xlm_type *t, const xlm_dim_info *dims) {
  return (size_t)xlm_type_elements(t, dims) * xlm_dtype_bytes(t->dtype);
}
