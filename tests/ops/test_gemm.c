// The CPU matrix product against a double reference: random shapes, stride patterns, types, ragged groups and
// thread counts, on every instruction set. Besides values it checks what gemm.h promises: equal bits however
// the work is divided, no byte written outside C, and a workspace of exactly the promised size.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/cpu/gemm/gemm.h"
#include "tests/ops/each_isa.h"

// CANARY: NaN, as f32 and as bf16: what is read before it is written shows.
enum { GUARD = 256, CANARY = 0xff, ENTRIES = 8 };

// ---- random numbers, types ----

static uint32_t draw(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return *seed >> 8;
}

static int below(uint32_t *seed, int n) {
  return (int)(draw(seed) % (uint32_t)n);
}

static float widen(uint16_t h) {
  uint32_t w = (uint32_t)h << 16;
  float f;
  memcpy(&f, &w, 4);
  return f;
}

static double get(const void *p, xlm_dtype t, int64_t i) {
  return t == XLM_F32 ? ((const float *)p)[i] : widen(((const uint16_t *)p)[i]);
}

static void fill_random(void *p, xlm_dtype t, int64_t n, uint32_t *seed) {
  for (int64_t i = 0; i < n; i++) {
    float f = (float)below(seed, 1 << 20) / (1 << 19) - 1;
    uint32_t w;
    memcpy(&w, &f, 4);
    if (t == XLM_F32)
      ((float *)p)[i] = f;
    else
      ((uint16_t *)p)[i] = (uint16_t)(w >> 16);
  }
}

// ---- guarded memory ----

static char *guarded_new(size_t bytes) {
  size_t all = (bytes + 63) / 64 * 64 + 2 * GUARD;
  char *p = aligned_alloc(64, all);
  assert_non_null(p);
  memset(p, CANARY, all);
  return p + GUARD;
}

static void guarded_free(char *p, size_t bytes) {
  for (size_t i = 0; i < GUARD; i++) {
    assert_int_equal((unsigned char)p[-1 - (ptrdiff_t)i], CANARY);
    assert_int_equal((unsigned char)p[bytes + i], CANARY);
  }
  free(p - GUARD);
}

// ---- a problem: sizes, layouts and data ----

typedef struct problem {
  xlm_gemm g;
  int64_t a_count, b_count, c_count; // elements spanned
  void *a, *b, *add, *bias;
  int32_t offsets[ENTRIES + 1];
  bool ragged;
} problem;

static xlm_matmul_index *group(xlm_gemm *g, int i) {
  return i == 0 ? &g->p.batch : i == 1 ? &g->p.m : i == 2 ? &g->p.n : &g->p.k;
}

static int64_t *stride_of(xlm_matmul_index *x, int side) {
  return side == 0 ? x->a : side == 1 ? x->b : x->c;
}

static bool side_has(const xlm_gemm *g, int side, int i) {
  static const bool has[3][4] = {{1, 1, 0, 1}, {1, 0, 1, 1}, {1, 1, 1, 0}};
  bool ragged_here =
      g->p.ragged && has[side][g->p.ragged]; // then the batch dimension is folded into the ragged one
  return has[side][i] && !(i == 0 && ragged_here);
}

// Lays the dimensions of one operand out in a random order (or as listed), sometimes with a gap; returns the
// span.
static int64_t lay_out(xlm_gemm *g, int side, bool permute, uint32_t *seed) {
  struct {
    xlm_matmul_index *x;
    int d;
  } dim[4 * XLM_MATMUL_DIMS];
  int n = 0;
  for (int i = 0; i < 4; i++)
    for (int d = 0; d < group(g, i)->n; d++) {
      stride_of(group(g, i), side)[d] = 0;
      if (side_has(g, side, i)) dim[n].x = group(g, i), dim[n++].d = d;
    }
  for (int i = n - 1; permute && i > 0; i--) {
    int j = below(seed, i + 1);
    xlm_matmul_index *x = dim[i].x;
    int d = dim[i].d;
    dim[i] = dim[j];
    dim[j].x = x, dim[j].d = d;
  }
  int64_t stride = 1;
  for (int i = n - 1; i >= 0; i--) {
    stride_of(dim[i].x, side)[dim[i].d] = stride;
    stride *= dim[i].x->size[dim[i].d];
    if (permute && below(seed, 4) == 0) stride += 1 + below(seed, 5);
  }
  return stride > 0 ? stride : 1;
}

