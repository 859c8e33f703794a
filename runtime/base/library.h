// Shared libraries that are loaded when they are first used, so that a program starts without them: their
// functions go into a table of pointers.
#ifndef XLM_BASE_LIBRARY_H
#define XLM_BASE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/cxx.h"

XLM_C_BEGIN

typedef struct xlm_library_symbol {
  const char *name;
  size_t at; // offset of the pointer in the table
} xlm_library_symbol;

// Loads the first of the libraries `names` (ends with NULL) that there is, and stores its n symbols in
// `table`. false: there is no such library, or it lacks a symbol; *missing (may be NULL) is then NULL or the
// first such symbol, and the table has those before it. The library stays loaded.
bool xlm_library_load(const char *const *names, const xlm_library_symbol *symbols, size_t n, void *table,
                      const char **missing);

XLM_C_END

#endif
