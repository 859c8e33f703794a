// flock on a file of the folder: the kernel releases it when the process ends, and over NFS it works between
// hosts (Linux turns it into a lock on the server). The file names the holder. It is not removed, because
// then two runs could lock two files of the same name.
#include "runtime/checkpoint/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "runtime/base/file.h"

static xlm_status in_use(int fd, const char *dir, xlm_error *err) {
  char holder[300] = "";
  ssize_t n = pread(fd, holder, sizeof holder - 1, 0);
  holder[n > 0 ? strcspn(holder, "\n") : 0] = 0;
  return xlm_fail(
      err, XLM_USER,
      "another run writes to '%s'%s%s: wait until it ends, or give this run another --output-dir", dir,
      *holder ? ": " : "", holder);
}

static xlm_status sign(int fd, const char *path, xlm_error *err) {
  char host[256] = "", text[320];
  if (gethostname(host, sizeof host - 1)) *host = 0;
  int n = snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(), host);
  if (ftruncate(fd, 0)) return xlm_fail(err, XLM_ENV, "cannot write '%s': %s", path, strerror(errno));
  return xlm_fd_write(fd, text, (size_t)n, "the lock of the output folder", err);
}

xlm_status xlm_lock_take(const char *dir, int *lock, xlm_error *err) {
  char path[4352];
  *lock = -1;
  snprintf(path, sizeof path, "%.4095s/.lock", dir);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0) return xlm_fail(err, XLM_ENV, "cannot create '%s': %s", path, strerror(errno));
  xlm_status status = XLM_OK;
  int taken, why;
  do taken = flock(fd, LOCK_EX | LOCK_NB), why = errno;
  while (taken && why == EINTR);
  if (!taken)
    status = sign(fd, path, err);
  else if (why == EWOULDBLOCK)
    status = in_use(fd, dir, err);
  if (status == XLM_OK && !taken)
    *lock = fd;
  else
    close(fd); // no locks on this file system
  return status;
}

void xlm_lock_release(int lock) {
  if (lock >= 0) close(lock);
}

// A process of this host that is no more holds nothing. Otherwise the lock is tried for a moment, shared, so that
// several may look at once; a run that begins in that moment would be refused, which the first test makes rare.
bool xlm_lock_is_held(const char *dir) {
  char path[4352], holder[300] = "", host[256] = "", name[256] = "";
  long pid = 0;
  snprintf(path, sizeof path, "%.4095s/.lock", dir);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t n = pread(fd, holder, sizeof holder - 1, 0);
  holder[n > 0 ? n : 0] = 0;
  bool here = sscanf(holder, "process %ld on %255s", &pid, name) == 2 && !gethostname(host, sizeof host - 1) &&
              !strcmp(host, name);
  bool gone = here && kill((pid_t)pid, 0) && errno == ESRCH;
  bool held = !gone && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
  close(fd);
  return held;
}
