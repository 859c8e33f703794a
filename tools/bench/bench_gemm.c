// Compares our matrix product with oneDNN's on shapes of training: bench_gemm [threads] [filter].
//
// Both run in this process on the same number of threads, alternately, so that other load on the machine
// affects both alike; the figures are medians over the turns. libgomp's threads spin for some milliseconds
// after a product, and sleeping cores wake slowly, so each turn begins with a pause and untimed products.
// oneDNN gets plain row-major or transposed operands; for products that are not one plain matrix product
// (experts, split dimensions) it gets the closest equivalent: a loop over experts, or dense operands of the
// same sizes. "B GB/s" is the rate at which B is read, which matters for few rows. One thread each is timed
// by processor time, which excludes other programs.
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <dnnl.h>

#include "ops/cpu/gemm/gemm.h"
#include "ops/cpu/isa.h"
#include "tools/bench/bench_op.h"

enum { TURNS = 7, PAUSE_US = 5000 };
static const double warm_seconds = 0.008, turn_seconds = 0.02;

typedef enum layout { NN, NT, TN } layout;

typedef struct product {
  const char *name;
  int64_t batch, m, n, k;
  layout layout;
  bool add, ragged, split; // add == C; experts; dimensions in pieces that cannot be merged
} product;

static const product products[] = {
    {"hidden", 1, 4096, 384, 384, NN},
    {"hidden dX", 1, 4096, 384, 384, NT},
    {"hidden dW", 1, 384, 384, 4096, TN, true},
    {"up", 1, 4096, 1024, 384, NN},
    {"up dX", 1, 4096, 384, 1024, NT},
    {"up dW", 1, 384, 1024, 4096, TN, true},
    {"down", 1, 4096, 384, 1024, NN},
    {"down dX", 1, 4096, 1024, 384, NT},
    {"down dW", 1, 1024, 384, 4096, TN, true},
    {"vocab 256", 1, 4096, 256, 384, NN},
    {"vocab 256 dX", 1, 4096, 384, 256, NT},
    {"vocab 256 dW", 1, 384, 256, 4096, TN, true},
    {"ffn 3072", 1, 2048, 3072, 768, NN},
    {"ffn 3072 dX", 1, 2048, 768, 3072, NT},
    {"ffn 3072 dW", 1, 768, 3072, 2048, TN},
    {"ffn 3072 dW+", 1, 768, 3072, 2048, TN, true},
    {"vocab 50257", 1, 2048, 50257, 768, NN},
    {"vocab 50257 dX", 1, 2048, 768, 50257, NT},
    {"vocab 50257 dW+", 1, 768, 50257, 2048, TN, true},
    {"generate 1", 1, 1, 50257, 768, NN},
    {"generate 8", 1, 8, 50257, 768, NN},
    {"generate 1 tied", 1, 1, 50257, 768, NT},
    {"generate 8 tied", 1, 8, 50257, 768, NT},
    {"generate 1 ffn", 1, 1, 3072, 768, NN},
    {"experts", 8, 1000, 1024, 384, NN, false, true},
    {"attention", 96, 512, 512, 64, NT},
    {"heads split", 1, 4096, 384, 384, NN, false, false, true},
    {"square 2048", 1, 2048, 2048, 2048, NN},
};

static void require(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "bench_gemm: %s failed\n", what);
  exit(2);
}

// ---- operands ----

typedef struct operands {
  void *a, *b, *c;
  void *workspace;
  int32_t offsets[9];
  size_t size; // bytes per element of a and b
} operands;

static void *random_new(int64_t n, size_t size) {
  void *p = aligned_alloc(64, ((size_t)n * size + 127) / 64 * 64);
  require(p, "allocation");
  for (int64_t i = 0; i < n; i++) {
    float f = (float)(i * 2654435761u % 2001) / 1000 - 1;
    uint32_t w;
    memcpy(&w, &f, 4);
    if (size == 4)
      ((float *)p)[i] = f;
    else
      ((uint16_t *)p)[i] = (uint16_t)(w >> 16);
  }
  return p;
}

