// xlmrun watch: the points of the plot are the values; it follows a run on a terminal, ends with it, leaves
// on a key or a signal, and prints plain lines into a pipe.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <termios.h>

#include "tests/train/pty.h"
#include "tools/watching/plot.h"
#include "tests/train/scratch.h"

// ---- the plot, read back ----

enum { COLUMNS = 80, ROWS = 24, LEFT = 10, WIDE = (COLUMNS - LEFT) * 2, HIGH = (ROWS - 2) * 4 };

static bool dots[HIGH][WIDE];

// Braille characters and blanks between the axis and the end of each line.
static void read_dots(const char *text) {
  static const int bit[4][2] = {{0, 3}, {1, 4}, {2, 5}, {6, 7}};
  memset(dots, 0, sizeof dots);
  for (int row = 0; row < ROWS - 2; row++) {
    const char *at = strstr(text, "│"), *end = strchr(text, '\n');
    assert_true(at && end && at < end);
    at += strlen("│");
    for (int x = 0; at < end; x++) {
      assert_true(x < COLUMNS - LEFT);
      unsigned code = 0;
      if (*at == ' ')
        at++;
      else
        code = (unsigned)(((at[0] & 15) << 12 | (at[1] & 63) << 6 | (at[2] & 63)) - 0x2800), at += 3;
      assert_true(code < 256);
      for (int i = 0; i < 8; i++) dots[4 * row + i / 2][2 * x + i % 2] = code >> bit[i / 2][i % 2] & 1;
    }
    text = end + 1;
  }
}

static int dots_of(int x, int *low, int *high) {
  int n = 0;
  *low = HIGH, *high = -1;
  for (int y = 0; y < HIGH; y++)
    if (dots[y][x]) n++, *low = y < *low ? y : *low, *high = y;
  return n;
}

static const char *print_plot(xlm_arena *a, const xlm_run_series *first, const xlm_run_series *second) {
  xlm_text t = xlm_text_new(a);
  xlm_plot p = {.columns = COLUMNS, .rows = ROWS, .first = first, .second = second};
  xlm_plot_print(&p, &t);
  int lines = 0;
  for (const char *c = t.data; *c; c++) lines += *c == '\n';
  assert_int_equal(lines, ROWS);
  return t.data;
}

static void test_plot(void **state) {
  (void)state;
  enum { N = WIDE };
  static int64_t step[N];
  static double value[N];
  xlm_arena *a = xlm_arena_new(0);
  xlm_run_series s = {.name = "loss", .n = N, .step = step, .value = value};
  for (int i = 0; i < N; i++) { // one value per column of points, some of which are not finite
    step[i] = i, value[i] = 5 + 3 * sin(i / 9.0);
    if (i > 40 && i < 50) value[i] = NAN;
  }
  value[70] = 2;
  read_dots(print_plot(a, &s, NULL));
  double low = 2, high = -INFINITY;
  for (int i = 0; i < N; i++)
    if (!isnan(value[i])) low = fmin(low, value[i]), high = fmax(high, value[i]);
  for (int i = 0; i < N; i++) {
    int top, bottom, n = dots_of(i, &top, &bottom);
    double y = (high - value[i]) / (high - low) * (HIGH - 1);
    if (isnan(value[i])) {
      assert_int_equal(n, 0);
      continue;
    }
    assert_true(n > 0 && n == bottom - top + 1); // one piece
    if (top > y + 1 || bottom < y - 1) fail_msg("column %d: %d to %d, not %g", i, top, bottom, y);
    if (abs(i - 70) > 1 && bottom - top > 6) fail_msg("column %d: %d to %d, around %g", i, top, bottom, y);
  }
  xlm_run_series few = {.name = "val_loss", .n = 2, .step = (int64_t[]){0, N - 1}, .value = (double[]){9, 1}};
  read_dots(print_plot(a, NULL, &few)); // two points in the corners, and nothing between them
  int n = 0;
  for (int y = 0; y < HIGH; y++)
    for (int x = 0; x < WIDE; x++) n += dots[y][x];
  assert_true(n == 2 && dots[0][0] && dots[HIGH - 1][WIDE - 1]);
  read_dots(print_plot(a, NULL, NULL));
  value[0] = 1, s.n = 1, step[0] = 7;
  read_dots(print_plot(a, &s, NULL));
  xlm_arena_free(a);
}

// ---- on a terminal ----

static pty screen;
static char out[64], data[64];

static pid_t train(const char *steps) {
  char max[64], log[96];
  snprintf(max, sizeof max, "--max-steps=%s", steps);
  snprintf(log, sizeof log, "%s/log", root);
  const char *argv[] = {XLM_BINARY_DIR "/xlmrun",
                        "train",
                        XLM_SOURCE_DIR "/models/llama.xlm",
                        "--data",
                        data,
                        "--hidden-size=16",
                        "--set=layers=1",
                        "--set=heads=2",
                        "--intermediate-size=32",
                        "--vocab-size=256",
                        "--seq-length=32",
                        "--micro-batch-size=2",
                        "--global-batch-size=2",
                        max,
                        "--log-interval=10",
                        "--eval-interval=0",
                        "--save-interval=0",
                        "--threads=1",
                        "--overwrite",
                        "--output-dir",
                        out,
                        NULL};
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", out);
  assert_int_equal(system(command), 0);
  pid_t pid = fork();
  if (pid) return pid;
  int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  dup2(fd, 1), dup2(fd, 2);
  execv(argv[0], (char *const *)(size_t)argv);
  _exit(120);
}

