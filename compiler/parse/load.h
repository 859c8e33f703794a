// Reads the files that a model uses.
#ifndef XLM_PARSE_LOAD_H
#define XLM_PARSE_LOAD_H

#include "compiler/diagnose/source.h"

// The source of a model: its text and those of the files that it uses, directly or not, each once. The path
// in a `use` is relative to the folder of the file that contains it, else to the folder of the shipped models
// (runtime/base/share.h; its files are called models/.., so that plans are the same on every machine). A file
// that cannot be read, a cycle and a file used twice are failures of the source; elaboration reports them. A
// text that has its files already, as checkpoints store it, is complete. `text` must outlive the result.
const xlm_source *xlm_source_load(xlm_arena *a, const char *path, const char *text, size_t n);
// The same for a file that lies at `place` and is called `path` in messages and plans.
const xlm_source *xlm_source_load_at(xlm_arena *a, const char *path, const char *place, const char *text,
                                     size_t n);

#endif
