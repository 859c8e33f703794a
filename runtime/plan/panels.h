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
  int64_t at;           // element of the first in the panels
  int64_t dense, apart; // of the first in the dense tensor, and from one to the next there
  int64_t n;            // at most XLM_PANEL_MOST
} xlm_panel_run;

// Calls fn for runs that together are the elements [begin, end) of the dense tensor of type t, which is in
// panels. Stops when fn returns false, and returns whether it never did.
bool xlm_panels_each(const xlm_type *t, const xlm_dim_info *dims, int64_t begin, int64_t end,
                     bool (*fn)(void *arg, const xlm_panel_run *run), void *arg);

XLM_C_END

#endif
