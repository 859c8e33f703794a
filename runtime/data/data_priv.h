// Internals of the stream, shared by the files of this folder.
#ifndef XLM_DATA_DATA_PRIV_H
#define XLM_DATA_DATA_PRIV_H

#include "runtime/base/map.h"
#include "runtime/data/data.h"
#include "runtime/data/token_manifest.h"
#include "runtime/documents/kind.h"
#include "runtime/interchange/safetensors.h"

typedef struct element { // how one token is stored
  uint8_t bytes;         // 0: an unsupported format code
  bool is_signed;
} element;

enum { XLM_DATA_END = -1 }; // a document boundary

typedef struct segment { // consecutive tokens of one file
  int64_t at;            // offset in the file; XLM_DATA_END: a single 0 byte that is in no file
  int64_t begin, n;      // position in the stream, count
  element element;
  uint32_t file;
} segment;

typedef struct file {
  const char *path;
  int fd;             // -1 = none
  size_t bytes;       // at opening
  xlm_map map, index; // while it is opened; index: Megatron's .idx
  bool text;
  const char *format; // name
} file;

typedef struct shard { // one file of records
  const char *path;
  xlm_safetensors *file;
  const xlm_st_tensor **tensor; // by field
  int64_t first, n;             // its records
} shard;

typedef xlm_file_list paths;

struct xlm_data {
  xlm_arena *arena;
  file *files;
  uint32_t n_files, cap_files;
  segment *segments;
  uint32_t n_segments, cap_segments;
  int64_t tokens;
  xlm_data_options o;
  xlm_token_manifest manifest; // of the first file that has one; `path` NULL: none
  int64_t sequence;            // common length of all sequences of all indexes; 0: none seen, -1: they differ
  int64_t n_sequences, longest; // of all indexes: their sequences, tokens of the longest
  uint32_t n_left_out;
  const char *left_out, *left_out_text; // the first of them, and the sentence
  const xlm_foreign *left_out_as;
  bool synthetic;
  uint64_t seed;
  bool records; // `tokens` counts them
  shard *shards;
  uint32_t n_shards, cap_shards;
  xlm_field *fields;
  int n_fields;
  int64_t cells; // of a record
};

// stream.c
xlm_data *xlm_data_new(xlm_data_options o); // NULL: no memory

// The first bytes of a file, zero padded; false when it cannot be read.
bool xlm_data_peek(const char *path, unsigned char head[24]);
bool xlm_data_has_token_magic(const unsigned char head[24]);

// collect.c: appends the files that `path` (a file, a folder, a Megatron prefix) refers to.
xlm_status xlm_data_collect(xlm_data *d, const char *path, paths *out, xlm_error *err);
// format.c: opens one file and appends its segments.
void xlm_data_close_maps(file *f);
xlm_status xlm_data_add_file(xlm_data *d, const char *path, xlm_error *err);

// read.c: opens a file for reading, raising the process's limit of open files if necessary.
xlm_status xlm_data_open_file(file *f, xlm_error *err);
// Reads bytes [at, at + n) of an open file. XLM_ENV when they no longer exist: a file may be truncated while
// in use.
xlm_status xlm_data_read_bytes(const file *f, int64_t at, size_t n, unsigned char *out, xlm_error *err);

// records.c
bool xlm_data_names_records(const char *path); // a file of records, their index, or a folder with one
xlm_status xlm_data_add_records(xlm_data *d, const char *path, xlm_error *err);
void xlm_data_close_records(xlm_data *d);
void xlm_data_place_fields(xlm_data *d, const xlm_field *fields, int n);

// documents.c
bool xlm_data_is_of_stream(const char *field);
bool xlm_data_reads_documents(const xlm_data *d);
// Behind the n tokens of a sample: the documents and positions of each.
xlm_status xlm_data_find_documents(const xlm_data *d, int64_t n, int32_t *sample, xlm_error *err);

// mixture.c: the source of a sample of a mixture; *index becomes its number among those of the source.
const xlm_samples *xlm_mixture_find(const xlm_mixture *m, int64_t *index);

// synthetic.c
void xlm_data_synthesize(const xlm_data *d, int64_t offset, int64_t n, int32_t *out);
void xlm_data_synthesize_record(const xlm_data *d, int64_t index, int32_t *out);

#endif
