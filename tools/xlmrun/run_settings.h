// The settings that identify a run: what checkpoints store, and what differs from the run that is resumed.
#ifndef XLM_XLMRUN_RUN_SETTINGS_H
#define XLM_XLMRUN_RUN_SETTINGS_H

#include "tools/xlmrun/session.h"

// Was it given now, by flag or run file? Settings of a checkpoint include defaults.
bool run_settings_given(const session *s, xlm_setting_id id);
// Seed, model, plan and settings; needs the plan. Allocated in the session's arena.
void run_settings_info(session *s, xlm_checkpoint_info *out);
// Prints what differs from the checkpoint: settings that change the result, those that do not, and the plan.
void run_settings_note_changes(session *s);
// Prints the settings that have no effect with others; probably one was forgotten.
void run_settings_note_idle(const session *s);
// Can validation losses be compared with the checkpoint's?
bool run_settings_same_validation(session *s);

#endif
