// A library for LD_PRELOAD: while the file HOLD exists, fsync blocks on files whose name ends in HOLD_NAME
// (an index of shards, `.safetensors.index.json`, is not a shard: process 0 writes it between two steps).
// The first that waits creates HOLD.held, so that a test can inspect a save in progress.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_held(int fd) {
  char link[64], path[4096], held[4096];
  const char *hold = getenv("HOLD"), *name = getenv("HOLD_NAME");
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = hold && name ? readlink(link, path, sizeof path - 1) : -1;
  if (n < 0) return 0;
  path[n] = 0;
  if ((size_t)n < strlen(name) || strcmp(path + n - strlen(name), name) || access(hold, F_OK)) return 0;
  snprintf(held, sizeof held, "%s.held", hold);
  int mark = open(held, O_CREAT | O_WRONLY, 0600);
  if (mark >= 0) close(mark);
  return 1;
}

int fsync(int fd) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  while (is_held(fd)) usleep(10000);
  return real(fd);
}
