// A temporary folder of a test program, and files in it. Include after cmocka.h; make_root and remove_root set up and
// tear down a group.
#ifndef XLM_TESTS_TRAIN_SCRATCH_H
#define XLM_TESTS_TRAIN_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char root[64]; // the folder

static inline int make_root(void **state) {
  (void)state;
  strcpy(root, "/tmp/xlm-test-XXXXXX");
  return mkdtemp(root) ? 0 : -1;
}

static inline int remove_root(void **state) {
  (void)state;
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", root);
  return system(command);
}

// Valid until 16 further calls.
static inline const char *in_root(const char *name) {
  static char paths[16][256];
  static int next;
  char *p = paths[next++ % 16];
  snprintf(p, sizeof paths[0], "%s/%s", root, name);
  return p;
}

static inline const char *put(const char *name, const void *data, size_t n) {
  const char *path = in_root(name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(data, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  return path;
}

static inline const char *put_text(const char *name, const char *text) {
  return put(name, text, strlen(text));
}

// A text to train on.
static inline const char *put_lines(const char *name, int lines) {
  const char *path = in_root(name);
  FILE *f = fopen(path, "w");
  assert_non_null(f);
  for (int i = 0; i < lines; i++) fprintf(f, "line %d of a text\n", i);
  assert_int_equal(fclose(f), 0);
  return path;
}

#endif
