// Source text: its line table, and places for people.
#ifndef XLM_DIAGNOSE_SOURCE_H
#define XLM_DIAGNOSE_SOURCE_H

#include "runtime/base/arena.h"
#include "runtime/plan/span.h"

// Builds the line table. Text must stay alive; not necessarily NUL-free or UTF-8 (the lexer reports both).
xlm_source *xlm_source_new(xlm_arena *a, const char *path, const char *text, size_t n);
void xlm_source_place(const xlm_source *s, uint32_t offset, uint32_t *line, uint32_t *column); // both from 1
const char *xlm_source_where(xlm_arena *a, const xlm_source *s, xlm_span span); // "models/llama.xlm:38"

#endif
