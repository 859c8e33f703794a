// Diagnostics: the list, the codes, and the rendered page.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/parse/ast.h"

typedef struct fixture {
  xlm_arena *a;
  const char *text;
  xlm_diags d;
} fixture;

static fixture begin(const char *text) {
  fixture f = {.a = xlm_arena_new(0), .text = text};
  xlm_diags_init(&f.d, f.a, xlm_source_new(f.a, "model.xlm", text, strlen(text)));
  return f;
}

static xlm_span at(const fixture *f, const char *word) {
  const char *p = strstr(f->text, word);
  assert_non_null(p);
  return (xlm_span){(uint32_t)(p - f->text), (uint32_t)(p - f->text + (long)strlen(word))};
}

static void expect(fixture *f, bool color, const char *page) {
  xlm_text out = xlm_text_new(f->a);
  xlm_diag_render(&f->d, color, &out);
  assert_string_equal(out.data, page);
  xlm_arena_free(f->a);
}

static void shows_labels_on_one_line(void **state) {
  (void)state;
  fixture f = begin("a\nb\nc\nd\ne\nf\ng\nh\ni\n  k = rope(x @ wk2, base = theta)\n");
  xlm_diag *g = xlm_diag_push(&f.d, XLM_E_NO_SHARED_DIM, at(&f, "wk2"),
                              "`%s` and `wk2` share no dimension to contract", "x");
  xlm_diag_primary(&f.d, g, "[model, heads, head]");
  xlm_span x = at(&f, "x @");
  x.end = x.begin + 1;
  xlm_diag_label(&f.d, g, x, "[batch, seq, hidden]");
  xlm_diag_help(&f.d, g, "`wk` [hidden, kv_heads, head] has a similar name");
  expect(&f, false,
         "error[E0203]: `x` and `wk2` share no dimension to contract\n"
         "  --> model.xlm:10:16\n"
         "   |\n"
         "10 |   k = rope(x @ wk2, base = theta)\n"
         "   |            -   ^^^ [model, heads, head]\n"
         "   |            |\n"
         "   |            [batch, seq, hidden]\n"
         "   = help: `wk` [hidden, kv_heads, head] has a similar name\n"
         "\n"
         "1 error\n");
}

static void stacks_three_labels(void **state) {
  (void)state;
  fixture f = begin("one two three\n");
  xlm_diag *g = xlm_diag_push(&f.d, XLM_E_DIM_MISMATCH, at(&f, "two"), "bad");
  xlm_diag_primary(&f.d, g, "second");
  xlm_diag_label(&f.d, g, at(&f, "one"), "first");
  xlm_diag_label(&f.d, g, at(&f, "three"), "third");
  expect(&f, false,
         "error[E0204]: bad\n"
         " --> model.xlm:1:5\n"
         "  |\n"
         "1 | one two three\n"
         "  | --- ^^^ ----- third\n"
         "  | |   |\n"
         "  | |   second\n"
         "  | first\n"
         "\n"
         "1 error\n");
}

static void shows_other_lines_and_notes(void **state) {
  (void)state;
  fixture f = begin("one\ntwo\nthree\nfour\nfive\nsix\n");
  xlm_diag *g = xlm_diag_push(&f.d, XLM_E_SHARD_CONFLICT, at(&f, "five"), "two rules");
  xlm_diag_primary(&f.d, g, "here");
  xlm_diag_label(&f.d, g, at(&f, "one"), "first rule");
  xlm_diag_label(&f.d, g, at(&f, "three"), "second rule");
  xlm_diag_note(&f.d, g, "a note\nof two lines");
  xlm_diag_note_at(&f.d, g, at(&f, "six"), "called here");
  expect(&f, false,
         "error[E0402]: two rules\n"
         " --> model.xlm:5:1\n"
         "  |\n"
         "1 | one\n"
         "  | --- first rule\n"
         "2 | two\n"
         "3 | three\n"
         "  | ----- second rule\n"
         "4 | four\n"
         "5 | five\n"
         "  | ^^^^ here\n"
         "  = note: a note\n"
         "          of two lines\n"
         "  = note: called here\n"
         " --> model.xlm:6:1\n"
         "  |\n"
         "6 | six\n"
         "  | ---\n"
         "\n"
         "1 error\n");
}

