// Products of few rows against a plain read of their weights: bench_rows [threads] [filter]. `bench_rows
// THREADS read MIB` is the plain read alone, of so much memory: the most that decoding a model of this size
// can reach. `bench_rows THREADS peak` are multiply-adds of f32 in registers alone: the most that many rows
// can reach. Two threads may have those of one, where they are a core's.
//
// Decoding multiplies one row per sequence with every weight, so it is bound by reading the weights once.
// Each line is a weight of GPT-2 (124M) or of a Llama of 1B, stored densely or in panels, as often as it
// takes to be larger than the caches, and compares three things that run alternately on the same threads: a
// plain read of the weights (every worker adds up its part), the product with `m` rows, and the product with
// one row. "of read" is the share of the plain read's bytes per second that the product reaches, "rows" how
// many times the rows per second of one row; both are medians over the turns.
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "ops/cpu/gemm/gemm.h"
#include "ops/cpu/isa.h"
#include "tools/bench/bench_op.h"

enum { TURNS = 15, MOST = 64, BYTES = 192 << 20 };
static const double turn_seconds = 0.02;

typedef struct weight {
  const char *name;
  int64_t n, k;
  bool transposed; // [n, k] in memory
  bool panels;     // as a plan that only decodes stores it
} weight;

static const weight weights[] = {
    {"gpt2 attention", 768, 768, false},
    {"gpt2 ffn", 3072, 768, false},
    {"gpt2 ffn out", 768, 3072, false},
    {"gpt2 head, tied", 50257, 768, true},
    {"gpt2 head", 50257, 768, false},
    {"llama ffn", 8192, 2048, false},
    {"llama ffn out", 2048, 8192, false},
    {"llama ffn", 8192, 2048, true},
    {"llama ffn out", 2048, 8192, true},
    {"gpt2 attention", 768, 768, .panels = true},
    {"gpt2 ffn", 3072, 768, .panels = true},
    {"gpt2 ffn out", 768, 3072, .panels = true},
    {"gpt2 head", 50257, 768, .panels = true},
    {"llama ffn", 8192, 2048, .panels = true},
    {"llama ffn out", 2048, 8192, .panels = true},
};
static const int rows[] = {1, 2, 4, 8, 16};

static void require(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "bench_rows: %s failed\n", what);
  exit(2);
}

