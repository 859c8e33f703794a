// What a harness does without libFuzzer: the files given, and those of folders given, are its inputs.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int inputs;

static void replay(const char *path) {
  xlm_map m;
  xlm_error err;
  if (xlm_map_open(path, &m, &err) != XLM_OK) {
    fprintf(stderr, "%s\n", err.text);
    exit(2);
  }
  // Of its own size, so that a sanitizer sees what is read behind the end.
  uint8_t *copy = malloc(m.n + !m.n);
  if (!copy) exit(2);
  memcpy(copy, m.data, m.n);
  fprintf(stderr, "%s\n", path); // the last is the one that failed
  LLVMFuzzerTestOneInput(copy, m.n);
  free(copy);
  xlm_map_close(&m);
  inputs++;
}

static void replay_folder(const char *path) {
  struct dirent **list;
  int n = scandir(path, &list, NULL, alphasort);
  char name[4096];
  for (int i = 0; i < n; i++) {
    snprintf(name, sizeof name, "%s/%s", path, list[i]->d_name);
    if (list[i]->d_name[0] != '.') replay(name);
    free(list[i]);
  }
  if (n >= 0) free(list);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    DIR *d = opendir(argv[i]);
    if (d) closedir(d);
    if (d)
      replay_folder(argv[i]);
    else
      replay(argv[i]);
  }
  printf("%d inputs\n", inputs);
  return inputs ? 0 : 1;
}
