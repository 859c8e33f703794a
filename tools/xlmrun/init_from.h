// --init-from: sizes and weights of another tool's folder, or of a checkpoint.
#ifndef XLM_XLMRUN_INIT_FROM_H
#define XLM_XLMRUN_INIT_FROM_H

#include "tools/xlmrun/session.h"

// Takes the model's sizes from the config.json beside the weights, or from the checkpoint's settings; command
// line and run file take precedence. To be called once the model text is read. Nothing without --init-from.
xlm_status init_from_sizes(session *s);
// Fills the parameters, which have their initial values.
xlm_status init_from_weights(session *s, const char *path);
// --init-adapters: then the factors of adapters. Nothing without it.
xlm_status init_from_adapters(session *s);
// The factor of a parameter's adapter, for export and import; arg: xlm_train_options.
double init_from_scale(void *arg, const char *param);

#endif
