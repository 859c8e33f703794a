// Evaluation tasks: what is asked of a model, described in YAML (tasks/*.yaml, docs/evaluation.md).
//
// A task says where the parts of a question are in a record, how a prompt is made of them, and what is
// measured. Reading it with the records of a data file gives items: texts that are to be scored.
#ifndef XLM_EVALUATE_TASK_H
#define XLM_EVALUATE_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/arena.h"

XLM_C_BEGIN

typedef enum xlm_task_type {
  XLM_TASK_CHOICE,       // several continuations of a prompt, one of which is right
  XLM_TASK_PROMPTS,      // several prompts of a continuation, one of which is right
  XLM_TASK_CONTINUATION, // one continuation of a prompt
  XLM_TASK_ROLLING,      // a whole text
} xlm_task_type;

typedef struct xlm_measure xlm_measure; // measure.h

enum { XLM_TASK_MEASURES = 8 };

typedef struct xlm_task {
  const char *path; // of its file
  const char *name; // that file's, without folder and ending
  const char *about;
  xlm_task_type type;
  // Names and patterns of its data, in order of preference, relative to a folder. own_files: names that other
  // data has, too: only in a folder of the task's own.
  const char **files, **own_files;
  int n_files, n_own_files;
  const xlm_measure *measures[XLM_TASK_MEASURES];
  int n_measures;
  struct xlm_task_rules *rules; // how items are made of records; task_priv.h
} xlm_task;

// Reads a task's file. All in `a`. XLM_USER: "tasks/mine.yaml:3: ..".
xlm_status xlm_task_read(xlm_arena *a, const char *path, xlm_task **out, xlm_error *err) XLM_MUST_CHECK;

typedef struct xlm_item { // of one record
  int64_t record;         // its line or row in the file, from 1
  const char **prompts;   // of each text; rolling: NULL
  const char **texts;     // the continuations with what is between them and the prompt; rolling: the text
  int64_t *characters, *bytes; // choice: of each alone
  int n;
  int answer;                // choice, prompts: which is right
  int64_t words, text_bytes; // rolling: of the text before it was cleaned
} xlm_item;

typedef struct xlm_items {
  xlm_item *at;
  int64_t n, cap;
} xlm_items;

// The items of a data file (JSON lines, Parquet, text; compressed or not), at most `limit` (0: all). All in
// `a`. XLM_USER with file and line: a field is missing or of another kind, an answer is none of the choices.
xlm_status xlm_task_items(xlm_arena *a, const xlm_task *t, const char *path, int64_t limit, xlm_items *out,
                          xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
