// The parser: trees of valid texts, single errors, hostile texts, and mutants of a model.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz_parse.c"
#include "tests/fuzz/mutate.h"
#include "tests/unit/model_text.h"

typedef struct parsed {
  xlm_arena *arena;
  const xlm_source *source;
  xlm_diags d;
  xlm_ast *ast;
} parsed;

static parsed *parse_bytes(const char *text, size_t n) {
  xlm_arena *a = xlm_arena_new(0);
  parsed *p = XLM_NEW(a, parsed);
  p->arena = a;
  p->source = xlm_source_new(a, "model.xlm", text, n);
  xlm_diags_init(&p->d, a, p->source);
  p->ast = xlm_parse(a, p->source, &p->d);
  return p;
}

static parsed *parse(const char *text) {
  return parse_bytes(text, strlen(text));
}

static void done(parsed *p) {
  xlm_arena_free(p->arena);
}

static int statements(const xlm_stmt *s) {
  int n = 0;
  for (; s; s = s->next) n++;
  return n;
}

static void expect_clean(const parsed *p, const char *text) {
  if (!p->d.errors) return;
  xlm_text t = xlm_text_new(p->arena);
  xlm_diag_render(&p->d, false, &t);
  fail_msg("unexpected errors in\n%s\n%s", text, t.data);
}

// --- trees

static void parses_the_model(void **state) {
  (void)state;
  parsed *p = parse(model_text);
  expect_clean(p, model_text);
  assert_int_equal(statements(p->ast->stmts), 41);
  const xlm_stmt *s = p->ast->stmts;
  assert_int_equal(s->kind, XLM_STMT_MODEL);
  assert_string_equal(s->name->text, "llama");
  s = s->next;
  assert_int_equal(s->kind, XLM_STMT_USE);
  assert_string_equal(s->name->text, "blocks/norm.xlm");
  s = s->next;
  assert_int_equal(s->kind, XLM_STMT_BLOCK);
  assert_string_equal(s->block.dims->next->text, "u");
  s = s->next;
  assert_int_equal(s->kind, XLM_STMT_DIM);
  assert_true(s->expr->number.integer);
  assert_int_equal(s->expr->number.exact, 32000);
  assert_string_equal(s->decl.aliases->text, "vocab_size");
  done(p);
}

// The expression as text in brackets that show the tree.
static void shape(xlm_text *t, const xlm_expr *e) {
  static const char *const sign[] = {
      "+", "-", "*", "/", "%", "**", "@", "==", "!=", "<", "<=", ">", ">=", "and", "or"};
  if (e->kind == XLM_EXPR_BINARY) {
    xlm_text_add(t, "(");
    shape(t, e->binary.a);
    xlm_text_printf(t, " %s ", sign[e->binary.op]);
    shape(t, e->binary.b);
    xlm_text_add(t, ")");
  } else if (e->kind == XLM_EXPR_UNARY) {
    xlm_text_add(t, e->unary.logical_not ? "(not " : "(-");
    shape(t, e->unary.x);
    xlm_text_add(t, ")");
  } else if (e->kind == XLM_EXPR_IF) {
    xlm_text_add(t, "(if ");
    shape(t, e->cond.cond);
    xlm_text_add(t, " ");
    shape(t, e->cond.then);
    xlm_text_add(t, " ");
    shape(t, e->cond.otherwise);
    xlm_text_add(t, ")");
  } else if (e->kind == XLM_EXPR_NAME) {
    xlm_text_add(t, e->name.text);
  } else {
    xlm_text_add(t, e->kind == XLM_EXPR_NUMBER ? e->number.text : "?");
  }
}

