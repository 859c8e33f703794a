// Types shared by graph, plan and kernels; see type.h.
#include "runtime/plan/type.h"

const char *xlm_dtype_name(xlm_dtype t) {
  return xlm_enum_name(XLM_ENUM_DTYPE, t);
}

size_t xlm_dtype_bytes(xlm_dtype t) {
  static const size_t of[XLM_DTYPE_COUNT] = {
#define XLM_DTYPE(name, NAME, bytes, doc) [XLM_##NAME] = bytes,
#include "runtime/plan/enum.def"
  };
  return of[t];
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
