// Durable files; see file.h.
#include "runtime/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20 };

xlm_status xlm_file_kind(int error) {
  static const int of_path[] = {ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, ELOOP, ENAMETOOLONG, EINVAL, ENXIO};
  for (size_t i = 0; i < sizeof of_path / sizeof *of_path; i++)
    if (error == of_path[i]) return XLM_USER;
  return XLM_ENV;
}

xlm_status xlm_file_exists(const char *path, bool *out, xlm_error *err) {
  struct stat st;
  *out = !stat(path, &st);
  if (*out || xlm_file_kind(errno) == XLM_USER) return XLM_OK;
  return xlm_fail(err, XLM_ENV, "cannot inspect '%s': %s", path, strerror(errno));
}

// A full device may accept a part of it; the next call then returns the error.
xlm_status xlm_fd_write(int fd, const void *data, size_t n, const char *name, xlm_error *err) {
  for (const char *p = data; n;) {
    ssize_t done = write(fd, p, n < (size_t)1 << 30 ? n : (size_t)1 << 30);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0)
      return xlm_fail(err, XLM_ENV, "cannot write %s: %s", name,
                      done ? strerror(errno) : "nothing was taken");
    p += done, n -= (size_t)done;
  }
  return XLM_OK;
}

xlm_status xlm_out_open(const char *path, xlm_out *f, xlm_error *err) {
  *f = (xlm_out){.path = path};
  xlm_hash_start(&f->hash);
  f->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  return f->fd >= 0 ? XLM_OK : xlm_fail(err, XLM_ENV, "cannot create '%s': %s", path, strerror(errno));
}

xlm_status xlm_out_write(xlm_out *f, const void *data, size_t n, xlm_error *err) {
  char name[4200];
  snprintf(name, sizeof name, "'%s'", f->path);
  xlm_hash_add(&f->hash, data, n);
  f->size += n;
  return xlm_fd_write(f->fd, data, n, name, err);
}

xlm_status xlm_out_close(xlm_out *f, xlm_status sofar, uint64_t *hash, uint64_t *size, xlm_error *err) {
  bool syncs = !fsync(f->fd) || errno == EINVAL || errno == ENOTSUP; // devices and pipes cannot
  if (sofar == XLM_OK && !syncs)
    sofar = xlm_fail(err, XLM_ENV, "cannot sync '%s': %s", f->path, strerror(errno));
  if (close(f->fd) && sofar == XLM_OK)
    sofar = xlm_fail(err, XLM_ENV, "cannot close '%s': %s", f->path, strerror(errno));
  if (hash) *hash = xlm_hash_value(&f->hash);
  if (size) *size = f->size;
  return sofar;
}

xlm_status xlm_file_write(const char *path, const void *data, size_t n, uint64_t *hash, xlm_error *err) {
  xlm_out f;
  XLM_TRY(xlm_out_open(path, &f, err));
  return xlm_out_close(&f, xlm_out_write(&f, data, n, err), hash, NULL, err);
}

static xlm_status partial_of(const char *path, char partial[4096], xlm_error *err) {
  struct stat st;
  if (!stat(path, &st) && S_ISDIR(st.st_mode))
    return xlm_fail(err, XLM_USER, "cannot create '%s': it is a folder", path);
  if (snprintf(partial, 4096, "%s.partial", path) < 4096) return XLM_OK;
  return xlm_fail(err, XLM_USER, "the path '%.60s...' is too long", path);
}

// Devices, pipes and links are written directly, since renaming would replace them with a file.
static bool is_special(const char *path) {
  struct stat st;
  return !lstat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

static xlm_status can_write(const char *path, xlm_error *err) {
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
  if (fd < 0)
    return xlm_fail(err, XLM_ENV, "cannot write '%s': %s", path,
                    errno == ENXIO ? "it is a pipe without a reader" : strerror(errno));
  close(fd);
  return XLM_OK;
}

xlm_status xlm_file_can_replace(const char *path, xlm_error *err) {
  char partial[4096];
  if (is_special(path)) return can_write(path, err);
  XLM_TRY(partial_of(path, partial, err));
  char *slash = strrchr(partial, '/');
  if (slash && slash != partial) {
    *slash = 0;
    XLM_TRY(xlm_file_make_folders(partial, err));
    *slash = '/';
  }
  XLM_TRY(xlm_file_write(partial, "", 0, NULL, err));
  unlink(partial);
  return XLM_OK;
}

xlm_status xlm_file_replace(const char *path, const void *data, size_t n, xlm_error *err) {
  char partial[4096];
  if (is_special(path)) return xlm_file_write(path, data, n, NULL, err);
  XLM_TRY(partial_of(path, partial, err));
  XLM_TRY(xlm_file_write(partial, data, n, NULL, err));
  if (!rename(partial, path)) return XLM_OK;
  return xlm_fail(err, XLM_ENV, "cannot rename '%s' to '%s': %s", partial, path, strerror(errno));
}

size_t xlm_file_head(const char *path, void *out, size_t n) {
  struct stat st;
  size_t got = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return 0;
  while (!fstat(fd, &st) && S_ISREG(st.st_mode) && got < n) {
    ssize_t r = read(fd, (char *)out + got, n - got);
    if (r < 0 && errno == EINTR) continue;
    if (r <= 0) break;
    got += (size_t)r;
  }
  close(fd);
  return got;
}

xlm_status xlm_file_sync_folder(const char *path, xlm_error *err) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool ok = fd >= 0 && (!fsync(fd) || errno == EINVAL); // some file systems cannot sync a folder
  if (!ok) xlm_fail(err, XLM_ENV, "cannot sync the folder '%s': %s", path, strerror(errno));
  if (fd >= 0) close(fd);
  return ok ? XLM_OK : XLM_ENV;
}

