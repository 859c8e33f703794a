// What the commands for finished and running runs share: their few flags, and memory that runs out.
#ifndef XLM_XLMRUN_VIEW_H
#define XLM_XLMRUN_VIEW_H

#include "tools/watching/run.h"

enum { VIEW_WORDS = 256 };

typedef struct view {
  xlm_arena *arena;
  const char *usage;
  const char *output, *title, *format, *field; // --output and so on; NULL: not given
  double interval;                             // --interval, in seconds; 0: not given
  bool once;                                   // --once
  const char *words[VIEW_WORDS];               // arguments that are no flags
  int n_words;
  xlm_error err;
} view;

typedef xlm_status view_body(view *v);
// Reads the flags, of which the usage lists those that the command has, and runs the body; prints --help and
// the error; returns the exit code.
int view_run(const char *usage, int argc, char *const *argv, view_body *body);

int command_report(int argc, char *const *argv);
int command_watch(int argc, char *const *argv);
int command_runs(int argc, char *const *argv);
extern const char command_report_usage[], command_watch_usage[], command_runs_usage[];

#endif
