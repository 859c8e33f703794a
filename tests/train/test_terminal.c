// What training shows on a terminal: signs of life before the first step is done, log lines that stay, a live
// line that never wraps and leaves nothing behind; and plain lines where a line cannot be rewritten.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/train/pty.h"
#include "tests/train/scratch.h"

static pty screen;
static char out[128], data[64];

static int run(int columns) {
  const char *const argv[] = {XLM_BINARY_DIR "/xlmrun",
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
                              "--max-steps=40",
                              "--log-interval=10",
                              "--eval-interval=20",
                              "--eval-batches=1",
                              "--threads=1",
                              "--overwrite",
                              "--output-dir",
                              out,
                              NULL};
  assert_int_equal(pty_start(&screen, argv, columns, 20), 0);
  return pty_end(&screen);
}

static void check_lines(void) { // every log line is there, once
  static const char *const lines[] = {
      "step 1/40",  "step 10/40  loss", "step 20/40  loss", "step 20/40  valid",
      "step 30/40", "step 40/40  loss", "saved ",           "loss curve "};
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
    if (pty_has_line(&screen, lines[i]) != 1) fail_msg("'%s' is not there once: %s", lines[i], screen.bytes);
}

// No line is wider than the terminal: the longest run of printed characters between two ends.
static size_t widest(void) {
  size_t most = 0;
  for (int i = 0; i <= screen.lines; i++)
    if (strncmp(screen.line[i], "llama", 5) && strlen(screen.line[i]) > most &&
        strstr(screen.line[i], "step"))
      most = strlen(screen.line[i]);
  return most;
}

static void test_live(void **state) {
  (void)state;
  setenv("TERM", "xterm", 1);
  assert_int_equal(run(60), 0);
  static const char *const phases[] = {"planning ..", "allocating ..", "filling weights ..", "first step ..",
                                       "step 1/40"};
  const char *at = screen.bytes;
  for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
    const char *next = strstr(at, phases[i]);
    if (!next) fail_msg("no '%s' in its turn: %s", phases[i], screen.bytes);
    at = next;
  }
  check_lines();
  assert_in_range(widest(), 1, 59);
  assert_int_equal(pty_has_line(&screen, "first step"), 0); // it was cleared
  assert_null(strchr(screen.bytes, '\033'));                // no colours, no cursor
}

// A line that cannot be rewritten: no carriage return but the terminal's own at the end of lines.
static void test_dumb(void **state) {
  (void)state;
  setenv("TERM", "dumb", 1);
  assert_int_equal(run(60), 0);
  check_lines();
  for (const char *c = screen.bytes; *c; c++)
    if (*c == '\r') assert_int_equal(c[1], '\n');
  assert_null(strstr(screen.bytes, "planning .."));
}

static int set_up(void **state) {
  if (make_root(state)) return -1;
  snprintf(out, sizeof out, "%s/out", root);
  snprintf(data, sizeof data, "%s", put_lines("text", 400));
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_live), cmocka_unit_test(test_dumb)};
  return cmocka_run_group_tests(tests, set_up, remove_root);
}