static operands operands_new(const product *p, bool bf16) {
  size_t size = bf16 ? 2 : 4;
  operands o = {.size = size};
  o.a = random_new(p->batch * p->m * p->k, size);
  o.b = random_new(p->batch * p->n * p->k, size);
  o.c = random_new(p->batch * p->m * p->n, 4);
  for (int e = 0; p->ragged && e < 8; e++) // experts of unequal size
    o.offsets[e + 1] =
        e == 7 ? (int32_t)(p->batch * p->m) : o.offsets[e] + (int32_t)p->m + (e % 2 ? 88 : -101);
  return o;
}

static void operands_free(operands *o) {
  free(o->a), free(o->b), free(o->c), free(o->workspace);
}

// ---- ours ----

static xlm_gemm gemm_of(const product *p, bool bf16) {
  int64_t m = p->m, n = p->n, k = p->k;
  bool ta = p->layout == TN, tb = p->layout == NT;
  xlm_gemm g = {
      {.a = bf16 ? XLM_BF16 : XLM_F32, .b = bf16 ? XLM_BF16 : XLM_F32, .c = XLM_F32, .add = p->add}};
  g.p.batch = (xlm_matmul_index){1, {p->batch}, {m * k}, {k * n}, {m * n}};
  g.p.m = (xlm_matmul_index){1, {m}, {ta ? 1 : k}, {0}, {n}};
  g.p.n = (xlm_matmul_index){1, {n}, {0}, {tb ? k : 1}, {1}};
  g.p.k = (xlm_matmul_index){1, {k}, {ta ? m : 1}, {tb ? 1 : n}, {0}};
  if (p->ragged) {
    g.p.ragged = XLM_RAGGED_M;
    g.p.m.size[0] = p->batch * m, g.p.batch.a[0] = 0, g.p.batch.c[0] = 0;
  }
  if (p->split) { // rows (8, m/8) and columns (6, 64) exchanged outside in C, k as (6, 64) with heads
                  // outermost in A
    g.p.m = (xlm_matmul_index){2, {8, m / 8}, {m / 8 * 64, 64}, {0}, {m / 8 * n, 64}};
    g.p.n = (xlm_matmul_index){2, {n / 64, 64}, {0}, {64, 1}, {m / 8 * 64, 1}};
    g.p.k = (xlm_matmul_index){2, {k / 64, 64}, {m * 64, 1}, {64 * n, n}, {0}};
  }
  return g;
}

// ---- oneDNN ----

typedef struct reference {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  dnnl_primitive_t matmul[8];
  dnnl_memory_t a[8], b[8], c[8];
  int count; // number of products: one, or one per expert
} reference;

#define CHECK(call) require((call) == dnnl_success, #call)

#if DNNL_VERSION_MAJOR >= 3
#define MD(x) (x)
static dnnl_memory_desc_t describe(int nd, const dnnl_dims_t dims, const dnnl_dims_t strides,
                                   dnnl_data_type_t t) {
  dnnl_memory_desc_t md;
  CHECK(dnnl_memory_desc_create_with_strides(&md, nd, dims, t, strides));
  return md;
}

static dnnl_primitive_t matmul_new(dnnl_engine_t e, dnnl_memory_desc_t a, dnnl_memory_desc_t b,
                                   dnnl_memory_desc_t c, bool add) {
  dnnl_primitive_attr_t attr;
  dnnl_post_ops_t ops;
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t p;
  CHECK(dnnl_primitive_attr_create(&attr));
  CHECK(dnnl_post_ops_create(&ops));
  if (add) CHECK(dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef));
  CHECK(dnnl_primitive_attr_set_post_ops(attr, ops));
  CHECK(dnnl_matmul_primitive_desc_create(&pd, e, a, b, NULL, c, attr));
  CHECK(dnnl_primitive_create(&p, pd));
  return p;
}
#else
#define MD(x) (&(x))
static dnnl_memory_desc_t describe(int nd, const dnnl_dims_t dims, const dnnl_dims_t strides,
                                   dnnl_data_type_t t) {
  dnnl_memory_desc_t md;
  CHECK(dnnl_memory_desc_init_by_strides(&md, nd, dims, t, strides));
  return md;
}

