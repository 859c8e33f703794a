// safetensors: a file format for tensors that other tools read and write (specification: docs of
// huggingface/safetensors).
//
// Files are untrusted: names, types, shapes and offsets are checked at open (no overlap, no gap, the whole
// file covered).
#ifndef XLM_INTERCHANGE_SAFETENSORS_H
#define XLM_INTERCHANGE_SAFETENSORS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/arena.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"

enum { XLM_ST_MAX_RANK = 16 };

typedef enum xlm_st_dtype {
  XLM_ST_F32,
  XLM_ST_F16,
  XLM_ST_BF16,
  XLM_ST_F64,
  XLM_ST_I64,
  XLM_ST_I32,
  XLM_ST_I16,
  XLM_ST_I8,
  XLM_ST_U64,
  XLM_ST_U32,
  XLM_ST_U16,
  XLM_ST_U8,
  XLM_ST_BOOL,
  XLM_ST_F8_E4M3,
  XLM_ST_F8_E5M2,
  XLM_ST_DTYPES,
} xlm_st_dtype;
const char *xlm_st_dtype_name(xlm_st_dtype t);
size_t xlm_st_dtype_bytes(xlm_st_dtype t);

typedef struct xlm_st_tensor {
  const char *name;
  xlm_st_dtype dtype;
  int rank;
  int64_t shape[XLM_ST_MAX_RANK];
  int64_t n;                 // elements
  const unsigned char *data; // in the mapped file; may be unaligned
  int file;                  // index in the set
} xlm_st_tensor;

typedef struct xlm_safetensors xlm_safetensors;

// path: a file, an index (*.safetensors.index.json, which names several files beside it), or a folder: its
// model.safetensors.index.json, else model.safetensors, else its only index, else all of its *.safetensors.
xlm_status xlm_safetensors_open(const char *path, xlm_safetensors **out, xlm_error *err) XLM_MUST_CHECK;
// Asked before bytes [at, at + n) of a file are used; what it says against them fails the read.
typedef struct xlm_st_check {
  xlm_status (*check)(void *arg, int fd, const char *path, uint64_t at, uint64_t n, xlm_error *err);
  void *arg;
} xlm_st_check;
xlm_status xlm_safetensors_open_checked(const char *path, xlm_st_check check, xlm_safetensors **out,
                                        xlm_error *err) XLM_MUST_CHECK;
void xlm_safetensors_close(xlm_safetensors *s);
int xlm_safetensors_count(const xlm_safetensors *s);
const xlm_st_tensor *xlm_safetensors_at(const xlm_safetensors *s, int i);              // sorted by name
const xlm_st_tensor *xlm_safetensors_find(const xlm_safetensors *s, const char *name); // NULL: not found
// Reads elements [first, first + n) from the file and nothing else; truncation of the file meanwhile is an
// error. out: n elements of the tensor's type.
xlm_status xlm_safetensors_read(const xlm_safetensors *s, const xlm_st_tensor *t, int64_t first, int64_t n,
                                void *out, xlm_error *err) XLM_MUST_CHECK;
// The same as f32, from F32, F16, BF16 or F64. scratch: space for n elements of the tensor's type.
xlm_status xlm_safetensors_read_floats(const xlm_safetensors *s, const xlm_st_tensor *t, int64_t first,
                                       int64_t n, void *scratch, float *out, xlm_error *err) XLM_MUST_CHECK;
// Converts n elements of a type to f32; false for other types.
bool xlm_st_floats(xlm_st_dtype type, const void *data, int64_t n, float *out);

// Begins a file of tensors in the given order (`data` is ignored) by writing the header. The caller writes
// their bytes, in this order, with xlm_out_write, and closes the file with xlm_out_close.
xlm_status xlm_safetensors_begin(xlm_out *f, const xlm_st_tensor *tensors, int n,
                                 xlm_error *err) XLM_MUST_CHECK;
uint64_t xlm_st_bytes(const xlm_st_tensor *t);
// An index of several files: tensor i is in the file file_of(arg, i).
void xlm_safetensors_print_index(const xlm_st_tensor *const *tensors, int n,
                                 const char *(*file_of)(void *arg, int i), void *arg, xlm_text *out);

#endif
