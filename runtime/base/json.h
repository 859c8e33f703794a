// The one writer of JSON: plans, manifests, configurations, metrics, traces, reports.
//
// A stream: nothing is kept but the brackets that are open, so memory does not grow with the text, and what
// is written cannot lose a part without the sink's status telling. Every text comes out as valid JSON:
// control characters are escaped, bytes that are not UTF-8 become U+FFFD. Reals stay real ("1.0") and read
// back to the same double; JSON has no infinity and no NaN, so these are null.
#ifndef XLM_BASE_JSON_H
#define XLM_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/text.h"

XLM_C_BEGIN

// How the members of an object or list are set.
typedef enum xlm_json_style {
  XLM_JSON_DENSE, // without a blank
  XLM_JSON_ROW,   // in one line
  XLM_JSON_LINES, // each in a line of its own, indented by how deep it stands
} xlm_json_style;

typedef xlm_status xlm_json_sink(void *arg, const char *bytes, size_t n, xlm_error *err);

enum { XLM_JSON_DEPTH = 32, XLM_JSON_BUFFER = 4096 };

typedef struct xlm_json { // by its functions only
  xlm_text *text;         // where it goes; NULL: to the sink
  xlm_json_sink *sink;
  void *arg;
  xlm_error *err;
  xlm_status status; // of the sink; after a failure nothing more is given to it
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

// Into a text in an arena, which jumps to its owner when memory fails.
void xlm_json_to_text(xlm_json *j, xlm_text *t);
// In pieces of XLM_JSON_BUFFER bytes; xlm_json_finish gives the last one. err: for the sink, until then.
void xlm_json_to_sink(xlm_json *j, xlm_json_sink *sink, void *arg, xlm_error *err);
xlm_status xlm_json_finish(xlm_json *j) XLM_MUST_CHECK;
// For a page's script element: no `<`, which could end it.
void xlm_json_for_html(xlm_json *j);

// Every value has the key it stands under; NULL in a list and for the outermost.
void xlm_json_object(xlm_json *j, const char *key, xlm_json_style style);
void xlm_json_array(xlm_json *j, const char *key, xlm_json_style style);
void xlm_json_close(xlm_json *j);                                        // the innermost object or list
void xlm_json_put_text(xlm_json *j, const char *key, const char *value); // NULL: null
void xlm_json_put_textn(xlm_json *j, const char *key, const char *value, size_t n);
void xlm_json_put_int(xlm_json *j, const char *key, int64_t value);
void xlm_json_put_bool(xlm_json *j, const char *key, bool value);
void xlm_json_put_null(xlm_json *j, const char *key);
void xlm_json_put_real(xlm_json *j, const char *key, double value);
void xlm_json_put_rounded(xlm_json *j, const char *key, double value, int digits); // significant
// A value or, in a list, several with commas between that a writer of the same style has made.
void xlm_json_put_made(xlm_json *j, const char *key, const char *json);

XLM_C_END

#endif
