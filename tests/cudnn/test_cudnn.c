// The real cuDNN takes the attention of every shipped model, as planned: for cards that are described, a model
// for one of them (with XLM_EXHAUSTIVE=1 for all), with a driver that is a stub (stub_driver.c). Nothing runs. Skipped without the library, and in builds with
// sanitizers, which would look into it.
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/driver/compile.h"
#include "ops/cuda/attend_cudnn.h"
#include "tests/ops/run_op.h"
#include "tests/train/train_util.h"

static const struct {
  const char *file, *arch;
  int major;
} cards[] = {{"h100", "sm_90", 9}, {"a100", "sm_80", 8}, {"b200", "sm_100", 10}};
enum { CARDS = 3, SHAPES = 512 };

static const xlm_cudnn *dnn; // NULL: there is none
static xlm_cudnn_place place[CARDS];

static void must(int status, const char *what) {
  char text[512] = "";
  if (!status) return;
  dnn->last_error(text, sizeof text);
  fail_msg("%s: %d, %s", what, status, text);
}

static void describe(int card) {
  char path[512], json[2048];
  snprintf(path, sizeof path, "%s/tests/cudnn/%s.json", XLM_SOURCE_DIR, cards[card].file);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  size_t n = fread(json, 1, sizeof json, f);
  (void)fclose(f);
  xlm_cudnn_place *p = &place[card];
  p->major = cards[card].major;
  must(dnn->desc_create(DNN_DEVICE, &p->device), "a card");
  must(dnn->set(p->device, DNN_DEVICE_JSON, DNN_T_CHAR, (int64_t)n, json), "its description");
  must(dnn->finalize(p->device), "the described card");
}

#ifdef XLM_SANITIZED
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

