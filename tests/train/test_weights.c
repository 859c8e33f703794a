// Weights under the names and in the layouts of other tools, out and in.
#include <string.h>

#include "runtime/interchange/safetensors.h"
#include "runtime/interchange/weights.h"
#include "tests/train/hand_world.h"

static xlm_status import(const world *w, const xlm_safetensors *from, xlm_error *err) {
  xlm_weights *x;
  assert_int_equal(xlm_weights_new(w->store, &w->plan, &x, NULL), XLM_OK);
  xlm_status status = xlm_weights_import(x, from, err);
  xlm_weights_free(x);
  return status;
}

static void floats_of(const xlm_st_tensor *t, float *out) {
  assert_true(xlm_st_floats(t->dtype, t->data, t->n, out));
}

static void test_export(void **state) {
  (void)state;
  world *w = new_world_of(2, true), *back = new_world(1);
  init_world(w, 9);
  save(w, in_root("x"), 1, 0);
  xlm_safetensors *s;
  xlm_error err = {0};
  assert_int_equal(xlm_safetensors_open(in_root("x/step-00000001/model.safetensors"), &s, NULL), XLM_OK);
  assert_int_equal(xlm_safetensors_count(s), 5);
  const xlm_st_tensor *packed = xlm_safetensors_find(s, "attn.c.weight"),
                      *expert = xlm_safetensors_find(s, "moe.1.w1");
  assert_true(packed && packed->rank == 2 && packed->shape[0] == D && packed->shape[1] == 3 * H * HD);
  assert_true(expert && expert->rank == 2 && expert->shape[0] == F && expert->shape[1] == D);
  float external[512], own[512];
  floats_of(packed, external);
  get_all(w, "wk", own);
  for (int d = 0; d < D; d++)
    for (int h = 0; h < H * HD; h++)
      assert_true(external[d * 3 * H * HD + H * HD + h] == own[d * H * HD + h]);
  floats_of(expert, external);
  get_all(w, "gate", own);
  for (int f = 0; f < F; f++)
    for (int d = 0; d < D; d++) assert_true(external[f * D + d] == own[(1 * D + d) * F + f]);
  assert_int_equal(import(back, s, &err), XLM_OK);
  get_all(w, "bias", own);
  assert_memory_equal(back->memory[0][7], own, H * sizeof(float));
  expect_same(w, back, true);
  xlm_safetensors_close(s);
  free_world(w), free_world(back);
}

static void test_import_faults(void **state) {
  (void)state;
  world *w = new_world(1), *other = new_world(1);
  init_world(w, 9);
  other->plan.n_weights = 0; // own names
  xlm_error err = {0};
  save(w, in_root("x"), 1, 0);
  xlm_safetensors *s;
  assert_int_equal(xlm_safetensors_open(in_root("x/step-00000001/model.safetensors"), &s, NULL), XLM_OK);
  assert_int_equal(import(other, s, &err), XLM_USER);
  assert_non_null(strstr(err.text, "lack 4 of the model's 5 tensors, first 'gate'"));
  xlm_store *wider, *own = w->store;
  w->dims[0][DIM_F].size = w->dims[0][DIM_F].full = 4;
  assert_int_equal(xlm_store_new(&w->plan, states_of(w), &wider, NULL), XLM_OK);
  w->store = wider;
  assert_int_equal(import(w, s, &err), XLM_USER);
  w->store = own;
  assert_non_null(strstr(err.text, "'moe.0.w1' has shape [5, 6] in the file, but the model has [4, 6]"));
  xlm_store_free(wider);
  xlm_safetensors_close(s);
  free_world(w), free_world(other);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_export), cmocka_unit_test(test_import_faults)};
  return cmocka_run_group_tests(tests, make_root, remove_root);
}
