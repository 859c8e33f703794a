// Internals of this folder.
#ifndef XLM_EVALUATE_TASK_PRIV_H
#define XLM_EVALUATE_TASK_PRIV_H

#include <jansson.h>

#include "runtime/base/text.h"
#include "runtime/evaluate/task.h"

enum { FILTERS = 4 };

typedef struct filter filter;

typedef struct piece { // of a template
  const char *literal; // NULL: a field
  const char **paths;  // of the field in a record, "choices.text"; the first that is there is used
  int n_paths;
  const filter *filters[FILTERS]; // applied in order
  int n_filters;
} piece;

typedef struct template { // "Question: {question}\nAnswer:"
  const char *text;
  piece *at;
  uint32_t n, cap;
}
template;

typedef struct list_rule { // a template that is a field with a list, or several
  template *at;
  int n; // 0: the task has none
} list_rule;

typedef enum step_kind { STEP_STRIP, STEP_REPLACE, STEP_REGEX } step_kind;

typedef struct step { // of cleaning a text
  step_kind kind;
  const char *from, *to;
  void *code; // of a regex, by PCRE2
} step;

typedef struct field { // a name for places in a record
  const char *name;
  const char **paths;
  int n;
} field;

typedef struct xlm_task_rules {
  field *fields;
  int n_fields;
  template prompt, continuation, text, answer;
  list_rule choices, prompts, labels;
  const char *answers_beside; // "*-labels.lst": file beside the data, `*` its name; NULL: none
  const char *delimiter;      // between prompt and choice
  struct renaming {
    const char *from, *to;
  } * examples; // in the name of the data: the name of the file with examples
  int n_examples;
  bool spare_example; // one more is drawn, and not used
  step *steps;
  int n_steps;
  const char *line_field, *empty_line, *into; // lines that are joined to documents; NULL: none
  void *first_line;                           // regex of a document's first line
} task_rules;

// template.c. XLM_USER: a part of a sentence.
xlm_status template_parse(xlm_arena *a, const task_rules *r, const char *text, template *out,
                          xlm_error *err) XLM_MUST_CHECK;
// The text that a record gives.
xlm_status template_text(xlm_arena *a, const template *t, const json_t *record, const char **out,
                         xlm_error *err) XLM_MUST_CHECK;
xlm_status template_list(xlm_arena *a, const list_rule *r, const json_t *record, const char ***out, int *n,
                         xlm_error *err) XLM_MUST_CHECK;

// text.c: Python's idea of white space and case (str.strip, str.split, str.capitalize), in UTF-8.
size_t space_at(const char *s); // bytes of the white space character at s; 0: it is none
const char *text_strip(xlm_arena *a, const char *s);
const char *text_strip_left(xlm_arena *a, const char *s);
const char *text_capitalize(xlm_arena *a, const char *s); // the first letter large, the others small
int64_t text_words(const char *s); // pieces between runs of white space, as re.split(r"\s+") counts them
int64_t text_characters(const char *s);
bool text_is_utf8(const char *s, size_t n); // without 0 bytes

// clean.c
xlm_status clean_compile(xlm_arena *a, const char *pattern, void **code, xlm_error *err) XLM_MUST_CHECK;
xlm_status clean_matches(const void *code, const char *s, bool *yes, xlm_error *err) XLM_MUST_CHECK;
xlm_status clean_text(xlm_arena *a, const task_rules *r, const char *text, const char **out,
                      xlm_error *err) XLM_MUST_CHECK;

// records.c: calls `visit` for every record of a file, with its line or row from 1, until it returns false in
// *more. Errors of `visit` are parts of sentences: the place is added here.
typedef xlm_status record_visit(void *arg, const json_t *record, int64_t number, bool *more, xlm_error *err);
xlm_status records_read(xlm_arena *a, const task_rules *r, const char *path, record_visit *visit, void *arg,
                        xlm_error *err) XLM_MUST_CHECK;

#endif
