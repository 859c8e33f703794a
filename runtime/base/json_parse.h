// Parses JSON with jansson, and tells a text that is wrong from memory that has run out.
//
// The library does neither: an allocation that fails inside its parser is reported as a wrong text, or cuts a
// number or a name short in silence.
#ifndef XLM_BASE_JSON_PARSE_H
#define XLM_BASE_JSON_PARSE_H

#include <jansson.h>
#include <stddef.h>

#include "runtime/base/status.h"

XLM_C_BEGIN

// flags: jansson's. *out is the caller's to release, NULL on failure. XLM_USER: the text is wrong, err says
// where and how, as a part of a sentence; XLM_ENV: no memory to read `name`.
xlm_status xlm_json_parse(const char *text, size_t n, size_t flags, const char *name, json_t **out,
                          xlm_error *err) XLM_MUST_CHECK;
// A whole file; whole sentences.
xlm_status xlm_json_parse_file(const char *path, size_t flags, json_t **out, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
