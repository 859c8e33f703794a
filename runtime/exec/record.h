// A record of what a rank did and when, for a trace: every run of a segment and of an instruction.
//
// All memory is allocated at open; recording takes no lock. Each list has one writing thread (the rank's own
// for runs and kernels; the communication queue's for what it ran) and is read only while no step runs.
#ifndef XLM_EXEC_RECORD_H
#define XLM_EXEC_RECORD_H

#include "runtime/base/clock.h"
#include "runtime/plan/plan.h"

XLM_C_BEGIN

typedef struct xlm_record_entry {
  int64_t begin, end; // nanoseconds of this host's monotonic clock
  uint32_t index;     // of a run: its index in the schedule; of an instruction: its index in the rank plan
} xlm_record_entry;

typedef struct xlm_record_list { // in the order in which they ended
  xlm_record_entry *at;
  uint32_t n, cap;
} xlm_record_list;

typedef struct xlm_record {
  xlm_record_list runs,
      instrs[XLM_STREAMS]; // by the thread that ran them: communication done in place is among the kernels
} xlm_record;

// Allocates memory for that many steps of the rank.
xlm_status xlm_record_open(xlm_record *r, const xlm_rank_plan *rank, int64_t steps,
                           xlm_error *err) XLM_MUST_CHECK;
void xlm_record_close(xlm_record *r);

static inline void xlm_record_note(xlm_record_list *l, uint32_t index, int64_t begin, int64_t end) {
  XLM_ASSERT(l->n < l->cap, "a recording of %u entries is full", l->cap);
  l->at[l->n++] = (xlm_record_entry){begin, end, index};
}

XLM_C_END

#endif
