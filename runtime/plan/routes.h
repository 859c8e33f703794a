// What the ranks of a plan communicate: the groups of its collectives and the messages between its
// pipeline stages. A pure function of the plan, the same on every rank, so that a link can be connected
// before the first step.
//
// Messages between two stages share one route where both sides have them in one order, else each tag has its
// own. A send must not wait for its receiver, so messages that are sent and not yet received are kept: `room`
// of a route is how many at once suffice for all ranks to go on. It is found by running the communication of
// the plan on one pipeline, and enlarging the route that blocks it.
#ifndef XLM_PLAN_ROUTES_H
#define XLM_PLAN_ROUTES_H

#include "runtime/plan/plan.h"

XLM_C_BEGIN

typedef struct xlm_route { // from the ranks of one stage to those of another with the same other coordinates
  int32_t from, to;        // stages
  int64_t tag;             // -1: of all messages between them
  uint64_t bytes;          // of the largest message
  uint32_t room;           // at least 2: one is copied while another is under way
} xlm_route;

typedef struct xlm_routes {
  uint32_t n_axes, n;
  const uint32_t *axes; // mask of each kind of group, without axes of size 1; ascending
  const xlm_route *at;  // ordered by from, to, tag
} xlm_routes;

xlm_routes xlm_plan_routes(const xlm_plan *p, xlm_arena *a);

// The route of a message; NULL: the plan has no such message.
const xlm_route *xlm_route_find(const xlm_routes *r, int64_t from, int64_t to, int64_t tag);

// Do all ranks that this one exchanges data with in a segment run the same segment, whenever this one does?
// Then they can decide alike how to run it. A segment with messages: no.
bool xlm_plan_runs_together(const xlm_plan *p, uint32_t rank, uint32_t segment);

XLM_C_END

#endif
