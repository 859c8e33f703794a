// The tokenizer of a GGUF file, from a folder's tokenizer.json.
#ifndef XLM_INTERCHANGE_GGUF_TOKENIZER_H
#define XLM_INTERCHANGE_GGUF_TOKENIZER_H

#include "runtime/interchange/gguf.h"

bool xlm_gguf_has_tokenizer(xlm_arena *a, const char *folder);
// Byte-level BPE: its vocabulary filled up to `vocab` tokens, merges, types, and the ids of
// tokenizer_config.json. XLM_USER: another kind, a pattern by which llama.cpp does not split texts, or more
// than `vocab` tokens. The arena owns what it reads.
xlm_status xlm_gguf_put_tokenizer(xlm_gguf_keys *k, xlm_arena *a, const char *folder, int64_t vocab,
                                  xlm_error *err) XLM_MUST_CHECK;

#endif
