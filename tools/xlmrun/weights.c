// The source of model and weights for eval and generate; see weights.h.
#include "tools/xlmrun/weights.h"

#include <string.h>
#include <unistd.h>

#include "tools/common/request.h"
#include "tools/xlmrun/run_tokenizer.h"

static bool is_model(session *s, const char *path) { // a file, or a shipped one's name
  size_t n = strlen(path);
  if (n > 4 && !strcmp(path + n - 4, ".xlm")) return true;
  return access(path, F_OK) && !access(xlm_request_file(s->arena, path).place, F_OK);
}

static xlm_status need_folder(session *s, const char *path, bool named) {
  const char *command = s->settings->tool == 'g'   ? "generate"
                        : s->settings->tool == 'x' ? "export"
                                                   : "eval";
  if (!access(path, F_OK)) return XLM_OK;
  if (named)
    return xlm_fail(&s->err, XLM_USER, "there is no checkpoint '%s'%s", path,
                    strchr(path, ' ') ? "; a text to continue is given as --prompt" : "");
  return xlm_fail(
      &s->err, XLM_USER,
      "which checkpoint? there is no folder %s, where `xlmrun train` puts them unless told otherwise; "
      "name one, as in `xlmrun %s run`",
      path, command);
}

xlm_status weights_open(session *s) {
  const xlm_run_settings *r = s->settings;
  const char *what;
  XLM_TRY(session_named(s, &what));
  bool named = what != NULL;
  if (!named) what = "./checkpoints";
  if (!s->saved && !is_model(s, what)) {
    XLM_TRY(need_folder(s, what, named));
    XLM_TRY(session_open_checkpoint(s, what));
    XLM_TRY(run_tokenizer_resolve(s));
    return session_read_model(s, NULL);
  }
  XLM_TRY(run_tokenizer_resolve(s));
  if (*xlm_setting_text(r, XLM_SET_init_from)) return session_read_model(s, what);
  return xlm_fail(&s->err, XLM_USER,
                  "'%s' is a %s without weights: give a checkpoint instead, or --init-from WEIGHTS", what,
                  s->saved ? "plan" : "model");
}
