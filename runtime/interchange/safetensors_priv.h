// Shared by safetensors_header.c (one file) and safetensors_read.c (sets of files).
#ifndef XLM_INTERCHANGE_SAFETENSORS_PRIV_H
#define XLM_INTERCHANGE_SAFETENSORS_PRIV_H

#include "runtime/base/map.h"
#include "runtime/interchange/safetensors.h"

typedef struct xlm_st_shard {
  const char *path;
  int fd;
  xlm_map map; // for the header; tensors are read from fd
} xlm_st_shard;

struct xlm_safetensors {
  xlm_arena *arena;
  xlm_st_check check;
  xlm_st_shard *shards;
  uint32_t n_shards, cap_shards;
  xlm_st_tensor *at;
  uint32_t n, cap;
};

// Opens the file, checks its header, and adds its tensors. XLM_USER: it is no valid safetensors file.
xlm_status xlm_st_open_file(xlm_safetensors *s, const char *path, xlm_error *err) XLM_MUST_CHECK;
// Asks the set's check for bytes [at, at + n) of the file.
xlm_status xlm_st_check_bytes(const xlm_safetensors *s, const xlm_st_shard *f, uint64_t at, uint64_t n,
                              xlm_error *err) XLM_MUST_CHECK;

#endif
