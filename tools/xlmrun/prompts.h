// The texts that generate continues: of --prompt and of the file of --prompts.
#ifndef XLM_XLMRUN_PROMPTS_H
#define XLM_XLMRUN_PROMPTS_H

#include "tools/xlmrun/session.h"

typedef struct prompt {
  const char *text;  // NUL-terminated
  size_t n;          // it may hold NULs
  const char *where; // "--prompt", "prompts.jsonl:3", for messages
} prompt;

typedef struct prompts {
  prompt *at;
  int64_t n;
} prompts;

// In the session's arena. Of a file named *.jsonl each line is a JSON object with the field `prompt`; of any
// other, each line that is not blank is a prompt. Neither flag: one empty prompt. XLM_USER with file and
// line.
xlm_status prompts_read(session *s, prompts *out);

#endif
