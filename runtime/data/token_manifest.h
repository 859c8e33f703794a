// What `xlmrun tokenize` writes beside its files of tokens: PREFIX.json of PREFIX-00000.bin,
// PREFIX-00001.bin,
// .. (and their .idx). It names the tokenizer, so that training can tell which model the tokens fit and where
// documents end (docs/data.md has the fields).
#ifndef XLM_DATA_TOKEN_MANIFEST_H
#define XLM_DATA_TOKEN_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/text.h"

XLM_C_BEGIN

typedef struct xlm_token_manifest_shard {
  const char *file; // name in the manifest's folder
  int64_t documents, tokens;
} xlm_token_manifest_shard;

typedef struct xlm_token_manifest_source { // a file that was read
  const char *file;
  int64_t bytes;
} xlm_token_manifest_source;

typedef struct xlm_token_manifest {
  const char *path;      // of the manifest itself, set when it is read
  uint64_t key;          // hash of the sources, their sizes and times, and of all that determines the tokens
  const char *tokenizer; // path of its file; NULL: every byte is a token
  uint64_t hash;         // XXH64 of that file; 0: bytes
  int64_t vocabulary;    // ids are below it
  int64_t document_end;  // the token behind every document; -1: none
  const char *field, *separator;    // of the documents; separator NULL: a text file is one
  int64_t documents, tokens, bytes; // bytes: of the documents' text
  int64_t longest;                  // tokens of a document
  xlm_token_manifest_shard *shards;
  uint32_t n_shards;
  xlm_token_manifest_source *sources;
  uint32_t n_sources;
} xlm_token_manifest;

// Writes it durably, in place of an earlier one.
xlm_status xlm_token_manifest_write(const xlm_token_manifest *m, const char *path, xlm_arena *a,
                                    xlm_error *err) XLM_MUST_CHECK;
// XLM_USER: it cannot be read, is no manifest or is of another version.
xlm_status xlm_token_manifest_read(const char *path, xlm_arena *a, xlm_token_manifest *out,
                                   xlm_error *err) XLM_MUST_CHECK;
// The manifest of a file of tokens; out->path is NULL if it has none.
xlm_status xlm_token_manifest_of(const char *tokens, xlm_arena *a, xlm_token_manifest *out,
                                 xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
