// Where a run has diverged; see bad.h.
#include "runtime/train/bad.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bad_note { // result of a process's search
  int32_t found;          // 0 nothing, 1 a result, 2 a state
  char text[500];
} bad_note;

xlm_status xlm_bad_describe(xlm_team *team, xlm_step_env env, char out[XLM_BAD_TEXT], xlm_error *err) {
  int processes = xlm_team_processes(team);
  bad_note mine = {0}, *all = calloc((size_t)processes, sizeof *all), *worst = NULL;
  *out = 0;
  xlm_bad_tensor bad = xlm_team_first_bad(team, env);
  xlm_model_line at = xlm_plan_model_line(xlm_team_plan(team), bad.line);
  mine.found = !bad.name ? 0 : strcmp(bad.op, "state") ? 1 : 2;
  if (bad.name)
    snprintf(mine.text, sizeof mine.text, "; the first bad tensor is '%s' (%s%s%s, %.*s:%u)", bad.name,
             bad.op, bad.scope && *bad.scope ? " in " : "", bad.scope ? bad.scope : "",
             at.n < 200 ? at.n : 200, at.path, at.line);
  xlm_status s =
      all ? xlm_team_share(team, &mine, sizeof mine, all, err) : xlm_fail(err, XLM_ENV, "no memory");
  for (int k = 0; s == XLM_OK && k < processes; k++)
    if (all[k].found > (worst ? worst->found : 0)) worst = &all[k];
  if (worst) snprintf(out, XLM_BAD_TEXT, "%s", worst->text);
  free(all);
  return s;
}
