// For harnesses of readers that open files: a folder of their own in memory or on disk, with fixed names.
#ifndef XLM_TESTS_FUZZ_INPUT_FILE_H
#define XLM_TESTS_FUZZ_INPUT_FILE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char input_folder_name[64];

static void input_remove(void) {
  DIR *d = opendir(input_folder_name);
  for (struct dirent *e; d && (e = readdir(d));)
    if (*e->d_name != '.') unlinkat(dirfd(d), e->d_name, 0);
  if (d) closedir(d);
  rmdir(input_folder_name);
}

// The folder, made by the first call and removed with what is in it when the program ends.
static const char *input_folder(void) {
  if (*input_folder_name) return input_folder_name;
  bool in_memory = !access("/dev/shm", W_OK);
  snprintf(input_folder_name, sizeof input_folder_name, "%s/xlm-fuzz-XXXXXX",
           in_memory ? "/dev/shm" : "/tmp");
  if (!mkdtemp(input_folder_name)) abort();
  atexit(input_remove);
  return input_folder_name;
}

// Writes the file `name` of the folder; returns its path, valid until the process ends. At most 8 names.
static inline const char *input_file(const char *name, const void *data, size_t n) {
  static char paths[8][128];
  static int n_paths;
  char path[128];
  int i = 0;
  snprintf(path, sizeof path, "%s/%s", input_folder(), name);
  while (i < n_paths && strcmp(paths[i], path)) i++;
  if (i == 8) abort();
  if (i == n_paths) memcpy(paths[n_paths++], path, sizeof path);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || write(fd, data, n) != (ssize_t)n) abort();
  close(fd);
  return paths[i];
}

#endif
