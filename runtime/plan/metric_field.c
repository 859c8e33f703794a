// See metric_field.h.
#include "runtime/plan/metric_field.h"

#include <string.h>

bool xlm_is_metric_field(const char *name) {
  static const char *const fields[] = {"step",         "loss",         "lr",      "grad_norm", "tokens",
                                       "tokens_per_s", "mfu",          "step_s",  "elapsed_s", "time",
                                       "memory_bytes", "device_bytes", "skipped", "val_loss",  "samples"};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (!strcmp(name, fields[i])) return true;
  return false;
}
