// Which tensor of a diverged run is the first that is not finite.
#ifndef XLM_TRAIN_BAD_H
#define XLM_TRAIN_BAD_H

#include "runtime/exec/team.h"

enum { XLM_BAD_TEXT = 512 };

// As a clause, "; the first bad tensor is ..", the same on all processes; empty: none. States before results,
// in order of rank. All processes call it together. env: of the last step.
xlm_status xlm_bad_describe(xlm_team *team, xlm_step_env env, char out[XLM_BAD_TEXT],
                            xlm_error *err) XLM_MUST_CHECK;

#endif
