// The functions of NCCL that the link uses, as a table: the library's own, loaded when first used, or a
// test's. This does not need nccl.h; types and values are its own, which later versions keep.
//
// Every int returned is an ncclResult_t. Communicators are non-blocking (config.blocking = 0), so that no
// call waits for another rank: it returns NCCL_IN_PROGRESS, and async_error says NCCL_IN_PROGRESS until it is
// done. Until then the communicator must not be used, and what it is to do may not be on its stream yet.
#ifndef XLM_CUDA_NCCL_H
#define XLM_CUDA_NCCL_H

#include "runtime/device/cuda/runtime.h"

XLM_C_BEGIN

typedef struct ncclComm *nccl_comm;
typedef struct nccl_id { // made by one rank and given to all: a world
  char bytes[128];
} nccl_id;

enum { NCCL_OK = 0, NCCL_IN_PROGRESS = 7, NCCL_UINT8 = 1, NCCL_NO_COLOR = -1, NCCL_UNSET = INT32_MIN };
enum { NCCL_OLDEST = 21801 }; // 2.18.1, the first with all of this; also the version of nccl_config

typedef struct nccl_config { // ncclConfig_t as of 2.18: the library reads no more than `bytes` of it
  size_t bytes;
  uint32_t magic, version;
  int blocking, cga_cluster, min_ctas, max_ctas;
  const char *net;
  int split_share;
} nccl_config;

#define NCCL_CONFIG                                                                                          \
  {                                                                                                          \
    .bytes = sizeof(nccl_config), .magic = 0xcafebeef, .version = NCCL_OLDEST, .blocking = 0,                \
    .cga_cluster = NCCL_UNSET, .min_ctas = NCCL_UNSET, .max_ctas = NCCL_UNSET, .split_share = NCCL_UNSET     \
  }

typedef struct xlm_nccl {
  int (*version)(int *version); // 22809: 2.28.9
  const char *(*text)(int result);
  const char *(*last_error)(nccl_comm c); // more about it; may be empty
  int (*unique_id)(nccl_id *out);
  int (*init)(nccl_comm *out, int ranks, nccl_id id, int rank, nccl_config *config);
  // Members with one colour become a communicator, in the order of `key`; all ranks of c call it. *out is set
  // when c is no longer in progress: NULL for NCCL_NO_COLOR. config NULL: that of c.
  int (*split)(nccl_comm c, int color, int key, nccl_comm *out, nccl_config *config);
  int (*async_error)(nccl_comm c, int *result);
  // Between group_start and group_end calls are collected, and run as one operation.
  int (*group_start)(void);
  int (*group_end)(void);
  int (*send)(const void *data, size_t n, int type, int peer, nccl_comm c, xlm_cuda_queue q);
  int (*recv)(void *data, size_t n, int type, int peer, nccl_comm c, xlm_cuda_queue q);
  int (*finalize)(nccl_comm c); // all ranks; waits, in progress, for what was enqueued
  int (*destroy)(nccl_comm c);  // after it
  int (*abandon)(nccl_comm c);  // ends what runs on the card, and frees c
} xlm_nccl;

// XLM_ENV when there is none, with what to do. *version: of the library.
xlm_status xlm_nccl_table(const xlm_nccl **out, int *version, xlm_error *err) XLM_MUST_CHECK;

XLM_C_END

#endif
