// A file system that fails while a checkpoint is saved: every call that can fail does so once, and also from
// then on (a full device). Each time there is either one clear error or a complete checkpoint; the previous
// one is always intact, also while one of the same step takes its place.
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fault/toy_folder.h"

// ---- the file system ----

typedef enum fault_call { WRITE, FSYNC, CLOSE, RENAME, MKDIR, UNLINK, CALLS } fault_call;
static const char *const call_names[CALLS] = {"write", "fsync", "close", "rename", "mkdir", "unlink"};

static struct {
  fault_call call;
  atomic_long left; // calls until it fails; 0 = never
  bool for_good;    // and all after it
  int error;
} fault;

static bool fails(fault_call call) {
  if (call != fault.call || atomic_load(&fault.left) <= 0) return false;
  bool now = atomic_load(&fault.left) == 1;
  if (!now || !fault.for_good) atomic_fetch_sub(&fault.left, 1);
  if (now) errno = fault.error;
  return now;
}

static struct {
  const char *path; // that must stay; NULL: none
  int gaps;         // renames after which it was not there
  bool no_exchange; // as of a file system that cannot do it
} watched;

static void look(void) {
  struct stat st;
  if (watched.path && stat(watched.path, &st)) watched.gaps++;
}

#define REAL(name) (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t n) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = REAL(write);
  if (fd > 2 && n > 1 && fault.for_good && fault.call == WRITE && atomic_load(&fault.left) == 2) {
    atomic_store(&fault.left, 1);
    return real(fd, data, n / 2); // the device accepts what fits
  }
  return fd > 2 && fails(WRITE) ? -1 : real(fd, data, n);
}
int fsync(int fd) {
  static int (*real)(int);
  if (!real) real = REAL(fsync);
  return fails(FSYNC) ? -1 : real(fd);
}
int close(int fd) {
  static int (*real)(int);
  if (!real) real = REAL(close);
  bool failed = fd > 2 && fails(CLOSE);
  int why = errno, result = real(fd);
  return failed ? errno = why, -1 : result;
}
int rename(const char *from, const char *to) {
  static int (*real)(const char *, const char *);
  if (!real) real = REAL(rename);
  int result = fails(RENAME) ? -1 : real(from, to);
  look();
  return result;
}
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
  static int (*real)(int, const char *, int, const char *, unsigned);
  if (!real) real = REAL(renameat2);
  if (watched.no_exchange) return errno = EINVAL, -1;
  int result = fails(RENAME) ? -1 : real(from_dir, from, to_dir, to, flags);
  look();
  return result;
}
int mkdir(const char *path, mode_t mode) {
  static int (*real)(const char *, mode_t);
  if (!real) real = REAL(mkdir);
  return fails(MKDIR) ? -1 : real(path, mode);
}
int unlinkat(int dir, const char *name, int flags) {
  static int (*real)(int, const char *, int);
  if (!real) real = REAL(unlinkat);
  return fails(UNLINK) ? -1 : real(dir, name, flags);
}

// ---- saves ----

typedef struct world {
  toy_folder in;
  char dir[96];
} world;

static xlm_status save(const world *w, int64_t step, bool async, xlm_error *err) {
  xlm_saver_options o = {.dir = w->dir, .keep = 2, .async = async};
  xlm_checkpoint_info info = w->in.info;
  xlm_saver *s;
  const char *path;
  info.step = step;
  XLM_TRY(xlm_saver_open(w->in.t->store, w->in.t->plan, &o, &s, err));
  xlm_status status = xlm_saver_start(s, &info, err);
  if (status == XLM_OK) status = xlm_saver_poll(s, true, &path, err);
  if (status == XLM_OK) assert_non_null(path);
  xlm_saver_close(s);
  return status;
}

static int64_t newest(const world *w) {
  xlm_checkpoint *c;
  xlm_error err = {.text = ""};
  if (xlm_checkpoint_open(w->dir, XLM_ANY_STEP, &c, &err) != XLM_OK)
    fail_msg("no checkpoint is left: %s", err.text);
  if (*c->notes) fail_msg("%s", c->notes); // damaged ones are there, under the names of whole ones
  if (xlm_checkpoint_load(c, w->in.t->store, w->in.t->plan, false, &err) != XLM_OK) fail_msg("%s", err.text);
  int64_t step = c->info.step;
  xlm_checkpoint_close(c);
  return step;
}

