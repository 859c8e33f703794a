// A run of a saved plan: what `xlmc plan --format json` wrote is read, verified and run; nothing is compiled.
// The plan brings the model text and the settings that made it, so that its checkpoints are like any other.
#ifndef XLM_XLMRUN_SAVED_PLAN_H
#define XLM_XLMRUN_SAVED_PLAN_H

#include "tools/xlmrun/session.h"

// By its name (.json) or, of other files than models, by its first letter: `{`.
bool saved_plan_is(const char *path);
// Reads and verifies; fills s->plan, model path and text.
xlm_status saved_plan_open(session *s, const char *path) XLM_MUST_CHECK;
// The plan's settings become those of the run; what was given beside them must not be theirs to decide.
// with_train, with_eval: segments that the plan must have.
xlm_status saved_plan_settle(session *s, bool with_train, bool with_eval) XLM_MUST_CHECK;
// For --print-config: without what a run of the plan takes from it.
void saved_plan_hide_settings(xlm_run_settings *r);

#endif
