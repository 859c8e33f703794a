// See cudnn.h: the library itself.
#include "ops/cuda/cudnn.h"

#include <pthread.h>

#include "runtime/base/library.h"

static const xlm_library_symbol symbols[] = {
    {"cudnnGetVersion", offsetof(xlm_cudnn, version)},
    {"cudnnGetLastErrorString", offsetof(xlm_cudnn, last_error)},
    {"cudnnCreate", offsetof(xlm_cudnn, create)},
    {"cudnnDestroy", offsetof(xlm_cudnn, destroy)},
    {"cudnnSetStream", offsetof(xlm_cudnn, set_stream)},
    {"cudnnBackendCreateDescriptor", offsetof(xlm_cudnn, desc_create)},
    {"cudnnBackendDestroyDescriptor", offsetof(xlm_cudnn, desc_destroy)},
    {"cudnnBackendSetAttribute", offsetof(xlm_cudnn, set)},
    {"cudnnBackendGetAttribute", offsetof(xlm_cudnn, get)},
    {"cudnnBackendFinalize", offsetof(xlm_cudnn, finalize)},
    {"cudnnBackendExecute", offsetof(xlm_cudnn, execute)},
};
enum { OLDEST = 91002 }; // attention of 9.10.0 and 9.10.1 has known errors

static xlm_cudnn table;
static bool is_loaded;

static void load(void) {
  static const char *const names[] = {"libcudnn.so.9", NULL};
  is_loaded = xlm_library_load(names, symbols, sizeof symbols / sizeof *symbols, &table, NULL);
}

xlm_status xlm_cudnn_table(const xlm_cudnn **out, xlm_error *err) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, load);
  *out = &table;
  if (!is_loaded)
    return xlm_fail(
        err, XLM_ENV,
        "attention by cuDNN needs libcudnn.so.9 (9.10.2 or later), which was not found: add its folder to "
        "LD_LIBRARY_PATH, or plan with --attention own");
  int version = (int)table.version();
  if (version >= OLDEST) return XLM_OK;
  return xlm_fail(err, XLM_ENV,
                  "libcudnn.so.9 is cuDNN %d.%d.%d: attention needs 9.10.2 or later; install it, or plan "
                  "with --attention own",
                  version / 10000, version / 100 % 100, version % 100);
}
