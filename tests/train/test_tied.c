// A Llama whose head is its embedding computes what one does whose head is a copy of it, and its gradient is the
// sum of both.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/train/train_util.h"

static float *values(const toy *t, const char *name, int64_t *n) {
  const xlm_stored *s = xlm_store_find(t->store, name);
  assert_non_null(s);
  float *out = malloc((size_t)s->n * sizeof *out);
  assert_non_null(out);
  assert_int_equal(xlm_store_get(t->store, s, NULL, out, NULL), XLM_OK);
  *n = s->n;
  return out;
}

static void set_head_to_embedding(const toy *t) {
  const xlm_stored *head = xlm_store_find(t->store, "unembed");
  int64_t n, hidden = head->shape[0], vocab = head->shape[1];
  float *embed = values(t, "embed", &n), *copy = malloc((size_t)n * sizeof *copy);
  assert_true(copy && n == hidden * vocab);
  for (int64_t v = 0; v < vocab; v++)
    for (int64_t h = 0; h < hidden; h++) copy[h * vocab + v] = embed[v * hidden + h];
  assert_int_equal(xlm_store_put(t->store, head, NULL, copy, NULL), XLM_OK);
  free(embed), free(copy);
}

static void test_same_as_a_copy(void **state) {
  (void)state;
  toy_options o = toy_defaults("llama"), with = o;
  with.sets = "tied=true";
  toy *own = toy_open(&o), *tied = toy_open(&with);
  assert_null(xlm_store_find(tied->store, "unembed"));
  set_head_to_embedding(own);
  toy_step(own, 0), toy_step(tied, 0);
  assert_true(fabs(own->loss / tied->loss - 1) < 1e-6);
  assert_true(tied->norm > 0 && fabs(own->norm / tied->norm - 1) > 1e-3); // two gradients, or their sum
  toy_close(own), toy_close(tied);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_as_a_copy)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
