// Runs a command on a pseudo terminal and keeps what a person would see: every line that was on the screen or
// has scrolled away, as it was last; and all bytes that were written.
#ifndef TESTS_TRAIN_PTY_H
#define TESTS_TRAIN_PTY_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PTY_ROOM = 1 << 20, PTY_LINES = 2000, PTY_COLUMNS = 256 };

typedef struct pty {
  int fd;
  pid_t child;
  size_t n;
  char bytes[PTY_ROOM]; // as written, NUL-terminated
  int lines, column;
  char line[PTY_LINES][PTY_COLUMNS];
} pty;

static void pty_child(int fd, const int go[2], const char *const *argv) {
  char none;
  close(go[1]);
  if (read(go[0], &none, 1)) _exit(120); // the other process has closed its side
  setsid();
  if (ioctl(fd, TIOCSCTTY, 0)) _exit(120);
  for (int i = 0; i < 3; i++) dup2(fd, i);
  execvp(argv[0], (char *const *)(size_t)argv); // not changed
  _exit(121);
}

// columns and rows: of the terminal. The child gets this process's environment.
static inline int pty_start(pty *p, const char *const *argv, int columns, int rows) {
  struct winsize size = {.ws_col = (unsigned short)columns, .ws_row = (unsigned short)rows};
  memset(p, 0, sizeof *p);
  p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (p->fd < 0 || grantpt(p->fd) || unlockpt(p->fd)) return -1;
  // Opened before the fork, since a terminal that no process has open reads as ended; and closed here before
  // the child starts, since the end of a session hangs up a terminal that is open elsewhere, and discards
  // what was written.
  int go[2], terminal = open(ptsname(p->fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0 || ioctl(p->fd, TIOCSWINSZ, &size) || pipe2(go, O_CLOEXEC)) return -1;
  p->child = fork();
  if (!p->child) pty_child(terminal, go, argv);
  close(terminal);
  close(go[0]);
  close(go[1]);
  return p->child < 0 ? -1 : 0;
}

static inline void pty_show(pty *p, char c) {
  if (c == '\r')
    p->column = 0;
  else if (c == '\n' && p->lines + 1 < PTY_LINES)
    p->lines++;
  else if ((unsigned char)c >= ' ' && p->column + 1 < PTY_COLUMNS) {
    char *line = p->line[p->lines];
    for (size_t n = strlen(line); (int)n < p->column; n++) line[n] = ' ';
    line[p->column++] = c;
  }
}

// Reads until `text` was written (NULL: until the child ends); false if the child ended before.
static inline int pty_until(pty *p, const char *text) {
  char piece[4096];
  while (!text || !strstr(p->bytes, text)) {
    ssize_t n = read(p->fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return !text;
    for (ssize_t i = 0; i < n; i++) {
      pty_show(p, piece[i]);
      if (p->n + 1 < PTY_ROOM) p->bytes[p->n++] = piece[i];
    }
    p->bytes[p->n] = 0;
  }
  return 1;
}

static inline int pty_type(const pty *p, const char *keys) {
  return write(p->fd, keys, strlen(keys)) == (ssize_t)strlen(keys);
}

static inline int pty_end(pty *p) { // the child's exit code; 128 + the signal that ended it
  int status = 0;
  pty_until(p, NULL);
  waitpid(p->child, &status, 0);
  close(p->fd);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline int pty_has_line(const pty *p, const char *begins) { // how many lines
  int n = 0;
  for (int i = 0; i <= p->lines; i++) n += !strncmp(p->line[i], begins, strlen(begins));
  return n;
}

#endif
