// Elaboration of the shipped models: sizes, element types, canonical text.
#include "compiler/ir/op.h"
#include "tests/unit/elaborate_text.h"

static int64_t count_parameters(const xlm_graph *g, int *tensors) {
  int64_t n = 0;
  *tensors = 0;
  for (xlm_node i = 1; i < g->n_nodes; i++) {
    if (g->nodes[i].op != XLM_OP_PARAM) continue;
    n += xlm_type_elements(xlm_val_type(g, g->nodes[i].out), g->dims);
    ++*tensors;
  }
  return n;
}

static const struct {
  const char *model, *preset;
  int64_t parameters;
} sizes[] = {
    {"llama", NULL, 134105856},
    {"llama", "nano", 10818432},
    {"llama", "small", 134105856},
    {"llama", "medium", 373867520},
    {"llama", "large", 795700480},
    {"llama", "xl", 1596776000},
    {"gpt2", NULL, 124439808},
    {"gpt2", "nano", 3290624},
    {"gpt2", "bench", 124046592},
    {"gpt2", "medium", 354823168},
    {"gpt2", "large", 774030080},
    {"gpt2", "xl", 1557611200},
    {"qwen3", NULL, 596049920},
    {"qwen3", "nano", 3214080},
    {"qwen3", "xl", 8190735360},
    {"mixtral", NULL, 46702792704},
    {"mixtral", "nano", 7215360},
    {"freestyle", NULL, 134096772},
    {"freestyle", "nano", 3278092},
    {"mamba2", "nano", 1735360},
    {"mamba2", "m2700", 2702599680},
    {"retnet", "nano", 3279104},
    {"retnet", "r1300", 1339131904},
    {"neox", "pythia_70m", 70426624},
    {"neox", "neox_20b", 20554567680},
    {"olmoe", NULL, 6919161856},
    {"qwen3_moe", NULL, 30532122624},
    {"gemma2", "gemma2_27b", 27227128320},
    {"gemma3", NULL, 999885952},
    {"gemma3", "gemma3_4b", 3880263168},
    {"llama", "l31_8b", 8030261248},
    {"gemma3", "gemma3_27b", 27009346304},
    {"llama", "l32_1b", 1235814400},
    {"diffllama", NULL, 1204885504},
    {"vit", NULL, 86567656},
    {"vit", "base_384", 88297192},
    {"vit", "huge", 632045800},
    {"ngpt", NULL, 468491520},
    {"ngpt", "ngpt_1b", 1026177280},
    {"deepseek", "v2", 235741434880},
    {"gpt_oss", NULL, 20914757184},
    {"gpt_oss", "gpt_oss_120b", 116829156672},
    {"t5", NULL, 60506624},
    {"t5", "v1_1_base", 247577856},
    {"mamba2", "m130", 128989632},
    {"deepseek", "v2_lite", 15706484224},
    {"gla", "g1300", 1365514240},
    {"gla", "nano", 3566592},
    {"plt", "small", 123707280},
};

// A value in f32 makes all that follows f32, so one that a model forgets to cast makes its products slow.
// Those of routers are meant.
static void multiplies_in_bf16(const xlm_graph *g, const char *model) {
  for (xlm_node n = 1; n < g->n_nodes; n++) {
    const xlm_node_info *info = &g->nodes[n];
    if (!xlm_op_at(info->op)->facts.product) continue;
    const xlm_type *t = xlm_val_type(g, info->in[0]);
    bool routes = xlm_type_find(t, xlm_graph_dim_find(g, "routes", 0)) >= 0 ||
                  xlm_type_find(xlm_val_type(g, info->in[1]), xlm_graph_dim_find(g, "routes", 0)) >= 0;
    if (t->rank >= 3 && t->dtype == XLM_F32 && !routes)
      fail_msg("%s: %s of an activation in f32", model, xlm_op_name(info->op));
  }
}

static void models(void **state) {
  (void)state;
  static const xlm_dtype types[] = {XLM_F32, XLM_BF16, XLM_F64};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int t = 0; t < 3; t++) {
      size_t n;
      int tensors;
      char *text = read_model(sizes[i].model, &n);
      outcome o = good(
          text, &(xlm_elaborate_options){.preset = sizes[i].preset, .dtype = types[t], .training = true});
      assert_int_equal(count_parameters(o.graph, &tensors), sizes[i].parameters);
      assert_int_equal(o.graph->n_weights, tensors);
      if (types[t] == XLM_BF16) multiplies_in_bf16(o.graph, sizes[i].model);
      xlm_arena_free(o.arena);
      free(text);
    }
}

static void models_are_canonical(void **state) {
  (void)state;
  static const char *const names[] = {"llama",
                                      "gpt2",
                                      "qwen3",
                                      "mixtral",
                                      "freestyle",
                                      "deepseek",
                                      "mamba2",
                                      "retnet",
                                      "neox",
                                      "olmoe",
                                      "qwen3_moe",
                                      "gemma2",
                                      "gemma3",
                                      "diffllama",
                                      "vit",
                                      "ngpt",
                                      "gpt_oss",
                                      "t5",
                                      "plt",
                                      "gla",
                                      "blocks/rmsnorm",
                                      "blocks/layernorm",
                                      "blocks/attention",
                                      "blocks/swiglu",
                                      "blocks/softcap",
                                      "blocks/gelu",
                                      "blocks/head_norm",
                                      "blocks/moe",
                                      "blocks/biased_attention"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    size_t n;
    char *text = read_model(names[i], &n);
    xlm_arena *a = xlm_arena_new(0);
    xlm_source *source = xlm_source_new(a, names[i], text, n);
    xlm_diags d;
    xlm_diags_init(&d, a, source);
    xlm_text out = xlm_text_new(a);
    xlm_format(xlm_parse(a, source, &d), &out);
    assert_string_equal(text, out.data);
    xlm_arena_free(a);
    free(text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(models), cmocka_unit_test(models_are_canonical)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
