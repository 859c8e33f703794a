// Durable files: written with a running checksum and synced before they are valid.
#ifndef XLM_BASE_FILE_H
#define XLM_BASE_FILE_H

#include <stdbool.h>

#include "runtime/base/hash.h"
#include "runtime/base/status.h"

XLM_C_BEGIN

typedef struct xlm_out {
  int fd;
  const char *path;
  uint64_t size;
  xlm_hash hash;
} xlm_out;

// The kind of failure to read a file or folder: XLM_USER if the path is wrong, or what may be read there;
// XLM_ENV if memory, descriptors or the device failed, which says nothing about the file.
xlm_status xlm_file_kind(int error);
// Is there something at the path? XLM_ENV: that cannot be said.
xlm_status xlm_file_exists(const char *path, bool *out, xlm_error *err) XLM_MUST_CHECK;
// Writes all n bytes, in as many calls as needed. name: for messages.
xlm_status xlm_fd_write(int fd, const void *data, size_t n, const char *name, xlm_error *err) XLM_MUST_CHECK;

xlm_status xlm_out_open(const char *path, xlm_out *f, xlm_error *err) XLM_MUST_CHECK; // path must outlive f
xlm_status xlm_out_write(xlm_out *f, const void *data, size_t n, xlm_error *err) XLM_MUST_CHECK;
// Syncs and closes. `sofar`: the status of earlier writes; a failure is passed on. hash and size may be NULL.
xlm_status xlm_out_close(xlm_out *f, xlm_status sofar, uint64_t *hash, uint64_t *size,
                         xlm_error *err) XLM_MUST_CHECK;

xlm_status xlm_file_write(const char *path, const void *data, size_t n, uint64_t *hash,
                          xlm_error *err) XLM_MUST_CHECK;
// Atomic replacement: writes "path.partial", then renames it. Devices, pipes and links are written directly.
xlm_status xlm_file_replace(const char *path, const void *data, size_t n, xlm_error *err) XLM_MUST_CHECK;
// Can the file be written? To be called before expensive work. Creates parent folders.
xlm_status xlm_file_can_replace(const char *path, xlm_error *err) XLM_MUST_CHECK;
// Reads up to the first n bytes; returns their number. 0: an empty or unreadable file, or none (does not
// block on a pipe).
size_t xlm_file_head(const char *path, void *out, size_t n);
xlm_status xlm_file_sync_folder(const char *path, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_file_make_folders(const char *path, xlm_error *err) XLM_MUST_CHECK; // like mkdir -p
// Removes a folder of files; one that contains a folder is left unchanged (XLM_USER).
xlm_status xlm_file_remove_folder(const char *path, xlm_error *err) XLM_MUST_CHECK;
bool xlm_file_holds_folder(const char *path);
// XXH64 of a file's bytes. XLM_USER: it cannot be read; XLM_ENV: out of memory.
xlm_status xlm_file_hash(const char *path, uint64_t *out, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
