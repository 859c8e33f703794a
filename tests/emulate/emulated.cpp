// The emulated card as the CUDA backend sees it: see emulated.h; and what a device tells the kernels' files.
#include "tests/emulate/emulated.h"

#include "ops/cuda/cuda.h"

extern "C" const char *xlm_cuda_arch_here(void);

void emulated_order(int order) {
  emu_set_order((uint32_t)order);
}

void emulated_watch(const void *at, size_t bytes, bool on) {
  if (on)
    emu_race_watch(at, bytes, false);
  else
    emu_race_forget(at, bytes);
}

const char *xlm_cuda_arch_here(void) {
  return "sm_90";
}

void *xlm_cuda_stream(const xlm_call *c) {
  (void)c;
  return NULL;
}

const xlm_step_env *xlm_cuda_env(const xlm_call *c) {
  return c->env;
}

xlm_status xlm_cuda_failed(const xlm_call *c, const char *why) {
  return xlm_fail(c->err, XLM_ENV, "%s", why);
}

xlm_status xlm_cuda_fetch(const xlm_call *c, void *to, const void *from, size_t bytes) {
  (void)c;
  memcpy(to, from, bytes);
  return XLM_OK;
}
