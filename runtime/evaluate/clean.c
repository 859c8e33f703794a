// Cleaning: steps that remove what the origin of a data set has left in its texts.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <string.h>

#include "runtime/evaluate/task_priv.h"

static void free_code(void *code) {
  pcre2_code_free(code);
}

xlm_status clean_compile(xlm_arena *a, const char *pattern, void **code, xlm_error *err) {
  int why;
  PCRE2_SIZE at;
  unsigned char text[256];
  xlm_arena_cleanup *c = xlm_arena_add_cleanup(a, free_code);
  c->what = *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_NO_UTF_CHECK, &why, &at, NULL);
  if (*code) return XLM_OK;
  if (why == PCRE2_ERROR_HEAP_FAILED || why == PCRE2_ERROR_NOMEMORY)
    return xlm_fail(err, XLM_ENV, "no memory for the regular expression '%s'", pattern);
  pcre2_get_error_message(why, text, sizeof text);
  return xlm_fail(err, XLM_USER, "the regular expression '%s' is wrong at its character %zu: %s", pattern,
                  (size_t)at + 1, (const char *)text);
}

xlm_status clean_matches(const void *code, const char *s, bool *yes, xlm_error *err) {
  pcre2_match_data *m = pcre2_match_data_create_from_pattern(code, NULL);
  int got = m ? pcre2_match(code, (PCRE2_SPTR)s, strlen(s), 0, PCRE2_NO_UTF_CHECK, m, NULL) : 0;
  unsigned char why[256];
  pcre2_match_data_free(m);
  *yes = got > 0;
  if (!m || got == PCRE2_ERROR_NOMEMORY) return xlm_fail(err, XLM_ENV, "no memory for a regular expression");
  if (got >= 0 || got == PCRE2_ERROR_NOMATCH) return XLM_OK;
  pcre2_get_error_message(got, why, sizeof why);
  return xlm_fail(err, XLM_USER, "a regular expression fails on the line '%.60s': %s", s, (const char *)why);
}

static const char *replace(xlm_arena *a, const step *s, const char *text) {
  xlm_text out = xlm_text_new(a);
  size_t n = strlen(s->from);
  for (const char *hit; (hit = strstr(text, s->from)); text = hit + n) {
    xlm_text_addn(&out, text, (size_t)(hit - text));
    xlm_text_add(&out, s->to);
  }
  xlm_text_add(&out, text);
  return out.data;
}

// Twice: the first time says how long the result is.
static xlm_status substitute(xlm_arena *a, const step *s, const char *text, const char **out,
                             xlm_error *err) {
  uint32_t options = PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH | PCRE2_NO_UTF_CHECK;
  PCRE2_SIZE room = strlen(text) + 256;
  for (int k = 0; k < 2; k++) {
    char *to = xlm_arena_alloc(a, room);
    int got = pcre2_substitute(s->code, (PCRE2_SPTR)text, strlen(text), 0, options, NULL, NULL,
                               (PCRE2_SPTR)s->to, strlen(s->to), (PCRE2_UCHAR *)to, &room);
    *out = to;
    if (got >= 0) return XLM_OK;
    if (got == PCRE2_ERROR_NOMEMORY && !k) continue; // the buffer is too small: `room` is what it takes
    unsigned char why[256];
    pcre2_get_error_message(got, why, sizeof why);
    return xlm_fail(err, got == PCRE2_ERROR_NOMEMORY ? XLM_ENV : XLM_USER,
                    "the regular expression '%s' cannot be replaced by '%s': %s", s->from, s->to,
                    (const char *)why);
  }
  return XLM_OK;
}

xlm_status clean_text(xlm_arena *a, const task_rules *r, const char *text, const char **out, xlm_error *err) {
  for (int i = 0; i < r->n_steps; i++) {
    const step *s = &r->steps[i];
    if (s->kind == STEP_REGEX)
      XLM_TRY(substitute(a, s, text, &text, err));
    else
      text = s->kind == STEP_STRIP ? text_strip(a, text) : replace(a, s, text);
  }
  *out = text;
  return XLM_OK;
}
