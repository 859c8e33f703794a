// The bytes of a file, as they are or unpacked from gzip (RFC 1952) or zstd (RFC 8878). Several packed
// streams one behind another are one text, as with `cat a.gz b.gz`.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "runtime/base/file.h"
#include "runtime/documents/documents_priv.h"

enum { PIECE = 1 << 17, ANY_GZIP = 15 + 16, WIDEST = 31 /* of windows, as `zstd --long=31` makes them */ };

struct unpack {
  const char *path;
  int fd;
  packing packing;
  int64_t size, read; // of the file: its bytes when it was opened, and how many were read
  int64_t at;         // unpacked bytes delivered
  bool inside;        // a packed stream, which has to end
  z_stream z;
  bool has_z;
  ZSTD_DCtx *zstd;
  size_t first, n; // what is in `piece` and not yet unpacked
  unsigned char piece[PIECE];
};

packing xlm_packing_of(const unsigned char *head, size_t n) {
  if (n >= 3 && !memcmp(head, "\x1f\x8b\x08", 3)) return GZIP;
  if (n >= 4 && !memcmp(head, "\x28\xb5\x2f\xfd", 4)) return ZSTD;
  // a frame to be skipped comes first in files of pzstd and of the seekable format
  return n >= 4 && (head[0] & 0xF0) == 0x50 && !memcmp(head + 1, "\x2a\x4d\x18", 3) ? ZSTD : PLAIN;
}

static xlm_status open_descriptor(unpack *u, xlm_error *err) {
  struct stat st;
  u->fd = open(u->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe without a writer would block
  if (u->fd < 0) return xlm_fail(err, xlm_file_kind(errno), "cannot open '%s': %s", u->path, strerror(errno));
  if (fstat(u->fd, &st)) return xlm_fail(err, XLM_ENV, "cannot inspect '%s': %s", u->path, strerror(errno));
  u->size = st.st_size;
  if (S_ISREG(st.st_mode)) return XLM_OK;
  return xlm_fail(err, XLM_USER, "'%s' is a %s, not a file: give what it holds as a file", u->path,
                  S_ISDIR(st.st_mode)    ? "folder"
                  : S_ISFIFO(st.st_mode) ? "pipe"
                                         : "device");
}

static xlm_status start(unpack *u, xlm_error *err) {
  XLM_TRY(open_descriptor(u, err));
  unsigned char head[4];
  u->packing = xlm_packing_of(head, xlm_file_head(u->path, head, sizeof head));
  if (u->packing == GZIP) u->has_z = inflateInit2(&u->z, ANY_GZIP) == Z_OK;
  if (u->packing == ZSTD) u->zstd = ZSTD_createDCtx();
  if (u->zstd) ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, WIDEST);
  if (u->packing == PLAIN || u->has_z || u->zstd) return XLM_OK;
  return xlm_fail(err, XLM_ENV, "no memory to unpack '%s'", u->path);
}

xlm_status xlm_unpack_open(const char *path, unpack **out, xlm_error *err) {
  unpack *u = *out = calloc(1, sizeof *u);
  if (!u) return xlm_fail(err, XLM_ENV, "no memory to read '%s'", path);
  u->path = path, u->fd = -1;
  xlm_status s = start(u, err);
  if (s != XLM_OK) xlm_unpack_close(u), *out = NULL;
  return s;
}

void xlm_unpack_close(unpack *u) {
  if (!u) return;
  if (u->has_z) inflateEnd(&u->z);
  ZSTD_freeDCtx(u->zstd);
  if (u->fd >= 0) close(u->fd);
  free(u);
}

int64_t xlm_unpack_packed(const unpack *u) {
  return u->read - (int64_t)u->n;
}

// The next bytes of the file itself; *got = 0: its end.
static xlm_status read_file(unpack *u, void *out, size_t n, size_t *got, xlm_error *err) {
  *got = 0;
  if ((int64_t)n > u->size - u->read) n = (size_t)(u->size - u->read); // it may be growing
  if (!n) return XLM_OK;
  ssize_t r;
  do r = pread(u->fd, out, n, (off_t)u->read);
  while (r < 0 && errno == EINTR);
  if (r < 0)
    return xlm_fail(err, XLM_ENV, "cannot read '%s' at byte %" PRId64 ": %s", u->path, u->read,
                    strerror(errno));
  if (r == 0)
    return xlm_fail(err, XLM_ENV,
                    "'%s' was truncated while it was in use: it had %" PRId64 " bytes, and byte %" PRId64
                    " is not there any more",
                    u->path, u->size, u->read);
  u->read += r, *got = (size_t)r;
  return XLM_OK;
}

