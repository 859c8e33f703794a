// Documents: the texts of files, one after another, as tokenizers read them.
//
// Text (a file is one document, or the pieces between separators), JSON lines (a field of each line's object)
// and Parquet (a column of texts); each file of text or JSON lines may be compressed with gzip or zstd. Files
// are recognised by their first bytes. What is in memory is a batch of documents, never a file.
//
// Reading is in two steps, so that several threads can share the work: xlm_documents_read takes raw
// documents from the files, one thread at a time; xlm_documents_decode makes texts of them and touches
// nothing but its batch. A position says which document is next, and reading can start there again.
#ifndef XLM_DOCUMENTS_DOCUMENTS_H
#define XLM_DOCUMENTS_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/arena.h"
#include "runtime/base/status.h"

XLM_C_BEGIN

typedef struct xlm_documents xlm_documents;

typedef struct xlm_documents_options {
  const char *field; // of JSON lines, and the column of tables; NULL: "text"
  const char
      *separator; // between the documents of a text file, belongs to none; NULL: a file is one document
  size_t longest; // bytes of a line or document; more is an error; 0: 1 GiB
  bool whole;     // of JSON lines and tables: a document is a whole line, or a whole row as JSON
} xlm_documents_options;

// Which document is next. All 0: the first.
typedef struct xlm_document_position {
  int64_t file;     // in the list of files
  int64_t document; // its number in the file, from 0
  int64_t byte;     // where its line begins in the unpacked file; of a table: 0
  int64_t line;     // the number of that line, from 0
} xlm_document_position;

typedef struct xlm_document {
  const char *text; // UTF-8 if the file is; may contain 0 bytes; not terminated; may be empty
  size_t n;
  xlm_document_position at;
} xlm_document;

typedef struct xlm_document_batch { // {0} to begin with
  xlm_document *documents;          // their texts: after xlm_documents_decode
  size_t n, cap;
  char *bytes; // what the texts lie in
  size_t n_bytes, cap_bytes;
  const xlm_documents *from;
  xlm_document_position next; // behind its last document
} xlm_document_batch;

// The files that `paths` refer to, in order: a file; a folder (recursively, sorted by name, without hidden
// and empty files; if it has JSON lines or tables these alone, else its text); a pattern with `*`, `?` or
// `[..]` (sorted by name) if there is no file of that very name. left_out (may be NULL): a sentence about
// files of folders that were skipped, "" = none. All in `a`.
xlm_status xlm_documents_files(xlm_arena *a, const char *const *paths, int n_paths, const char *const **files,
                               int *n_files, const char **left_out, xlm_error *err) XLM_MUST_CHECK;

// Opens files (not folders). XLM_USER: one is missing, or of a kind that has no documents. The strings of
// `files` and `o` must outlive it.
xlm_status xlm_documents_open(const char *const *files, int n_files, xlm_documents_options o,
                              xlm_documents **out, xlm_error *err) XLM_MUST_CHECK;
void xlm_documents_close(xlm_documents *d);

// The next document with its text, valid until the next call; text is NULL at the end.
xlm_status xlm_documents_next(xlm_documents *d, xlm_document *out, xlm_error *err) XLM_MUST_CHECK;

// Replaces the batch's contents by the next documents, until these have `bytes` or more; n = 0: at the end.
// Which documents a batch has depends on the position and `bytes` alone.
xlm_status xlm_documents_read(xlm_documents *d, size_t bytes, xlm_document_batch *b,
                              xlm_error *err) XLM_MUST_CHECK;
// XLM_USER with file and line: a line is not a JSON object, or its field is missing or no text.
xlm_status xlm_documents_decode(xlm_document_batch *b, xlm_error *err) XLM_MUST_CHECK;
void xlm_document_batch_free(xlm_document_batch *b);

// The next xlm_documents_read begins at `to`, a position of a document of the same files. Unpacked files
// are read from their beginning again, others not.
xlm_status xlm_documents_seek(xlm_documents *d, xlm_document_position to, xlm_error *err) XLM_MUST_CHECK;

// Bytes of the files as they are on disk: read so far, and of all.
void xlm_documents_progress(const xlm_documents *d, int64_t *done, int64_t *all);

// "text", "JSON lines", "JSON lines in gzip", "Parquet": of a file with documents; NULL: it has none.
const char *xlm_documents_kind(const char *path);
// Is it of a kind that only has documents: JSON lines, a table, or compressed? (Text may also be bytes.)
bool xlm_documents_only(const char *path);

XLM_C_END

#endif
