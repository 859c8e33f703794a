// Rows of experts between their homes and the owners of the experts: what send_rows and collect_rows share,
// as on the CPU (ops/cpu/communicate/rows_priv.h): the members first tell each other how many rows each has
// for each expert; then the rows move one local expert at a time, every member at once, and are never copied
// aside. The counts are fetched to the host, once per call.
#ifndef XLM_CUDA_ROWS_H
#define XLM_CUDA_ROWS_H

#include "ops/cuda/collect_priv.h"

struct rows {
  collect g;
  int64_t experts, here, rounds; // at home; owned here; most that anybody owns
  size_t bytes;                  // of a row
  int32_t *home;                 // on the host: offsets at home [experts + 1]
  int32_t *count;             // on the host: [members, experts here], rows of this member's experts by home
  const int32_t *count_there; // the same on the device
};

// Exchanges the counts. home, here: types of the rows; offsets: at home, on the device.
xlm_status rows_start(const xlm_call *c, const xlm_type *home, const xlm_type *here, const int32_t *offsets,
                      rows *out);
// Round i: the rows at home that belong to member k, and their bytes; 0 bytes when k owns fewer experts.
void *rows_at_home(const rows *r, int64_t i, int64_t k, void *data, size_t *bytes);
// Round i: how many rows of this member's expert i have their home at member k.
int64_t rows_owned(const rows *r, int64_t i, int64_t k);

#endif
