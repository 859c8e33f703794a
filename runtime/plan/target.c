// See target.h.
#include "runtime/plan/target.h"

#include <string.h>

int xlm_target_arch(const xlm_backend_info *b, const char *arch) {
  for (int i = 0; b->archs[i]; i++)
    if (!strcmp(b->archs[i], arch)) return i;
  return -1;
}
