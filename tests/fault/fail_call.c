// A library for LD_PRELOAD: call number FAIL_AT (from 1, over the whole program) of the kind FAIL_CALL fails
// as FAIL_AS says: with the errno of that name, `short` (half of it is read or written) or `end` (the file
// ends there). FAIL_STAYS: so do all later ones. Calls that the C library makes inside itself are not seen,
// so its streams count as calls of their own. COUNT_FILE: gets `KIND CALLS` for every kind at exit;
// FAILED_FILE: the call that failed.
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef enum kind {
  MEMORY,
  OPEN,
  READ,
  WRITE,
  SYNC,
  CLOSE,
  RENAME,
  REMOVE,
  MKDIR,
  MAP,
  TRUNCATE,
  STAT,
  LIST,
  THREAD,
  KINDS
} kind;
static const char *const kind_names[KINDS] = {"memory",   "open",   "read",   "write", "sync",
                                              "close",    "rename", "remove", "mkdir", "map",
                                              "truncate", "stat",   "list",   "thread"};
static const struct {
  const char *name;
  int number;
} errors[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"ENOMEM", ENOMEM}, {"EINTR", EINTR},
              {"EMFILE", EMFILE}, {"EAGAIN", EAGAIN}, {"EACCES", EACCES}};
enum { SHORT = -1, END = -2, FINE = 0 };

static atomic_long calls[KINDS];
static kind chosen = KINDS;
static long fail_at;
static int fail_as;
static bool stays, counting;

// Where the file is, and how many calls there were: without the C library's memory or streams.
static void leave_note(const char *variable, const char *text, size_t n) {
  const char *path = getenv(variable);
  int f = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_TRUNC | O_WRONLY, 0600) : -1;
  if (f < 0) return;
  (void)!syscall(SYS_write, f, text, n);
  syscall(SYS_close, f);
}

// FINE, or how this call is to fail.
static int fate(kind k, const char *name) {
  if (!counting) return FINE;
  long n = atomic_fetch_add(&calls[k], 1) + 1;
  if (k != chosen || (stays ? n < fail_at : n != fail_at)) return FINE;
  leave_note("FAILED_FILE", name, strlen(name));
  return fail_as;
}

static bool fails(kind k, const char *name) {
  int how = fate(k, name);
  if (how != FINE) errno = how > 0 ? how : EIO;
  return how != FINE;
}

#define REAL(name)                                                                                           \
  static __typeof__(&name) real;                                                                             \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

// ---- memory and threads ----

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

void *malloc(size_t n) {
  return fails(MEMORY, "malloc") ? NULL : __libc_malloc(n);
}
void *calloc(size_t n, size_t size) {
  return fails(MEMORY, "calloc") ? NULL : __libc_calloc(n, size);
}
void *realloc(void *p, size_t n) {
  return fails(MEMORY, "realloc") ? NULL : __libc_realloc(p, n);
}
void *aligned_alloc(size_t align, size_t n) {
  return fails(MEMORY, "aligned_alloc") ? NULL : __libc_memalign(align, n);
}
int posix_memalign(void **out, size_t align, size_t n) {
  void *p = fails(MEMORY, "posix_memalign") ? NULL : __libc_memalign(align, n);
  if (p) *out = p;
  return p ? 0 : ENOMEM;
}
void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset) {
  if (fails(MAP, "mmap")) return MAP_FAILED;
  return (void *)syscall(SYS_mmap, at, n, prot, flags, fd, offset);
}
int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *arg) {
  REAL(pthread_create);
  return fails(THREAD, "pthread_create") ? EAGAIN : real(t, a, f, arg);
}

// ---- descriptors ----

