// Documents made into files of tokens: PREFIX-00000.bin and .idx, .. in Megatron-LM's format, and the
// manifest PREFIX.json (runtime/data/token_manifest.h).
//
// The files depend on the documents, the tokenizer and the options alone, not on the number of threads or on
// interruptions: batches of documents are encoded by all threads and written in their order, and every few
// seconds what is written is synced and the position behind it is noted in PREFIX.progress.json. After the
// end of the process, however it came, the next call goes on from there.
#ifndef XLM_TOKENIZE_TOKENIZE_H
#define XLM_TOKENIZE_TOKENIZE_H

#include <signal.h>

#include "runtime/data/token_manifest.h"
#include "runtime/documents/documents.h"
#include "runtime/tokenizer/tokenizer.h"

typedef struct xlm_tokenize_progress {
  int64_t read, all;                // bytes of the files, on disk
  int64_t documents, tokens, bytes; // bytes: of text
  int64_t resumed;                  // documents that an earlier call had done
  double seconds;                   // of this call
} xlm_tokenize_progress;

typedef struct xlm_tokenize_options {
  const char *const *files; // with documents
  int n_files;
  xlm_documents_options documents;
  const xlm_tokenizer *tokenizer; // NULL: a token is a byte
  int64_t end;                    // the token behind every document; -1: none
  const char *prefix;             // of the files to be written; its folder is made
  int64_t shard_tokens;           // a file of tokens ends with the document that reaches so many; 0: 1e9
  int threads;
  bool overwrite;              // what is at `prefix` is replaced
  bool renew;                  // it is, if it is of other documents or options
  double sync_seconds;         // between notes of the position; 0: 5
  volatile sig_atomic_t *stop; // may be NULL; set: the call ends early, with `stopped`
  void (*report)(void *arg, const xlm_tokenize_progress *p); // may be NULL; by one thread at a time
  void *report_arg;
} xlm_tokenize_options;

typedef struct xlm_tokenize_result {
  xlm_token_manifest manifest; // in the arena
  xlm_tokenize_progress progress;
  bool stopped;  // not all is done; the next call goes on
  bool was_done; // nothing had to be done
} xlm_tokenize_result;

// XLM_USER: the documents are wrong; something else is at `prefix` (tokens of other documents or options, an
// unfinished call with others, another process that writes there). Documents without text are left out.
xlm_status xlm_tokenize(const xlm_tokenize_options *o, xlm_arena *a, xlm_tokenize_result *out,
                        xlm_error *err) XLM_MUST_CHECK;

// What training puts behind documents of this tokenizer if not told: its end of sequence; bytes: 0. -1: none.
int64_t xlm_tokenize_end(const xlm_tokenizer *t);

#endif
