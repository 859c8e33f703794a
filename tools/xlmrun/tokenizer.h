// Parts of `xlmrun tokenizer`.
#ifndef XLM_XLMRUN_TOKENIZER_H
#define XLM_XLMRUN_TOKENIZER_H

#include "tools/xlmrun/session.h"

// Trains a tokenizer on the documents of the paths.
xlm_status tokenizer_train(session *s, const char *const *paths, int n_paths);

#endif