static void leaves_out_distant_lines(void **state) {
  (void)state;
  fixture f = begin("one\ntwo\nthree\nfour\n");
  xlm_diag *g = xlm_diag_push(&f.d, XLM_W_UNUSED_PARAM, at(&f, "one"), "unused");
  xlm_diag_label(&f.d, g, at(&f, "four"), "end");
  expect(&f, false,
         "warning[W0701]: unused\n"
         " --> model.xlm:1:1\n"
         "  |\n"
         "1 | one\n"
         "  | ^^^\n"
         "...\n"
         "4 | four\n"
         "  | ---- end\n"
         "\n"
         "1 warning\n");
}

static void shows_any_bytes(void **state) {
  (void)state;
  fixture f = begin("\tw\t= \"\xC3\xA9\xE6\xBC\xA2\xFF\x1B[31m\xE2\x80\xAE\" here\r\n");
  xlm_diag_push(&f.d, XLM_E_SYNTAX, at(&f, "here"), "found `\x1B[31m`");
  expect(&f, false,
         "error[E0101]: found `\\x1b[31m`\n"
         " --> model.xlm:1:18\n"
         "  |\n"
         "1 |     w   = \"\xC3\xA9\xE6\xBC\xA2\\xff\\x1b[31m\\u{202e}\" here\n"
         "  |                                     ^^^^\n"
         "\n"
         "1 error\n");
}

static void clips_long_lines(void **state) {
  (void)state;
  char text[4001];
  memset(text, 'x', 4000);
  text[4000] = 0;
  memcpy(text + 2000, " here ", 6);
  fixture f = begin(text);
  xlm_diag *g = xlm_diag_push(&f.d, XLM_E_SYNTAX, at(&f, "here"), "bad");
  xlm_diag_label(&f.d, g, (xlm_span){3, 4}, "outside");
  char page[1000], before[41], after[96];
  memset(before, 'x', 40), before[39] = 0;
  memset(after, 'x', 95), after[55] = 0;
  snprintf(page, sizeof page,
           "error[E0101]: bad\n --> model.xlm:1:2002\n  |\n1 | ...%s here %s...\n  | %43s^^^^\n\n1 error\n",
           before, after, "");
  expect(&f, false, page);
}

static void marks_the_end_of_a_line(void **state) {
  (void)state;
  fixture f = begin("one\ntwo");
  xlm_diag_push(&f.d, XLM_E_SYNTAX, (xlm_span){3, 4}, "line end");
  xlm_diag_push(&f.d, XLM_E_SYNTAX, (xlm_span){7, 8}, "file end");
  expect(&f, false,
         "error[E0101]: line end\n --> model.xlm:1:4\n  |\n1 | one\n  |    ^\n\n"
         "error[E0101]: file end\n --> model.xlm:2:4\n  |\n2 | two\n  |    ^\n\n2 errors\n");
}

static void sorts_by_place_and_counts(void **state) {
  (void)state;
  fixture f = begin("one two\n");
  xlm_diag_push(&f.d, XLM_W_UNUSED_NAME, at(&f, "two"), "second");
  xlm_diag_push(&f.d, XLM_E_SYNTAX, at(&f, "one"), "first");
  xlm_diag_push(&f.d, XLM_E_FILE_TOO_LARGE, (xlm_span){0}, "no place");
  assert_int_equal(xlm_diag_push(&f.d, XLM_E_SYNTAX, at(&f, "one"), "again")->id, XLM_DIAG_COUNT);
  expect(&f, false,
         "error[E0123]: no place\n\n"
         "error[E0101]: first\n --> model.xlm:1:1\n  |\n1 | one two\n  | ^^^\n\n"
         "warning[W0702]: second\n --> model.xlm:1:5\n  |\n1 | one two\n  |     ^^^\n\n"
         "2 errors, 1 warning\n");
}

static void colors(void **state) {
  (void)state;
  fixture f = begin("one\n");
  xlm_diag_help(&f.d, xlm_diag_push(&f.d, XLM_E_SYNTAX, at(&f, "one"), "bad"), "mend");
  expect(&f, true,
         "\033[1;31merror[E0101]\033[0m\033[1m: \033[0m\033[1mbad\033[0m\n"
         " \033[1;34m-->\033[0m model.xlm:1:1\n"
         "\033[1;34m  |\033[0m\n"
         "\033[1;34m1 |\033[0m one\n"
         "\033[1;34m  |\033[0m \033[1;31m^\033[0m\033[1;31m^\033[0m\033[1;31m^\033[0m\n"
         "  \033[1;34m=\033[0m \033[1;32mhelp:\033[0m mend\n\n"
         "1 error\n");
}

