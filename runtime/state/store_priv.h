// Between store.c and store_peers.c.
#ifndef XLM_STATE_STORE_PRIV_H
#define XLM_STATE_STORE_PRIV_H

#include "runtime/state/store.h"

// Elements [first, first + n) of a view, given densely, to their places in a part of the logical tensor;
// `out` is where its element `base` lies.
void xlm_view_scatter(const xlm_view *v, size_t bytes, int64_t first, int64_t n, const char *from,
                      int64_t base, char *out);
// Elements [first, first + n) of a view of a rank here, densely.
xlm_status xlm_view_get(const xlm_store *s, const xlm_view *v, size_t bytes, int64_t first, int64_t n,
                        void *to, xlm_error *err) XLM_MUST_CHECK;

#endif