static void knows_precedence(void **state) {
  (void)state;
  static const char *const cases[][2] = {
      {"a + b * c", "(a + (b * c))"},
      {"a - b - c", "((a - b) - c)"},
      {"a * b @ c", "((a * b) @ c)"},
      {"-a ** b", "(-(a ** b))"},
      {"a ** b ** c", "(a ** (b ** c))"},
      {"a ** -b", "(a ** (-b))"},
      {"-a * b", "((-a) * b)"},
      {"not a == b", "(not (a == b))"},
      {"not a and b or c", "(((not a) and b) or c)"},
      {"a < b + 1 and c", "((a < (b + 1)) and c)"},
      {"if a then b else c + d", "(if a b (c + d))"},
      {"a + if b then c else d + e", "(a + (if b c (d + e)))"},
      {"(a + b) * c", "((a + b) * c)"},
      {"a % b == 0", "((a % b) == 0)"},
      {"a +\n  b *\n# why\n  c", "(a + (b * c))"},
      {"(a\n+ b\n)", "(a + b)"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[128];
    snprintf(text, sizeof text, "x = %s", cases[i][0]);
    parsed *p = parse(text);
    expect_clean(p, text);
    xlm_text t = xlm_text_new(p->arena);
    shape(&t, p->ast->stmts->expr);
    assert_string_equal(t.data, cases[i][1]);
    done(p);
  }
}

// Texts without errors, and how many statements they hold.
static void accepts(void **state) {
  (void)state;
  static const struct {
    const char *text;
    int statements;
  } cases[] = {
      {"", 0},
      {"\n\n", 0},
      {"# only a comment", 0},
      {"\xEF\xBB\xBFmodel x", 1},
      {"model x\r\ndim a = 3\r\n", 2},
      {"\tx\t=\t3", 1},
      {"block f(x[..]) -> [..] { return x }", 1},
      {"block f(x[..]) -> [..]\n{\n  return x\n}", 1},
      {"if a {\n}\n\n# here\nelse {\n}", 1},
      {"if a { } else if b { } else { }", 1},
      {"dim model = 3\ndim over = 4\nlet as = 5", 3},
      {"state = update + output * loss\nloss state", 2},
      {"weights = softmax(x)\nweights[i] = weights", 2},
      {"x = f(over, a)\ny = f(x, over a, b)\nz = f(shared, where, of, free, none)", 3},
      {"param w[model over (dp, tp), over over tp] ~ zeros", 1},
      {"shard over over tp where free", 1},
      {"recompute = 3\nx = recompute f(recompute)\nrecompute repeat 3 { }", 3},
      {"repeat 3 as shared over pp shared { }", 1},
      {"preset p { a = 3 b = 4\n c = if a then b else c d = f(x)\n}", 1},
      {"preset p {}", 1},
      {"weights w {}", 1},
      {"weights w {\n  loss.output.model = \"x\"\n  if.x = \"y\"\n}", -1},
      {"weights w {\n  a.if.not[i] = \"y\" [0 of 3 a b, c]\n}", 1},
      {"x = norm.input(h) + norm.if(h)", 1},
      {"param b[] ~ zeros\nblock l(x) -> [] { return x }", 2},
      {"x = f(a,\n  b = 3,\n  c)\ny = [\n", -1},
      {"(a, b) = f(x)\n(a) = g(x)", 2},
      {"x = 10_000 + 1e-5 + 0.5e+3", 1},
      {"output a,\n  b", 1},
      {"update s = s", 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    parsed *p = parse(cases[i].text);
    if (cases[i].statements >= 0) {
      expect_clean(p, cases[i].text);
      assert_int_equal(statements(p->ast->stmts), cases[i].statements);
    } else {
      assert_true(p->d.errors > 0);
    }
    done(p);
  }
}

static void joins_names_after_over(void **state) {
  (void)state;
  parsed *p = parse("y = f(x, over a, b, (c), d -> e, over g)");
  expect_clean(p, "");
  const xlm_arg *a = p->ast->stmts->expr->call.args->next;
  assert_int_equal(a->kind, XLM_ARG_OVER);
  assert_string_equal(a->dims->text, "a");
  assert_string_equal(a->dims->next->text, "b");
  assert_null(a->dims->next->next);
  assert_int_equal(a->next->kind, XLM_ARG_VALUE);
  assert_int_equal(a->next->next->kind, XLM_ARG_ARROW);
  assert_string_equal(a->next->next->next->dims->text, "g");
  done(p);
}

static void keeps_spans(void **state) {
  (void)state;
  const char *text = "repeat 3 {\n  x = (a + b)\n}\nif a { } else { }";
  parsed *p = parse(text);
  expect_clean(p, text);
  const xlm_stmt *r = p->ast->stmts, *i = r->next;
  assert_int_equal(r->span.begin, 0);
  assert_int_equal(text[r->body.begin], '{');
  assert_int_equal(text[r->span.end - 1], '}');
  assert_int_equal(text[r->repeat.body->expr->span.begin], '(');
  assert_int_equal(i->span.end, strlen(text));
  assert_int_equal(text[i->else_body.begin], '{');
  done(p);
}

// --- mistakes: exactly these errors, in this order, with these words

static void reports(void **state) {
  (void)state;
  static const struct {
    const char *text;
    xlm_diag_id id;
    const char *words;
    int statements; // that were still read
  } cases[] = {
#define BAD(text, id, words, n) {text, XLM_##id, words, n}
      BAD("x = y z\na = 1", E_SYNTAX, "expected the end of the line or an operator, found `z`", 1),
      BAD("x = \na = 1", E_SYNTAX, "expected an expression, found the end of the line", 1),
      BAD("x = 3 +", E_SYNTAX, "expected an expression", 0),
      BAD("repeat 3 as 4 {\n  a = 1\n}\na = 1", E_SYNTAX, "expected a name, found `4`", 1),
      BAD("block f(x[..]) -> [..] {\n  return x\n", E_UNCLOSED, "`{` is never closed", 1),
      BAD("block f(x[..]) -> [..] {\n  return x\nblock g(x[..]) -> [..] {\n  return x\n}", E_UNCLOSED,
          "`{` is never closed", 2),
      BAD("x = f(a\ny = 1", E_UNCLOSED, "`(` is never closed", 2),
      BAD("param w[a, b ~ ones\nparam v[a] ~ ones", E_UNCLOSED, "`[` is never closed", 1),
      BAD("x = 1\n}\ny = 2", E_EXTRA_CLOSE, "`}` closes nothing", 2),
      BAD("x = f(a))\ny = 2", E_EXTRA_CLOSE, "`)` closes nothing", 2),
      BAD("x = f(a]\ny = 2", E_MISMATCHED, "`]` closes a `(`", 2),
      BAD("x = 1 $$$ 2", E_STRAY, "`$$$` have no meaning", 0),
      BAD("x = \xE2\x80\x9Cy", E_STRAY, "has no meaning", 1),
      BAD("x = \"a\xFF\"", E_NOT_UTF8, "0xff", 1),
      BAD("\xFF\xFEm", E_NOT_UTF8, "UTF-16", 0),
      BAD("x = \"abc\ny = 1", E_STRING, "no closing", 2),
      BAD("check a, 'abc'", E_STRING, "double quotes", 1),
      BAD("check a, \"a\\q\"", E_ESCAPE, "may follow a backslash", 1),
      BAD("x = 12abc", E_NUMBER, "`12abc` is not a number", 1),
      BAD("x = 1e", E_NUMBER, "`1e` is not a number", 1),
      BAD("x = 0x10", E_NUMBER, "`0x10` is not a number", 1),
      BAD("x = .5", E_NUMBER, "`.5` is not a number", 1),
      BAD("x = 5.", E_NUMBER, "`5.` is not a number", 1),
      BAD("x = 1__0", E_NUMBER, "`1__0` is not a number", 1),
      BAD("x = 1e999", E_NUMBER_RANGE, "too large", 1),
      BAD("x = 9223372036854775808", E_NUMBER_RANGE, "too large", 1),
      BAD("check a = 3\na = 1", E_ASSIGN_FOR_EQUAL, "`=` does not compare", 1),
      BAD("if a = 3 {\n  x = 1\n}", E_ASSIGN_FOR_EQUAL, "`=` does not compare", 0),
      BAD("x = if a = 3 then 1 else 2", E_ASSIGN_FOR_EQUAL, "`=` does not compare", 0),
      BAD("block f(x[..]) {\n  return x\n}", E_NO_ARROW, "expected `->`", 0),
      BAD("block f(x[..]) [..] {\n  return x\n}", E_NO_ARROW, "expected `->`", 0),
      BAD("block f(x[..]) => [..] {\n  return x\n}", E_FOREIGN, "there is no `=>`", 0),
      BAD("param w[a]\na = 1", E_NO_INITIALIZER, "expected `~`", 1),
      BAD("param w[a] = ones", E_NO_INITIALIZER, "follows `~`", 0),
      BAD("dim a: 3", E_COLON, "`:` is not part", 0),
      BAD("if a:\n  x = 1", E_COLON, "`:` is not part", 1),
      BAD("def f(x):", E_FOREIGN, "`def` is not part", 0),
      BAD("for i in x {\n  y = 1\n}", E_FOREIGN, "`for` is not part", 0),
      BAD("class A {\n}", E_FOREIGN, "`class` is not part", 0),
      BAD("import torch", E_FOREIGN, "`import` is not part", 0),
      BAD("x += 3", E_FOREIGN, "there is no `+=`", 0),
      BAD("x = a && b", E_FOREIGN, "`&&` is not part", 0),
      BAD("x = 1; y = 2", E_FOREIGN, "`;` is not part", 0),
      BAD("x = a if b else c", E_FOREIGN, "a condition comes before", 0),
      BAD("// hello\nx = 1", E_COMMENT_STYLE, "`//` does not start", 1),
      BAD("/* hello\n x */\nx = 1", E_COMMENT_STYLE, "`/*` does not start", 1),
      BAD("/* hello\n x = 1", E_COMMENT_STYLE, "`/*` does not start", 0),
      BAD("parm w[a] ~ ones", E_UNKNOWN_STATEMENT, "`parm` does not start a statement", 0),
      BAD("f(x)", E_UNKNOWN_STATEMENT, "`f(` does not start a statement", 0),
      BAD("block f(x[..]) -> [..]\na = 1", E_NO_BODY, "the `block` has no body", 1),
      BAD("repeat 3\na = 1", E_NO_BODY, "the `repeat` has no body", 1),
      BAD("param w[a,, b] ~ ones", E_EMPTY_ENTRY, "there is nothing before this `,`", 0),
      BAD("param w[a, b,] ~ ones", E_EMPTY_ENTRY, "there is nothing before this `]`", 0),
      BAD("x = a +\ny = 3\n", E_TRAILING_OPERATOR, "`+` has nothing after it", 1),
      BAD("output a,\nloss x\n", E_TRAILING_OPERATOR, "`,` has nothing after it", 1),
      BAD("check a < b < c", E_CHAINED_COMPARISON, "do not chain", 0),
      BAD("repeat 3 {\n  preset p { }\n}", E_NOT_TOP_LEVEL, "`preset` is allowed only at the top level", 1),
      BAD("weights w {\n  a = \"x\" [3 of 3 b]\n}", E_BAD_PART, "no part 3 of 3", 1),
      BAD("a, b = f(x)", E_SYNTAX, "must be in parentheses", 0),
      BAD("preset p { a = 1, b = 2 }", E_SYNTAX, "no `,` between settings", 1),
      BAD("preset p { a = 1 b 3 c = 2 }", E_SYNTAX, "expected `=`, found `3`", 1),
      BAD("else { x = 1 }\na = 1", E_SYNTAX, "belongs to no `if`", 1),
      BAD("shard a over dp where fre", E_SYNTAX, "expected `free`", 1),
#undef BAD
  };
  int wrong = 0;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    parsed *p = parse(cases[i].text);
    xlm_text t = xlm_text_new(p->arena);
    xlm_diag_render(&p->d, false, &t);
    if (p->d.errors != 1 || p->d.at[0].id != cases[i].id || !strstr(p->d.at[0].text, cases[i].words) ||
        statements(p->ast->stmts) != cases[i].statements) {
      wrong++;
      print_error("case %zu: want %s \"%s\" and %d statements, got %d and\n%s\n", i,
                  xlm_diag_code(cases[i].id), cases[i].words, cases[i].statements, statements(p->ast->stmts),
                  t.data);
    }
    done(p);
  }
  assert_int_equal(wrong, 0);
}

static void reports_zero_bytes(void **state) {
  (void)state;
  static const char text[] = "x = 1\0\0\ny = 2\n";
  parsed *p = parse_bytes(text, sizeof text - 1);
  assert_int_equal(p->d.errors, 1);
  assert_int_equal(p->d.at[0].id, XLM_E_NUL_BYTE);
  assert_int_equal(p->d.at[0].labels[0].span.end - p->d.at[0].labels[0].span.begin, 2);
  done(p);
}

// Several errors: all are found and none is reported twice.
static void goes_on(void **state) {
  (void)state;
  parsed *p = parse(
      "x = \nblock f(x[..]) -> [..] {\n  y = 3 4\n  repeat z q {\n    k = )\n  }\n  return x\n}\nz = a b\n");
  assert_int_equal(p->d.errors, 5);
  assert_int_equal(statements(p->ast->stmts), 1);
  done(p);
  xlm_text many = xlm_text_new(xlm_arena_new(0));
  for (int i = 0; i < 100; i++) xlm_text_add(&many, "x = = y\n");
  p = parse(many.data);
  assert_int_equal(p->d.errors, XLM_DIAG_MAX_ERRORS);
  assert_true(p->d.suppressed);
  done(p);
  xlm_arena_free(many.arena);
}

// --- hostile texts: bounded memory, no stack overflow; tests/tree/test_linear.sh counts the instructions

static char *repeated(const char *head, const char *unit, size_t bytes, size_t *n) {
  size_t h = strlen(head), u = strlen(unit);
  char *text = malloc(h + bytes + u + 1);
  assert_non_null(text);
  memcpy(text, head, h);
  for (*n = h; *n < bytes; *n += u) memcpy(text + *n, unit, u);
  text[*n] = 0;
  return text;
}

static void survives_hostile_texts(void **state) {
  (void)state;
  static const struct {
    const char *head, *unit;
    size_t bytes;
    xlm_diag_id id;
  } cases[] = {
      {"", "(", 10 << 20, XLM_E_FILE_TOO_LARGE},
      {"", "(", 1 << 20, XLM_E_TOO_DEEP},
      {"x=", "-", 1 << 20, XLM_E_TOO_MANY_TOKENS},
      {"x=", "-", 500000, XLM_E_TOO_DEEP},
      {"x=", "not ", 3 << 20, XLM_E_TOO_DEEP},
      {"", "{", 100000, XLM_E_TOO_DEEP},
      {"", "repeat 3 {", 1 << 20, XLM_E_TOO_DEEP},
      {"if a {}", " else if a {}", 1 << 20, XLM_E_TOO_DEEP},
      {"x=", "a**", 1 << 20, XLM_E_TOO_DEEP},
      {"x=", "a + ", 1 << 20, XLM_E_TOO_DEEP},
      {"x=", "f(", 1 << 20, XLM_E_TOO_DEEP},
      {"x=", "if a then b else ", 1 << 20, XLM_E_TOO_DEEP},
      {"x=", "a[", 1 << 20, XLM_E_TOO_DEEP},
      {"", "x = 3 4\n", 3 << 20, XLM_E_SYNTAX},
      {"", "$ ", 4 << 20, XLM_E_STRAY},
      {"", "}\n", 1 << 20, XLM_E_EXTRA_CLOSE},
      {"", "if a {} else x ", 1 << 20, XLM_E_SYNTAX},
      {"", "/*", 4 << 20, XLM_E_COMMENT_STYLE},
      {"x=", "9", 4 << 20, XLM_E_NUMBER_RANGE},
      {"x = \"", "\\q", 3 << 20, XLM_E_STRING},
      {"preset p {", "a 3 ", 1 << 20, XLM_E_UNCLOSED},
      {"", "\xFF", 4 << 20, XLM_E_NOT_UTF8},
      {"", "x = f(\n", 1 << 20, XLM_E_TOO_DEEP},
      {"", "a b {\n}\n", 1 << 20, XLM_E_UNKNOWN_STATEMENT},
      {"", "#@file a\n}\n", 3 << 20, XLM_E_EXTRA_CLOSE},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    size_t n;
    char *text = repeated(cases[i].head, cases[i].unit, cases[i].bytes, &n);
    parsed *p = parse_bytes(text, n);
    xlm_text t = xlm_text_new(p->arena);
    xlm_diag_render(&p->d, true, &t);
    bool found = false;
    for (uint32_t k = 0; k < p->d.n; k++) found |= p->d.at[k].id == cases[i].id;
    if (!found) fail_msg("`%s%s...`: no %s", cases[i].head, cases[i].unit, xlm_diag_code(cases[i].id));
    assert_true(p->d.n <= XLM_DIAG_MAX_ERRORS);
    assert_true(xlm_arena_used(p->arena) < (size_t)400 << 20);
    done(p);
    free(text);
  }
}

static void formats_large_texts(void **state) {
  (void)state;
  static const char *const units[][2] = {{"x = f(", "aaaa, "},
                                         {"", "x = f(a, b, c)  # d\n"},
                                         {"", "param w[a, b] ~ normal(0.02)\n"},
                                         {"weights w {\n", "  a.b = \"c\"\n"},
                                         {"", "if a {\n  x = 1\n} else {\n  x = 2\n}\n"},
                                         {"output a", ", a"},
                                         {"", "# c\n\n"},
                                         {"preset p {", " a = 1"}};
  static const char *const ends[] = {"a)", "", "", "}", "", "", "", "}"};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    size_t n, e = strlen(ends[i]);
    char *text = repeated(units[i][0], units[i][1], 600000, &n);
    text = realloc(text, n + e + 1);
    assert_non_null(text);
    memcpy(text + n, ends[i], e + 1);
    LLVMFuzzerTestOneInput((const uint8_t *)text, n + e);
    free(text);
  }
}

