// Rows of experts between their homes and the owners of the experts: what send_rows and collect_rows share.
//
// Both begin by telling every owner how many rows each member has for each of its experts. The rows then move
// one local expert at a time, every member at once: what goes to one member and what comes from one is
// contiguous then, at home (packed by expert) and at the owner (by expert, then home), so no row is ever
// copied aside, whatever the worst case is.
#ifndef XLM_COMMUNICATE_ROWS_PRIV_H
#define XLM_COMMUNICATE_ROWS_PRIV_H

#include "ops/cpu/communicate/collect_priv.h"

typedef struct rows {
  collect g;
  const int32_t *home;  // offsets at home [experts + 1]
  int32_t *count;       // [members, experts here]: rows of this member's experts by home
  int64_t here, rounds; // experts owned here; most that anybody owns
  size_t bytes;         // of a row
} rows;

#define rows_workspace XLM_ISA_NAME(xlm_rows_workspace)
#define rows_start XLM_ISA_NAME(xlm_rows_start)
#define rows_owned XLM_ISA_NAME(xlm_rows_owned)
#define rows_at_home XLM_ISA_NAME(xlm_rows_at_home)

size_t rows_workspace(const xlm_call *c, const xlm_type *home, const xlm_type *here);
// Exchanges the counts. `home`: type of the rows at home.
xlm_status rows_start(const xlm_call *c, rows *r, const xlm_type *home, const xlm_type *here,
                      const int32_t *offsets) XLM_MUST_CHECK;
// Round i: the rows at home that belong to member k, and their bytes; 0 bytes when k owns fewer experts.
void *rows_at_home(const rows *r, int64_t i, int64_t k, void *data, size_t *bytes);
// Round i: the rows of this member's expert i that have their home at member k; the expert's begin at row
// `first`. Returns how many rows.
int64_t rows_owned(const rows *r, int64_t i, int64_t k);

#endif
