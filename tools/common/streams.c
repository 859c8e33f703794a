// See streams.h.
#include "tools/common/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FAILED = 2 };

void xlm_streams_open(void) {
  int fd;
  do fd = open("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) close(fd);
}

// Why output was lost. The errno of the failed write is gone by now, so another write is tried. 0: it
// succeeds.
static int reason(void) {
  ssize_t n = write(STDOUT_FILENO, "\n", 1);
  return n < 0 ? errno : 0;
}

int xlm_streams_close(const char *tool, int code) {
  bool failed = fflush(stdout) || ferror(stdout);
  int why = failed ? reason() : 0;
  if (!failed || why == EPIPE || why == EIO) return code;
  fprintf(stderr, "%s: cannot write standard output: %s\n", tool,
          why ? strerror(why) : "not everything was written");
  return code ? code : FAILED;
}
