// xlmrun watch: follows a run. On a terminal a plot on the alternate screen, drawn again when there is
// something new, and left behind at the end; otherwise a line for every line of the metrics.
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "runtime/train/progress.h"
#include "tools/watching/plot.h"
#include "tools/xlmrun/view.h"

const char command_watch_usage[] =
    "usage: xlmrun watch RUN [--field NAME] [--interval SECONDS] [--once]\n\n"
    "Follows a run until it ends: a plot in the terminal (q or Ctrl-C leaves), or a line per logged step in "
    "a pipe.\n\n"
    "  RUN      an output folder of `xlmrun train`, or a metrics file\n"
    "  --field NAME         a field of the metrics; default loss, with the validation losses\n"
    "  --interval SECONDS   between looks at the files; default 1\n"
    "  --once               shows what is there, and ends\n";

static volatile sig_atomic_t leave;

static void on_signal(int number) {
  (void)number;
  leave = 1;
}

// ---- what is shown ----

static double value_at(const xlm_run *r, const char *field, int64_t step) {
  const xlm_run_series *s = xlm_run_field(r, field);
  uint32_t low = 0, high = s ? s->n : 0;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (s->step[middle] < step)
      low = middle + 1;
    else
      high = middle;
  }
  return s && low < s->n && s->step[low] == step ? s->value[low] : NAN;
}

static double or_zero(double x) {
  return isnan(x) ? 0 : x;
}

static void put_line(const xlm_run *r, int64_t step, int width, char *out, int room) {
  double each = value_at(r, "step_s", step);
  int64_t all = r->card.max_steps > step ? r->card.max_steps : step;
  xlm_progress p = {.max_steps = all,
                    .seconds_left = isnan(each) ? -1 : each * (double)(all - step),
                    .m = {.step = step,
                          .loss = value_at(r, "loss", step),
                          .lr = or_zero(value_at(r, "lr", step)),
                          .tokens_per_s = or_zero(value_at(r, "tokens_per_s", step)),
                          .mfu = or_zero(value_at(r, "mfu", step)),
                          .val_loss = value_at(r, "val_loss", step),
                          .skipped = (int64_t)or_zero(value_at(r, "skipped", step)),
                          .memory_bytes = (uint64_t)or_zero(value_at(r, "memory_bytes", step))}};
  xlm_progress_line(&p, width, out, room);
}

static bool is_utf8(void) {
  static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *x = getenv(names[i]);
    if (x && *x) return strstr(x, "UTF-8") || strstr(x, "utf8") || strstr(x, "UTF8") || strstr(x, "utf-8");
  }
  return false;
}

static void put_title(const view *v, const xlm_run *r, int width, xlm_text *out) {
  int64_t step;
  double low = xlm_run_lowest(r, "val_loss", &step);
  const char *field = v->field ? v->field : "loss", *state = xlm_run_state(r);
  xlm_text t = xlm_text_new(out->arena);
  xlm_text_printf(&t, "%s  %s%s%s", field, r->name, *state ? "  " : "", state);
  if (!v->field && step) xlm_text_printf(&t, "  best validation %.4f at step %lld", low, (long long)step);
  xlm_text_addn(out, t.data, t.n < (size_t)width ? t.n : (size_t)width);
  xlm_text_add(out, "\n");
}

// All lines of a frame, as wide and high as the terminal.
static void put_frame(const view *v, const xlm_run *r, struct winsize size, xlm_text *out) {
  char line[512];
  const char *no_color = getenv("NO_COLOR");
  int width = size.ws_col > 1 ? size.ws_col - 1 : 79;
  xlm_plot p = {.columns = width,
                .rows = (size.ws_row > 8 ? size.ws_row : 8) - 3,
                .ascii = !is_utf8(),
                .color = !no_color || !*no_color,
                .first = xlm_run_field(r, v->field ? v->field : "loss"),
                .second = v->field ? NULL : xlm_run_field(r, "val_loss")};
  put_title(v, r, width, out);
  xlm_plot_print(&p, out);
  put_line(r, r->last_step, width, line, sizeof line);
  xlm_text_printf(out, "%s\n", r->last_step ? line : "no steps yet");
}

// ---- the terminal ----

typedef struct terminal {
  bool keys; // are read
  struct termios before;
} terminal;

static void enter(terminal *t) {
  t->keys = isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &t->before);
  struct termios raw = t->before;
  raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  if (t->keys) tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  fputs("\033[?1049h\033[?25l", stdout); // the alternate screen, without a cursor
}

