// Read-only file mapping; see map.h.
#include "runtime/base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/file.h"

static const unsigned char nothing[1];

static xlm_status map_descriptor(int fd, const char *path, xlm_map *out, xlm_error *err) {
  struct stat st;
  if (fstat(fd, &st)) return xlm_fail(err, XLM_ENV, "cannot inspect '%s': %s", path, strerror(errno));
  if (S_ISDIR(st.st_mode)) return xlm_fail(err, XLM_USER, "'%s' is a folder, not a file", path);
  if (!S_ISREG(st.st_mode))
    return xlm_fail(err, XLM_USER, "'%s' is a %s, not a file: write what comes out of it into a file first",
                    path, S_ISFIFO(st.st_mode) ? "pipe" : "device");
  *out = (xlm_map){nothing, 0};
  if (st.st_size == 0) return XLM_OK; // mmap rejects length 0
  void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (p == MAP_FAILED) return xlm_fail(err, XLM_ENV, "cannot map '%s': %s", path, strerror(errno));
  *out = (xlm_map){p, (size_t)st.st_size};
  return XLM_OK;
}

xlm_status xlm_map_open(const char *path, xlm_map *out, xlm_error *err) {
  *out = (xlm_map){nothing, 0};
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // without O_NONBLOCK, opening a pipe without a
                                                          // writer would block
  if (fd < 0) return xlm_fail(err, xlm_file_kind(errno), "cannot open '%s': %s", path, strerror(errno));
  xlm_status s = map_descriptor(fd, path, out, err);
  close(fd);
  return s;
}

void xlm_map_close(xlm_map *m) {
  if (m->n) munmap((void *)(uintptr_t)m->data, m->n);
  *m = (xlm_map){nothing, 0};
}
