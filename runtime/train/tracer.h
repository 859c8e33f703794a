// The trace of a run (runtime/plan/trace.h): some of its steps, recorded on every rank and written to one
// file by process 0 after the last of them.
//
// Memory for recording is allocated at open; writing needs some temporarily. Ranks that are threads or on one
// host share a clock. Other hosts are aligned by a barrier before the first traced step: its end on each host
// is time 0, so times of different hosts are comparable to within the duration of a barrier.
#ifndef XLM_TRAIN_TRACER_H
#define XLM_TRAIN_TRACER_H

#include "runtime/exec/team.h"

typedef struct xlm_tracer xlm_tracer;

typedef struct xlm_tracer_options {
  const char *path;
  int64_t first, last; // steps of this run, counted from 1
  void (*planned)(void *arg, xlm_arena *a,
                  xlm_json *j); // adds events of the planned step (see trace.h); may be NULL
  void *planned_arg;
} xlm_tracer_options;

// XLM_ENV when the file cannot be written (process 0) or when out of memory. Strings must outlive the tracer.
xlm_status xlm_tracer_open(xlm_team *team, const xlm_tracer_options *o, xlm_tracer **out,
                           xlm_error *err) XLM_MUST_CHECK;
void xlm_tracer_close(xlm_tracer *t);

// To be called around every step of the run, by all processes; t may be NULL. step: its number, for display.
xlm_status xlm_tracer_before(xlm_tracer *t, int64_t step, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_tracer_after(xlm_tracer *t, xlm_error *err) XLM_MUST_CHECK;
// At the end of the run, which may be early: writes what was recorded, unless already written.
xlm_status xlm_tracer_finish(xlm_tracer *t, xlm_error *err) XLM_MUST_CHECK;
bool xlm_tracer_recording(const xlm_tracer *t); // between before and after of a traced step
bool xlm_tracer_written(const xlm_tracer *t);

#endif
