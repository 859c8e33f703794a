// A cluster file (clusters/*.yaml) measured on this card: rates of products by size, of attention, of
// elementwise chains and the time between two kernels, all of xlm's own plans. On the fake card the figures
// mean nothing, but the file must be one.
// `gpu_cluster MODELS [SIZE...]`: MODELS is the folder of gpt2.xlm; sizes of products, the default for a
// card.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/diagnose/diag.h"
#include "compiler/driver/compile.h"
#include "compiler/parse/load.h"
#include "runtime/base/clock.h"
#include "runtime/base/map.h"
#include "runtime/device/cuda/cuda.h"
#include "runtime/exec/team.h"
#include "runtime/state/store.h"
#include "runtime/train/feed.h"

static const char product_model[] = "model product\n"
                                    "dim vocab = 16\n"
                                    "dim hidden = 16\n"
                                    "input tokens[batch, seq] of vocab\n"
                                    "input targets[batch, seq] of vocab\n"
                                    "param embed[vocab, hidden] ~ normal(1)\n"
                                    "param unembed[hidden, vocab] ~ normal(1)\n"
                                    "h = lookup(embed, tokens)\n"
                                    "logits = h @ unembed\n"
                                    "loss cross_entropy(logits, targets)\n"
                                    "output logits\n";

enum { WARM = 3, RUNS = 5, MOST_SIZES = 16 };

typedef struct bed { // an evaluation that can be repeated
  xlm_arena *arena;
  const xlm_plan *plan;
  xlm_team *team;
  xlm_store *store;
  xlm_data *data;
  xlm_samples samples;
  xlm_feeds feeds;
  xlm_exec *exec;
  const xlm_rank_plan *rank;
} bed;

typedef struct shape {
  const char *path, *text; // of the model
  const xlm_set *sets;
  int n_sets;
  const char *preset;
  int64_t batch, seq;
  xlm_dtype dtype;
} shape;

static void stop(const char *why) {
  fprintf(stderr, "gpu_cluster: %s\n", why);
  exit(2);
}

static void check(xlm_status s, const xlm_error *err) {
  if (s != XLM_OK) stop(err->text);
}

static const xlm_plan *plan_of(xlm_arena *a, const shape *s) {
  const xlm_backend *cuda = xlm_backend_find("cuda");
  const xlm_source *source = xlm_source_load(a, s->path, s->text, strlen(s->text));
  xlm_compile_options o = xlm_compile_defaults();
  o.settings = (xlm_elaborate_options){.preset = s->preset,
                                       .sets = s->sets,
                                       .n_sets = s->n_sets,
                                       .batch = s->batch,
                                       .seq = s->seq,
                                       .dtype = s->dtype};
  o.programs = XLM_WITH_EVAL;
  o.backend = &cuda->info, o.target = xlm_backend_target(cuda, cuda->here(), 1);
  xlm_diags d;
  xlm_diags_init(&d, a, source);
  const xlm_plan *plan = xlm_compile(a, source, &o, &d, NULL, NULL).plan;
  xlm_text said = xlm_text_new(a);
  xlm_diag_render(&d, false, &said);
  if (!plan) stop(said.data);
  return plan;
}

static void feed(bed *b) {
  xlm_error err;
  xlm_data_part all;
  check(xlm_data_synthetic(4 * b->plan->seq + 2, (xlm_data_options){.vocab = 16}, 1, &b->data, &err), &err);
  all = (xlm_data_part){b->data, 0, xlm_data_tokens(b->data)};
  check(xlm_samples_open(all, b->plan->seq, 1, "synthetic", &b->samples, &err), &err);
  check(xlm_feeds_open(b->team, &b->samples, true, &b->feeds, &err), &err);
  for (int64_t row = 0; row < b->plan->batch; row++)
    check(xlm_feed_window(&b->feeds.at[0], row, row % b->samples.n, &err), &err);
  check(xlm_feed_eval(&b->feeds.at[0], b->exec, &err), &err);
}

