// Runs a saved plan: a file written by `xlmc plan --format json` is read, verified and run without
// compilation. The plan includes the model text and the settings it was made with, so that its checkpoints
// are like any other.
#ifndef XLM_XLMRUN_SAVED_PLAN_H
#define XLM_XLMRUN_SAVED_PLAN_H

#include "tools/xlmrun/session.h"

// Reads and verifies; fills s->plan, model path and text.
xlm_status saved_plan_open(session *s, const char *path) XLM_MUST_CHECK;
// Applies the plan's settings to the run and rejects others that conflict with them. programs: those
// that the plan must have, a set of XLM_WITH_...
xlm_status saved_plan_settle(session *s, uint32_t programs) XLM_MUST_CHECK;
// For --print-config: hides the settings that come from the plan.
void saved_plan_hide_settings(xlm_run_settings *r);

#endif