static int set_up(void **state) {
  (void)state;
  if (SANITIZED) return 0;
  xlm_error err = {0};
  const xlm_cudnn *found;
  void *driver = dlopen(XLM_BINARY_DIR "/tests/cudnn_stub/libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  if (!driver) return print_error("%s\n", dlerror()), -1;
  if (xlm_cudnn_table(&found, &err) != XLM_OK) return print_message("%s\n", err.text), 0;
  if (found->version() < 90800) return print_message("cuDNN before 9.8 takes no described cards\n"), 0;
  dnn = found;
  for (int i = 0; i < CARDS; i++) describe(i);
  return 0;
}

// ---- what the library says ----

static uint64_t accepted(int card, const xlm_cudnn_attend *a, const char *what) { // its workspace
  xlm_cudnn_plan p;
  xlm_error err = {0};
  if (xlm_cudnn_plan_make(&p, dnn, &place[card], a, UINT64_MAX / 2, &err) != XLM_OK)
    fail_msg("%s, %s: %s", what, cards[card].file, err.text);
  uint64_t bytes = p.workspace;
  xlm_cudnn_plan_free(&p);
  return bytes;
}

static bool refuses(int card, const xlm_cudnn_attend *a, uint64_t most) {
  xlm_cudnn_plan p;
  xlm_error err = {0};
  if (xlm_cudnn_plan_make(&p, dnn, &place[card], a, most, &err) == XLM_OK) {
    xlm_cudnn_plan_free(&p);
    return false;
  }
  assert_non_null(strstr(err.text, "--attention own"));
  return true;
}

static void check_workspace(int card, const xlm_cudnn_attend *a, const char *what) {
  uint64_t planned = xlm_cudnn_attend_library(a, cards[card].arch), asked = accepted(card, a, what);
  if (asked != planned)
    fail_msg("%s, %s: cuDNN asks for %llu bytes of workspace, planned are %llu", what, cards[card].file,
             (unsigned long long)asked, (unsigned long long)planned);
}

// ---- the shipped models ----

static bool lacks_kernel(const xlm_diags *d) {
  bool found = false;
  for (uint32_t i = 0; i < d->n; i++) found |= d->at[i].id == XLM_E_NO_KERNEL;
  return found;
}

// NULL: there is no kernel for an operation of the model.
static const xlm_plan *plan_of(xlm_arena *a, const xlm_source *source, const char *preset, const char *arch) {
  const xlm_backend *cuda = xlm_backend_find("cuda");
  xlm_compile_options o = xlm_compile_defaults();
  const xlm_set few = {"layers", "6"}; // all kinds of attention are among these
  o.settings.preset = preset, o.settings.dtype = XLM_BF16, o.settings.batch = 4;
  o.settings.sets = &few, o.settings.n_sets = 1;
  o.backend = &cuda->info, o.target = xlm_backend_target(cuda, arch, 1);
  xlm_diags d;
  xlm_diags_init(&d, a, source);
  xlm_compiled c = xlm_compile(a, source, &o, &d, NULL, NULL);
  xlm_text said = xlm_text_new(a);
  xlm_diag_render(&d, false, &said);
  if (!c.plan && !lacks_kernel(&d)) fail_msg("%s", said.data);
  return c.plan;
}

static xlm_call call_of(xlm_arena *a, const xlm_rank_plan *r, const xlm_instr *in) {
  const xlm_type **types = XLM_NEW_N(a, const xlm_type *, in->n_in + in->n_out);
  for (int i = 0; i < in->n_in + in->n_out; i++)
    types[i] = &r->tensors[i < in->n_in ? in->in[i] : in->out[i - in->n_in]].type;
  return (xlm_call){.instr = in, .dims = r->dims, .in_type = types, .out_type = types + in->n_in};
}

typedef struct seen { // by card, so that equal shapes are tried once
  xlm_cudnn_attend at[SHAPES];
  int n, by_library, by_own;
} seen;

// What the library chooses its kernel by, sizes apart.
static bool alike(const xlm_cudnn_attend *a, const xlm_cudnn_attend *b) {
  return a->backward == b->backward && a->causal == b->causal && !a->window == !b->window &&
         a->features == b->features && (a->heads == a->kv_heads) == (b->heads == b->kv_heads);
}

static bool exhaustive(void) {
  return getenv("XLM_EXHAUSTIVE") != NULL;
}

// Those that are alike are tried once, in exhaustive tests those that are equal: a plan takes a second.
static bool is_new(seen *s, const xlm_cudnn_attend *a) {
  for (int i = 0; i < s->n; i++)
    if (exhaustive() ? !memcmp(&s->at[i], a, sizeof *a) : alike(&s->at[i], a)) return false;
  assert_true(s->n < SHAPES);
  s->at[s->n++] = *a;
  return true;
}

static void check_model(int card, seen *s, const xlm_source *source, const char *preset) {
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  const xlm_plan *p = plan_of(a, source, preset, cards[card].arch);
  const xlm_rank_plan *r = p ? p->rank_plans[0] : NULL;
  for (uint32_t i = 0; r && i < r->n_instrs; i++) {
    xlm_op_id op = r->instrs[i].op;
    if (op != XLM_OP_ATTEND && op != XLM_OP_ATTEND_BWD) continue;
    xlm_call c = call_of(a, r, &r->instrs[i]);
    xlm_cudnn_attend x;
    const char *what = xlm_arena_printf(a, "%s %s, %s", source->path, preset ? preset : "", xlm_op_name(op));
    bool fits = xlm_cudnn_attend_of(&c, cards[card].arch, &x);
    s->by_library += fits, s->by_own += !fits;
    if (fits && is_new(s, &x)) check_workspace(card, &x, what);
  }
  xlm_arena_free(a);
}

// Every `preset NAME` of the text.
static int presets_of(xlm_arena *a, const xlm_source *source, const char **names, int room) {
  int n = 0;
  names[n++] = NULL;
  for (const char *at = source->text; (at = strstr(at, "\npreset ")); at++) {
    const char *name = at + strlen("\npreset ");
    assert_true(n < room);
    names[n++] = xlm_arena_strndup(a, name, strcspn(name, " {"));
  }
  return n;
}

static void every_preset(int card) {
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  seen *s = XLM_NEW(a, seen);
  for (int m = 0; m < TOY_MODELS; m++) {
    if (m % CARDS != card && !exhaustive()) continue;
    const char *presets[16];
    const xlm_source *source = toy_source(a, toy_models[m]);
    int n = presets_of(a, source, presets, 16);
    for (int i = 0; i < n; i++) check_model(card, s, source, presets[i]);
  }
  print_message("%s: %d shapes, %d operations by cuDNN, %d by our own kernels\n", cards[card].file, s->n,
                s->by_library, s->by_own);
  xlm_arena_free(a);
}

static void shipped_models(void **state) {
  (void)state;
  if (!dnn) skip();
  for (int i = 0; i < CARDS; i++) every_preset(i);
}

// ---- other shapes ----

enum { ALL = 7, H100 = 1 }; // of cards, by bits

typedef struct shape {
  const char *q, *k, *v;
  int causal, window;
  double softcap;
  int cards;        // for which it is planned with cuDNN
  bool is_too_much; // for the backward pass
} shape;

static const shape shapes[] = {
    {"batch 3, seq 128, heads 2, head 64", "batch, seq, heads, head", "batch, seq, heads, head", 1,
     .cards = ALL},
    {"seq 256, head 8", "seq, head", "seq, head", .cards = ALL},
    {"batch 2, seq 384, heads 6, head 96", "batch, seq, kv_heads 3, head", "batch, seq, kv_heads, head", 1,
     .cards = ALL},
    {"batch 2, seq 1024, heads 5, head 80", "batch, seq, head", "batch, seq, head", 1, 100, .cards = ALL},
    {"batch 2, seq 256, heads 4, head 128", "batch, kv_seq 640, kv_heads 2, head",
     "batch, kv_seq, kv_heads, head", .cards = ALL},
    {"batch 2, seq 128, heads 4, head 16", "batch, kv_seq 512, kv_heads 2, head",
     "batch, kv_seq, kv_heads, head", 1, 1, .cards = ALL},
    {"batch 2, heads 4, seq 256, head 24", "heads, batch, seq, head", "seq, batch, heads, head", 1,
     .cards = ALL},
    {"batch 2, more 3, seq 128, heads 2, head 32", "batch, more, seq, heads, head",
     "batch, more, seq, heads, head", 1, .cards = ALL},
    {"batch 64, seq 2048, heads 3, head 64", "batch, seq, heads, head", "batch, seq, heads, head", 1,
     .cards = ALL}, // parts of the batch
    {"batch 2, seq 8192, heads 24, head 128", "batch, seq, kv_heads 6, head", "batch, seq, kv_heads, head", 1,
     .cards = ALL},                                                              // of the heads
    {"seq 8192, heads 16, head 128", "seq, head", "seq, head", 1, .cards = ALL}, // 2 GiB for one head
    {"batch 2, seq 128, heads 2, head 192", "batch, seq, heads, head", "batch, seq, heads, head", 1,
     .cards = H100},
    {"batch 2, seq 128, heads 4, head 256", "batch, seq, kv_heads 2, head", "batch, seq, kv_heads, head", 1,
     .cards = H100},
    // left to our own kernels
    {"seq 8192, heads 32, head 128", "seq, head", "seq, head", 1, .cards = ALL, .is_too_much = true},
    {"batch 2, seq 100, heads 2, head 64", "batch, seq, heads, head", "batch, seq, heads, head", 1},
    {"batch 2, seq 128, heads 2, head 64", "batch, kv_seq 129, heads, head", "batch, kv_seq, heads, head"},
    {"batch 2, seq 128, heads 2, head 36", "batch, seq, heads, head", "batch, seq, heads, head", 1},
    {"batch 2, seq 128, heads 2, head 264", "batch, seq, heads, head", "batch, seq, heads, head", 1},
    {"batch 2, seq 128, heads 2, head 64", "batch, seq, heads, head", "batch, seq, heads, head", 1,
     .softcap = 30},
    {"seq 256, heads 2, head 64", "kv_seq 128, heads, head", "kv_seq, heads, head", 1, 9}, // unseeing
    {"batch 2, seq 128, heads 2, head 64", "batch, seq, head, heads", "batch, seq, heads, head", 1},
    {"batch 2, seq 128, more 3, heads 2, head 64", "more, seq, batch, heads, head",
     "batch, seq, more, heads, head", 1}, // batch dims that do not merge
};

typedef struct built { // attend and attend_bwd of a shape
  xlm_graph *g;
  xlm_node node[2];
} built;

static xlm_val input(op_test *t, const char *name, const char *dims) {
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_text(&l, XLM_A_name, name);
  xlm_attr_put_enum(&l, XLM_A_dtype, t->dtype);
  op_put_dims(t, &l, XLM_A_dims, dims);
  return xlm_emit(&t->b, XLM_OP_INPUT, NULL, 0, &l);
}

static built build(xlm_arena *a, const shape *s, xlm_dtype dtype) {
  op_test t = {.b = xlm_build_new(xlm_graph_new(a, NULL, "shape")), .dtype = dtype};
  xlm_val in[6] = {input(&t, "q", s->q)};
  in[1] = input(&t, "k", s->k), in[2] = input(&t, "v", s->v);
  xlm_attr_list l = op_attrs(&t);
  xlm_attr_put_int(&l, XLM_A_causal, s->causal);
  xlm_attr_put_int(&l, XLM_A_window, s->window);
  xlm_attr_put_float(&l, XLM_A_softcap, s->softcap);
  in[3] = xlm_emit(&t.b, XLM_OP_ATTEND, in, 3, &l);
  in[4] = in[3] + 1, in[5] = in[0];
  xlm_val back = xlm_emit(&t.b, XLM_OP_ATTEND_BWD, in, 6, &l);
  return (built){t.b.g, {t.b.g->values[in[3]].def, t.b.g->values[back].def}};
}

static xlm_call call_of_node(xlm_arena *a, const xlm_graph *g, xlm_node id) {
  const xlm_node_info *n = &g->nodes[id];
  xlm_instr *in = XLM_NEW(a, xlm_instr);
  *in = (xlm_instr){.op = n->op, .n_in = n->n_in, .n_out = n->n_out, .attrs = n->attrs};
  const xlm_type **types = XLM_NEW_N(a, const xlm_type *, n->n_in + n->n_out);
  for (int i = 0; i < n->n_in + n->n_out; i++)
    types[i] = xlm_val_type(g, i < n->n_in ? n->in[i] : n->out + (xlm_val)(i - n->n_in));
  return (xlm_call){.instr = in, .dims = g->dims, .in_type = types, .out_type = types + n->n_in};
}

static void other_shapes(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int card = 0; card < CARDS; card++)
      for (int k = 0; k < 2; k++) {
        built b = build(a, &shapes[i], XLM_BF16), f32 = build(a, &shapes[i], XLM_F32);
        xlm_call c = call_of_node(a, b.g, b.node[k]), wide = call_of_node(a, f32.g, f32.node[k]);
        xlm_cudnn_attend x;
        bool fits = xlm_cudnn_attend_of(&c, cards[card].arch, &x);
        if (fits != ((shapes[i].cards >> card & 1) && !(k && shapes[i].is_too_much)))
          fail_msg("%s, %s: %s", shapes[i].q, cards[card].arch, fits ? "by cuDNN" : "by our own kernels");
        assert_false(xlm_cudnn_attend_of(&wide, cards[card].arch, &x));
        if (fits && dnn && (card == 0 || exhaustive())) check_workspace(card, &x, shapes[i].q);
      }
  xlm_arena_free(a);
}

