// The text of a model that consists of several files.
//
// A model that is one file is its text. Otherwise the files follow each other, the model first, each after a
// line
//
//   #@file models/blocks/norm.xlm
//
// and begin with it, as a comment. So the text is complete and is itself a model: plans and checkpoints store
// it. Spans are bytes of the whole text and lines of plans are lines of it; this header turns them into lines
// of files.
#ifndef XLM_PLAN_SOURCE_H
#define XLM_PLAN_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/arena.h"
#include "runtime/plan/span.h"

XLM_C_BEGIN

#define XLM_FILE_LINE "#@file "

// Is the text one of several files?
bool xlm_text_has_files(const char *text);

typedef struct xlm_model_line { // a line of a file
  const char *path;             // n bytes, not terminated
  int n;
  uint32_t line;
} xlm_model_line;

// The place of line `line` (from 1) of a text; `path`: the model's, for a text without files. For messages:
// printf("%.*s:%u", p.n, p.path, p.line).
xlm_model_line xlm_text_line(const char *path, const char *text, uint32_t line);

// Sets the files of a source, whose text and lines are set.
void xlm_source_split(xlm_arena *a, xlm_source *s);

XLM_C_END

#endif
