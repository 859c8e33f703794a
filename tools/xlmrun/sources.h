// The sources that --data or --valid names: one stream of all paths, or, with weights, several that are
// mixed. Patterns are expanded; documents (JSON lines, tables, compressed text; text, if there is a
// tokenizer) become tokens in a cache, which is used again as long as they do not change.
#ifndef XLM_XLMRUN_SOURCES_H
#define XLM_XLMRUN_SOURCES_H

#include "runtime/data/data.h"
#include "tools/xlmrun/session.h"

typedef struct source {
  const char *name; // as given, without its weight
  double weight;
  xlm_data *data;
} source;

typedef struct sources {
  source *at;
  int n;
} sources;

// Has `path` documents that have to be made into tokens? Text is a stream of bytes without a tokenizer or
// a separator of documents.
xlm_status sources_has_documents(session *s, const char *path, bool *out);
bool sources_mixed(const sources *x); // with weights
xlm_status sources_open(session *s, const xlm_setting_value *v, sources *out);
void sources_close(sources *x);

#endif
