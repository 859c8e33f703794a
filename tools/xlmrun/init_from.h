// --init-from: sizes and weights of another tool's folder, or of a checkpoint.
#ifndef XLM_XLMRUN_INIT_FROM_H
#define XLM_XLMRUN_INIT_FROM_H

#include "tools/xlmrun/session.h"

// Takes the model's sizes from the config.json beside the weights, or from the checkpoint's settings; command
// line and run file take precedence. To be called once the model text is read. Nothing without --init-from.
xlm_status init_from_sizes(session *s);
// Fills the parameters, which have their initial values.
xlm_status init_from_weights(session *s, const char *path);

#endif
