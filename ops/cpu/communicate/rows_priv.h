// Rows of experts between their home ranks and the owners of the experts: shared by send_rows and
// collect_rows.
//
// First every member tells every owner its number of rows for each of the owner's experts. The rows then move
// one local expert at a time, on all members at once: what is exchanged with one member is then contiguous at
// home (packed by expert) and at the owner (by expert, then home), so rows are never copied aside, whatever
// the worst case is.
#ifndef XLM_COMMUNICATE_ROWS_PRIV_H
#define XLM_COMMUNICATE_ROWS_PRIV_H

#include "ops/cpu/communicate/collect_priv.h"

typedef struct rows {
  collect g;
  const int32_t *home;  // offsets at home [experts + 1]
  int32_t *count;       // [members, experts here]: rows of this member's experts by home
  int64_t here, rounds; // experts owned here; maximum over all members
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
// Round i: the rows at home that belong to member k, and their bytes; 0 bytes if k owns fewer experts.
void *rows_at_home(const rows *r, int64_t i, int64_t k, void *data, size_t *bytes);
// Round i: the rows of this member's expert i whose home is member k; the expert's rows begin at row `first`.
// Returns their number.
int64_t rows_owned(const rows *r, int64_t i, int64_t k);

#endif