static void set_data(problem *p, bool permute, uint32_t *seed) {
  p->a_count = lay_out(&p->g, 0, permute, seed);
  p->b_count = lay_out(&p->g, 1, permute, seed);
  p->c_count = lay_out(&p->g, 2, permute, seed);
  p->a = malloc((size_t)p->a_count * 4), p->b = malloc((size_t)p->b_count * 4),
  p->add = malloc((size_t)p->c_count * 4);
  assert_true(p->a && p->b && p->add);
  fill_random(p->a, p->g.p.a, p->a_count, seed);
  fill_random(p->b, p->g.p.b, p->b_count, seed);
  fill_random(p->add, p->g.p.c, p->c_count, seed);
}

static void problem_free(problem *p) {
  free(p->a), free(p->b), free(p->add), free(p->bias);
}

// A bias that C's other dimensions step over in whole: its elements follow the columns.
static void set_bias(problem *p, uint32_t *seed) {
  int64_t n = 0;
  for (int i = 0; i < 2; i++)
    for (int d = 0; d < group(&p->g, i)->n; d++) {
      int64_t step = group(&p->g, i)->size[d] > 1 ? group(&p->g, i)->c[d] : 0;
      for (int64_t t; step; t = n % step, n = step, step = t) continue; // the greatest common divisor
    }
  int64_t parts = 1 + below(seed, 3);
  if (!n) n = 1 + below(seed, 50);
  p->g.p.bias = n % parts ? n : n / parts;
  p->bias = malloc((size_t)p->g.p.bias * 4);
  assert_non_null(p->bias);
  fill_random(p->bias, p->g.p.c, p->g.p.bias, seed);
}

static int64_t count(const xlm_matmul_index *x) {
  int64_t n = 1;
  for (int d = 0; d < x->n; d++) n *= x->size[d];
  return n;
}

// Splits n into up to 3 dimensions.
static void split(xlm_matmul_index *x, int64_t n, bool permute, uint32_t *seed) {
  static const int factors[] = {2, 3, 4, 5, 7};
  *x = (xlm_matmul_index){.n = 1, .size = {n}};
  for (int tries = 0; permute && tries < 3 && x->n < 3; tries++) {
    int f = factors[below(seed, 5)];
    if (x->size[0] % f == 0 && x->size[0] > 0) {
      x->size[x->n++] = f;
      x->size[0] /= f;
    }
  }
}

static problem random_problem(uint32_t *seed) {
  static const int ms[] = {0, 1, 2, 3, 7, 8, 9, 16, 48, 65, 200},
                   ks[] = {0, 1, 2, 15, 16, 33, 64, 100, 385, 400, 800, 1201};
  problem p = {0};
  bool permute = below(seed, 3) > 0;
  p.g.p.a = below(seed, 2), p.g.p.b = below(seed, 2), p.g.p.c = below(seed, 2);
  p.g.p.add = below(seed, 2);
  p.g.p.ragged = below(seed, 3) ? XLM_RAGGED_NONE : (xlm_ragged)below(seed, 4);
  int64_t n[4] = {below(seed, 40) ? 1 + below(seed, 4) : 0, ms[below(seed, 11)], ms[below(seed, 11)],
                  ks[below(seed, 12)]};
  if (below(seed, 3) == 0)
    n[1] = 1 + below(seed, 120), n[2] = 1 + below(seed, 120), n[3] = 1 + below(seed, 450);
  for (int i = 0; i < 4; i++) {
    bool whole = p.g.p.ragged && (i == 0 || i == (int)p.g.p.ragged);
    split(group(&p.g, i), n[i], permute && !whole, seed);
  }
  if (p.g.p.ragged)
    for (int e = 0; e < n[0]; e++) {
      int left = (int)n[p.g.p.ragged] - p.offsets[e];
      p.offsets[e + 1] = p.offsets[e] + (below(seed, 4) ? below(seed, left + 1) : 0);
    }
  set_data(&p, permute, seed);
  if (!p.g.p.ragged && below(seed, 2)) set_bias(&p, seed);
  return p;
}

// ---- running and checking ----

static int64_t offset(xlm_matmul_index *x, int side, int64_t i) {
  int64_t o = 0;
  for (int d = x->n - 1; d >= 0; d--) {
    o += (d ? i % x->size[d] : i) * stride_of(x, side)[d];
    i /= x->size[d];
  }
  return o;
}

