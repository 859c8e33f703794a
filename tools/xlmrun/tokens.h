// Tokens made of documents, for `tokenize` and for the data of a run.
#ifndef XLM_XLMRUN_TOKENS_H
#define XLM_XLMRUN_TOKENS_H

#include "runtime/tokenize/tokenize.h"
#include "tools/xlmrun/session.h"

// The options that the settings give; the tokenizer, files and prefix are the caller's. Progress goes to
// stderr.
void tokens_options(session *s, xlm_tokenize_options *o);
// Runs it; ^C and other signals end it early, which is an error that says how to go on.
xlm_status tokens_make(session *s, const xlm_tokenize_options *o, xlm_tokenize_result *r);
void tokens_show(session *s, const xlm_tokenize_result *r);

#endif
