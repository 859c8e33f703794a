// The texts that generate continues: of --prompt and of the file of --prompts.
#ifndef XLM_XLMRUN_PROMPTS_H
#define XLM_XLMRUN_PROMPTS_H

#include "tools/xlmrun/session.h"

typedef struct prompt_field { // of a line of JSON: a text, or numbers
  const char *name;
  const char *text; // NUL-terminated; NULL: numbers
  size_t n;
  const double *numbers; // of lists in lists: all, in their order
  int64_t n_numbers;
} prompt_field;

typedef struct prompt {
  const char *text;  // NUL-terminated
  size_t n;          // it may hold NULs
  const char *where; // "--prompt", "prompts.jsonl:3", for messages
  bool given;        // false: a line of JSON without the field `prompt`, of a model with other inputs
  const prompt_field *fields; // the others of the line that are texts or lists
  int n_fields;
} prompt;

typedef struct prompts {
  prompt *at;
  int64_t n;
} prompts;

// In the session's arena. Of a file named *.jsonl each line is a JSON object with the field `prompt`
// or fields of a model's inputs; of any other, each line that is not blank is a prompt. Neither flag: one empty prompt. XLM_USER with file and
// line.
xlm_status prompts_read(session *s, prompts *out);
// The error that a prompt which is not given is for a model without other inputs.
xlm_status prompts_missing(session *s, const prompt *p);

#endif
