// What a file is, by its first bytes.
#ifndef XLM_DOCUMENTS_KIND_H
#define XLM_DOCUMENTS_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/arena.h"

XLM_C_BEGIN

enum { XLM_KIND_HEAD = 8192 }; // number of bytes that determine the kind of a file

typedef struct xlm_foreign { // the kind of a file that cannot be used as it is, and what to do about it
  const char *what, *advice;
} xlm_foreign;

// NULL: text or (for .bin) token ids. head: the first n bytes.
const xlm_foreign *xlm_foreign_kind(const char *path, const unsigned char *head, size_t n);
// JSON lines, by the name or by the first line.
bool xlm_kind_is_json_lines(const char *path, const unsigned char *head, size_t n);
bool xlm_kind_has_suffix(const char *s, const char *suffix);

typedef struct xlm_file_list {
  const char **at;
  uint32_t n, cap;
} xlm_file_list;

// Calls `visit` for every regular file of a folder and its folders, in the order of names; without hidden
// entries and links to folders. XLM_USER: it cannot be read, or is nested too deep.
typedef xlm_status xlm_file_visit(void *arg, const char *path, xlm_error *err);
xlm_status xlm_files_walk(xlm_arena *a, const char *folder, xlm_file_visit *visit, void *arg,
                          xlm_error *err) XLM_MUST_CHECK;
// Appends the files and folders that a pattern with `*`, `?` or `[..]` matches, sorted; the pattern itself if
// there is a file of that name or it is no pattern. XLM_USER: it matches nothing.
xlm_status xlm_files_match(xlm_arena *a, const char *pattern, xlm_file_list *out,
                           xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
