// See record.h. One block holds all lists; pages that are never written stay untouched.
#include "runtime/exec/record.h"

#include <stdlib.h>

static uint64_t instrs_of_step(const xlm_rank_plan *rank) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < rank->n_schedule; i++) n += rank->segments[rank->schedule[i].segment].n;
  return n;
}

xlm_status xlm_record_open(xlm_record *r, const xlm_rank_plan *rank, int64_t steps, xlm_error *err) {
  uint64_t runs = rank->n_schedule * (uint64_t)steps, instrs = instrs_of_step(rank) * (uint64_t)steps;
  uint64_t all = runs + XLM_STREAMS * instrs;
  *r = (xlm_record){0};
  xlm_record_entry *at = instrs <= UINT32_MAX ? calloc(all ? all : 1, sizeof *at) : NULL;
  if (!at)
    return xlm_fail(err, XLM_ENV, "no memory to record %lld steps of %llu operations each", (long long)steps,
                    (unsigned long long)(all / (uint64_t)steps));
  r->runs = (xlm_record_list){at, 0, (uint32_t)runs};
  for (int i = 0; i < XLM_STREAMS; i++)
    r->instrs[i] = (xlm_record_list){at + runs + (uint64_t)i * instrs, 0, (uint32_t)instrs};
  return XLM_OK;
}

void xlm_record_close(xlm_record *r) {
  free(r->runs.at);
  *r = (xlm_record){0};
}
