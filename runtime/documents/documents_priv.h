// Internals of this folder.
#ifndef XLM_DOCUMENTS_DOCUMENTS_PRIV_H
#define XLM_DOCUMENTS_DOCUMENTS_PRIV_H

#include "runtime/documents/documents.h"
#include "runtime/documents/kind.h"

XLM_C_BEGIN

typedef enum packing { PLAIN, GZIP, ZSTD } packing;
typedef enum form { TEXT, JSON_LINES, PARQUET, NO_FORM } form;

typedef struct unpack unpack; // the bytes of a file, unpacked

// unpack.c
packing xlm_packing_of(const unsigned char *head, size_t n);
// XLM_USER: there is no such file, it is a folder or a pipe. path must outlive it.
xlm_status xlm_unpack_open(const char *path, unpack **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_unpack_close(unpack *u); // NULL is allowed
// As many of the next n bytes as there are; *got < n: the end. XLM_USER: what is packed is damaged or cut
// short; XLM_ENV: the file became shorter.
xlm_status xlm_unpack_read(unpack *u, void *out, size_t n, size_t *got, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_unpack_seek(unpack *u, int64_t byte, xlm_error *err) XLM_MUST_CHECK; // forwards
int64_t xlm_unpack_packed(const unpack *u); // bytes of the file that were read

// form.c: the form of a file's documents. NO_FORM: *foreign says what it is instead (NULL: it is unreadable).
// XLM_ENV: no memory to unpack its beginning.
xlm_status xlm_form_of(const char *path, form *out, packing *packed, const xlm_foreign **foreign,
                       xlm_error *err) XLM_MUST_CHECK;

// json_field.c: the field of the object in text[0, n) replaces the text's beginning, *n becomes its length.
// err: a part of a sentence.
xlm_status xlm_json_field(char *text, size_t *n, const char *field, xlm_error *err) XLM_MUST_CHECK;

// parquet.cc, or parquet_absent.c where the build has no Arrow
typedef struct xlm_parquet xlm_parquet;
// column: NULL: rows are texts of JSON. XLM_USER: no Parquet file, no column of texts of this name, a column
// of a type that JSON lacks.
xlm_status xlm_parquet_open(const char *path, const char *column, xlm_parquet **out,
                            xlm_error *err) XLM_MUST_CHECK;
void xlm_parquet_close(xlm_parquet *p); // NULL is allowed
xlm_status xlm_parquet_seek(xlm_parquet *p, int64_t row, xlm_error *err) XLM_MUST_CHECK;
// The text of the next row, valid until the next call; NULL at the end. A null is an empty text.
xlm_status xlm_parquet_next(xlm_parquet *p, const char **text, size_t *n, xlm_error *err) XLM_MUST_CHECK;
int64_t xlm_parquet_read_bytes(const xlm_parquet *p); // of the file, about

XLM_C_END

#endif
