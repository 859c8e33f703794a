// Reads data files. They stay open and are read with pread, so that truncation while in use is an error of
// the read; with a mapping it would end the process with SIGBUS. Data may consist of thousands of files, so
// the limit of open files is raised as far as the system allows.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "runtime/data/data_priv.h"

static bool raise_limit(void) {
  struct rlimit l;
  if (getrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur == l.rlim_max) return false;
  l.rlim_cur = l.rlim_max;
  return !setrlimit(RLIMIT_NOFILE, &l);
}

xlm_status xlm_data_open_file(file *f, xlm_error *err) {
  f->bytes = f->map.n;
  f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
  if (f->fd < 0 && errno == EMFILE && raise_limit()) f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
  if (f->fd >= 0) return XLM_OK;
  if (errno != EMFILE) return xlm_fail(err, XLM_ENV, "cannot open '%s': %s", f->path, strerror(errno));
  return xlm_fail(
      err, XLM_ENV,
      "cannot open '%s': the system allows no more open files (`ulimit -n`); join the data into fewer "
      "files",
      f->path);
}

static xlm_status cut_short(const file *f, int64_t at, xlm_error *err) {
  return xlm_fail(err, XLM_ENV,
                  "'%s' was truncated while it was in use: it had %zu bytes, and byte %" PRId64
                  " is not there any more",
                  f->path, f->bytes, at);
}

xlm_status xlm_data_read_bytes(const file *f, int64_t at, size_t n, unsigned char *out, xlm_error *err) {
  while (n) {
    ssize_t got = pread(f->fd, out, n, (off_t)at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      return xlm_fail(err, XLM_ENV, "cannot read '%s' at byte %" PRId64 ": %s", f->path, at, strerror(errno));
    if (got == 0) return cut_short(f, at, err);
    out += got, at += got, n -= (size_t)got;
  }
  return XLM_OK;
}