xlm_status xlm_file_make_folders(const char *path, xlm_error *err) {
  char part[4096];
  size_t n = strlen(path);
  if (n >= sizeof part) return xlm_fail(err, XLM_USER, "the path '%.60s...' is too long", path);
  for (size_t i = 1; i <= n; i++) {
    if (path[i] != '/' && path[i]) continue;
    memcpy(part, path, i);
    part[i] = 0;
    if (mkdir(part, 0777) && errno != EEXIST)
      return xlm_fail(err, XLM_ENV, "cannot create the folder '%s': %s", part, strerror(errno));
  }
  struct stat st;
  if (stat(path, &st)) return xlm_fail(err, XLM_ENV, "cannot inspect '%s': %s", path, strerror(errno));
  return S_ISDIR(st.st_mode) ? XLM_OK : xlm_fail(err, XLM_USER, "'%s' exists and is not a folder", path);
}

static bool is_folder(int parent, const char *name) {
  struct stat st;
  return !fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

static bool is_dots(const char *name) {
  return !strcmp(name, ".") || !strcmp(name, "..");
}

// Removes its contents, unless there is a folder among them.
static xlm_status empty_folder(DIR *dir, const char *path, xlm_error *err) {
  for (struct dirent *e; (e = readdir(dir));)
    if (!is_dots(e->d_name) && is_folder(dirfd(dir), e->d_name))
      return xlm_fail(err, XLM_USER, "'%s' was not removed: it contains a folder, '%.200s'", path, e->d_name);
  rewinddir(dir);
  for (struct dirent *e; (e = readdir(dir));)
    if (!is_dots(e->d_name) && unlinkat(dirfd(dir), e->d_name, 0))
      return xlm_fail(err, XLM_ENV, "cannot remove '%s/%.200s': %s", path, e->d_name, strerror(errno));
  return XLM_OK;
}

xlm_status xlm_file_remove_folder(const char *path, xlm_error *err) {
  DIR *dir = opendir(path);
  if (!dir) return xlm_fail(err, XLM_ENV, "cannot read '%s': %s", path, strerror(errno));
  xlm_status status = empty_folder(dir, path, err);
  closedir(dir);
  if (status == XLM_OK && rmdir(path))
    status = xlm_fail(err, XLM_ENV, "cannot remove '%s': %s", path, strerror(errno));
  return status;
}

bool xlm_file_holds_folder(const char *path) {
  bool found = false;
  DIR *dir = opendir(path);
  for (struct dirent *e; dir && !found && (e = readdir(dir));)
    found = !is_dots(e->d_name) && is_folder(dirfd(dir), e->d_name);
  if (dir) closedir(dir);
  return found;
}

static xlm_status hash_descriptor(int fd, const char *path, char *buffer, uint64_t *out, xlm_error *err) {
  xlm_hash h;
  xlm_hash_start(&h);
  for (;;) {
    ssize_t n = read(fd, buffer, READ_BYTES);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return xlm_fail(err, xlm_file_kind(errno), "cannot read '%s': %s", path, strerror(errno));
    if (!n) break;
    xlm_hash_add(&h, buffer, (size_t)n);
  }
  *out = xlm_hash_value(&h);
  return XLM_OK;
}

xlm_status xlm_file_hash(const char *path, uint64_t *out, xlm_error *err) {
  char *buffer = malloc(READ_BYTES);
  if (!buffer) return xlm_fail(err, XLM_ENV, "no memory to read '%s'", path);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  xlm_status status = fd < 0
                          ? xlm_fail(err, xlm_file_kind(errno), "cannot read '%s': %s", path, strerror(errno))
                          : hash_descriptor(fd, path, buffer, out, err);
  if (fd >= 0) close(fd);
  free(buffer);
  return status;
}
