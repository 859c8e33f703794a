// The table of optimizers; see optimizer.h.
#include <string.h>

#include "compiler/optimizer/optimizer.h"

#define XLM_OPTIMIZER(name) extern const xlm_optimizer xlm_optimizer_##name;
#include "compiler/optimizer/optimizers.def"
#undef XLM_OPTIMIZER

const xlm_optimizer *const xlm_optimizers[] = {
#define XLM_OPTIMIZER(name) &xlm_optimizer_##name,
#include "compiler/optimizer/optimizers.def"
#undef XLM_OPTIMIZER
    NULL};

const xlm_optimizer *xlm_optimizer_find(const char *name) {
  for (int i = 0; xlm_optimizers[i]; i++)
    if (!strcmp(xlm_optimizers[i]->name, name)) return xlm_optimizers[i];
  return NULL;
}

const xlm_optimizer_setting *xlm_optimizer_setting_find(const char *name) {
  for (int i = 0; xlm_optimizers[i]; i++)
    for (int k = 0; k < XLM_OPTIMIZER_SETTINGS && xlm_optimizers[i]->settings[k].name; k++)
      if (!strcmp(xlm_optimizers[i]->settings[k].name, name)) return &xlm_optimizers[i]->settings[k];
  return NULL;
}
