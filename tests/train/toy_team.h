// A plan of any number of ranks, run by local ranks on synthetic tokens or a text: shared by the tests of layouts.
// Failures end the test; `what` precedes the message.
#ifndef XLM_TESTS_TOY_TEAM_H
#define XLM_TESTS_TOY_TEAM_H

#include "runtime/exec/team.h"
#include "tests/train/train_util.h"

typedef struct toy_team {
  const xlm_plan *plan;
  const char *what;
  xlm_team *team;
  xlm_store *store; // filled with the plan's initial values, seed 7
  xlm_data *data;
  xlm_samples samples;
  xlm_feeds feeds;
} toy_team;

toy_team *toy_team_open(const xlm_plan *plan, const char *what);
// The same on a given device; XLM_TEST_DEVICE selects the device of tests that do not.
toy_team *toy_team_open_on(const char *device, const xlm_plan *plan, const char *what);
// The same on the bytes of a text file instead of synthetic tokens.
toy_team *toy_team_open_text(const xlm_plan *plan, const char *path, const char *what);
// Step s (from 0), at learning rate lr.
void toy_team_step(toy_team *t, int64_t s, double lr);
double toy_team_output(const toy_team *t, const char *name); // of the step, of the rank that has it
void toy_team_close(toy_team *t);

#endif
