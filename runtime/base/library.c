// See library.h.
#include "runtime/base/library.h"

#include <dlfcn.h>

bool xlm_library_load(const char *const *names, const xlm_library_symbol *symbols, size_t n, void *table,
                      const char **missing) {
  void *library = NULL;
  if (missing) *missing = NULL;
  for (; *names && !library; names++) library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
  if (!library) return false;
  for (size_t i = 0; i < n; i++) {
    void *f = dlsym(library, symbols[i].name);
    if (!f) {
      if (missing) *missing = symbols[i].name;
      return false;
    }
    *(void **)((char *)table + symbols[i].at) = f;
  }
  return true;
}