// Memory like that of a plan: in huge pages, where the system has them.
static void *taken(size_t bytes) {
  enum { HUGE_PAGE = 2 << 20 };
  size_t room = (bytes + 64 + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  void *p = aligned_alloc(HUGE_PAGE, room);
  require(p, "allocation");
#ifdef MADV_HUGEPAGE
  (void)madvise(p, room, MADV_HUGEPAGE);
#endif
  return p;
}

static void *filled(int64_t n, bool bf16) {
  void *p = taken((size_t)n * (bf16 ? 2 : 4));
  for (int64_t i = 0; i < n; i++) {
    float f = (float)(i * 2654435761u % 2001) / 1000 - 1;
    if (bf16)
      ((uint16_t *)p)[i] = xlm_f32_to_bf16(f);
    else
      ((float *)p)[i] = f;
  }
  return p;
}

static const char *layout_of(const weight *w) {
  return w->panels ? "panels" : w->transposed ? "NT" : "NN";
}

typedef struct contest {
  const weight *w;
  xlm_gemm one, many;
  int64_t bytes; // of one copy
  int copies, next;
  char *at[MOST];
  void *x, *y, *workspace;
  xlm_pool *pool;
  uint64_t sum[64]; // by worker
} contest;

static xlm_gemm gemm_of(const weight *w, bool bf16, int64_t m) {
  xlm_dtype t = bf16 ? XLM_BF16 : XLM_F32;
  xlm_gemm g = {{.a = t, .b = t, .c = XLM_F32}};
  g.p.m = (xlm_matmul_index){1, {m}, {w->k}, {0}, {w->n}};
  g.p.n = (xlm_matmul_index){1, {w->n}, {0}, {w->transposed ? w->k : 1}, {1}};
  g.p.k = (xlm_matmul_index){1, {w->k}, {1}, {w->transposed ? 1 : w->n}, {0}};
  if (w->panels) g.panel = xlm_gemm_panel(&g, xlm_cpu_arch_here(), false);
  xlm_gemm_choose(&g, xlm_cpu_arch_here());
  return g;
}

typedef uint64_t words
    __attribute__((vector_size(32), may_alias)); // wider ones would be kept in memory on AVX2

__attribute__((target_clones("default,arch=x86-64-v3"))) static uint64_t read_all(const char *p,
                                                                                  int64_t bytes) {
  words a = {0}, b = {0}, c = {0}, d = {0};
  for (int64_t i = 0; i + 128 <= bytes; i += 128) {
    const words *at = (const words *)(p + i);
    a ^= at[0], b ^= at[1], c ^= at[2], d ^= at[3];
  }
  a ^= b ^ c ^ d;
  return a[0] ^ a[1] ^ a[2] ^ a[3];
}

static void read_part(void *arg, int worker, int workers) {
  contest *c = arg;
  int64_t begin, end;
  xlm_pool_range(c->bytes / 64, worker, workers, &begin, &end);
  c->sum[worker % 64] ^= read_all(c->at[c->next] + begin * 64, (end - begin) * 64);
}

static void run_read(contest *c) {
  xlm_pool_run(c->pool, read_part, c);
}
static void run_one(contest *c) {
  xlm_gemm_run(&c->one, c->x, c->at[c->next], NULL, NULL, c->y, NULL, c->workspace, c->pool);
}
static void run_many(contest *c) {
  xlm_gemm_run(&c->many, c->x, c->at[c->next], NULL, NULL, c->y, NULL, c->workspace, c->pool);
}

// Seconds per weight.
static double turn(void (*run)(contest *), contest *c) {
  int n = 0;
  bool alone = xlm_pool_size(c->pool) == 1;
  double begin = bench_now(alone), spent = 0;
  for (; spent < turn_seconds; spent = bench_now(alone) - begin, n++) {
    run(c);
    c->next = (c->next + 1) % c->copies;
  }
  return spent / n;
}

static int compare(const void *x, const void *y) {
  double a = *(const double *)x, b = *(const double *)y;
  return a < b ? -1 : a > b;
}

static double median(double *t) {
  qsort(t, TURNS, sizeof *t, compare);
  return t[TURNS / 2];
}

static void measure(contest *c, bool bf16, int m, int threads) {
  c->one = gemm_of(c->w, bf16, 1), c->many = gemm_of(c->w, bf16, m);
  size_t a = xlm_gemm_workspace(&c->one, threads), b = xlm_gemm_workspace(&c->many, threads);
  c->workspace = aligned_alloc(64, ((a > b ? a : b) + 127) / 64 * 64);
  require(c->workspace, "allocation");
  double read[TURNS], ratio[TURNS], gain[TURNS];
  for (int i = 0; i < TURNS; i++) {
    double many = turn(run_many, c), one = m > 1 ? turn(run_one, c) : many;
    read[i] = turn(run_read, c), ratio[i] = read[i] / many, gain[i] = one / many * m;
  }
  double gbs = (double)c->bytes * 1e-9 / median(read);
  printf("%-16s %4s %-6s %6ld %6ld %3d  %6.1f  %6.2f  %6.2f\n", c->w->name, bf16 ? "bf16" : "f32",
         layout_of(c->w), (long)c->w->n, (long)c->w->k, m, gbs, median(ratio), median(gain));
  fflush(stdout);
  free(c->workspace);
}

static void measure_weight(const weight *w, bool bf16, int threads, xlm_pool *pool, const char *filter) {
  contest c = {.w = w, .bytes = w->n * w->k * (bf16 ? 2 : 4), .pool = pool};
  while (c.copies < MOST && c.copies * c.bytes < BYTES) c.at[c.copies++] = filled(w->n * w->k, bf16);
  c.x = filled(16 * w->k, bf16), c.y = filled(16 * w->n, false);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char label[80];
    snprintf(label, sizeof label, "%s %s %s m=%d.", w->name, bf16 ? "bf16" : "f32", layout_of(w), rows[i]);
    if (strstr(label, filter)) measure(&c, bf16, rows[i], threads);
  }
  for (int i = 0; i < c.copies; i++) free(c.at[i]);
  free(c.x), free(c.y);
}

