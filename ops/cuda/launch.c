// The functions of cuda.h that kernels use of the device. Tests of single kernels have their own
// (tests/emulate).
#include "ops/cuda/backend_priv.h"
#include "runtime/device/cuda/cuda.h"

void *xlm_cuda_stream(const xlm_call *c) {
  return c->device ? xlm_cuda_device_of(c->device)->queue[c->queue] : NULL;
}

const xlm_step_env *xlm_cuda_env(const xlm_call *c) {
  return xlm_cuda_device_of(c->device)->env;
}

xlm_status xlm_cuda_failed(const xlm_call *c, const char *why) {
  return xlm_fail(c->err, XLM_ENV, "%s", why);
}

xlm_status xlm_cuda_fetch(const xlm_call *c, void *to, const void *from, size_t bytes) {
  return xlm_cuda_read(xlm_cuda_device_of(c->device), c->queue, to, from, bytes, c->err);
}

// The archs of backend.c by the card's capability. A card without code of its own runs that of sm_80, which
// every build has in a form that the driver translates.
const char *xlm_cuda_arch_here(void) {
  int card;
  xlm_cuda_card p;
  if (xlm_cuda_find_card(0, &card, &p, NULL) != XLM_OK) return NULL;
  return p.major == 9 ? "sm_90" : p.major == 10 ? "sm_100" : "sm_80";
}
