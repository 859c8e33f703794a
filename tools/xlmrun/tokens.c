// Tokens made of documents, with progress and signals; see tokens.h.
#include "tools/xlmrun/tokens.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/common/request.h"

typedef struct view {
  bool live;       // on a terminal: one line that changes
  double last;     // when something was shown
  int64_t started; // bytes read when this call began; -1: not known yet
  int shown;       // columns of the live line
} view;

static volatile sig_atomic_t stop;

static void on_signal(int number) {
  (void)number;
  if (stop) _exit(130);
  stop = 1;
}

static void catch_signals(void) {
  struct sigaction a = {.sa_handler = on_signal}, before;
  if (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN) sigaction(SIGHUP, &a, NULL);
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
}

static int terminal_width(void) {
  struct winsize w;
  return !ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col > 1 ? w.ws_col - 1 : 79;
}

static int time_left(const xlm_tokenize_progress *p, int64_t read, char *out, size_t size) {
  double rate = p->seconds > 0 ? (double)read / p->seconds : 0;
  if (rate <= 0 || p->read >= p->all) return 0;
  int64_t s = (int64_t)((double)(p->all - p->read) / rate);
  return snprintf(out, size, "  %" PRId64 ":%02" PRId64 ":%02" PRId64 " left", s / 3600, s / 60 % 60, s % 60);
}

static void line_of(const view *v, const xlm_tokenize_progress *p, char *out, size_t size) {
  double percent = p->all ? 100.0 * (double)p->read / (double)p->all : 100;
  double per_second = p->seconds > 0 ? 1 / p->seconds : 0;
  int64_t read = p->read - v->started;
  char left[64] = "";
  time_left(p, read, left, sizeof left);
  snprintf(out, size, "%5.1f%%  %" PRId64 " documents  %.0f documents/s  %.1f MB/s%s", percent, p->documents,
           (double)(p->documents - p->resumed) * per_second, 1e-6 * (double)read * per_second, left);
}

static void show(void *arg, const xlm_tokenize_progress *p) {
  view *v = arg;
  char line[256];
  if (v->started < 0) v->started = p->resumed ? p->read : 0;
  if (p->seconds - v->last < (v->live ? 0.2 : 10)) return;
  v->last = p->seconds;
  line_of(v, p, line, sizeof line);
  if (!v->live) {
    fprintf(stderr, "%s\n", line);
    return;
  }
  int width = terminal_width(), n = (int)strlen(line) < width ? (int)strlen(line) : width;
  fprintf(stderr, "\r%.*s%*s", n, line, v->shown > n ? v->shown - n : 0, "");
  v->shown = n;
}

void tokens_options(session *s, xlm_tokenize_options *o) {
  const char *separator = xlm_setting_text(s->settings, XLM_SET_text_separator);
  *o = (xlm_tokenize_options){
      .documents = {.field = xlm_setting_text(s->settings, XLM_SET_text_field),
                    .separator = *separator ? separator : NULL},
      .threads = xlm_request_threads(s->settings),
  };
}

xlm_status tokens_make(session *s, const xlm_tokenize_options *options, xlm_tokenize_result *r) {
  xlm_tokenize_options o = *options;
  view v = {.live = isatty(STDERR_FILENO), .started = -1};
  o.report = s->silent ? NULL : show;
  o.report_arg = &v;
  o.stop = &stop;
  catch_signals();
  xlm_status status = xlm_tokenize(&o, s->arena, r, &s->err);
  if (v.shown) fprintf(stderr, "\r%*s\r", v.shown, "");
  if (status != XLM_OK || !r->stopped) return status;
  s->exit_code = 130;
  return xlm_fail(&s->err, XLM_ENV, "stopped after %s: the same command goes on from there",
                  xlm_text_plural(s->arena, r->progress.documents, "document"));
}

void tokens_show(session *s, const xlm_tokenize_result *r) {
  const xlm_token_manifest *m = &r->manifest;
  printf("%s  %s  %.2f bytes per token  ids below %s  %s\n",
         xlm_text_plural(s->arena, m->documents, "document"), xlm_text_plural(s->arena, m->tokens, "token"),
         m->tokens ? (double)m->bytes / (double)m->tokens : 0, xlm_text_thousands(s->arena, m->vocabulary),
         xlm_text_plural(s->arena, m->n_shards, "file"));
  if (m->document_end < 0)
    printf(
        "note: no token ends a document, since the tokenizer has none for it: --document-end ID gives one\n");
}