static void run(const problem *p, void *c, const void *add, int threads) {
  xlm_pool *pool;
  xlm_error err;
  assert_int_equal(xlm_pool_new(threads, &pool, &err), 0);
  xlm_gemm g = p->g;
  xlm_gemm_choose(&g, xlm_cpu_arch_here());
  size_t bytes = xlm_gemm_workspace(&g, threads);
  char *workspace = guarded_new(bytes);
  xlm_gemm_run(&g, p->a, p->b, p->g.p.add ? add : NULL, p->bias, c, p->g.p.ragged ? p->offsets : NULL,
               workspace, threads > 1 ? pool : NULL);
  guarded_free(workspace, bytes);
  xlm_pool_free(pool);
}

static void check_element(problem *p, const void *c, int64_t e, int64_t i, int64_t j, int64_t k0,
                          int64_t k1) {
  xlm_gemm *g = &p->g;
  int64_t a = offset(&g->p.batch, 0, e) + offset(&g->p.m, 0, i),
          b = offset(&g->p.batch, 1, e) + offset(&g->p.n, 1, j);
  int64_t at = offset(&g->p.batch, 2, e) + offset(&g->p.m, 2, i) + offset(&g->p.n, 2, j);
  double add = g->p.add ? get(p->add, g->p.c, at) : 0,
         bias = g->p.bias ? get(p->bias, g->p.c, at % g->p.bias) : 0, sum = add + bias,
         size = fabs(add) + fabs(bias);
  for (int64_t k = k0; k < k1; k++) {
    double v = get(p->a, g->p.a, a + offset(&g->p.k, 0, k)) * get(p->b, g->p.b, b + offset(&g->p.k, 1, k));
    sum += v, size += fabs(v);
  }
  // Rounding of a sum of n terms: n * eps * sum of magnitudes, at worst; random signs stay far below.
  double tolerance =
      size * 6e-8 * (sqrt((double)(k1 - k0)) + 8) + (g->p.c == XLM_BF16 ? fabs(sum) * 0.00391 : 0);
  double got = get(c, g->p.c, at);
  if (!(fabs(got - sum) <= tolerance + 1e-30))
    fail_msg("element %ld %ld %ld of m %ld n %ld k %ld: %.9g, expected %.9g", (long)e, (long)i, (long)j,
             (long)count(&g->p.m), (long)count(&g->p.n), (long)count(&g->p.k), got, sum);
}

// Checks a sample of the elements of C and marks all of them in `seen`.
static void check_all(problem *p, const void *c, bool *seen, uint32_t *seed) {
  xlm_gemm *g = &p->g;
  for (int64_t e = 0; e < count(&g->p.batch); e++) {
    int64_t from[4] = {0}, to[4] = {0, count(&g->p.m), count(&g->p.n), count(&g->p.k)};
    if (g->p.ragged) from[g->p.ragged] = p->offsets[e], to[g->p.ragged] = p->offsets[e + 1];
    int64_t elements = (to[1] - from[1]) * (to[2] - from[2]),
            every = elements * (to[3] - from[3]) / 20000 + 1;
    for (int64_t i = from[1]; i < to[1]; i++)
      for (int64_t j = from[2]; j < to[2]; j++) {
        seen[offset(&g->p.batch, 2, e) + offset(&g->p.m, 2, i) + offset(&g->p.n, 2, j)] = true;
        bool corner = (i == from[1] || i == to[1] - 1) && (j == from[2] || j == to[2] - 1);
        if (corner || below(seed, (int)every) == 0) check_element(p, c, e, i, j, from[3], to[3]);
      }
  }
}

static void check_untouched(const problem *p, const char *c, const bool *seen) {
  size_t size = p->g.p.c == XLM_F32 ? 4 : 2;
  for (int64_t i = 0; i < p->c_count; i++)
    for (size_t b = 0; !seen[i] && b < size; b++)
      assert_int_equal((unsigned char)c[(size_t)i * size + b], CANARY);
}

static void check_problem(problem *p, uint32_t *seed) {
  size_t bytes = (size_t)p->c_count * (p->g.p.c == XLM_F32 ? 4 : 2);
  char *c = guarded_new(bytes), *again = guarded_new(bytes);
  bool *seen = calloc((size_t)p->c_count, 1);
  run(p, c, p->add, 1 + below(seed, 2));
  check_all(p, c, seen, seed);
  check_untouched(p, c, seen);
  if (p->g.p.add) memcpy(again, p->add, bytes); // in place, another number of threads: the same bits
  run(p, again, p->g.p.add ? again : NULL, 1 + below(seed, 4));
  size_t size = p->g.p.c == XLM_F32 ? 4 : 2;
  for (int64_t i = 0; i < p->c_count; i++)
    if (seen[i]) assert_memory_equal(c + (size_t)i * size, again + (size_t)i * size, size);
  free(seen);
  guarded_free(c, bytes);
  guarded_free(again, bytes);
}

