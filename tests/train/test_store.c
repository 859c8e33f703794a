// States as logical tensors: boxes go in and out of any layout, and a device's refusals go up.
#include "tests/train/hand_world.h"

static xlm_box random_box(const xlm_stored *t, uint32_t *seed) {
  xlm_box b = {{0}, {0}};
  for (int i = 0; i < t->rank; i++) {
    int64_t from = (*seed = *seed * 1664525u + 1013904223u) >> 8,
            n = (*seed = *seed * 1664525u + 1013904223u) >> 8;
    b.begin[i] = from % t->shape[i];
    b.end[i] = b.begin[i] + 1 + n % (t->shape[i] - b.begin[i]);
  }
  return b;
}

// Where element i of the box lies in the tensor.
static int64_t place_of(const xlm_stored *t, const xlm_box *b, int64_t i) {
  int64_t at = 0, stride = 1;
  for (int d = t->rank - 1; d >= 0; d--) {
    int64_t size = b->end[d] - b->begin[d];
    at += (b->begin[d] + i % size) * stride;
    i /= size, stride *= t->shape[d];
  }
  return at;
}

// Any box of a tensor, whole or split, goes in and comes out as if it lay in one piece.
static void test_boxes(void **state) {
  (void)state;
  world *whole = new_world(1), *split = new_world(2), *mirrored = new_world_of(2, true);
  world *const all[] = {whole, split, mirrored};
  uint32_t seed = 1;
  for (int k = 0; k < 3; k++) init_world(all[k], 5);
  for (int i = 0; i < whole->store->n; i++)
    for (int round = 0; round < 300; round++) {
      const xlm_stored *first = &whole->store->at[i];
      xlm_box b = random_box(first, &seed);
      int64_t n = xlm_box_elements(first, &b);
      float expected[512], out[512], in[512];
      assert_int_equal(xlm_store_get(whole->store, first, NULL, expected, NULL), XLM_OK);
      for (int64_t j = 0; j < n; j++) in[j] = expected[place_of(first, &b, j)] = (float)(round * 1000 + j);
      for (int k = 0; k < 3; k++) {
        const xlm_stored *t = &all[k]->store->at[i];
        assert_int_equal(xlm_store_put(all[k]->store, t, &b, in, NULL), XLM_OK);
        assert_int_equal(xlm_store_get(all[k]->store, t, &b, out, NULL), XLM_OK);
        assert_memory_equal(out, in, sizeof(float) * (size_t)n);
        assert_int_equal(xlm_store_get(all[k]->store, t, NULL, out, NULL), XLM_OK);
        assert_memory_equal(out, expected, sizeof(float) * (size_t)t->n);
        assert_true(xlm_store_has(t, &b));
      }
    }
  for (int k = 0; k < 3; k++) free_world(all[k]);
}

// What a device says goes up: nothing is taken for done that was not.
static void test_refusals(void **state) {
  (void)state;
  world *w = new_world(2);
  xlm_error err = {0};
  float out[512];
  const xlm_stored *t = xlm_store_find(w->store, "gate");
  xlm_pool *pool;
  w->refuses = 4;
  assert_int_equal(xlm_pool_new(3, &pool, NULL), XLM_OK);
  assert_int_equal(xlm_store_init(w->store, 5, false, pool, &err), XLM_ENV);
  assert_string_equal(err.text, "the device refuses state 3");
  assert_int_equal(xlm_store_get(w->store, t, NULL, out, &err), XLM_ENV);
  assert_int_equal(xlm_store_put(w->store, t, NULL, out, &err), XLM_ENV);
  xlm_pool_free(pool);
  free_world(w);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_boxes), cmocka_unit_test(test_refusals)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
