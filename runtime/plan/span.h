// A range of the model text. Nodes, instructions and buffers carry one throughout compilation. A model may
// consist of several files (runtime/plan/source.h); their texts follow each other, and spans are in all of
// it.
#ifndef XLM_PLAN_SPAN_H
#define XLM_PLAN_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/cxx.h"

XLM_C_BEGIN

typedef struct xlm_span { // bytes [begin, end) of the source; empty = none
  uint32_t begin, end;
} xlm_span;

typedef struct xlm_source_file {
  const char *path;
  uint32_t begin, end; // bytes [begin, end) of the source
  uint32_t before;     // lines of the source before the file's first
} xlm_source_file;

// A `use` whose file could not be read.
typedef struct xlm_source_failure {
  uint32_t at; // where the statement begins
  const char *text, *help; // help: NULL = none
} xlm_source_failure;

typedef struct xlm_source {
  const char *path; // of the model, as the user wrote it
  const char *text; // n bytes, then a NUL
  uint32_t n;
  uint32_t lines;
  const uint32_t *line_start;   // [lines]
  const xlm_source_file *files; // [n_files], the model first
  uint32_t n_files;
  const xlm_source_failure *failures;
  uint32_t n_failures;
  bool loaded; // the files that it uses were looked for
} xlm_source;

XLM_C_END

#endif
