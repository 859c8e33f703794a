// The source of model and weights for eval and generate; see weights.h.
#include "tools/xlmrun/weights.h"

#include <string.h>
#include <unistd.h>

static bool is_model(const char *path) {
  size_t n = strlen(path);
  return n > 4 && !strcmp(path + n - 4, ".xlm");
}

static xlm_status need_folder(session *s, const char *path, bool named) {
  if (!access(path, F_OK)) return XLM_OK;
  if (named) return xlm_fail(&s->err, XLM_USER, "there is no checkpoint '%s'", path);
  return xlm_fail(
      &s->err, XLM_USER,
      "which checkpoint? there is no folder %s, where `xlmrun train` puts them unless told otherwise; "
      "name one, as in `xlmrun eval run`",
      path);
}

xlm_status weights_open(session *s) {
  const xlm_run_settings *r = s->settings;
  const char *what;
  XLM_TRY(session_named(s, &what));
  bool named = what != NULL;
  if (!named) what = "./checkpoints";
  if (!s->saved && !is_model(what)) {
    XLM_TRY(need_folder(s, what, named));
    XLM_TRY(session_open_checkpoint(s, what));
    return session_read_model(s, NULL);
  }
  if (*xlm_setting_text(r, XLM_SET_init_from)) return session_read_model(s, what);
  return xlm_fail(&s->err, XLM_USER,
                  "'%s' is a %s without weights: give a checkpoint instead, or --init-from WEIGHTS", what,
                  s->saved ? "plan" : "model");
}
