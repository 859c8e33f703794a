// Internals of this folder.
#ifndef XLM_TOKENIZE_TOKENIZE_PRIV_H
#define XLM_TOKENIZE_TOKENIZE_PRIV_H

#include "runtime/tokenize/tokenize.h"

typedef struct note { // how far the work is: what PREFIX.progress.json holds
  uint64_t key;       // as in the manifest
  xlm_document_position next;
  int64_t documents, tokens, bytes, longest;
  int64_t shard_documents, shard_tokens; // of the shard that is being written
  xlm_token_manifest_shard *shards;      // those that are complete; `file` is not used
  uint32_t n_shards, cap_shards;
} note;

typedef struct batch { // of documents; each thread has one and uses it again
  xlm_document_batch raw;
  xlm_tokens tokens;
  int64_t *ends;     // of documents, in `tokens`
  int64_t read, all; // bytes of the files, behind it
  size_t cap_ends;
} batch;

// batch.c
xlm_status xlm_batch_encode(const xlm_tokenize_options *o, batch *b, xlm_error *err) XLM_MUST_CHECK;
void xlm_batch_free(batch *b);

// note.c
xlm_status xlm_note_write(const note *n, const char *path, xlm_error *err) XLM_MUST_CHECK;
// XLM_USER: it is damaged. *found false: there is none.
xlm_status xlm_note_read(const char *path, xlm_arena *a, note *out, bool *found,
                         xlm_error *err) XLM_MUST_CHECK;

// output.c: the files. An output is only used by one thread at a time.
typedef struct output {
  xlm_arena *arena;
  const char *prefix, *note_path;
  int width;        // bytes of an id: 2, 4
  int64_t limit;    // tokens of a shard
  int bin, lengths; // of the shard that is being written; -1: none
  note note;
  unsigned char *ids; // not written yet
  size_t n_ids, cap_ids;
  int32_t *counts; // tokens of documents, not written yet
  size_t n_counts, cap_counts;
} output;

// Goes on behind o->note, which is zero for a new output. Of o, arena, prefix, note_path, width and limit are
// set.
xlm_status xlm_output_open(output *o, xlm_error *err) XLM_MUST_CHECK;
// Appends a document of n tokens. next: the position behind it.
xlm_status xlm_output_add(output *o, const int32_t *ids, int64_t n, xlm_document_position next,
                          xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_output_flush(output *o, xlm_error *err) XLM_MUST_CHECK;  // at the end of a batch
xlm_status xlm_output_sync(output *o, xlm_error *err) XLM_MUST_CHECK;   // and writes the note
xlm_status xlm_output_finish(output *o, xlm_error *err) XLM_MUST_CHECK; // the last shard
void xlm_output_close(output *o);
const char *xlm_output_path(const output *o, int64_t shard, const char *suffix);
void xlm_output_remove(const output *o); // all shards, complete or not
bool xlm_output_exists(const output *o); // is there a shard?

#endif
