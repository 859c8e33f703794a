// The JSON writer: its output is read back by jansson, for all kinds of texts and numbers.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "runtime/base/json.h"

typedef struct sample {
  const char *bytes, *read; // read: as it comes back; NULL: the same
} sample;

static const sample texts[] = {
    {"", NULL},
    {"plain", NULL},
    {"quote \" backslash \\ slash /", NULL},
    {"\b\f\n\r\t\x01\x1f\x7f", NULL},
    {"\xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80 \xF4\x8F\xBF\xBF",
     NULL},                                                   // two, three, four bytes; the last code
    {"\xFF", "\xEF\xBF\xBD"},                                 // never in UTF-8
    {"a\xC3", "a\xEF\xBF\xBD"},                               // ends in the middle
    {"\xC3(", "\xEF\xBF\xBD("},                               // no continuation
    {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},                 // longer than needed
    {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, // a surrogate
    {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, // beyond the last code
    {"\x80z", "\xEF\xBF\xBDz"},
    {"</script>", NULL},
};
enum { TEXTS = sizeof texts / sizeof *texts };

static const double reals[] = {0,
                               -0.0,
                               1,
                               -1,
                               0.1,
                               1e-5,
                               1e22,
                               1e300,
                               5e-324,
                               1.7976931348623157e308,
                               123456789.0,
                               9007199254740993.0,
                               1.0 / 3,
                               2e15,
                               3.14159265358979};
enum { REALS = sizeof reals / sizeof *reals };

static void put_everything(xlm_json *j, xlm_json_style style) {
  xlm_json_object(j, NULL, style);
  xlm_json_array(j, "texts", style);
  for (int i = 0; i < TEXTS; i++) xlm_json_put_text(j, NULL, texts[i].bytes);
  xlm_json_close(j);
  xlm_json_array(j, "reals", style);
  for (int i = 0; i < REALS; i++) xlm_json_put_real(j, NULL, reals[i]);
  xlm_json_close(j);
  xlm_json_object(j, "\"key\"\n", style);
  xlm_json_close(j);
  xlm_json_array(j, "empty", style);
  xlm_json_close(j);
  xlm_json_put_int(j, "least", INT64_MIN);
  xlm_json_put_int(j, "most", INT64_MAX);
  xlm_json_put_bool(j, "yes", true);
  xlm_json_put_null(j, "nothing");
  xlm_json_put_text(j, "no text", NULL);
  xlm_json_put_real(j, "nan", NAN);
  xlm_json_put_real(j, "inf", -INFINITY);
  xlm_json_put_rounded(j, "rounded", 1234567.8, 6);
  xlm_json_close(j);
}

static void check_everything(const char *bytes, size_t n) {
  json_error_t why;
  json_t *top = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, &why), *list = json_object_get(top, "texts");
  if (!top) fail_msg("%s: %.*s", why.text, (int)n, bytes);
  for (size_t i = 0; i < TEXTS; i++)
    assert_string_equal(json_string_value(json_array_get(list, i)),
                        texts[i].read ? texts[i].read : texts[i].bytes);
  list = json_object_get(top, "reals");
  for (size_t i = 0; i < REALS; i++) {
    assert_true(json_is_real(json_array_get(list, i))); // 1.0 is no integer
    double back = json_real_value(json_array_get(list, i));
    assert_memory_equal(&back, &reals[i], sizeof back);
  }
  assert_true(json_is_object(json_object_get(top, "\"key\"\n")));
  assert_int_equal(json_array_size(json_object_get(top, "empty")), 0);
  assert_true(json_integer_value(json_object_get(top, "least")) == INT64_MIN);
  assert_true(json_integer_value(json_object_get(top, "most")) == INT64_MAX);
  assert_true(json_is_true(json_object_get(top, "yes")));
  static const char *const nulls[] = {"nothing", "no text", "nan", "inf"};
  for (size_t i = 0; i < 4; i++) assert_true(json_is_null(json_object_get(top, nulls[i])));
  assert_true(json_is_real(json_object_get(top, "rounded")));
  assert_true(json_real_value(json_object_get(top, "rounded")) == 1234570);
  json_decref(top);
}

static void every_style_reads_back(void **state) {
  (void)state;
  for (xlm_json_style style = XLM_JSON_DENSE; style <= XLM_JSON_LINES; style++) {
    xlm_arena *a = xlm_arena_new(0);
    xlm_text t = xlm_text_new(a);
    xlm_json j;
    xlm_json_to_text(&j, &t);
    if (style == XLM_JSON_DENSE) xlm_json_for_html(&j);
    put_everything(&j, style);
    check_everything(t.data, t.n);
    if (style == XLM_JSON_DENSE) assert_null(strchr(t.data, '<'));
    xlm_arena_free(a);
  }
}

static void lines_are_indented(void **state) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_text t = xlm_text_new(a);
  xlm_json j;
  (void)state;
  xlm_json_to_text(&j, &t);
  xlm_json_object(&j, NULL, XLM_JSON_LINES);
  xlm_json_put_int(&j, "a", 1);
  xlm_json_array(&j, "b", XLM_JSON_LINES);
  xlm_json_object(&j, NULL, XLM_JSON_ROW);
  xlm_json_put_real(&j, "c", 2);
  xlm_json_put_made(&j, "d", "[1, 2]");
  xlm_json_close(&j);
  xlm_json_close(&j);
  xlm_json_close(&j);
  assert_string_equal(t.data, "{\n  \"a\": 1,\n  \"b\": [\n    {\"c\": 2.0, \"d\": [1, 2]}\n  ]\n}");
  xlm_arena_free(a);
}

typedef struct collected {
  char bytes[1 << 16];
  size_t n, room;
  int refused;
} collected;

static xlm_status collect(void *arg, const char *bytes, size_t n, xlm_error *err) {
  collected *c = arg;
  if (n > c->room - c->n) {
    c->refused++;
    return xlm_fail(err, XLM_ENV, "full");
  }
  memcpy(c->bytes + c->n, bytes, n);
  c->n += n;
  return XLM_OK;
}

static void a_sink_gets_all_or_its_failure_comes_out(void **state) {
  (void)state;
  static collected whole, part;
  xlm_json j;
  xlm_error err = {0};
  whole.room = part.room = sizeof whole.bytes;
  for (int round = 0; round < 2; round++) { // longer than the writer's buffer
    xlm_json_to_sink(&j, collect, round ? &part : &whole, &err);
    xlm_json_array(&j, NULL, XLM_JSON_LINES);
    for (int i = 0; i < 20; i++) put_everything(&j, XLM_JSON_ROW);
    xlm_json_close(&j);
    assert_int_equal(xlm_json_finish(&j), round ? XLM_ENV : XLM_OK);
    part.room = whole.n / 2;
  }
  assert_true(whole.n > 2 * XLM_JSON_BUFFER);
  assert_string_equal(err.text, "full");
  assert_int_equal(part.refused, 1); // and nothing after that
  json_t *top = json_loadb(whole.bytes, whole.n, 0, NULL);
  assert_int_equal(json_array_size(top), 20);
  json_decref(top);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_style_reads_back),
                                     cmocka_unit_test(lines_are_indented),
                                     cmocka_unit_test(a_sink_gets_all_or_its_failure_comes_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
