// See attr.h.
#include "runtime/plan/attr.h"

#include <string.h>

#include "runtime/base/hash.h"

static const struct {
  const char *name;
  xlm_attr_kind kind;
  xlm_enum set;
  const char *doc;
} table[XLM_ATTR_KEYS] = {
#define XLM_ATTR(name, kind, doc) {#name, XLM_ATTR_##kind, XLM_ENUM_NONE, doc},
#define XLM_ATTR_OF(name, kind, set, doc) {#name, XLM_ATTR_##kind, XLM_ENUM_##set, doc},
#include "runtime/plan/attr.def"
};

const char *xlm_attr_name(xlm_attr_key k) {
  return table[k].name;
}
xlm_attr_kind xlm_attr_kind_of(xlm_attr_key k) {
  return table[k].kind;
}
xlm_enum xlm_attr_set_of(xlm_attr_key k) {
  return table[k].set;
}
const char *xlm_attr_doc(xlm_attr_key k) {
  return table[k].doc;
}

bool xlm_attr_parse(const char *name, xlm_attr_key *out) {
  for (int i = 0; i < XLM_ATTR_KEYS; i++)
    if (!strcmp(name, table[i].name)) {
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

int64_t xlm_attr_int(const xlm_attrs *as, xlm_attr_key key, int64_t unset) {
  const xlm_attr *a = xlm_attr_find(as, key);
  return a ? a->i : unset;
}

double xlm_attr_float(const xlm_attrs *as, xlm_attr_key key, double unset) {
  const xlm_attr *a = xlm_attr_find(as, key);
  return a ? a->f : unset;
}

int xlm_attr_enum(const xlm_attrs *as, xlm_attr_key key, int unset) {
  const xlm_attr *a = xlm_attr_find(as, key);
  return a ? (int)a->i : unset;
}

xlm_ints xlm_attr_ints(const xlm_attrs *as, xlm_attr_key key) {
  const xlm_attr *a = xlm_attr_find(as, key);
  return a ? (xlm_ints){a->n, a->ints} : (xlm_ints){0, NULL};
}

int xlm_attr_operand(const xlm_attrs *as, int n_in, xlm_operand what) {
  xlm_ints given = xlm_attr_ints(as, XLM_A_operands);
  for (uint32_t i = 0; i < given.n; i++)
    if (given.at[i] == (int64_t)what) return n_in - (int)given.n + (int)i;
  return -1;
}

const char *xlm_attr_text(const xlm_attrs *as, xlm_attr_key key, const char *unset) {
  const xlm_attr *a = xlm_attr_find(as, key);
  return a ? a->text : unset;
}

int xlm_attr_dims(const xlm_attrs *as, xlm_attr_key key, xlm_dim out[XLM_MAX_RANK]) {
  const xlm_attr *a = xlm_attr_find(as, key);
  if (!a) return 0;
  memcpy(out, a->dims, a->n * sizeof *out);
  return (int)a->n;
}

bool xlm_attr_has_dim(const xlm_attrs *as, xlm_attr_key key, xlm_dim d) {
  const xlm_attr *a = xlm_attr_find(as, key);
  for (uint32_t i = 0; a && i < a->n; i++)
    if (a->dims[i] == d) return true;
  return false;
}

const xlm_override *xlm_override_of(const xlm_attrs *as, const char *dim) {
  const xlm_attr *a = xlm_attr_find(as, XLM_A_split);
  for (uint32_t i = 0; a && i < a->n; i++)
    if (!strcmp(a->split[i].dim, dim)) return &a->split[i];
  return NULL;
}

// ---- equal values ----

static bool same_split(const xlm_override *a, const xlm_override *b) {
  if (strcmp(a->dim, b->dim) || a->n_axes != b->n_axes) return false;
  for (int i = 0; i < a->n_axes; i++)
    if (strcmp(a->axis[i], b->axis[i])) return false;
  return true;
}

bool xlm_attr_same(const xlm_attr *a, const xlm_attr *b) {
  if (a->key != b->key || a->n != b->n) return false;
  switch (xlm_attr_kind_of(a->key)) {
  case XLM_ATTR_DIMS:
    return !memcmp(a->dims, b->dims, a->n * sizeof *a->dims);
  case XLM_ATTR_INTS:
    return a->ints == b->ints || !memcmp(a->ints, b->ints, a->n * sizeof *a->ints);
  case XLM_ATTR_INIT:
    return a->init.kind == b->init.kind && a->init.code == b->init.code &&
           !memcmp(a->init.x, b->init.x, sizeof a->init.x);
  case XLM_ATTR_SPLIT:
    for (uint32_t i = 0; i < a->n; i++)
      if (!same_split(&a->split[i], &b->split[i])) return false;
    return true;
  case XLM_ATTR_TEXT:
    return !strcmp(a->text, b->text);
  case XLM_ATTR_CODE:
    return a->code == b->code; // programs are equal when they are the same one
  default:
    return a->i == b->i; // INT, ENUM, FLOAT: the bits
  }
}

uint64_t xlm_attr_hash(const xlm_attr *a) {
  xlm_hash h;
  xlm_hash_start(&h);
  xlm_hash_add(&h, &a->key, sizeof a->key);
  switch (xlm_attr_kind_of(a->key)) {
  case XLM_ATTR_DIMS:
    xlm_hash_add(&h, a->dims, a->n * sizeof *a->dims);
    break;
  case XLM_ATTR_INTS:
    xlm_hash_add(&h, a->ints, a->n * sizeof *a->ints);
    break;
  case XLM_ATTR_INIT:
    xlm_hash_add(&h, a->init.x, sizeof a->init.x);
    break;
  case XLM_ATTR_SPLIT:
    for (uint32_t i = 0; i < a->n; i++) xlm_hash_add(&h, a->split[i].dim, strlen(a->split[i].dim));
    break;
  case XLM_ATTR_TEXT:
    xlm_hash_add(&h, a->text, strlen(a->text));
    break;
  case XLM_ATTR_CODE:
    break;
  default:
    xlm_hash_add(&h, &a->i, sizeof a->i);
  }
  return xlm_hash_value(&h);
}
