// Attributes of an operation: typed values under the keys of attr.def. The operation's own file declares
// which attributes it has, their ranges and their defaults (xlm_attr_rule in compiler/ir/op.h).
#ifndef XLM_PLAN_ATTR_H
#define XLM_PLAN_ATTR_H

#include "runtime/plan/init.h"
#include "runtime/plan/type.h"

XLM_C_BEGIN

typedef enum xlm_attr_kind {
  XLM_ATTR_INT,
  XLM_ATTR_FLOAT,
  XLM_ATTR_ENUM, // one value of the key's set
  XLM_ATTR_INTS, // a list of integers, or of values of the key's set
  XLM_ATTR_DIMS,
  XLM_ATTR_INIT,  // an initialiser
  XLM_ATTR_SPLIT, // mesh axes of single dimensions
  XLM_ATTR_TEXT,  // names, labels
  XLM_ATTR_CODE,  // an elementwise program
  XLM_ATTR_KINDS
} xlm_attr_kind;

typedef enum xlm_attr_key {
#define XLM_ATTR(name, kind, doc) XLM_A_##name,
#include "runtime/plan/attr.def"
  XLM_ATTR_KEYS,
} xlm_attr_key;

const char *xlm_attr_name(xlm_attr_key k);
xlm_attr_kind xlm_attr_kind_of(xlm_attr_key k);
xlm_enum xlm_attr_set_of(xlm_attr_key k); // ENUM, INTS: whose values; XLM_ENUM_NONE: plain integers
const char *xlm_attr_doc(xlm_attr_key k);
bool xlm_attr_parse(const char *name, xlm_attr_key *out);

typedef struct xlm_override { // of the dimension named `dim`, whatever the shard rules say
  const char *dim;
  uint8_t n_axes; // 0: it is not split
  const char *axis[XLM_MAX_AXES];
} xlm_override;

typedef struct xlm_attr {
  xlm_attr_key key;
  uint32_t n; // DIMS, INTS, SPLIT: how many
  union {
    int64_t i;                   // INT; ENUM: the value
    double f;                    // FLOAT
    const int64_t *ints;         // INTS
    xlm_dim dims[XLM_MAX_RANK];  // DIMS
    xlm_init init;               // INIT
    const xlm_override *split;   // SPLIT
    const char *text;            // TEXT
    const struct xlm_code *code; // CODE (code.h)
  };
} xlm_attr;

typedef struct xlm_attrs {
  uint16_t n;
  const xlm_attr *at; // sorted by key, each key at most once
} xlm_attrs;

typedef struct xlm_ints {
  uint32_t n;
  const int64_t *at;
} xlm_ints;

const xlm_attr *xlm_attr_find(const xlm_attrs *as, xlm_attr_key key); // NULL when unset
int64_t xlm_attr_int(const xlm_attrs *as, xlm_attr_key key, int64_t unset);
double xlm_attr_float(const xlm_attrs *as, xlm_attr_key key, double unset);
int xlm_attr_enum(const xlm_attrs *as, xlm_attr_key key, int unset);
xlm_ints xlm_attr_ints(const xlm_attrs *as, xlm_attr_key key); // none when unset
// The position of an optional operand among n_in (attribute `operands`); -1: it is not there.
int xlm_attr_operand(const xlm_attrs *as, int n_in, xlm_operand what);
const char *xlm_attr_text(const xlm_attrs *as, xlm_attr_key key, const char *unset);
// Fills out[0..n) and returns n (0 when unset).
int xlm_attr_dims(const xlm_attrs *as, xlm_attr_key key, xlm_dim out[XLM_MAX_RANK]);
bool xlm_attr_has_dim(const xlm_attrs *as, xlm_attr_key key, xlm_dim d);

// Of the dimension of this name, from the attribute `split`; NULL: the shard rules hold.
const xlm_override *xlm_override_of(const xlm_attrs *as, const char *dim);

bool xlm_attr_same(const xlm_attr *a, const xlm_attr *b); // key and value
uint64_t xlm_attr_hash(const xlm_attr *a);                // equal for what is the same

XLM_C_END

#endif
