// Status and error text; see status.h.
#include "runtime/base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

xlm_status xlm_fail(xlm_error *err, xlm_status status, const char *fmt, ...) {
  if (!err) return status;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(err->text, sizeof err->text, fmt, ap);
  va_end(ap);
  err->status = status;
  return status;
}

xlm_status xlm_fail_in(xlm_error *err, const char *fmt, ...) {
  if (!err) return XLM_ENV;
  char inner[sizeof err->text];
  memcpy(inner, err->text, sizeof inner);
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
  va_end(ap);
  if (n >= 0 && (size_t)n < sizeof err->text)
    snprintf(err->text + n, sizeof err->text - (size_t)n, ": %.1900s", inner);
  return err->status;
}

_Noreturn void xlm_bug(const char *file, int line, const char *cond, const char *fmt, ...) {
  fprintf(stderr, "xlm: internal error at %s:%d: %s: ", file, line, cond);
  va_list ap;
  va_start(ap, fmt);
  vfprintf(stderr, fmt, ap);
  va_end(ap);
  fputc('\n', stderr);
  abort();
}
