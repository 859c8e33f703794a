// The source of model and weights for eval and generate.
#ifndef XLM_XLMRUN_WEIGHTS_H
#define XLM_XLMRUN_WEIGHTS_H

#include "tools/xlmrun/session.h"

// The single argument is a model file or saved plan (with weights from --init-from), a checkpoint, or a
// folder of checkpoints; default: ./checkpoints. Opens the checkpoint, if any, and reads the model text.
xlm_status weights_open(session *s);

#endif