// The n-th call fails; false: there is no n-th.
static bool save_with_fault(const world *w, fault_call call, long n, bool for_good, bool async,
                            int64_t step) {
  xlm_error err = {.text = ""};
  fault.call = call, fault.for_good = for_good, fault.error = call == WRITE ? ENOSPC : EIO;
  atomic_store(&fault.left, n);
  xlm_status status = save(w, step, async, &err);
  bool happened = for_good ? atomic_load(&fault.left) <= 1 : atomic_load(&fault.left) == 0;
  atomic_store(&fault.left, 0);
  int64_t found = newest(w);
  if (status == XLM_OK && found != step) fail_msg("%s %ld: said to be saved", call_names[call], n);
  if (status != XLM_OK && !strstr(err.text, strerror(fault.error)))
    fail_msg("%s %ld: %s", call_names[call], n, *err.text ? err.text : "no word");
  if (!happened) assert_int_equal(status, XLM_OK);
  return happened;
}

static void walk(world *w, bool async) {
  snprintf(w->dir, sizeof w->dir, "%s/%s", w->in.root, async ? "behind" : "at-once");
  int64_t step = 1;
  xlm_error err = {.text = ""};
  if (save(w, step, async, &err) != XLM_OK) fail_msg("%s", err.text);
  for (fault_call call = WRITE; call < CALLS; call++)
    for (int for_good = 0; for_good <= 1; for_good++)
      for (long n = 1 + for_good; save_with_fault(w, call, n, for_good, async, ++step);
           n += n < 20 ? 1 : 13) {}
}

static void test_synchronous(void **state) {
  walk(*state, false);
}

static void test_behind_the_training(void **state) {
  walk(*state, true);
}

// ---- a checkpoint in the place of another ----

static bool can_exchange(const world *w) {
  char a[128], b[128];
  snprintf(a, sizeof a, "%s/a", w->in.root), snprintf(b, sizeof b, "%s/b", w->in.root);
  bool made = !mkdir(a, 0700) && !mkdir(b, 0700);
  bool can = made && !renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
  assert_true(made && !rmdir(a) && !rmdir(b));
  return can;
}

static uint64_t tokens_of(const world *w) { // of the newest
  xlm_checkpoint *c;
  xlm_error err = {.text = ""};
  if (xlm_checkpoint_open(w->dir, XLM_ANY_STEP, &c, &err) != XLM_OK) fail_msg("none is left: %s", err.text);
  uint64_t tokens = (uint64_t)c->info.tokens;
  xlm_checkpoint_close(c);
  return tokens;
}

static void expect_no_leftovers(const world *w) {
  struct dirent *e;
  DIR *d = opendir(w->dir);
  assert_non_null(d);
  while ((e = readdir(d)))
    if (*e->d_name == '.' && e->d_name[1] && e->d_name[1] != '.') fail_msg("%s is left", e->d_name);
  closedir(d);
}

static void replace(world *w, const char *name, bool exchange) {
  char path[160];
  xlm_error err = {.text = ""};
  snprintf(w->dir, sizeof w->dir, "%s/%s", w->in.root, name);
  snprintf(path, sizeof path, "%s/step-00000003", w->dir);
  w->in.info.tokens = 1;
  if (save(w, 3, false, &err) != XLM_OK) fail_msg("%s", err.text);
  watched.path = path, watched.gaps = 0, watched.no_exchange = !exchange;
  w->in.info.tokens = 2;
  if (save(w, 3, false, &err) != XLM_OK) fail_msg("%s", err.text);
  assert_int_equal(tokens_of(w), 2);
  assert_int_equal(watched.gaps, exchange ? 0 : 1);
  for (long n = 1; n <= 3; n++) { // renames that fail
    w->in.info.tokens = (int64_t)(n + 2);
    int64_t before = (int64_t)tokens_of(w);
    fault.call = RENAME, fault.for_good = false, fault.error = EIO;
    atomic_store(&fault.left, n);
    xlm_status status = save(w, 3, false, &err);
    atomic_store(&fault.left, 0);
    assert_int_equal(tokens_of(w), status == XLM_OK ? w->in.info.tokens : before);
    expect_no_leftovers(w);
  }
  watched.path = NULL, watched.no_exchange = false;
}

static void test_of_the_same_step(void **state) {
  world *w = *state;
  replace(w, "aside", false);
  if (can_exchange(w)) replace(w, "exchanged", true);
}

static int setup(void **state) {
  world *w = *state = calloc(1, sizeof *w);
  return w && toy_folder_open(&w->in, "save", 1) ? 0 : -1;
}

static int teardown(void **state) {
  world *w = *state;
  int removed = toy_folder_close(&w->in);
  free(w);
  return removed;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_synchronous),
                                     cmocka_unit_test(test_behind_the_training),
                                     cmocka_unit_test(test_of_the_same_step)};
  return cmocka_run_group_tests(tests, setup, teardown);
}
