// The list of backends, and functions for all of them.
#include <stdlib.h>
#include <string.h>

#include "runtime/device/kernel.h"

#define XLM_BACKEND(name) extern const xlm_backend xlm_backend_##name;
#include "ops/backends.def"
#undef XLM_BACKEND

const xlm_backend *const xlm_backends[] = {
#define XLM_BACKEND(name) &xlm_backend_##name,
#include "ops/backends.def"
#undef XLM_BACKEND
    NULL};

const xlm_backend *xlm_backend_find(const char *name) {
  for (int i = 0; xlm_backends[i]; i++)
    if (!strcmp(xlm_backends[i]->info.name, name)) return xlm_backends[i];
  return NULL;
}

xlm_target xlm_backend_target(const xlm_backend *b, const char *arch, int threads) {
  return (xlm_target){.backend = b->info.name, .arch = arch, .threads = threads, .align = b->info.align};
}

xlm_status xlm_backend_check(const xlm_target *t, const xlm_backend **out, xlm_error *err) {
  const xlm_backend *b = *out = xlm_backend_find(t->backend);
  if (!b)
    return xlm_fail(err, XLM_USER, "the plan is for a backend `%.100s`, which does not exist", t->backend);
  int planned = xlm_target_arch(&b->info, t->arch);
  if (planned < 0)
    return xlm_fail(err, XLM_USER, "the plan is for `%.100s` of the %s backend, which does not exist",
                    t->arch, b->info.name);
  const char *here = b->here();
  if (!here)
    return xlm_fail(err, XLM_USER,
                    "the plan is for %s and this build has no %s kernels: make one for this machine, without "
                    "--cluster and --arch",
                    t->arch, b->title);
  if (planned > xlm_target_arch(&b->info, here))
    return xlm_fail(err, XLM_USER,
                    "the plan is for %s and this machine has only %s: make it anew with --arch %s", t->arch,
                    here, here);
  if (t->align < b->info.align)
    return xlm_fail(err, XLM_USER,
                    "the plan is aligned to %u bytes and the %s backend wants %u: make it anew", t->align,
                    b->info.name, b->info.align);
  return XLM_OK;
}
