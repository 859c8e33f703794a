// The emulated card, for tests in C: its order of threads, its memory.
#ifndef XLM_EMULATE_EMULATED_H
#define XLM_EMULATE_EMULATED_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/cxx.h"

XLM_C_BEGIN

enum { EMULATED_ORDERS = 5 };
void emulated_order(int order); // 0: ascending; 1: descending; larger: the seed of a random order
// Memory that kernels reach, at its birth and before its end: every access is checked in the builds for races.
void emulated_watch(const void *at, size_t bytes, bool on);

XLM_C_END

#endif
