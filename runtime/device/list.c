// The kinds of device in this build.
#include <stdio.h>
#include <string.h>

#include "runtime/device/cpu.h"
#include "runtime/device/cuda/cuda.h"

const xlm_device_kind *const xlm_devices[] = {&xlm_device_cpu,          &xlm_device_cpu_far,
                                              &xlm_device_cuda,         &xlm_device_cuda_eager,
                                              &xlm_device_cuda_checked, NULL};

xlm_status xlm_device_find(const char *name, const xlm_device_kind **out, xlm_error *err) {
  char all[256] = "";
  for (int i = 0; xlm_devices[i]; i++) {
    *out = xlm_devices[i];
    if (!strcmp((*out)->name, name)) return XLM_OK;
    size_t n = strlen(all);
    snprintf(all + n, sizeof all - n, "%s%s", n ? ", " : "", (*out)->name);
  }
  *out = NULL;
  return xlm_fail(err, XLM_USER, "there is no device '%.100s'; this build has: %s", name, all);
}