static bed open_bed(const shape *s) {
  bed b = {.arena = xlm_arena_new((size_t)4 << 30)};
  xlm_error err;
  if (!b.arena || !XLM_ARENA_TRY(b.arena)) stop("no memory");
  b.plan = plan_of(b.arena, s);
  check(xlm_team_open(b.plan, xlm_backend_find("cuda"), 1, XLM_LAUNCH_LOCAL, 0, &b.team, &err), &err);
  b.exec = xlm_team_exec(b.team, 0), b.rank = xlm_exec_rank_plan(b.exec);
  check(xlm_store_new(b.plan, xlm_team_states(b.team), &b.store, &err), &err);
  check(xlm_store_init(b.store, 1, true, NULL, &err), &err);
  feed(&b);
  return b;
}

static void close_bed(bed *b) {
  xlm_feeds_close(&b->feeds);
  xlm_data_close(b->data);
  xlm_store_free(b->store);
  xlm_team_close(b->team);
  xlm_arena_free(b->arena);
}

// Seconds of an evaluation, with all its waits at the end.
static double run(const bed *b, int times) {
  char some[4];
  uint32_t out = 0;
  xlm_error err;
  while (out + 1 < b->rank->n_outputs && b->rank->outputs[out].program != XLM_PROGRAM_EVAL) out++;
  double begin = xlm_clock_seconds();
  for (int i = 0; i < times; i++)
    check(xlm_exec_run(b->exec, XLM_PROGRAM_EVAL, (xlm_step_env){.seed = 1}, &err), &err);
  check(xlm_exec_get_output(b->exec, out, 0, some, sizeof some, &err), &err);
  return (xlm_clock_seconds() - begin) / times;
}

static double *profile(const bed *b) { // seconds by instruction
  double *seconds = XLM_NEW_N(b->arena, double, b->rank->n_instrs);
  run(b, WARM);
  xlm_exec_profile(b->exec, seconds);
  run(b, WARM); // as they are timed: one by one
  memset(seconds, 0, b->rank->n_instrs * sizeof *seconds);
  run(b, RUNS);
  xlm_exec_profile(b->exec, NULL);
  for (uint32_t i = 0; i < b->rank->n_instrs; i++) seconds[i] /= RUNS;
  return seconds;
}

// The rate of the largest instruction of an op, per second.
static double rate(const bed *b, const double *seconds, xlm_op_id op, bool of_bytes) {
  double most = 0, rate = 0;
  for (uint32_t i = 0; i < b->rank->n_instrs; i++) {
    const xlm_instr *in = &b->rank->instrs[i];
    double work = of_bytes ? in->bytes : in->flops;
    if (in->op != op || work <= most || seconds[i] <= 0) continue;
    most = work, rate = work / seconds[i];
  }
  if (rate <= 0) stop("an operation was not measured");
  return rate;
}

// ---- what is measured

static double product(int64_t size, xlm_dtype t) { // of three matrices of this size
  char value[24];
  snprintf(value, sizeof value, "%lld", (long long)size);
  const xlm_set sets[] = {{"vocab", value}, {"hidden", value}};
  int64_t seq = size < 1024 ? size : 1024;
  bed b = open_bed(&(shape){.path = "product.xlm",
                            .text = product_model,
                            .sets = sets,
                            .n_sets = 2,
                            .batch = size / seq,
                            .seq = seq,
                            .dtype = t});
  double r = rate(&b, profile(&b), XLM_OP_CONTRACT, false);
  close_bed(&b);
  return r;
}

typedef struct sizes {
  int64_t at[MOST_SIZES];
  int n;
} sizes;

static double flops_of(int64_t size) {
  return 2.0 * (double)size * (double)size * (double)size;
}

static double best(const sizes *s, xlm_dtype t, double *of) {
  double most = 0;
  for (int i = 0; i < s->n; i++) {
    double r = product(s->at[i], t);
    if (of) of[i] = r;
    if (r > most) most = r;
    printf("# %s products of %lld x %lld x %lld: %.1f TFLOP/s\n", xlm_dtype_name(t), (long long)s->at[i],
           (long long)s->at[i], (long long)s->at[i], r / 1e12);
  }
  return most;
}