static xlm_status refill(unpack *u, xlm_error *err) {
  if (u->n) return XLM_OK;
  u->first = 0;
  return read_file(u, u->piece, PIECE, &u->n, err);
}

static xlm_status damaged(const unpack *u, const char *why, xlm_error *err) {
  return xlm_fail(err, XLM_USER,
                  "'%s' is damaged: what is packed near byte %" PRId64 " cannot be unpacked (%s)", u->path,
                  xlm_unpack_packed(u), why ? why : "wrong data");
}

static xlm_status unzip(unpack *u, unsigned char *out, size_t n, size_t *got, xlm_error *err) {
  u->z.next_in = u->piece + u->first, u->z.avail_in = (uInt)u->n;
  u->z.next_out = out, u->z.avail_out = n < PIECE ? (uInt)n : PIECE;
  uInt room = u->z.avail_out;
  int r = inflate(&u->z, Z_NO_FLUSH);
  u->first += u->n - u->z.avail_in, u->n = u->z.avail_in;
  *got = room - u->z.avail_out;
  u->inside = r != Z_STREAM_END;
  if (r == Z_MEM_ERROR) return xlm_fail(err, XLM_ENV, "no memory to unpack '%s'", u->path);
  if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR) return damaged(u, u->z.msg, err);
  if (r == Z_STREAM_END) inflateReset(&u->z); // another may follow
  return XLM_OK;
}

static xlm_status unzstd(unpack *u, unsigned char *out, size_t n, size_t *got, xlm_error *err) {
  ZSTD_inBuffer in = {u->piece + u->first, u->n, 0};
  ZSTD_outBuffer to = {out, n, 0};
  size_t r = ZSTD_decompressStream(u->zstd, &to, &in);
  u->first += in.pos, u->n -= in.pos;
  *got = to.pos;
  if (ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation)
    return xlm_fail(err, XLM_ENV, "no memory to unpack '%s'", u->path);
  if (ZSTD_isError(r)) return damaged(u, ZSTD_getErrorName(r), err);
  u->inside = r != 0;
  return XLM_OK;
}

// Between packed streams there may be zeros, with which tapes and some tools fill up.
static void skip_zeros(unpack *u) {
  while (!u->inside && u->packing == GZIP && u->n && !u->piece[u->first]) u->first++, u->n--;
}

static xlm_status unpack_some(unpack *u, unsigned char *out, size_t n, size_t *got, xlm_error *err) {
  *got = 0;
  if (u->packing == PLAIN) return read_file(u, out, n, got, err);
  for (;;) {
    XLM_TRY(refill(u, err));
    skip_zeros(u);
    if (!u->n && u->read < u->size) continue;
    bool all_read = !u->n;
    if (all_read && !u->inside) return XLM_OK;
    XLM_TRY(u->packing == GZIP ? unzip(u, out, n, got, err) : unzstd(u, out, n, got, err));
    if (*got) return XLM_OK; // a packed stream may hold more than it has got rid of
    if (all_read && u->inside)
      return xlm_fail(err, XLM_USER,
                      "'%s' is truncated: what is packed in its %" PRId64
                      " bytes goes on behind them (after %" PRId64 " bytes of text)",
                      u->path, u->size, u->at);
  }
}

xlm_status xlm_unpack_read(unpack *u, void *out, size_t n, size_t *got, xlm_error *err) {
  *got = 0;
  while (*got < n) {
    size_t some;
    XLM_TRY(unpack_some(u, (unsigned char *)out + *got, n - *got, &some, err));
    if (!some) break;
    *got += some, u->at += (int64_t)some;
  }
  return XLM_OK;
}

xlm_status xlm_unpack_seek(unpack *u, int64_t byte, xlm_error *err) {
  unsigned char some[4096];
  if (u->packing == PLAIN) {
    u->read = u->at = byte < u->size ? byte : u->size;
    return XLM_OK;
  }
  while (u->at < byte) {
    size_t got, n = byte - u->at < (int64_t)sizeof some ? (size_t)(byte - u->at) : sizeof some;
    XLM_TRY(xlm_unpack_read(u, some, n, &got, err));
    if (got < n) return xlm_fail(err, XLM_USER, "'%s' has become shorter", u->path);
  }
  return XLM_OK;
}
