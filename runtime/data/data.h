// Training data: files of text or token ids viewed as one stream of tokens, and samples cut from it.
//
// Files stay open; reading a sample allocates nothing, and a file that is truncated meanwhile is an error,
// not a signal. The sample at a position is a function of (seed, step, index in the batch) alone: there is no
// shuffle buffer and no cursor, so a run resumes exactly from its step number.
// shuffle buffer and no cursor, so a run resumes exactly from its step number.
#ifndef XLM_DATA_DATA_H
#define XLM_DATA_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/arena.h"
#include "runtime/base/status.h"

typedef struct xlm_data xlm_data;

// Opens files and folders (recursively, sorted by name) as one stream. The first bytes identify a file's
// format: PackedDataset (LITPKDS), Megatron (.bin with .idx; either name or the common prefix), llm.c; any
// other *.bin is flat u16 as in nanoGPT; everything else is text, one token per byte. Text files are
// separated by a 0 byte, which does not occur in text, so that a model learns where documents end. Files of
// other known kinds (archives, tables, UTF-16, JSON lines, binaries) are rejected with advice; in folders
// they are skipped, as are hidden and empty ones.
typedef enum xlm_data_format {
  XLM_DATA_AUTO,
  XLM_DATA_BYTES, // one token per byte, nothing between files
  XLM_DATA_U16,   // files are sequences of little-endian ids
  XLM_DATA_U32
} xlm_data_format;

typedef struct xlm_data_options {
  int64_t vocab;  // ids at or above it are rejected when read; 0 = no check
  int64_t record; // tokens per record, where samples begin; 0: from the index of the data, if any
  xlm_data_format format;
} xlm_data_options;

xlm_status xlm_data_open(const char *const *paths, int n_paths, xlm_data_options o, xlm_data **out,
                         xlm_error *err) XLM_MUST_CHECK;
// The files of folders that were skipped, as a sentence; "" = none.
const char *xlm_data_left_out(const xlm_data *d);

// A learnable noisy Markov chain over `vocab` tokens: nine times out of ten the next token is a fixed
// function of the previous one. For trials without data.
xlm_status xlm_data_synthetic(int64_t tokens, int64_t vocab, uint64_t seed, xlm_data **out,
                              xlm_error *err) XLM_MUST_CHECK;
void xlm_data_close(xlm_data *d);

int64_t xlm_data_tokens(const xlm_data *d);
int xlm_data_files(const xlm_data *d);
bool xlm_data_is_text(const xlm_data *d);      // one token per byte
const char *xlm_data_first(const xlm_data *d); // path of the first file; "" = none
// Tokens [offset, offset + n) of the stream. XLM_USER when an id is not below vocab, with file and position.
xlm_status xlm_data_read(const xlm_data *d, int64_t offset, int64_t n, int32_t *out,
                         xlm_error *err) XLM_MUST_CHECK;

typedef struct xlm_data_part { // a range of a stream, for training or validation
  const xlm_data *data;
  int64_t begin, end;
} xlm_data_part;

// The last `fraction` of the stream is for validation, the rest for training; records are not cut. fraction =
// 0: valid is empty.
void xlm_data_split(const xlm_data *d, double fraction, xlm_data_part *train, xlm_data_part *valid);

// Samples: consecutive windows of seq + 1 tokens (inputs and, shifted by one, targets) over a part; one per
// record if the data has records.
typedef struct xlm_samples {
  xlm_data_part part;
  int64_t seq, n; // n: samples per epoch
  int64_t stride; // distance between samples
  uint64_t seed;
} xlm_samples;

// XLM_USER when the part is shorter than a sample, or a record is. what: "training", "validation".
xlm_status xlm_samples_open(xlm_data_part part, int64_t seq, uint64_t seed, const char *what,
                            xlm_samples *out, xlm_error *err) XLM_MUST_CHECK;
// Sample `index` of an infinite sequence: each epoch has every window once, in a new order and with shifted
// window boundaries. out: seq + 1 tokens.
xlm_status xlm_samples_shuffled(const xlm_samples *s, int64_t index, int32_t *out,
                                xlm_error *err) XLM_MUST_CHECK;
// Window `index` of n, in the order of the stream.
xlm_status xlm_samples_window(const xlm_samples *s, int64_t index, int32_t *out,
                              xlm_error *err) XLM_MUST_CHECK;

// A keyed permutation of [0, n), n >= 1.
uint64_t xlm_data_permute(uint64_t n, uint64_t key, uint64_t index);

#endif