static dnnl_primitive_t matmul_new(dnnl_engine_t e, dnnl_memory_desc_t a, dnnl_memory_desc_t b,
                                   dnnl_memory_desc_t c, bool add) {
  dnnl_primitive_attr_t attr;
  dnnl_post_ops_t ops;
  dnnl_matmul_desc_t desc;
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t p;
  CHECK(dnnl_primitive_attr_create(&attr));
  CHECK(dnnl_post_ops_create(&ops));
  if (add) CHECK(dnnl_post_ops_append_sum(ops, 1));
  CHECK(dnnl_primitive_attr_set_post_ops(attr, ops));
  CHECK(dnnl_matmul_desc_init(&desc, &a, &b, NULL, &c));
  CHECK(dnnl_primitive_desc_create(&pd, &desc, attr, e, NULL));
  CHECK(dnnl_primitive_create(&p, pd));
  return p;
}
#endif

static void reference_add(reference *r, const product *p, const operands *o, int64_t batch, int64_t m,
                          int64_t row, int e) {
  int64_t n = p->n, k = p->k;
  bool ta = p->layout == TN, tb = p->layout == NT;
  dnnl_dims_t da = {batch, m, k}, db = {batch, k, n}, dc = {batch, m, n};
  dnnl_dims_t sa = {m * k, ta ? 1 : k, ta ? m : 1}, sb = {n * k, tb ? 1 : n, tb ? k : 1}, sc = {m * n, n, 1};
  int64_t *const all[] = {da, db, dc, sa, sb, sc};
  int nd = batch > 1 ? 3 : 2; // oneDNN is faster for plain matrices
  for (int i = 0; nd == 2 && i < 6; i++) all[i][0] = all[i][1], all[i][1] = all[i][2];
  dnnl_data_type_t t = o->size == 2 ? dnnl_bf16 : dnnl_f32;
  dnnl_memory_desc_t a = describe(nd, da, sa, t), b = describe(nd, db, sb, t);
  dnnl_memory_desc_t c = describe(nd, dc, sc, dnnl_f32);
  r->matmul[r->count] = matmul_new(r->engine, a, b, c, p->add);
  CHECK(dnnl_memory_create(&r->a[r->count], MD(a), r->engine, (char *)o->a + (size_t)(row * k) * o->size));
  CHECK(dnnl_memory_create(&r->b[r->count], MD(b), r->engine, (char *)o->b + (size_t)(e * n * k) * o->size));
  CHECK(dnnl_memory_create(&r->c[r->count], MD(c), r->engine, (float *)o->c + row * n));
  r->count++;
}

static reference reference_new(const product *p, const operands *o) {
  reference r = {0};
  CHECK(dnnl_engine_create(&r.engine, dnnl_cpu, 0));
  CHECK(dnnl_stream_create(&r.stream, r.engine, dnnl_stream_default_flags));
  if (!p->ragged) reference_add(&r, p, o, p->batch, p->m, 0, 0);
  for (int e = 0; p->ragged && e < 8; e++)
    reference_add(&r, p, o, 1, o->offsets[e + 1] - o->offsets[e], o->offsets[e], e);
  return r;
}

static void reference_run(reference *r) {
  for (int i = 0; i < r->count; i++) {
    dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, r->a[i]}, {DNNL_ARG_WEIGHTS, r->b[i]}, {DNNL_ARG_DST, r->c[i]}};
    CHECK(dnnl_primitive_execute(r->matmul[i], r->stream, 3, args));
  }
  CHECK(dnnl_stream_wait(r->stream));
}

static void reference_free(reference *r) {
  for (int i = 0; i < r->count; i++) {
    dnnl_primitive_destroy(r->matmul[i]);
    dnnl_memory_destroy(r->a[i]), dnnl_memory_destroy(r->b[i]), dnnl_memory_destroy(r->c[i]);
  }
  dnnl_stream_destroy(r->stream);
  dnnl_engine_destroy(r->engine);
}