static void go_back(terminal *t) {
  fputs("\033[?25h\033[?1049l", stdout);
  fflush(stdout);
  if (t->keys) tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
}

static struct winsize size_now(void) {
  struct winsize w;
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || !w.ws_col ? (struct winsize){.ws_col = 80, .ws_row = 24} : w;
}

static void draw(const view *v, const xlm_run *r, bool in_place) {
  xlm_arena *a = xlm_arena_child(v->arena);
  xlm_text t = xlm_text_new(a);
  put_frame(v, r, size_now(), &t);
  if (in_place) fputs("\033[H", stdout);
  for (const char *c = t.data; *c; c++) {
    if (in_place && *c == '\n') fputs("\033[K", stdout); // clears what an earlier frame has there
    putchar(*c);
  }
  if (in_place) fputs("\033[Jq leaves", stdout);
  fflush(stdout);
  xlm_arena_free(a);
}

// Waits; a key, a signal or the end of the terminal may end it.
static void wait_for_key(const view *v, const terminal *t) {
  struct pollfd p = {.fd = t && t->keys ? STDIN_FILENO : -1, .events = POLLIN};
  char key;
  int n = poll(&p, 1, (int)((v->interval > 0 ? v->interval : 1) * 1000));
  if (n <= 0) return; // the time is over, or a signal
  bool gone = read(STDIN_FILENO, &key, 1) <= 0 && errno != EINTR;
  leave |= gone || key == 'q' || key == 'Q';
}

static xlm_status follow_on_terminal(view *v, xlm_run *r) {
  terminal t = {0};
  bool changed, goes_on = xlm_run_goes_on(r) && !v->once;
  xlm_status status = XLM_OK;
  if (goes_on) enter(&t);
  bool entered = goes_on;
  while (status == XLM_OK && goes_on && !leave && !ferror(stdout)) {
    draw(v, r, true);
    wait_for_key(v, &t);
    goes_on = xlm_run_goes_on(r); // before the last lines are read
    status = xlm_run_update(r, &changed, &v->err);
  }
  if (entered) go_back(&t);
  if (status == XLM_OK) draw(v, r, false);
  return status;
}

// ---- lines ----

static int64_t print_lines(const xlm_run *r, int64_t after) {
  char line[512];
  const xlm_run_series *s = xlm_run_field(r, "loss");
  if (r->last_step < after) after = 0; // begun anew
  for (uint32_t i = 0; s && i < s->n; i++) {
    if (s->step[i] <= after) continue;
    put_line(r, s->step[i], 200, line, sizeof line);
    printf("%s\n", line);
    after = s->step[i];
  }
  fflush(stdout);
  return after;
}

static xlm_status follow_in_lines(view *v, xlm_run *r) {
  bool changed, goes_on = true;
  for (int64_t at = 0; goes_on && !leave && !ferror(stdout);) {
    goes_on = xlm_run_goes_on(r) && !v->once;
    XLM_TRY(xlm_run_update(r, &changed, &v->err));
    at = print_lines(r, at);
    if (goes_on) wait_for_key(v, NULL);
  }
  const char *state = xlm_run_state(r);
  if (*state && !ferror(stdout)) printf("%s\n", state);
  return XLM_OK;
}

static xlm_status no_field(view *v, const xlm_run *r) {
  const char *names[64];
  size_t n = 0;
  for (uint32_t i = 0; i < r->n_series && n < 64; i++) names[n++] = r->series[i].name;
  const char *near = xlm_text_nearest(v->field, names, n);
  return xlm_fail(&v->err, XLM_USER, "--field: the metrics of '%s' have no '%s'%s%s%s", r->path, v->field,
                  near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static xlm_status watch(view *v) {
  xlm_run *r;
  const char *term = getenv("TERM");
  struct sigaction a = {.sa_handler = on_signal};
  if (v->n_words != 1) return xlm_fail(&v->err, XLM_USER, "which run? one, as in `xlmrun watch checkpoints`");
  XLM_TRY(xlm_run_open(v->arena, v->words[0], &r, &v->err));
  if (v->field && r->last_step && !xlm_run_field(r, v->field)) return no_field(v, r);
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
  signal(SIGPIPE, SIG_IGN);
  bool rewrites = isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
  return rewrites ? follow_on_terminal(v, r) : follow_in_lines(v, r);
}

int command_watch(int argc, char *const *argv) {
  return view_run(command_watch_usage, argc, argv, watch);
}
