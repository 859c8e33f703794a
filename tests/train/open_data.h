// Data of one path that can be opened.
#ifndef XLM_TESTS_TRAIN_OPEN_DATA_H
#define XLM_TESTS_TRAIN_OPEN_DATA_H

#include "runtime/data/data.h"

static inline xlm_data *open_as(const char *path, xlm_data_options o) {
  xlm_data *d;
  xlm_error err = {0};
  if (xlm_data_open(&path, 1, o, &d, &err)) fail_msg("%s", err.text);
  return d;
}

#endif
