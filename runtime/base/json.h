// The JSON writer for plans, manifests, configurations, metrics, traces and reports.
//
// It is a stream: only the stack of open brackets is stored, so memory does not grow with the output, and
// every failure of the sink is reported. The output is always valid JSON: control characters are escaped,
// invalid UTF-8 becomes U+FFFD. Reals stay real ("1.0") and read back as the same double; infinities and NaN,
// which JSON lacks, become null.
#ifndef XLM_BASE_JSON_H
#define XLM_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/text.h"

XLM_C_BEGIN

// Formatting of the members of an object or array.
typedef enum xlm_json_style {
  XLM_JSON_DENSE, // without blanks
  XLM_JSON_ROW,   // on one line
  XLM_JSON_LINES, // one per line, indented by depth
} xlm_json_style;

typedef xlm_status xlm_json_sink(void *arg, const char *bytes, size_t n, xlm_error *err);

enum { XLM_JSON_DEPTH = 32, XLM_JSON_BUFFER = 4096 };

typedef struct xlm_json { // to be used by its functions only
  xlm_text *text;         // destination; NULL: the sink
  xlm_json_sink *sink;
  void *arg;
  xlm_error *err;
  xlm_status status; // of the sink; after a failure it gets nothing more
  bool in_html;
  int depth;
  struct {
    char close;
    uint8_t style;
    bool any;
  } open[XLM_JSON_DEPTH];
  size_t n;
  char buffer[XLM_JSON_BUFFER];
} xlm_json;

// Writes to a text in an arena, which longjmps when out of memory.
void xlm_json_to_text(xlm_json *j, xlm_text *t);
// Writes in pieces of XLM_JSON_BUFFER bytes; xlm_json_finish writes the last one. err: for the sink; must
// stay valid until then.
void xlm_json_to_sink(xlm_json *j, xlm_json_sink *sink, void *arg, xlm_error *err);
xlm_status xlm_json_finish(xlm_json *j) XLM_MUST_CHECK;
// For a script element of a page: escapes `<`.
void xlm_json_for_html(xlm_json *j);

// key: of the member; NULL in an array and for the outermost value.
void xlm_json_object(xlm_json *j, const char *key, xlm_json_style style);
void xlm_json_array(xlm_json *j, const char *key, xlm_json_style style);
void xlm_json_close(xlm_json *j);                                        // closes the innermost object or
                                                                         // array
void xlm_json_put_text(xlm_json *j, const char *key, const char *value); // NULL: writes null
void xlm_json_put_textn(xlm_json *j, const char *key, const char *value, size_t n);
void xlm_json_put_int(xlm_json *j, const char *key, int64_t value);
void xlm_json_put_bool(xlm_json *j, const char *key, bool value);
void xlm_json_put_null(xlm_json *j, const char *key);
void xlm_json_put_real(xlm_json *j, const char *key, double value);
void xlm_json_put_rounded(xlm_json *j, const char *key, double value, int digits); // significant
// Inserts JSON text: a value or, in an array, several separated by commas, made by a writer of the same
// style.
void xlm_json_put_made(xlm_json *j, const char *key, const char *json);

XLM_C_END

#endif
