// Training data: files of text or token ids viewed as one stream of tokens, and samples cut from it; or
// records, which are samples of several named tensors.
//
// Files stay open; reading a sample allocates nothing, and a file that is truncated meanwhile is an error,
// not a signal. The sample at a position is a function of (seed, step, index in the batch) alone: there is no
// shuffle buffer and no cursor, so a run resumes exactly from its step number.
#ifndef XLM_DATA_DATA_H
#define XLM_DATA_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/arena.h"
#include "runtime/base/status.h"
#include "runtime/data/token_manifest.h"
#include "runtime/plan/type.h"

typedef struct xlm_data xlm_data;

// What a model reads of a sample: a named tensor. A stream has one, `tokens`; records have any. A sample is
// an array of cells of 4 bytes, i32 or f32, in which the fields lie one behind another.
typedef struct xlm_field {
  const char *name;
  xlm_dtype dtype; // XLM_I32, XLM_F32
  int rank;
  int64_t shape[XLM_MAX_RANK]; // of one sample
  int64_t bound;               // i32: ids at or above it are rejected when read; 0 = no check
  int64_t first, n;            // its cells in a sample; n: the product of shape
} xlm_field;

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
  bool has_end; // `end` is the token that ends a document; without it that is 0 in text, else as the
                // manifest says
  int64_t end;
  int64_t ahead;           // tokens of a sample beyond --seq-length; 0: one, the last target
  const xlm_field *fields; // what is read of a sample; `first` is not used
  int n_fields;
  bool all_fields; // of records: all tensors that the first file has, instead of `fields`
} xlm_data_options;

// Records: *.safetensors files with tensors [records, ..], or an index of such files, records.json (also of
// the folder it lies in): {"shards": [{"file": "a.safetensors", "records": 600}, ..]}. XLM_USER when a field
// is missing, has another shape or cannot be converted.
xlm_status xlm_data_open(const char *const *paths, int n_paths, xlm_data_options o, xlm_data **out,
                         xlm_error *err) XLM_MUST_CHECK;
// How `xlmrun tokenize` made the tokens; NULL: by other means. Its document_end is used unless the options
// have one.
const xlm_token_manifest *xlm_data_manifest(const xlm_data *d);
// The files of folders that were skipped, as a sentence; "" = none.
const char *xlm_data_left_out(const xlm_data *d);

// For trials without data. n tokens of a learnable noisy Markov chain over o.vocab: nine times out of ten the
// next token is a fixed function of the previous one. If o.fields has more than `tokens`, n records of them
// instead: all fields of a record follow, with noise, from a hidden class.
xlm_status xlm_data_synthetic(int64_t n, xlm_data_options o, uint64_t seed, xlm_data **out,
                              xlm_error *err) XLM_MUST_CHECK;
void xlm_data_close(xlm_data *d);

// A file of tokens or records, or a folder that has one?
bool xlm_data_has_tokens(xlm_arena *a, const char *path);

bool xlm_data_has_records(const xlm_data *d); // else it is a stream of tokens
// The first field of the options that a stream does not have; NULL: it has all, or there are records.
const char *xlm_data_lacks(const xlm_data *d);
int64_t xlm_data_tokens(const xlm_data *d);                  // tokens of a stream, or records
const xlm_field *xlm_data_fields(const xlm_data *d, int *n); // of a record; `first`: its cells
int64_t xlm_data_cells(const xlm_data *d);                   // of a record
const char *xlm_data_kind(const xlm_data *d); // format of the first file: "Megatron-LM, 16-bit ids"
// Sequences of the indexes, and the tokens of the longest; 0: there is no index.
int64_t xlm_data_sequences(const xlm_data *d, int64_t *longest);
int xlm_data_files(const xlm_data *d);
bool xlm_data_is_text(const xlm_data *d);      // one token per byte
const char *xlm_data_first(const xlm_data *d); // path of the first file; "" = none
// A hash of how much there is and of some of it, to find out whether two processes have the same data.
xlm_status xlm_data_fingerprint(const xlm_data *d, uint64_t *out, xlm_error *err) XLM_MUST_CHECK;
// Tokens [offset, offset + n) of the stream. XLM_USER when an id is not below vocab, with file and position.
xlm_status xlm_data_read(const xlm_data *d, int64_t offset, int64_t n, int32_t *out,
                         xlm_error *err) XLM_MUST_CHECK;
// All fields of a record; out: the cells of a sample. XLM_USER when an id is not below its bound.
xlm_status xlm_data_read_record(const xlm_data *d, int64_t index, int32_t *out,
                                xlm_error *err) XLM_MUST_CHECK;

typedef struct xlm_data_part { // a range of a stream or of records, for training or validation
  const xlm_data *data;
  int64_t begin, end;
} xlm_data_part;

// The last `fraction` of the stream is for validation, the rest for training; records are not cut. fraction =
// 0: valid is empty.
void xlm_data_split(const xlm_data *d, double fraction, xlm_data_part *train, xlm_data_part *valid);

typedef struct xlm_mixture xlm_mixture;

// Samples: the records of a part; of a stream, consecutive windows of seq + 1 tokens (inputs and, shifted by
// one, targets; more if the model looks further ahead), one per record if the stream has records of a fixed
// length.
typedef struct xlm_samples {
  xlm_data_part part;
  int64_t seq, n; // n: samples per epoch
  int64_t stride; // distance between samples
  int64_t window; // tokens of a sample of a stream
  int64_t cells;  // of a sample
  uint64_t seed;
  const xlm_mixture *mixture; // the samples of several parts; NULL: of `part`
} xlm_samples;

// XLM_USER when the part is shorter than a sample, or a record is. what: "training", "validation".
xlm_status xlm_samples_open(xlm_data_part part, int64_t seq, uint64_t seed, const char *what,
                            xlm_samples *out, xlm_error *err) XLM_MUST_CHECK;
// Finds a field of the samples by name; false: they have none of this name.
bool xlm_samples_field(const xlm_samples *s, const char *name, xlm_field *out);
// Sample `index` of an infinite sequence: each epoch has every window once, in a new order and with shifted
// window boundaries; records have fixed ones. out: cells.
xlm_status xlm_samples_shuffled(const xlm_samples *s, int64_t index, int32_t *out,
                                xlm_error *err) XLM_MUST_CHECK;
// Window `index` of n, in the order of the stream.
xlm_status xlm_samples_window(const xlm_samples *s, int64_t index, int32_t *out,
                              xlm_error *err) XLM_MUST_CHECK;

// Samples of n sources in the proportion of their weights (> 0): of any `count` consecutive ones those of a
// source are its share of `count` to within 2, of any multiple of the period (at most 65536, to which the
// shares are rounded if they have no smaller one) exactly. Which source a sample is from, and which of its
// own, is a function of the index alone; the order within a source is that of xlm_samples_shuffled. In order
// (xlm_samples_window) they end where a source ends. The result is the arena's. XLM_USER: the sources do not
// give the same tensors.
xlm_status xlm_samples_mix(xlm_arena *a, const xlm_samples *sources, const double *weights, int n,
                           xlm_samples *out, xlm_error *err) XLM_MUST_CHECK;
int xlm_samples_sources(const xlm_samples *s); // 1: no mixture
// Of source k among the samples [0, count): their number. *all: the samples in an epoch of the source.
int64_t xlm_samples_drawn(const xlm_samples *s, int k, int64_t count, int64_t *all);

// A keyed permutation of [0, n), n >= 1.
uint64_t xlm_data_permute(uint64_t n, uint64_t key, uint64_t index);

#endif