static void stops_at_the_limit(void **state) {
  (void)state;
  fixture f = begin("0123456789012345678901234567890123456789\n");
  for (uint32_t i = 0; i < 30; i++) {
    xlm_diag *g = xlm_diag_push(&f.d, XLM_E_SYNTAX, (xlm_span){i, i + 1}, "error %u", i);
    for (int k = 0; k < 10; k++) {
      xlm_diag_label(&f.d, g, (xlm_span){0, 1}, "label");
      xlm_diag_note(&f.d, g, "note");
    }
  }
  assert_int_equal(f.d.errors, XLM_DIAG_MAX_ERRORS);
  assert_true(f.d.suppressed);
  assert_int_equal(f.d.at[3].n_labels, XLM_DIAG_MAX_LABELS);
  xlm_text out = xlm_text_new(f.a);
  xlm_diag_render(&f.d, false, &out);
  assert_non_null(strstr(out.data, "20 errors; there are more, which are not shown\n"));
  xlm_arena_free(f.a);
}

static void nothing_is_nothing(void **state) {
  (void)state;
  fixture f = begin("");
  expect(&f, false, "");
}

// Codes are unique, in order, and each has an explanation.
static void codes(void **state) {
  (void)state;
  for (int i = 0; i < XLM_DIAG_COUNT; i++) {
    xlm_diag_id id;
    assert_true(xlm_diag_find(xlm_diag_code((xlm_diag_id)i), &id));
    assert_int_equal(id, i);
    assert_int_equal(strlen(xlm_diag_code(id)), 5);
    assert_int_equal(xlm_diag_code(id)[0], xlm_diag_is_error(id) ? 'E' : 'W');
    assert_true(strlen(xlm_diag_meaning(id)) > 20);
  }
  xlm_diag_id id;
  assert_false(xlm_diag_find("E9999", &id));
}

static void places(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  const char *text = "ab\n\n\xC3\xA9z\n";
  xlm_source *s = xlm_source_new(a, "m.xlm", text, strlen(text));
  static const uint32_t cases[][3] = {{0, 1, 1}, {2, 1, 3}, {3, 2, 1}, {4, 3, 1},
                                      {6, 3, 2}, {8, 4, 1}, {99, 4, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint32_t line, column;
    xlm_source_place(s, cases[i][0], &line, &column);
    assert_int_equal(line, cases[i][1]);
    assert_int_equal(column, cases[i][2]);
  }
  assert_string_equal(xlm_source_where(a, s, (xlm_span){4, 5}), "m.xlm:3");
  xlm_arena_free(a);
}

// A text of several files: the lines are those of the files, the header lines are comments of theirs.
static void places_in_files(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  const char *text = "#@file m.xlm\na\nbb\n#@file lib/n.xlm\n#@file o.xlm\n\nc\n";
  xlm_source *s = xlm_source_new(a, "elsewhere.xlm", text, strlen(text));
  static const struct {
    const char *at, *where;
    uint32_t line; // of the whole text
  } cases[] = {
      {"a\n", "m.xlm:1", 2}, {"bb", "m.xlm:2", 3}, {"#@file lib", "lib/n.xlm:1", 4}, {"c\n", "o.xlm:2", 7}};
  assert_int_equal(s->n_files, 3);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    uint32_t at = (uint32_t)(strstr(text, cases[i].at) - text);
    xlm_model_line line = xlm_text_line("elsewhere.xlm", text, cases[i].line);
    assert_string_equal(xlm_source_where(a, s, (xlm_span){at, at + 1}), cases[i].where);
    assert_int_equal(xlm_source_line(s, at), cases[i].line);
    assert_string_equal(xlm_arena_printf(a, "%.*s:%u", line.n, line.path, line.line), cases[i].where);
  }
  const char *one = "a\n#@file no.xlm\nb\n"; // only a first line makes a text one of files
  assert_int_equal(xlm_source_new(a, "m.xlm", one, strlen(one))->n_files, 1);
  assert_int_equal(xlm_text_line("m.xlm", one, 3).line, 3);
  xlm_arena_free(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shows_labels_on_one_line),
      cmocka_unit_test(stacks_three_labels),
      cmocka_unit_test(shows_other_lines_and_notes),
      cmocka_unit_test(leaves_out_distant_lines),
      cmocka_unit_test(shows_any_bytes),
      cmocka_unit_test(clips_long_lines),
      cmocka_unit_test(marks_the_end_of_a_line),
      cmocka_unit_test(sorts_by_place_and_counts),
      cmocka_unit_test(colors),
      cmocka_unit_test(stops_at_the_limit),
      cmocka_unit_test(nothing_is_nothing),
      cmocka_unit_test(codes),
      cmocka_unit_test(places),
      cmocka_unit_test(places_in_files),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
