// The tokenizer of a GGUF file.
#ifndef XLM_INTERCHANGE_GGUF_TOKENIZER_H
#define XLM_INTERCHANGE_GGUF_TOKENIZER_H

#include "runtime/interchange/gguf.h"

// Its vocabulary filled up to `vocab` tokens, types, and the tokens that begin, end and pad a text. path: as
// of xlm_tokenizer_open. Byte-level BPE (tokenizer.json) has merges; BPE over characters (tokenizer.json,
// SentencePiece) has scores. XLM_USER: another kind, a pattern by which llama.cpp does not split texts, rules
// that it does not have, or more than `vocab` tokens. The arena owns what it reads.
xlm_status xlm_gguf_put_tokenizer(xlm_gguf_keys *k, xlm_arena *a, const char *path, int64_t vocab,
                                  xlm_error *err) XLM_MUST_CHECK;

#endif
