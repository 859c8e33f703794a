// The loss curve: points collected during training, drawn as a self-contained SVG file.
#ifndef XLM_TRAIN_CURVE_H
#define XLM_TRAIN_CURVE_H

#include <stdint.h>

#include "runtime/base/status.h"

enum { XLM_CURVE_POINTS = 1024 };

// Up to XLM_CURVE_POINTS points; when full, neighbours are averaged. Adding never allocates.
typedef struct xlm_series {
  int n;
  int64_t per_point; // values averaged into one point
  int64_t pending;   // values in the last, unfinished point
  double step[XLM_CURVE_POINTS], value[XLM_CURVE_POINTS];
} xlm_series;

typedef struct xlm_curve {
  xlm_series train, valid;
} xlm_curve;

void xlm_series_add(xlm_series *s, int64_t step, double value); // ignores non-finite values
// Fills the curve from a metrics file (of the earlier part of a resumed run). A missing file leaves it empty.
xlm_status xlm_curve_read(xlm_curve *c, const char *metrics_path, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_curve_write(const xlm_curve *c, const char *title, const char *path,
                           xlm_error *err) XLM_MUST_CHECK;

#endif