// ---- what does not fit ----

static xlm_cudnn_attend backward_of(xlm_arena *a, const shape *s) {
  built b = build(a, s, XLM_BF16);
  xlm_call c = call_of_node(a, b.g, b.node[1]);
  xlm_cudnn_attend x;
  assert_true(xlm_cudnn_attend_of(&c, "sm_90", &x));
  return x;
}

static void refusals(void **state) {
  (void)state;
  if (!dnn) skip();
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  const shape grouped = {"batch 2, seq 256, heads 4, head 64", "batch, seq, kv_heads 2, head",
                         "batch, seq, kv_heads, head", 1},
              wide = {"batch 2, seq 256, heads 4, head 192", "batch, seq, heads, head",
                      "batch, seq, heads, head", 1};
  xlm_cudnn_attend x = backward_of(a, &grouped), y = backward_of(a, &wide);
  for (int i = 0; i < CARDS; i++) {
    assert_true(refuses(i, &x, xlm_cudnn_attend_library(&x, cards[i].arch) / 2));
    assert_true(refuses(i, &y, UINT64_MAX / 2) == (cards[i].major != 9));
  }
  x.features = 20; // not a multiple of 8
  for (int i = 0; i < CARDS; i++) assert_true(refuses(i, &x, UINT64_MAX / 2));
  xlm_arena_free(a);
}