int open(const char *path, int flags, ...) {
  va_list ap;
  va_start(ap, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
  va_end(ap);
  return fails(OPEN, path) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
// How many of n bytes; -1: the call fails.
static ssize_t part(kind k, const char *name, size_t n) {
  int how = fate(k, name);
  if (how > 0) return errno = how, -1;
  return how == END ? 0 : how == SHORT ? (ssize_t)(n + 1) / 2 : (ssize_t)n;
}
ssize_t read(int fd, void *data, size_t n) {
  ssize_t m = part(READ, "read", n);
  return m <= 0 ? m : syscall(SYS_read, fd, data, m);
}
ssize_t pread(int fd, void *data, size_t n, off_t at) {
  ssize_t m = part(READ, "pread", n);
  return m <= 0 ? m : syscall(SYS_pread64, fd, data, m, at);
}
ssize_t write(int fd, const void *data, size_t n) {
  ssize_t m = fd == STDERR_FILENO ? (ssize_t)n : part(WRITE, "write", n); // what reports the failure
  return m <= 0 ? m : syscall(SYS_write, fd, data, m);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
  ssize_t m = part(WRITE, "pwrite", n);
  return m <= 0 ? m : syscall(SYS_pwrite64, fd, data, m, at);
}
int fsync(int fd) {
  return fails(SYNC, "fsync") ? -1 : (int)syscall(SYS_fsync, fd);
}
int close(int fd) {
  bool failed = fails(CLOSE, "close");
  int why = errno, result = (int)syscall(SYS_close, fd); // it is closed in any case
  return failed ? errno = why, -1 : result;
}
int ftruncate(int fd, off_t n) {
  return fails(TRUNCATE, "ftruncate") ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

// ---- names ----

int truncate(const char *path, off_t n) {
  return fails(TRUNCATE, path) ? -1 : (int)syscall(SYS_truncate, path, n);
}
int rename(const char *from, const char *to) {
  return fails(RENAME, to) ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  return fails(RENAME, to) ? -1 : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}
int unlink(const char *path) {
  return fails(REMOVE, path) ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
int unlinkat(int dir, const char *path, int flags) {
  return fails(REMOVE, path) ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}
int rmdir(const char *path) {
  return fails(REMOVE, path) ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}
int mkdir(const char *path, mode_t mode) {
  return fails(MKDIR, path) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
int stat(const char *path, struct stat *st) {
  REAL(stat);
  return fails(STAT, path) ? -1 : real(path, st);
}
int lstat(const char *path, struct stat *st) {
  REAL(lstat);
  return fails(STAT, path) ? -1 : real(path, st);
}
int fstat(int fd, struct stat *st) {
  REAL(fstat);
  return fails(STAT, "fstat") ? -1 : real(fd, st);
}
int fstatat(int dir, const char *path, struct stat *st, int flags) {
  REAL(fstatat);
  return fails(STAT, path) ? -1 : real(dir, path, st, flags);
}
DIR *opendir(const char *path) {
  REAL(opendir);
  return fails(LIST, path) ? NULL : real(path);
}
struct dirent *readdir(DIR *d) {
  REAL(readdir);
  return fails(LIST, "readdir") ? NULL : real(d);
}

// ---- streams ----

FILE *fopen(const char *path, const char *mode) {
  REAL(fopen);
  return fails(OPEN, path) ? NULL : real(path, mode);
}
size_t fread(void *data, size_t size, size_t n, FILE *f) {
  REAL(fread);
  return fails(READ, "fread") ? 0 : real(data, size, n, f);
}
// A stream writes the rest of what was short by itself; of a failure it keeps a mark (ferror).
size_t fwrite(const void *data, size_t size, size_t n, FILE *f) {
  REAL(fwrite);
  if (f == stderr || !fails(WRITE, "fwrite") || fail_as == SHORT) return real(data, size, n, f);
  f->_flags |= 0x20; // _IO_ERR_SEEN
  return 0;
}
int fclose(FILE *f) {
  REAL(fclose);
  bool failed = fails(CLOSE, "fclose");
  int why = errno, result = real(f);
  return failed ? errno = why, EOF : result;
}

// ---- what is asked for ----

static int fate_of(const char *name) {
  if (!strcmp(name, "short")) return SHORT;
  if (!strcmp(name, "end")) return END;
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
    if (!strcmp(name, errors[i].name)) return errors[i].number;
  static const char text[] = "fail_call: FAIL_AS is no failure\n";
  (void)!syscall(SYS_write, STDERR_FILENO, text, sizeof text - 1);
  _exit(99);
}

__attribute__((constructor)) static void begin(void) { // excludes calls of the loader
  const char *call = getenv("FAIL_CALL"), *at = getenv("FAIL_AT"), *as = getenv("FAIL_AS");
  for (int k = 0; call && k < KINDS; k++)
    if (!strcmp(call, kind_names[k])) chosen = (kind)k;
  if (at) fail_at = atol(at);
  fail_as = as ? fate_of(as) : ENOMEM;
  stays = getenv("FAIL_STAYS") != NULL;
  counting = true;
}

__attribute__((destructor)) static void end(void) {
  char text[1024];
  int n = 0;
  counting = false;
  for (int k = 0; k < KINDS; k++)
    n += snprintf(text + n, sizeof text - (size_t)n, "%s %ld\n", kind_names[k], atomic_load(&calls[k]));
  leave_note("COUNT_FILE", text, (size_t)n);
}
