// A training run as it looks from outside: its card and its metrics, also while it goes on. Runs that were
// resumed, killed in the middle of a line, or have values that are not finite are all readable.
#ifndef XLM_WATCHING_RUN_H
#define XLM_WATCHING_RUN_H

#include <stdbool.h>

#include "tools/watching/card.h"

typedef struct xlm_run_series { // one field of the metrics: a point for every line that has it
  const char *name;
  uint32_t n, cap;
  int64_t *step; // ascending
  double *value; // not finite: NaN
} xlm_run_series;

typedef struct xlm_run_lists { // a field whose values are lists of numbers, all of one length
  const char *name;
  uint32_t n, cap, width;
  int64_t *step; // ascending
  float *value;  // [n][width]; not finite: NaN
} xlm_run_lists;

typedef struct xlm_run_sample { // a text that the model wrote
  int64_t step;                 // ascending
  const char *prompt, *text;
} xlm_run_sample;

typedef struct xlm_run {
  xlm_arena *arena;
  const char *path;    // as given, without a slash at the end
  const char *name;    // the folder's
  const char *folder;  // NULL: only a metrics file was given
  const char *metrics; // path of the metrics file
  bool has_card;
  xlm_card card;
  xlm_run_series *series; // in the order of their first appearance; "step" is none
  uint32_t n_series, cap_series;
  xlm_run_lists *lists; // likewise
  uint32_t n_lists, cap_lists;
  xlm_run_sample *samples;
  uint32_t n_samples, cap_samples;
  int64_t last_step; // 0: none
  int64_t ignored;   // lines that are no metrics
  uint64_t read;     // bytes of the file
} xlm_run;

// path: an output folder, or a metrics file. XLM_USER when it is neither. Allocated in the arena, which must
// outlive it; a file that does not exist yet is empty.
xlm_status xlm_run_open(xlm_arena *a, const char *path, xlm_run **out, xlm_error *err) XLM_MUST_CHECK;
// Reads the lines that were written since; *changed: there are new ones. A last line without its end waits.
// Lines of an earlier step than those before them replace those from that step on (a resumed run).
xlm_status xlm_run_update(xlm_run *r, bool *changed, xlm_error *err) XLM_MUST_CHECK;
bool xlm_run_goes_on(const xlm_run *r); // a process holds its folder
// "running", "done", "ended early", "stopped", "failed", "interrupted"; "" when it cannot be known.
const char *xlm_run_state(const xlm_run *r);
const xlm_run_series *xlm_run_field(const xlm_run *r, const char *name); // NULL: no line has it
double xlm_run_last(const xlm_run *r, const char *name);                 // NaN: none
// The lowest value of a field and its step; NaN and 0 when there is none.
double xlm_run_lowest(const xlm_run *r, const char *name, int64_t *step);

#endif