static void measure_products(const sizes *s, double *peak) {
  double of[MOST_SIZES];
  int large = s->n - 1, small = s->n / 2;
  *peak = best(s, XLM_BF16, of);
  double f32 = best(&(sizes){{s->at[0], s->at[small]}, 2}, XLM_F32, NULL);
  printf("  flops_bf16: %.4g       # the best of these\n  flops_f32: %.4g\n", *peak, f32);
  printf("  gemm_large: %.4f\n  gemm_large_at: %.3g\n", of[large] / *peak, flops_of(s->at[large]));
  printf("  gemm_small: %.4f\n  gemm_small_at: %.3g\n", of[0] / *peak, flops_of(s->at[0]));
  printf("  vector_flops: %.4g       # not measured: 0.6 of flops_f32\n", 0.6 * f32);
}

static void measure_model(const char *path, const char *text, bool tiny, double peak) {
  static const xlm_set small[] = {{"layers", "2"}},
                       narrow[] = {{"layers", "12"}, {"hidden", "32"}, {"heads", "2"}, {"vocab", "64"}};
  bed b = open_bed(&(shape){.path = path,
                            .text = text,
                            .preset = tiny ? "nano" : "small",
                            .sets = tiny ? narrow : small,
                            .n_sets = tiny ? 4 : 1,
                            .batch = tiny ? 2 : 8,
                            .seq = tiny ? 16 : 1024,
                            .dtype = XLM_BF16});
  double *seconds = profile(&b), attention = rate(&b, seconds, XLM_OP_ATTEND, false) / peak;
  double bandwidth = rate(&b, seconds, XLM_OP_FUSED, true);
  if (attention > 1) attention = 1;
  printf("  attention: %.4g\n  memory_bandwidth: %.4g\n", attention, bandwidth);
  printf("  best_gemm: 1        # of bounds: what was measured is the best that is known\n"
         "  best_attention: %.4g\n  best_bandwidth: %.4g\n",
         attention, bandwidth);
  close_bed(&b);
  b = open_bed(&(shape){.path = path,
                        .text = text,
                        .preset = "nano",
                        .sets = narrow,
                        .n_sets = 4,
                        .batch = 1,
                        .seq = 16,
                        .dtype = XLM_BF16});
  run(&b, WARM);
  printf("  launch: %.3g\n", run(&b, RUNS * 4) / b.rank->segments[b.rank->segment_of[XLM_PROGRAM_EVAL]].n);
  xlm_device_memory m = xlm_exec_memory(b.exec);
  printf("  memory: %.6g\n  reserved: %.3g        # in use before, libraries, and 1 GiB\n", (double)m.all,
         (double)(m.before + m.libraries + ((uint64_t)1 << 30)));
  close_bed(&b);
}

static void head(void) {
  int card;
  xlm_cuda_card p;
  xlm_error err;
  check(xlm_cuda_find_card(0, &card, &p, &err), &err);
  printf("# Measured by gpu_check.sh with xlm's own kernels: the peaks are those that products reached.\n"
         "name: %s, measured\ndevices_per_node: 8\ndevice:\n  backend: cuda\n  arch: %s\n  threads: 1\n",
         p.name, xlm_backend_find("cuda")->here());
}

static void links(void) {
  printf(
      "intra:                    # not measured: those of a DGX H100\n  bandwidth: 360e9\n  latency: 3e-6\n"
      "inter:\n  bandwidth: 42e9\n  latency: 8e-6\n");
}

int main(int argc, char **argv) {
  sizes s = {{1024, 2048, 4096, 8192}, 4};
  char path[4096];
  xlm_map text;
  xlm_error err = {0};
  double peak;
  if (xlm_device_cuda.check(&err) != XLM_OK) return fprintf(stderr, "%s\n", err.text), 77;
  if (argc < 2) stop("usage: gpu_cluster MODELS [SIZE...]");
  if (argc > 2) s.n = 0;
  for (int i = 2; i < argc && s.n < MOST_SIZES; i++) s.at[s.n++] = atoll(argv[i]);
  snprintf(path, sizeof path, "%s/gpt2.xlm", argv[1]);
  check(xlm_map_open(path, &text, &err), &err);
  xlm_arena *a = xlm_arena_new(0);
  if (!a || !XLM_ARENA_TRY(a)) stop("no memory");
  const char *model = xlm_arena_strndup(a, (const char *)text.data, text.n);
  head();
  measure_products(&s, &peak);
  measure_model(path, model, argc > 2, peak);
  links();
  xlm_map_close(&text);
  xlm_arena_free(a);
  return 0;
}