// ---- tests ----

static void random_products(void **state) {
  (void)state;
  for (uint32_t i = 0; i < 400; i++) {
    uint32_t seed = i * 7919 + 1;
    problem p = random_problem(&seed);
    check_problem(&p, &seed);
    problem_free(&p);
  }
}

static void large_products(void **state) { // several rounds of each kind
  (void)state;
  static const int shapes[][4] = {
      {1, 40, 4000, 1300}, {1, 300, 2000, 420}, {3, 50, 1700, 390}, {1, 20, 90, 9000}, {1, 9, 20000, 90}};
  for (uint32_t i = 0; i < 40; i++) {
    uint32_t seed = i + 99;
    const int *s = shapes[i % 5];
    problem p = {.g = {{.a = i & 1, .b = i >> 1 & 1, .c = i >> 2 & 1, .add = i & 1}}};
    for (int x = 0; x < 4; x++) split(group(&p.g, x), s[x], false, &seed);
    set_data(&p, i > 20, &seed);
    if (i & 2) set_bias(&p, &seed);
    check_problem(&p, &seed);
    problem_free(&p);
  }
}

// A block of a product, computed alone (few rows, few columns, other threads, or C transposed), has the bits
// it has in the whole.
static void check_block(const problem *whole, const char *c, int i0, int j0, int m, int n, bool transposed) {
  problem p = *whole;
  int64_t size = p.g.p.c == XLM_F32 ? 4 : 2;
  p.g.p.m.size[0] = m, p.g.p.n.size[0] = n;
  p.a = (char *)p.a + i0 * p.g.p.m.a[0] * (p.g.p.a == XLM_F32 ? 4 : 2);
  p.b = (char *)p.b + j0 * p.g.p.n.b[0] * (p.g.p.b == XLM_F32 ? 4 : 2);
  int64_t row = whole->g.p.m.c[0];
  if (transposed)
    p.g.p.m.c[0] = 1, p.g.p.n.c[0] = m;
  else
    p.g.p.m.c[0] = n;
  char *part = guarded_new((size_t)(m * n * size)), *add = malloc((size_t)(m * n * size));
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++)
      memcpy(add + (i * p.g.p.m.c[0] + j * p.g.p.n.c[0]) * size,
             (char *)p.add + ((i0 + i) * row + j0 + j) * size, (size_t)size);
  run(&p, part, add, 1 + (m + n) % 4);
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++)
      assert_memory_equal(part + (i * p.g.p.m.c[0] + j * p.g.p.n.c[0]) * size,
                          c + ((i0 + i) * row + j0 + j) * size, size);
  free(add);
  guarded_free(part, (size_t)(m * n * size));
}

static problem plain_problem(int m, int n, int k, int bits, bool ta, bool tb, uint32_t *seed) {
  problem p = {.g = {{.a = bits & 1, .b = bits >> 1 & 1, .c = bits >> 2 & 1, .add = bits >> 3 & 1}}};
  int sizes[4] = {1, m, n, k};
  for (int x = 0; x < 4; x++) split(group(&p.g, x), sizes[x], false, seed);
  set_data(&p, false, seed);
  if (ta) p.g.p.m.a[0] = 1, p.g.p.k.a[0] = m;
  p.g.p.k.b[0] = tb ? 1 : n, p.g.p.n.b[0] = tb ? k : 1;
  return p;
}

// Several k blocks by few rows: of few columns, whose k blocks are divided among workers, and of many.
static void few_rows(void **state) {
  (void)state;
  static const int columns[] = {770, 9000};
  uint32_t seed = 11;
  for (int i = 0; i < 32; i++) {
    problem p = plain_problem(1 + i % 7, columns[i & 1], 901, i >> 1, false, false, &seed);
    check_problem(&p, &seed);
    problem_free(&p);
  }
}

static void same_bits_in_blocks(void **state) {
  (void)state;
  uint32_t seed = 5;
  for (int bits = 0; bits < 16; bits++) {
    int m = 150, n = 260, k = bits % 3 ? 901 : 333;
    problem p = plain_problem(m, n, k, bits, bits & 1, bits & 2, &seed);
    size_t bytes = (size_t)(m * n) * (p.g.p.c == XLM_F32 ? 4 : 2);
    char *c = guarded_new(bytes);
    run(&p, c, p.add, 2);
    for (int t = 0; t < 12; t++) {
      int i0 = below(&seed, m), j0 = below(&seed, n);
      int rows = t % 3 ? 1 + below(&seed, 12) : m, columns = t % 4 ? 1 + below(&seed, 99) : n;
      if (rows > m - i0) rows = m - i0;
      if (columns > n - j0) columns = n - j0;
      check_block(&p, c, i0, j0, rows, columns, t & 1);
    }
    guarded_free(c, bytes);
    problem_free(&p);
  }
}

