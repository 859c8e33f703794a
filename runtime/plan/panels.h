// Matrices stored in panels (xlm_panels in type.h): where their elements are.
#ifndef XLM_PLAN_PANELS_H
#define XLM_PLAN_PANELS_H

#include "runtime/plan/type.h"

XLM_C_BEGIN

enum { XLM_PANEL_MOST = 256 }; // columns of a panel

// Can a tensor of this type be stored so? It has dims on both sides of `split`, and none is ragged.
bool xlm_panels_fit(const xlm_panels *p, const xlm_type *t, const xlm_dim_info *dims);

// Elements that are adjacent in the panels, of a range of the dense tensor.
typedef struct xlm_panel_run {
  int64_t at;     // element of the first in the panels
  int64_t dense;  // of the first in the dense tensor
  int64_t apart;  // there, from a column to the next
  int64_t second; // there, from the first row of a pair to the second; 0: the run is of one row
  int64_t n;      // at most XLM_PANEL_MOST; of pairs twice as many
} xlm_panel_run;

// The element of the run's i-th in the dense tensor.
static inline int64_t xlm_panel_dense(const xlm_panel_run *r, int64_t i) {
  return r->second ? r->dense + i / 2 * r->apart + i % 2 * r->second : r->dense + i * r->apart;
}

// Calls fn for runs that together are the elements [begin, end) of the dense tensor of type t, which is in
// panels. Stops when fn returns false, and returns whether it never did.
bool xlm_panels_each(const xlm_type *t, const xlm_dim_info *dims, int64_t begin, int64_t end,
                     bool (*fn)(void *arg, const xlm_panel_run *run), void *arg);

XLM_C_END

#endif
