// Batch sizes. The micro batch size is the number of samples that one data-parallel rank computes at once; a
// microbatch of the plan is that over all of them; and the global batch, which determines the training, is a
// whole number of microbatches. Sizes that are not given are chosen to fit, starting with the global batch,
// which no layout may change.
#include <stdio.h>

#include "tools/common/request.h"

typedef struct sizes {
  int64_t ranks, stages; // data-parallel ranks; pipeline stages
  int64_t global, micro, count;
} sizes;

// A size from a checkpoint may not suit this layout.
static int64_t size_of(const xlm_run_settings *s, xlm_setting_id id, bool *weak) {
  *weak = s->value[id].source == XLM_FROM_CHECKPOINT;
  return xlm_setting_int(s, id);
}

static int64_t default_global(const sizes *z) {
  int64_t unit = z->ranks * (z->micro ? z->micro : 1) * (z->count ? z->count : 1);
  if (z->micro && z->count) return unit;
  return unit > 32 ? unit : 32 / unit * unit;
}

// At most 4, such that the number of microbatches is whole and, if possible, at least that of stages.
static int64_t default_micro(const sizes *z) {
  int64_t each = z->global / z->ranks, best = 1;
  if (z->count) return each / z->count > 0 ? each / z->count : 1;
  for (int64_t k = 4; k > 0; k--) {
    if (each % k) continue;
    if (each / k >= z->stages) return k;
    if (best == 1 && k > best) best = k;
  }
  return each >= z->stages ? 1 : best;
}

static xlm_status refuse(const sizes *z, xlm_error *err) {
  long long unit = z->micro * z->ranks, below = z->global / unit > 0 ? z->global / unit * unit : 0;
  char work[64];
  if (below)
    snprintf(work, sizeof work, "%lld and %lld would work", below, below + unit);
  else
    snprintf(work, sizeof work, "%lld and %lld would work", unit, 2 * unit);
  if (z->ranks == 1)
    return xlm_fail(err, XLM_USER,
                    "the global batch size %lld is no multiple of the micro batch size %lld; %s",
                    (long long)z->global, (long long)z->micro, work);
  if (z->global % z->ranks == 0)
    return xlm_fail(err, XLM_USER,
                    "the global batch size %lld is no multiple of %lld = micro batch size %lld x %lld "
                    "data-parallel ranks; "
                    "%s, or a micro batch size that divides %lld",
                    (long long)z->global, unit, (long long)z->micro, (long long)z->ranks, work,
                    (long long)(z->global / z->ranks));
  return xlm_fail(err, XLM_USER,
                  "the global batch size %lld is no multiple of %lld = micro batch size %lld x %lld "
                  "data-parallel ranks; %s",
                  (long long)z->global, unit, (long long)z->micro, (long long)z->ranks, work);
}

static xlm_status refuse_count(const sizes *z, int64_t count, xlm_error *err) {
  return xlm_fail(err, XLM_USER,
                  "--num-microbatches %lld does not fit: global batch size %lld / (micro batch size %lld x "
                  "%lld data-parallel "
                  "ranks) = %lld",
                  (long long)z->count, (long long)z->global, (long long)z->micro, (long long)z->ranks,
                  (long long)count);
}

xlm_status xlm_request_batch(const xlm_run_settings *s, int64_t model, int64_t ranks, int64_t stages,
                             int64_t *batch, int64_t *microbatches, xlm_error *err) {
  bool weak_global, weak_micro, weak_count;
  sizes z = {.ranks = ranks,
             .stages = stages,
             .global = size_of(s, XLM_SET_global_batch_size, &weak_global),
             .micro = size_of(s, XLM_SET_micro_batch_size, &weak_micro),
             .count = size_of(s, XLM_SET_microbatches, &weak_count)};
  if (!z.global && !z.micro && model > 0) z.global = model;
  if (!z.global) z.global = default_global(&z);
  if (z.micro && weak_micro && z.global % (z.micro * ranks)) z.micro = 0;
  bool as_preset = model > 0 && z.global % model == 0 && model % ranks == 0 && stages == 1 && !z.count;
  if (!z.micro && as_preset) z.micro = model / ranks;
  if (!z.micro) z.micro = default_micro(&z);
  if (z.global % (z.micro * ranks)) return refuse(&z, err);
  *batch = z.micro * ranks;
  *microbatches = z.global / *batch;
  if (z.count && z.count != *microbatches && !weak_count) return refuse_count(&z, *microbatches, err);
  return XLM_OK;
}