// Each entry of a ragged product has the bits of the dense product of its rows.
static void same_bits_ragged(void **state) {
  (void)state;
  uint32_t seed = 17;
  int experts = 5, rows = 90, n = 70, k = 500;
  for (int bits = 0; bits < 8; bits++) {
    problem p = {.g = {{.a = bits & 1, .b = bits >> 1 & 1, .c = bits >> 2 & 1, .ragged = XLM_RAGGED_M}},
                 .offsets = {0, 3, 3, 50, 51, 90}};
    int sizes[4] = {experts, rows, n, k};
    for (int x = 0; x < 4; x++) split(group(&p.g, x), sizes[x], false, &seed);
    set_data(&p, false, &seed);
    int64_t size = p.g.p.c == XLM_F32 ? 4 : 2;
    char *c = guarded_new((size_t)(rows * n * size)), *one = guarded_new((size_t)(rows * n * size));
    run(&p, c, NULL, 3);
    for (int e = 0; e < experts; e++) {
      problem q = p;
      q.g.p.ragged = XLM_RAGGED_NONE, q.g.p.batch.n = 0, q.g.p.m.size[0] = p.offsets[e + 1] - p.offsets[e];
      q.a = (char *)p.a + p.offsets[e] * p.g.p.m.a[0] * (p.g.p.a == XLM_F32 ? 4 : 2);
      q.b = (char *)p.b + e * p.g.p.batch.b[0] * (p.g.p.b == XLM_F32 ? 4 : 2);
      run(&q, one + p.offsets[e] * n * size, NULL, 1);
    }
    assert_memory_equal(c, one, (size_t)(rows * n * size));
    guarded_free(c, (size_t)(rows * n * size));
    guarded_free(one, (size_t)(rows * n * size));
    problem_free(&p);
  }
}

// C in bf16 is rounded once, to nearest, ties to even; NaN and infinity survive.
static void rounds_to_even(void **state) {
  (void)state;
  static const float in[] = {1 + 1 / 256.f,  1 + 3 / 256.f, 1 + 1 / 256.f + 1e-6f,
                             -1 - 3 / 256.f, INFINITY,      NAN};
  static const float expected[] = {1, 1 + 4 / 256.f, 1 + 2 / 256.f, -1 - 4 / 256.f, INFINITY, NAN};
  float one[16];
  for (int i = 0; i < 16; i++) one[i] = 1;
  for (int rows = 1; rows <= 16; rows += 15) { // few rows, and a whole tile
    problem p = {.g = {{.c = XLM_BF16,
                        .m = {1, {rows}, {1}, {0}, {6}},
                        .n = {1, {6}, {0}, {1}, {1}},
                        .k = {1, {1}, {1}, {6}}}}};
    uint16_t c[16 * 6];
    p.a = one, p.b = (void *)in;
    run(&p, c, NULL, 1);
    for (int i = 0; i < rows * 6; i++)
      if (isnan(expected[i % 6]))
        assert_true(isnan(widen(c[i])));
      else
        assert_true(widen(c[i]) == expected[i % 6]);
  }
}

static void simplify_merges(void **state) {
  (void)state;
  xlm_gemm g = {{.m = {3, {2, 1, 3}, {12, 7, 4}, {0}, {30, 9, 10}},
                 .n = {1, {10}, {0}, {1}, {1}},
                 .k = {2, {2, 2}, {2, 1}, {10, 20}, {0}}}};
  xlm_matmul_simplify(&g.p);
  assert_int_equal(g.p.m.n, 1);
  assert_int_equal(g.p.m.size[0], 6);
  assert_int_equal(g.p.m.a[0], 4);
  assert_int_equal(g.p.m.c[0], 10);
  assert_int_equal(g.p.k.n, 2);
  xlm_gemm again = g;
  xlm_matmul_simplify(&again.p);
  assert_memory_equal(&again.p.m, &g.p.m, sizeof g.p.m);
}

static int run_all(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(simplify_merges),  cmocka_unit_test(rounds_to_even),
      cmocka_unit_test(random_products),  cmocka_unit_test(large_products),
      cmocka_unit_test(few_rows),         cmocka_unit_test(same_bits_in_blocks),
      cmocka_unit_test(same_bits_ragged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
  return each_isa(run_all);
}
