// TensorBoard event files: the metrics as scalars and samples as texts, in records that TensorBoard reads while the run goes on.
//
// A record (TFRecord): length, u64; its masked CRC32C, u32; an Event as protobuf; the masked CRC32C of that;
// all little-endian. tensorflow/core/lib/io/record_writer.h and tensorflow/core/util/event.proto describe
// both.
#ifndef XLM_TRAIN_TENSORBOARD_H
#define XLM_TRAIN_TENSORBOARD_H

#include "runtime/train/metrics.h"

// Creates a file in the folder (which is made), named so that it is read after those that are there. step:
// done before; what earlier files have beyond it no longer counts for readers.
xlm_status xlm_tensorboard_open(const char *dir, int64_t step, int *fd, xlm_error *err) XLM_MUST_CHECK;
// One event. Not buffered; allocates nothing unless lists or samples are long.
xlm_status xlm_tensorboard_write(int fd, const xlm_metrics_line *line, xlm_error *err) XLM_MUST_CHECK;

#endif
