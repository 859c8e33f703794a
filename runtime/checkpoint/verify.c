// See verify.h. Later reads are served from the system's cache.
#include "runtime/checkpoint/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"

enum { PIECE = 1 << 20 };

xlm_verifier *xlm_verifier_new(xlm_arena *a, const xlm_manifest *m, uint64_t *read, bool *damaged) {
  xlm_verifier *v = XLM_NEW(a, xlm_verifier);
  *v = (xlm_verifier){m, XLM_NEW_N(a, unsigned char *, m->n_files), read, damaged};
  for (int i = 0; i < m->n_files; i++)
    if (m->files[i].blocks.n) v->checked[i] = XLM_NEW_N(a, unsigned char, m->files[i].blocks.n);
  return v;
}

static int file_of(const xlm_verifier *v, const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
  for (int i = 0; i < v->manifest->n_files; i++)
    if (!strcmp(v->manifest->files[i].name, name)) return i;
  return -1;
}

static xlm_status hash_range(xlm_verifier *v, int fd, const char *path, uint64_t at, uint64_t n, char *piece,
                             uint64_t *out, xlm_error *err) {
  xlm_hash h;
  xlm_hash_start(&h);
  while (n) {
    ssize_t got = pread(fd, piece, n < PIECE ? n : PIECE, (off_t)at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      xlm_status kind = got ? xlm_file_kind(errno) : XLM_USER;
      *v->damaged = kind == XLM_USER;
      return xlm_fail(err, kind, "cannot read '%s': %s", path,
                      got ? strerror(errno) : "the file was truncated");
    }
    xlm_hash_add(&h, piece, (size_t)got);
    at += (uint64_t)got, n -= (uint64_t)got;
  }
  *out = xlm_hash_value(&h);
  return XLM_OK;
}

static xlm_status check_block(xlm_verifier *v, int file, int64_t i, int fd, const char *path, char *piece,
                              xlm_error *err) {
  const xlm_manifest_file *f = &v->manifest->files[file];
  uint64_t at, n, hash = 0;
  if (v->checked[file][i]) return XLM_OK;
  xlm_blocks_range(&f->blocks, f->size, i, &at, &n);
  XLM_TRY(hash_range(v, fd, path, at, n, piece, &hash, err));
  *v->read += n;
  v->checked[file][i] = hash == f->blocks.hash[i];
  if (v->checked[file][i]) return XLM_OK;
  *v->damaged = true;
  return xlm_fail(err, XLM_USER, "'%s' is damaged: its checksum is wrong", path);
}

static xlm_status check(void *arg, int fd, const char *path, uint64_t at, uint64_t n, xlm_error *err) {
  xlm_verifier *v = arg;
  int file = file_of(v, path);
  if (file < 0) {
    *v->damaged = true;
    return xlm_fail(err, XLM_USER, "'%s' is not a file of this checkpoint's manifest", path);
  }
  if (!n || !v->checked[file]) return XLM_OK;
  char *piece = malloc(PIECE);
  if (!piece) return xlm_fail(err, XLM_ENV, "no memory to check '%s'", path);
  const xlm_blocks *b = &v->manifest->files[file].blocks;
  int64_t last = xlm_blocks_at(b, at + n - 1);
  xlm_status s = XLM_OK;
  for (int64_t i = xlm_blocks_at(b, at); i <= last && i < b->n && s == XLM_OK; i++)
    s = check_block(v, file, i, fd, path, piece, err);
  free(piece);
  return s;
}

xlm_st_check xlm_verifier_check(xlm_verifier *v) {
  return (xlm_st_check){check, v};
}
