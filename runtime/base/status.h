// Status and error text: how failures of the environment and user errors are returned.
//
// A fallible function returns xlm_status and takes an xlm_error * as its last argument. On failure it stores
// one plain sentence (what was expected, what was found) and returns the kind; callers add context with
// xlm_fail_in or pass the status on. Libraries never print: only tools/ show xlm_error.text.
#ifndef XLM_BASE_STATUS_H
#define XLM_BASE_STATUS_H

#include <stdarg.h>

#include "runtime/base/cxx.h"

XLM_C_BEGIN

typedef enum xlm_status {
  XLM_OK = 0,
  XLM_USER = 1, // the user can correct it: a wrong flag, file content, setting (exit code 1)
  XLM_ENV = 2,  // the environment failed: memory, file system, device, peer (exit code 2)
} xlm_status;

typedef struct xlm_error {
  xlm_status status;
  char text[2048];
} xlm_error;

#define XLM_MUST_CHECK __attribute__((warn_unused_result))
#define XLM_PRINTF(f, a) __attribute__((format(printf, f, a)))

// Sets err (which may be NULL) to status and the formatted sentence; returns status.
xlm_status xlm_fail(xlm_error *err, xlm_status status, const char *fmt, ...) XLM_PRINTF(3, 4);

// Prefixes the text already in err with "context: "; returns err's status.
xlm_status xlm_fail_in(xlm_error *err, const char *fmt, ...) XLM_PRINTF(2, 3);

// Returns the failure status of the expression from the enclosing function.
#define XLM_TRY(expr)                                                                              \
  do {                                                                                             \
    xlm_status xlm_try_status = (expr);                                                            \
    if (xlm_try_status != XLM_OK) return xlm_try_status;                                           \
  } while (0)

// A bug of xlm: prints the location and aborts. Never for anything a user or the environment can cause.
#define XLM_ASSERT(cond, ...)                                                                      \
  do {                                                                                             \
    if (__builtin_expect(!(cond), 0)) xlm_bug(__FILE__, __LINE__, #cond, __VA_ARGS__);             \
  } while (0)
XLM_NORETURN void xlm_bug(const char *file, int line, const char *cond, const char *fmt, ...)
    XLM_PRINTF(4, 5);

XLM_C_END

#endif
