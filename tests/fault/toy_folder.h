// A small model with a folder: shared by the tests of faults in reading and writing.
#ifndef XLM_TESTS_FAULT_TOY_FOLDER_H
#define XLM_TESTS_FAULT_TOY_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/checkpoint/checkpoint.h"
#include "tests/train/train_util.h"

typedef struct toy_folder {
  toy *t;
  char root[64];
  xlm_checkpoint_info info;
} toy_folder;

// gpt2: its weights are packed, so saving splits and merges. name: of the test.
static inline bool toy_folder_open(toy_folder *f, const char *name, int threads) {
  toy_options o = toy_defaults("gpt2");
  o.threads = threads;
  snprintf(f->root, sizeof f->root, "/tmp/xlm-test-%s-XXXXXX", name);
  if (!mkdtemp(f->root)) return false;
  f->t = toy_open(&o);
  f->info = (xlm_checkpoint_info){.step = 1,
                                  .tokens = 64,
                                  .samples = 2,
                                  .seed = 7,
                                  .model_path = "gpt2.xlm",
                                  .model_text = "model gpt2\n",
                                  .text_hash = f->t->plan->text_hash};
  return true;
}

static inline int toy_folder_close(toy_folder *f) {
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", f->root);
  toy_close(f->t);
  return system(command);
}

#endif