// oneDNN's OpenMP runtime must use as many threads as our pool.
static void set_openmp_threads(int threads) {
  void (*set)(int);
  int (*get)(void);
  *(void **)&set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
  *(void **)&get = dlsym(RTLD_DEFAULT, "omp_get_max_threads");
  require(set && get, "finding oneDNN's OpenMP runtime");
  set(threads);
  require(get() == threads, "omp_set_num_threads");
}

// ---- the table ----

static int compare(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return a < b ? -1 : a > b;
}

static double median(double *t, int n) {
  qsort(t, (size_t)n, sizeof *t, compare);
  return t[n / 2];
}

typedef struct contest {
  const product *p;
  operands o;
  xlm_gemm g;
  reference r;
  xlm_pool *pool;
} contest;

static void run_ours(contest *c) {
  operands *o = &c->o;
  xlm_gemm_run(&c->g, o->a, o->b, c->p->add ? o->c : NULL, NULL, o->c, c->p->ragged ? o->offsets : NULL,
               o->workspace, c->pool);
}

static void run_theirs(contest *c) {
  reference_run(&c->r);
}

// Seconds per product, over as many products as fit in the time.
static double repeat(void (*run)(contest *), contest *c, double least) {
  bool alone = xlm_pool_size(c->pool) == 1;
  double begin = bench_now(alone), spent = 0;
  int n = 0;
  for (; spent < least; spent = bench_now(alone) - begin, n++) run(c);
  return spent / n;
}

static double turn(void (*run)(contest *), contest *c) {
  usleep(PAUSE_US);
  repeat(run, c, warm_seconds);
  return repeat(run, c, turn_seconds);
}

static void print_row(const product *p, bool bf16, double ours, double theirs) {
  static const char *const names[] = {"NN", "NT", "TN"};
  double flops = 2e-9 * (double)p->batch * (double)p->m * (double)p->n * (double)p->k;
  double bytes = 1e-9 * (bf16 ? 2 : 4) * (double)p->batch * (double)p->n * (double)p->k;
  printf("%-16s %4s %s%s %3ld x %5ld %6ld %6ld  %8.1f %8.1f  %5.2f  %6.1f\n", p->name, bf16 ? "bf16" : "f32",
         names[p->layout], p->add ? "+" : " ", (long)p->batch, (long)p->m, (long)p->n, (long)p->k,
         flops / ours, flops / theirs, theirs / ours, bytes / ours);
  fflush(stdout);
}

static void measure(const product *p, bool bf16, int threads, xlm_pool *pool) {
  contest c = {.p = p, .o = operands_new(p, bf16), .g = gemm_of(p, bf16), .pool = pool};
  xlm_gemm_choose(&c.g, xlm_cpu_arch_here());
  c.o.workspace = aligned_alloc(64, (xlm_gemm_workspace(&c.g, threads) + 127) / 64 * 64);
  require(c.o.workspace, "allocation");
  c.r = reference_new(p, &c.o);
  double ours[TURNS], theirs[TURNS];
  for (int i = 0; i < TURNS; i++) ours[i] = turn(run_ours, &c), theirs[i] = turn(run_theirs, &c);
  print_row(p, bf16, median(ours, TURNS), median(theirs, TURNS));
  reference_free(&c.r);
  operands_free(&c.o);
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 2;
  const char *filter = argc > 2 ? argv[2] : "";
  xlm_pool *pool;
  xlm_error err;
  require(xlm_pool_new(threads, &pool, &err) == 0, "starting threads");
  set_openmp_threads(threads);
  const dnnl_version_t *v = dnnl_version();
  printf("%d threads each, %s, oneDNN %d.%d\n", threads, xlm_cpu_arch_names[xlm_cpu_arch_here()], v->major,
         v->minor);
  printf("%-16s %4s %2s  %3s   %5s %6s %6s  %8s %8s  %5s  %6s\n", "product", "type", "", "", "m", "n", "k",
         "GFLOP/s", "oneDNN", "ratio", "B GB/s");
  for (int bf16 = 0; bf16 < 2; bf16++)
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
      char label[80];
      snprintf(label, sizeof label, "%s %s", products[i].name, bf16 ? "bf16" : "f32");
      if (strstr(label, filter)) measure(&products[i], bf16, threads, pool);
    }
  xlm_pool_free(pool);
  return 0;
}
