// See nccl.h: the library itself.
#include "runtime/device/cuda/nccl.h"

#include <pthread.h>

#include "runtime/base/library.h"

static const xlm_library_symbol symbols[] = {
    {"ncclGetVersion", offsetof(xlm_nccl, version)},
    {"ncclGetErrorString", offsetof(xlm_nccl, text)},
    {"ncclGetLastError", offsetof(xlm_nccl, last_error)},
    {"ncclGetUniqueId", offsetof(xlm_nccl, unique_id)},
    {"ncclCommInitRankConfig", offsetof(xlm_nccl, init)},
    {"ncclCommSplit", offsetof(xlm_nccl, split)},
    {"ncclCommGetAsyncError", offsetof(xlm_nccl, async_error)},
    {"ncclGroupStart", offsetof(xlm_nccl, group_start)},
    {"ncclGroupEnd", offsetof(xlm_nccl, group_end)},
    {"ncclSend", offsetof(xlm_nccl, send)},
    {"ncclRecv", offsetof(xlm_nccl, recv)},
    {"ncclCommFinalize", offsetof(xlm_nccl, finalize)},
    {"ncclCommDestroy", offsetof(xlm_nccl, destroy)},
    {"ncclCommAbort", offsetof(xlm_nccl, abandon)},
};

static xlm_nccl table;
static int version; // 0: no library
static const char *missing;

static void load(void) {
  static const char *const names[] = {"libnccl.so.2", NULL};
  int found = 0;
  (void)xlm_library_load(names, symbols, sizeof symbols / sizeof *symbols, &table, &missing);
  if (table.version && !table.version(&found)) version = found;
}

xlm_status xlm_nccl_table(const xlm_nccl **out, int *found, xlm_error *err) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)pthread_once(&once, load);
  *out = &table, *found = version;
  if (!version)
    return xlm_fail(err, XLM_ENV,
                    "libnccl.so.2 was not found: install NCCL, or add its folder to LD_LIBRARY_PATH");
  if (!missing && version >= NCCL_OLDEST) return XLM_OK;
  return xlm_fail(err, XLM_ENV, "libnccl.so.2 is NCCL %d.%d.%d%s%s, and 2.18.1 is the oldest that serves",
                  version / 10000, version % 10000 / 100, version % 100, missing ? " without " : "",
                  missing ? missing : "");
}
