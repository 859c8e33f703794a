// The trace of a run (runtime/plan/trace.h): some of its steps, recorded on every rank, written as one file
// by process 0 when the last of them is done.
//
// Room for the recording is taken when it is opened; writing takes memory for a moment. Ranks that are
// threads or on one host share a clock. Other hosts are aligned by a barrier before the first traced step:
// its end on each host is time 0, so times of different hosts are comparable to about the time of a barrier.
#ifndef XLM_TRAIN_TRACER_H
#define XLM_TRAIN_TRACER_H

#include "runtime/exec/team.h"

typedef struct xlm_tracer xlm_tracer;

typedef struct xlm_tracer_options {
  const char *path;
  int64_t first, last; // steps of this run, counted from 1
  void (*planned)(void *arg, xlm_arena *a,
                  xlm_json *j); // adds events of the planned step (see trace.h); or NULL
  void *planned_arg;
} xlm_tracer_options;

// XLM_ENV when the file cannot be written (process 0) or there is no memory for the recording. Strings must
// live on.
xlm_status xlm_tracer_open(xlm_team *team, const xlm_tracer_options *o, xlm_tracer **out,
                           xlm_error *err) XLM_MUST_CHECK;
void xlm_tracer_close(xlm_tracer *t);

// Around every step of the run, by all processes; t NULL: there is no trace. step: its number, for people.
xlm_status xlm_tracer_before(xlm_tracer *t, int64_t step, xlm_error *err) XLM_MUST_CHECK;
xlm_status xlm_tracer_after(xlm_tracer *t, xlm_error *err) XLM_MUST_CHECK;
// The run is over, perhaps before its time: writes what was recorded, unless that is done.
xlm_status xlm_tracer_finish(xlm_tracer *t, xlm_error *err) XLM_MUST_CHECK;
bool xlm_tracer_recording(const xlm_tracer *t); // between before and after of a traced step
bool xlm_tracer_written(const xlm_tracer *t);

#endif
