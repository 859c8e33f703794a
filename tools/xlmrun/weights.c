// Where eval and generate take model and weights from; see weights.h.
#include "tools/xlmrun/weights.h"

#include <string.h>

static bool is_model(const char *path) {
  size_t n = strlen(path);
  return n > 4 && !strcmp(path + n - 4, ".xlm");
}

xlm_status weights_open(session *s) {
  const xlm_run_settings *r = s->settings;
  const char *what;
  XLM_TRY(session_named(s, &what));
  if (!what) what = "./checkpoints";
  if (!s->saved && !is_model(what)) {
    XLM_TRY(session_open_checkpoint(s, what));
    return session_read_model(s, NULL);
  }
  if (*xlm_setting_text(r, XLM_SET_init_from)) return session_read_model(s, what);
  return xlm_fail(&s->err, XLM_USER,
                  "'%s' is a %s without weights: give a checkpoint instead, or --init-from WEIGHTS", what,
                  s->saved ? "plan" : "model");
}
