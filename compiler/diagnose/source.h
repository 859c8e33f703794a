// Source text: its line table and files, and lines and columns for messages.
#ifndef XLM_DIAGNOSE_SOURCE_H
#define XLM_DIAGNOSE_SOURCE_H

#include "runtime/base/arena.h"
#include "runtime/plan/source.h"

// Builds the tables of lines and files. The text must outlive the result; it may contain NULs and invalid
// UTF-8 (the lexer reports both).
xlm_source *xlm_source_new(xlm_arena *a, const char *path, const char *text, size_t n);
const xlm_source_file *xlm_source_file_at(const xlm_source *s, uint32_t offset);
uint32_t xlm_source_line(const xlm_source *s, uint32_t offset); // of the whole text, from 1
// Line of its file, and column; both from 1.
void xlm_source_place(const xlm_source *s, uint32_t offset, uint32_t *line, uint32_t *column);
const char *xlm_source_where(xlm_arena *a, const xlm_source *s, xlm_span span); // "models/llama.xlm:38"

#endif