// The parts cover a call, and stay within the limit.
static void parts(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    if (!(shapes[i].cards & H100) || shapes[i].is_too_much) continue;
    xlm_cudnn_attend x = backward_of(a, &shapes[i]);
    assert_true(x.batches % x.part_batches == 0 && x.heads % x.part_heads == 0 &&
                x.kv_heads % x.part_kv_heads == 0);
    assert_true(x.part_heads * x.kv_heads == x.heads * x.part_kv_heads);
    assert_true(x.part_batches == 1 || x.part_heads == x.heads);
    double scores = 2.0 * (double)(x.part_batches * x.part_heads) * (double)x.queries * (double)x.keys;
    assert_true(scores <= 512.0 * (1 << 20) || (x.part_batches == 1 && x.part_kv_heads == 1));
    xlm_cudnn_room room = xlm_cudnn_attend_room(&x);
    assert_true(room.sums >= (uint64_t)(x.batches * x.heads * x.queries) * 4 && room.sums % 256 == 0);
    assert_true(room.library - room.sums >= (uint64_t)(x.part_batches * x.part_heads * x.queries) * 4 &&
                room.library % 256 == 0);
  }
  xlm_arena_free(a);
}

int main(int argc, char **argv) { // `test_cudnn [PATTERN]`
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {cmocka_unit_test(parts), cmocka_unit_test(refusals),
                                     cmocka_unit_test(other_shapes), cmocka_unit_test(shipped_models)};
  return cmocka_run_group_tests(tests, set_up, NULL);
}