// ---- multiply-adds in registers

#define MULTIPLY_ADDS(name, bytes, ...)                                                                      \
  __VA_ARGS__ static float name(int64_t turns) {                                                             \
    typedef float lanes __attribute__((vector_size(bytes)));                                                 \
    lanes sum[CHAINS], x = (lanes){0} + 0.5f, all = {0};                                                     \
    for (int i = 0; i < CHAINS; i++) sum[i] = x + (float)i;                                                  \
    for (; turns > 0; turns--)                                                                               \
      _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * x + x;                     \
    for (int i = 0; i < CHAINS; i++) all += sum[i];                                                          \
    return all[0];                                                                                           \
  }

enum { CHAINS = 12 }; // enough for two pipes of six cycles
MULTIPLY_ADDS(multiply_adds_base, 16)
#if defined(__x86_64__)
MULTIPLY_ADDS(multiply_adds_avx2, 32, __attribute__((target("arch=x86-64-v3"))))
MULTIPLY_ADDS(multiply_adds_avx512, 64, __attribute__((target("arch=x86-64-v4"))))
#endif

typedef struct chains {
  int64_t turns;
  int lanes;
  float result[64]; // by worker
} chains;

static void multiply_add(void *arg, int worker, int workers) {
  chains *c = arg;
  (void)workers;
#if defined(__x86_64__)
  c->result[worker % 64] = (c->lanes == 16  ? multiply_adds_avx512
                            : c->lanes == 8 ? multiply_adds_avx2
                                            : multiply_adds_base)(c->turns);
#else
  c->result[worker % 64] = multiply_adds_base(c->turns);
#endif
}

static void measure_peak(xlm_pool *pool) {
  xlm_isa isa = xlm_cpu_isa_of(xlm_cpu_arch_here());
  chains c = {.turns = 1 << 22, .lanes = xlm_cpu_tiles_of[isa].lanes};
  double gflops[TURNS];
  for (int i = 0; i < TURNS; i++) {
    double begin = bench_now(false);
    xlm_pool_run(pool, multiply_add, &c);
    gflops[i] = 2e-9 * CHAINS * c.lanes * (double)c.turns * xlm_pool_size(pool) / (bench_now(false) - begin);
  }
  printf("%.1f GFLOP/s\n", median(gflops));
}

static void measure_read(xlm_pool *pool, int64_t mib) {
  contest c = {.bytes = mib << 20, .pool = pool, .copies = 1};
  double gbs[TURNS];
  require(mib > 0, "reading the number of MiB");
  c.at[0] = memset(taken((size_t)c.bytes), 1, (size_t)c.bytes);
  for (int i = 0; i < TURNS; i++) gbs[i] = (double)c.bytes * 1e-9 / turn(run_read, &c);
  printf("%.2f GB/s\n", median(gbs));
  free(c.at[0]);
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 2;
  const char *filter = argc > 2 ? argv[2] : "";
  xlm_pool *pool;
  xlm_error err;
  require(xlm_pool_new(threads, &pool, &err) == 0, "starting threads");
  if (argc > 3 && !strcmp(filter, "read")) {
    measure_read(pool, atoll(argv[3]));
    xlm_pool_free(pool);
    return 0;
  }
  if (argc > 2 && !strcmp(filter, "peak")) {
    measure_peak(pool);
    xlm_pool_free(pool);
    return 0;
  }
  printf("%d threads, %s\n", threads, xlm_cpu_arch_names[xlm_cpu_arch_here()]);
  printf("%-16s %4s        %6s %6s %3s  %6s  %6s  %6s\n", "weight", "type", "n", "k", "m", "GB/s", "of read",
         "rows");
  for (int bf16 = 0; bf16 < 2; bf16++)
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
      measure_weight(&weights[i], bf16, threads, pool, filter);
  xlm_pool_free(pool);
  return 0;
}
