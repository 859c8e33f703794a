// Shared by the files of the store.
#ifndef XLM_STATE_STORE_PRIV_H
#define XLM_STATE_STORE_PRIV_H

#include "runtime/state/store.h"

// n elements that are consecutive on both sides: from element `local` of the view, and from element `box` of
// the box.
typedef xlm_status xlm_box_run(void *arg, int64_t local, int64_t box, int64_t n, xlm_error *err);
// Calls `run` for the part of the box in the view, in the order of local elements; stops at the first
// failure.
xlm_status xlm_view_runs(const xlm_view *v, const xlm_box *b, xlm_box_run *run, void *arg,
                         xlm_error *err) XLM_MUST_CHECK;
bool xlm_part_held_by(const xlm_part *p, int64_t rank);

// Elements [first, first + n) of a view of a local rank, densely.
xlm_status xlm_view_get(const xlm_store *s, const xlm_view *v, size_t bytes, int64_t first, int64_t n,
                        void *to, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_view_put(const xlm_store *s, const xlm_view *v, size_t bytes, int64_t first, int64_t n,
                        const void *from, xlm_error *err) XLM_MUST_CHECK;

#endif