// --- mutants of a model

static void survives_mutants(void **state) {
  (void)state;
  const char *count = getenv("XLM_FUZZ_COUNT");
  uint32_t runs = count ? (uint32_t)atol(count) : 4000;
  static char text[sizeof model_text + 1000];
  for (uint32_t seed = 0; seed < runs; seed++) {
    memcpy(text, model_text, sizeof model_text);
    size_t n = mutate(text, sizeof model_text - 1, sizeof text, seed);
    LLVMFuzzerTestOneInput((const uint8_t *)text, n);
  }
  for (uint32_t seed = 0; seed < 500; seed++) { // and noise
    size_t n = draw(seed, 0, 400);
    for (uint32_t i = 0; i < n; i++) text[i] = (char)draw(seed, i + 1, 256);
    LLVMFuzzerTestOneInput((const uint8_t *)text, n);
  }
}

// Every allocation may fail: the arena longjmps out of scanner and parser without leaks or inconsistent
// state.
static void survives_failing_memory(void **state) {
  (void)state;
  for (long n = 1; n < 40; n++) {
    xlm_arena_fail_at(n);
    LLVMFuzzerTestOneInput((const uint8_t *)model_text, sizeof model_text - 1);
    xlm_arena_fail_at(0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(parses_the_model),
      cmocka_unit_test(knows_precedence),
      cmocka_unit_test(accepts),
      cmocka_unit_test(joins_names_after_over),
      cmocka_unit_test(keeps_spans),
      cmocka_unit_test(reports),
      cmocka_unit_test(reports_zero_bytes),
      cmocka_unit_test(goes_on),
      cmocka_unit_test(survives_hostile_texts),
      cmocka_unit_test(formats_large_texts),
      cmocka_unit_test(survives_mutants),
      cmocka_unit_test(survives_failing_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
