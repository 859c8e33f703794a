// Where eval and generate take model and weights from.
#ifndef XLM_XLMRUN_WEIGHTS_H
#define XLM_XLMRUN_WEIGHTS_H

#include "tools/xlmrun/session.h"

// The one positional argument is a model file or saved plan (then --init-from gives weights), a checkpoint,
// or a folder of checkpoints; none: ./checkpoints. Opens the checkpoint, if any, and reads the model text.
xlm_status weights_open(session *s);

#endif
