// Read-only file mappings.
#ifndef XLM_BASE_MAP_H
#define XLM_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/status.h"

XLM_C_BEGIN

typedef struct xlm_map {
  const unsigned char *data; // valid even if n = 0
  size_t n;
} xlm_map;

xlm_status xlm_map_open(const char *path, xlm_map *out,
                        xlm_error *err) XLM_MUST_CHECK; // XLM_USER: no such file
void xlm_map_close(xlm_map *m);

XLM_C_END

#endif
