// Names of the fields that every line of a run's metrics may have (docs/metrics.md). A model's own metrics
// stand beside them, so theirs are others.
#ifndef XLM_PLAN_METRIC_FIELD_H
#define XLM_PLAN_METRIC_FIELD_H

#include <stdbool.h>

#include "runtime/base/cxx.h"

XLM_C_BEGIN

bool xlm_is_metric_field(const char *name);

XLM_C_END

#endif
