// Between store.c and store_peers.c.
#ifndef XLM_STATE_STORE_PRIV_H
#define XLM_STATE_STORE_PRIV_H

#include "runtime/state/store.h"

// Elements [first, first + n) of a view, given densely, to their places in the logical tensor at `out`.
void xlm_view_scatter(const xlm_view *v, size_t bytes, int64_t first, int64_t n, const char *from, char *out);

#endif