static void wait_for_steps(void) { // the run is in its steps
  char path[128], text[8] = "";
  snprintf(path, sizeof path, "%s/metrics.jsonl", out);
  for (int i = 0; i < 3000 && !*text; i++) {
    FILE *f = fopen(path, "r");
    if (f && !fgets(text, sizeof text, f)) *text = 0;
    if (f) fclose(f);
    usleep(10000);
  }
  assert_true(*text);
}

static void watch_with(const char *const *more) {
  const char *argv[8] = {XLM_BINARY_DIR "/xlmrun", "watch", out};
  for (int i = 0; more[i]; i++) argv[3 + i] = more[i];
  assert_int_equal(pty_start(&screen, argv, 70, 20), 0);
}
static const char *const often[] = {"--interval", "0.05", NULL};

// A frame on the alternate screen: title, plot, the last step.
static void check_frame(void) {
  assert_non_null(strstr(screen.bytes, "\033[?1049h"));
  assert_non_null(strstr(screen.bytes, "loss  out  running"));
  assert_non_null(strstr(screen.bytes, "│"));
  assert_true(pty_until(&screen, "q leaves"));
}

static void check_left(void) { // the terminal is as it was, and the last frame stands on it
  struct termios t;
  const char *normal = strstr(screen.bytes, "\033[?1049l");
  assert_non_null(normal);
  assert_non_null(strstr(screen.bytes, "\033[?25h"));
  assert_non_null(strstr(normal, "loss  out"));
  assert_non_null(strstr(normal, "  loss "));
  if (!tcgetattr(screen.fd, &t)) assert_true(t.c_lflag & ICANON && t.c_lflag & ECHO);
}

static void test_leave(void **state) {
  (void)state;
  static const char *const keys[] = {"q", "\003"}; // and Ctrl-C
  pid_t run = train("100000000");
  wait_for_steps();
  for (int i = 0; i < 2; i++) {
    watch_with(often);
    assert_true(pty_until(&screen, "q leaves"));
    check_frame();
    assert_true(pty_type(&screen, keys[i]));
    pty_until(&screen, NULL);
    check_left();
    assert_int_equal(pty_end(&screen), 0);
  }
  kill(run, SIGTERM);
  waitpid(run, NULL, 0);
}

static void test_ends(void **state) {
  (void)state;
  pid_t run = train("4000");
  wait_for_steps();
  watch_with(often);
  pty_until(&screen, NULL);
  assert_int_equal(pty_end(&screen), 0);
  waitpid(run, NULL, 0);
  if (!strstr(screen.bytes, "loss  out  done")) fail_msg("no end: %s", screen.bytes);
  assert_non_null(strstr(screen.bytes, "step 4000/4000"));
  watch_with((const char *const[]){"--field", "lr", NULL}); // a run that has ended is shown at once
  assert_int_equal(pty_end(&screen), 0);
  assert_null(strstr(screen.bytes, "\033[?1049h"));
  assert_true(pty_has_line(&screen, "lr  out  done") == 1 && pty_has_line(&screen, "step 4000/4000") == 1);
}

static void test_lines(void **state) {
  (void)state;
  char command[512], text[4096];
  snprintf(command, sizeof command, "%s/xlmrun watch %s 2>&1 | tail -n 3", XLM_BINARY_DIR, out);
  FILE *f = popen(command, "r");
  size_t n = fread(text, 1, sizeof text - 1, f);
  text[n] = 0;
  assert_int_equal(pclose(f), 0);
  assert_non_null(strstr(text, "step 3990/4000  loss "));
  assert_non_null(strstr(text, "\nstep 4000/4000  loss "));
  assert_non_null(strstr(text, "\ndone\n"));
  setenv("TERM", "dumb", 1); // the same on a terminal that cannot do more
  watch_with((const char *const[]){NULL});
  assert_int_equal(pty_end(&screen), 0);
  assert_null(strchr(screen.bytes, '\033'));
  n = screen.n;
  if (pty_has_line(&screen, "step 4000/4000") != 1)
    fail_msg("%d lines, %zu bytes, the last: %s", screen.lines, n, screen.bytes + (n > 600 ? n - 600 : 0));
  setenv("TERM", "xterm", 1);
  snprintf(command, sizeof command, "%s/xlmrun watch %s --field losss 2>&1", XLM_BINARY_DIR, out);
  f = popen(command, "r");
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  assert_int_equal(pclose(f), 256);
  assert_non_null(strstr(text, "have no 'losss'; did you mean 'loss'?"));
}

static int set_up(void **state) {
  if (make_root(state)) return -1;
  snprintf(out, sizeof out, "%s/out", root);
  setenv("TERM", "xterm", 1);
  setenv("LC_ALL", "C.UTF-8", 1);
  snprintf(data, sizeof data, "%s", put_lines("text", 400));
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_plot), cmocka_unit_test(test_leave),
                                     cmocka_unit_test(test_ends), cmocka_unit_test(test_lines)};
  return cmocka_run_group_tests(tests, set_up, remove_root);
}
