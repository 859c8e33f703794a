// Weights in panels: every element of the dense matrix has its place, products give the bits that they give
// of dense weights, and a plan that only decodes stores its weights so, whatever is read from it and written
// to it. On every instruction set.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/cpu/gemm/gemm.h"
#include "runtime/plan/panels.h"
#include "tests/ops/each_isa.h"
#include "tests/train/train_util.h"

static uint32_t draw(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

static int below(uint32_t *seed, int64_t n) {
  return (int)(draw(seed) % (uint32_t)n);
}

static void *taken(size_t bytes) {
  void *p = aligned_alloc(64, (bytes + 64) / 64 * 64);
  assert_non_null(p);
  memset(p, 0xa5, (bytes + 64) / 64 * 64);
  return p;
}

// ---- the places

// Element (row, column) of a dense matrix in panels, written out one by one. together: rows side by side, 2
// of numbers of 16 bits.
static void place_all(int64_t rows, int64_t columns, int64_t width, int together, int64_t *at) {
  int64_t next = 0;
  for (int64_t first = 0; first < columns; first += width)
    for (int64_t row = 0, some; row < rows; row += some) {
      some = row + together <= rows ? together : rows - row;
      for (int64_t c = first; c < first + width && c < columns; c++)
        for (int64_t r = row; r < row + some; r++) at[r * columns + c] = next++;
    }
}

typedef struct found {
  int64_t begin, end, n;
  int64_t *at;
} found;

static bool note_run(void *arg, const xlm_panel_run *r) {
  found *f = arg;
  for (int64_t i = 0; i < r->n; i++) {
    int64_t dense = xlm_panel_dense(r, i);
    assert_true(dense >= f->begin && dense < f->end && f->at[dense] < 0);
    f->at[dense] = r->at + i;
    f->n++;
  }
  return true;
}

static void check_places(uint32_t seed) {
  xlm_dim_info dims[4] = {{0}};
  xlm_type t = {.dtype = seed & 1 ? XLM_F32 : XLM_BF16, .rank = 3, .dim = {1, 2, 3}};
  for (int i = 1; i <= 3; i++) dims[i].size = 1 + below(&seed, i == 2 ? 5 : 40);
  t.panels = (xlm_panels){(uint16_t)(1 + below(&seed, 50)), (uint8_t)(1 + below(&seed, 2)), below(&seed, 2)};
  assert_true(xlm_panels_fit(&t.panels, &t, dims));
  int64_t n = dims[1].size * dims[2].size * dims[3].size, before = dims[1].size;
  if (t.panels.split == 2) before *= dims[2].size;
  int64_t columns = t.panels.columns_first ? before : n / before, rows = n / columns;
  int64_t *expected = malloc((size_t)n * sizeof *expected), *at = malloc((size_t)n * sizeof *at);
  place_all(rows, columns, t.panels.width, t.dtype == XLM_F32 ? 1 : 2, expected);
  for (int64_t i = 0; i < n; i++) at[i] = -1;
  for (int64_t begin = 0, end; begin < n; begin = end) { // in pieces
    end = begin + 1 + below(&seed, n - begin);
    found f = {begin, end, 0, at};
    assert_true(xlm_panels_each(&t, dims, begin, end, note_run, &f));
    assert_int_equal(f.n, end - begin);
  }
  for (int64_t i = 0; i < n; i++) {
    int64_t row = t.panels.columns_first ? i % rows : i / columns,
            column = t.panels.columns_first ? i / rows : i % columns;
    assert_int_equal(at[i], expected[row * columns + column]);
  }
  free(expected), free(at);
}

static void every_element_has_its_place(void **state) {
  (void)state;
  for (uint32_t i = 0; i < 300; i++) check_places(i * 7919 + 3);
}

// ---- products

typedef struct shape {
  int m, n, k;
  xlm_dtype a, b, c;
  bool columns_first, add, bias;
} shape;

static size_t bytes_of(int64_t n, xlm_dtype t) {
  return (size_t)n * xlm_dtype_bytes(t);
}

static void *filled(int64_t n, xlm_dtype t, uint32_t *seed) {
  void *p = taken(bytes_of(n, t));
  for (int64_t i = 0; i < n; i++) {
    float f = (float)below(seed, 1 << 20) / (1 << 19) - 1;
    if (t == XLM_F32)
      ((float *)p)[i] = f;
    else
      ((uint16_t *)p)[i] = xlm_f32_to_bf16(f);
  }
  return p;
}

static void *in_panels(const void *b, const shape *s, int width) {
  const size_t size = xlm_dtype_bytes(s->b);
  int64_t n = (int64_t)s->n * s->k, *at = malloc((size_t)n * sizeof *at);
  char *to = taken((size_t)n * size);
  place_all(s->k, s->n, width, s->b == XLM_F32 ? 1 : 2, at);
  for (int64_t q = 0; q < s->k; q++)
    for (int64_t j = 0; j < s->n; j++)
      memcpy(to + (size_t)at[q * s->n + j] * size,
             (const char *)b + (size_t)(s->columns_first ? j * s->k + q : q * s->n + j) * size, size);
  free(at);
  return to;
}

static void multiply(const xlm_gemm *g, const void *a, const void *b, const void *add, const void *bias,
                     void *c, int threads) {
  xlm_pool *pool;
  xlm_error err;
  assert_int_equal(xlm_pool_new(threads, &pool, &err), XLM_OK);
  size_t bytes = xlm_gemm_workspace(g, threads);
  unsigned char *workspace = taken(bytes + 256);
  xlm_gemm_run(g, a, b, add, bias, c, NULL, workspace, threads > 1 ? pool : NULL);
  for (int i = 0; i < 256; i++) assert_int_equal(workspace[bytes + (size_t)i], 0xa5);
  free(workspace);
  xlm_pool_free(pool);
}

static void check_product(const shape *s, uint32_t seed) {
  xlm_gemm g = {{.a = s->a, .b = s->b, .c = s->c, .add = s->add, .bias = s->bias ? s->n : 0}};
  g.p.m = (xlm_matmul_index){1, {s->m}, {s->k}, {0}, {s->n}};
  g.p.n = (xlm_matmul_index){1, {s->n}, {0}, {s->columns_first ? s->k : 1}, {1}};
  g.p.k = (xlm_matmul_index){1, {s->k}, {1}, {s->columns_first ? 1 : s->n}, {0}};
  xlm_gemm_choose(&g, xlm_cpu_arch_here());
  int width = xlm_gemm_panel(&g, g.arch, s->columns_first);
  assert_true(width > 0);
  int64_t mn = (int64_t)s->m * s->n, nk = (int64_t)s->n * s->k;
  void *a = filled((int64_t)s->m * s->k, s->a, &seed), *b = filled(nk, s->b, &seed),
       *add = filled(mn, s->c, &seed), *bias = filled(s->n, s->c, &seed), *panels = in_panels(b, s, width);
  unsigned char *dense = taken(bytes_of(mn, s->c) + 64), *c = taken(bytes_of(mn, s->c) + 64);
  multiply(&g, a, b, s->add ? add : NULL, s->bias ? bias : NULL, dense, 1);
  g.panel = width;
  multiply(&g, a, panels, s->add ? add : NULL, s->bias ? bias : NULL, c, 1 + below(&seed, 3));
  if (memcmp(dense, c, bytes_of(mn, s->c)) != 0)
    fail_msg("m %d n %d k %d, types %d %d %d%s: other bits than of a dense weight", s->m, s->n, s->k, s->a,
             s->b, s->c, s->columns_first ? ", columns first" : "");
  for (int i = 0; i < 64; i++) assert_int_equal(c[bytes_of(mn, s->c) + (size_t)i], 0xa5);
  free(a), free(b), free(add), free(bias), free(panels), free(dense), free(c);
}

static void products_have_the_same_bits(void **state) {
  static const int ms[] = {1, 2, 3, 4, 5, 8, 9, 16, 17, 70}, ns[] = {48, 49, 95, 96, 257, 770},
                   ks[] = {2, 3, 7, 64, 65, 384, 385, 901, 1537};
  (void)state;
  uint32_t seed = 5;
  for (int i = 0; i < 10 * 6 * 9; i++) {
    uint32_t bits = draw(&seed);
    shape s = {ms[i % 10],    ns[i / 10 % 6], ks[i / 60],    bits & 1,     bits >> 1 & 1,
               bits >> 2 & 1, bits >> 3 & 1,  bits >> 4 & 1, bits >> 5 & 1};
    check_product(&s, seed);
  }
}

static void a_long_sum_takes_its_rows_in_parts(void **state) { // more k blocks than packed rows have room for
  (void)state;
  for (int bits = 0; bits < 4; bits++)
    check_product(&(shape){16, 100, 5000, bits & 1, bits >> 1, XLM_F32, bits & 1, false, true}, 9);
}

// What is not one dense matrix by rows of A, or has fewer columns than a panel, stays as it is.
static void others_are_not_stored_so(void **state) {
  (void)state;
  xlm_cpu_arch arch = xlm_cpu_arch_here();
  xlm_gemm g = {.p = {.a = XLM_F32, .b = XLM_F32, .c = XLM_F32}};
  g.p.m = (xlm_matmul_index){1, {4}, {100}, {0}, {200}};
  g.p.n = (xlm_matmul_index){1, {200}, {0}, {1}, {1}};
  g.p.k = (xlm_matmul_index){1, {100}, {1}, {200}, {0}};
  assert_true(xlm_gemm_panel(&g, arch, false) > 0);
  assert_int_equal(xlm_gemm_panel(&g, arch, true), 0);
  xlm_gemm narrow = g, gap = g, turned = g, many = g;
  narrow.p.n.size[0] = 3, narrow.p.k.b[0] = 3, narrow.p.m.c[0] = 3;
  gap.p.k.b[0] = 201;
  turned.p.m.c[0] = 1, turned.p.n.c[0] = 4;
  many.p.batch = (xlm_matmul_index){1, {2}, {400}, {20000}, {800}};
  assert_int_equal(xlm_gemm_panel(&narrow, arch, false), 0);
  assert_int_equal(xlm_gemm_panel(&gap, arch, false), 0);
  assert_int_equal(xlm_gemm_panel(&turned, arch, false), 0);
  assert_int_equal(xlm_gemm_panel(&many, arch, false), 0);
}

// ---- plans

#if !defined(XLM_EMULATED) // their other kernels are not
static const xlm_plan *plan_of(xlm_arena *a, const char *model, xlm_dtype dtype, uint32_t programs) {
  toy_options o = toy_defaults(model);
  o.dtype = dtype, o.sets = "hidden=64 ffn=200 vocab=101";
  xlm_compile_options c = toy_compile_options(a, &o);
  c.programs = programs, c.chunk = 8;
  return toy_plan_on("cpu", a, toy_source(a, model), &c);
}

static int n_in_panels(const xlm_plan *p) {
  int n = 0;
  for (uint32_t t = 0; t < p->rank_plans[0]->n_tensors; t++)
    n += p->rank_plans[0]->tensors[t].type.panels.width > 0;
  return n;
}

static const xlm_tensor *tensor_of(const xlm_plan *p, const char *state, uint32_t *index) {
  const xlm_rank_plan *r = p->rank_plans[0];
  for (*index = 0; *index < r->n_states; (*index)++)
    if (!strcmp(r->states[*index].name, state)) return &r->tensors[r->states[*index].tensor];
  fail_msg("no state %s", state);
  return NULL;
}

// A head that is tied to the embedding is read by rows and by columns; what is trained stays dense.
static void plans_that_decode_have_them(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  uint32_t decode = XLM_WITH_PREFILL | XLM_WITH_DECODE, i;
  const xlm_plan *p = plan_of(a, "gpt2", XLM_F32, decode);
  const xlm_tensor *embed = tensor_of(p, "wte", &i), *up = tensor_of(p, "layers.0.mlp.up", &i),
                   *position = tensor_of(p, "wpe", &i);
  assert_true(embed->type.panels.width && embed->type.panels.columns_first && embed->type.panels.split == 1);
  assert_true(up->type.panels.width && !up->type.panels.columns_first && up->type.panels.split == 1);
  assert_int_equal(position->type.panels.width, 0);
  assert_int_equal(n_in_panels(plan_of(a, "gpt2", XLM_F32, XLM_WITH_TRAIN | XLM_WITH_EVAL | decode)), 0);
  assert_int_equal(n_in_panels(plan_of(a, "gpt2", XLM_F32, XLM_WITH_EVAL)), 0);
  xlm_arena_free(a);
}

// Written in pieces of any length and read in others.
static void check_states(const xlm_plan *p, const char *device) {
  xlm_exec *e;
  xlm_error err;
  uint32_t seed = 3;
  xlm_backend b = toy_backend(device);
  if (xlm_exec_open(p, 0, &b, 1, NULL, &e, &err) != XLM_OK) fail_msg("%s", err.text);
  const xlm_rank_plan *r = p->rank_plans[0];
  for (uint32_t s = 0; s < r->n_states; s++) {
    const xlm_tensor *t = &r->tensors[r->states[s].tensor];
    int64_t size = (int64_t)xlm_dtype_bytes(t->type.dtype), n = (int64_t)t->bytes / size;
    char *in = malloc(t->bytes), *out = malloc(t->bytes);
    for (uint64_t i = 0; i < t->bytes; i++) in[i] = (char)draw(&seed);
    for (int64_t at = 0, k; at < n; at += k) {
      k = 1 + below(&seed, n - at);
      assert_int_equal(
          xlm_exec_put_state(e, s, (size_t)(at * size), in + at * size, (size_t)(k * size), &err), 0);
    }
    for (int64_t at = 0, k; at < n; at += k) {
      k = 1 + below(&seed, n - at);
      assert_int_equal(
          xlm_exec_get_state(e, s, (size_t)(at * size), out + at * size, (size_t)(k * size), &err), 0);
    }
    assert_memory_equal(in, out, t->bytes);
    free(in), free(out);
  }
  xlm_exec_close(e);
}

static void states_are_written_and_read(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  for (int bf16 = 0; bf16 < 2; bf16++) {
    const xlm_plan *p = plan_of(a, "llama", bf16 ? XLM_BF16 : XLM_F32, XLM_WITH_PREFILL | XLM_WITH_DECODE);
    assert_true(n_in_panels(p) > 4);
    check_states(p, "cpu");
    check_states(p, "cpu-far");
  }
  xlm_arena_free(a);
}

// Panels that no kernel here has are refused before anything runs.
static void panels_of_others_are_refused(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  const xlm_plan *p = plan_of(a, "gpt2", XLM_F32, XLM_WITH_PREFILL | XLM_WITH_DECODE);
  uint32_t i;
  xlm_tensor *up = (xlm_tensor *)(uintptr_t)tensor_of(p, "layers.0.mlp.up", &i),
             *position = (xlm_tensor *)(uintptr_t)tensor_of(p, "wpe", &i);
  const xlm_panels good = up->type.panels, bad[] = {{7, 1, false}, {good.width, 1, true}};
  xlm_exec *e;
  xlm_error err = {0};
  for (int k = 0; k < 3; k++) {
    if (k < 2)
      up->type.panels = bad[k];
    else
      up->type.panels = good, position->type.panels = good;
    assert_int_equal(xlm_exec_open(p, 0, xlm_backend_find("cpu"), 1, NULL, &e, &err), XLM_USER);
    assert_non_null(strstr(err.text, "in the panels of the plan; make the plan again"));
  }
  xlm_arena_free(a);
}
#endif

static int run_all(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_element_has_its_place),
    cmocka_unit_test(products_have_the_same_bits),
    cmocka_unit_test(a_long_sum_takes_its_rows_in_parts),
    cmocka_unit_test(others_are_not_stored_so),
#if !defined(XLM_EMULATED)
    cmocka_unit_test(plans_that_decode_have_them),
    cmocka_unit_test(states_are_written_and_read),
    cmocka_unit_test(panels_of_others_are_refused),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  return each_isa(run_all);
}
