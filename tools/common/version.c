// --version: what this build is made of, and what of it this machine can use.
#include "tools/build_facts.h"
#include "tools/commit.h"

#include "runtime/base/share.h"
#include "runtime/device/kernel.h"
#include "tools/common/command.h"

static void archs(const xlm_backend *b, xlm_text *t) {
  for (int k = 0; b->info.archs[k]; k++) xlm_text_printf(t, "%s%s", k ? ", " : "", b->info.archs[k]);
}

static void backends(xlm_text *t) {
  for (int i = 0; xlm_backends[i]; i++) {
    const xlm_backend *b = xlm_backends[i];
    if (!b->title) continue;
    const char *here = b->here ? b->here() : NULL;
    xlm_text_printf(t, "%-10s plans for ", b->title);
    archs(b, t);
    xlm_text_printf(t, here ? "; this machine: %s\n" : "; runs none of them here\n", here);
  }
}

static void mpi(const xlm_program *p, xlm_text *t) {
  const char *other = xlm_share_program(t->arena, p->name);
  if (!p->mpi) return;
  xlm_text_printf(t, "MPI        %s%s\n",
                  p->mpi() ? XLM_MPI_FACT
                  : other  ? "in "
                           : "none: ranks are threads of one process",
                  p->mpi() || !other ? "" : other);
}

void xlm_version(const xlm_program *p, xlm_text *out) {
  xlm_text_printf(out, "%s " XLM_VERSION "\n", p->name);
  if (*XLM_COMMIT) xlm_text_printf(out, "commit     " XLM_COMMIT " of " XLM_COMMIT_DATE "\n");
  xlm_text_printf(out, "build      " XLM_COMPILER ", " XLM_BUILD "\n");
  backends(out);
  xlm_text_printf(out, "kernels    CPU%s\n",
                  *XLM_CUDA_FACT ? ", " XLM_CUDA_FACT : "; none for GPUs (docs/gpu.md)");
  mpi(p, out);
  xlm_text_printf(out, "libraries  " XLM_LIBRARIES_FACT "\n");
  xlm_text_printf(out, "files      %s\n", xlm_share_folder(out->arena));
}
