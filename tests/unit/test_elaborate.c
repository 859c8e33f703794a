// Elaboration: the resulting names, types and scopes, and the origin of values. The shipped models are in
// test_elaborate_models.c, hostile texts in test_elaborate_hostile.c; messages have golden tests
// (tests/golden/errors).
#include "compiler/ir/op.h"
#include "tests/unit/elaborate_text.h"

static outcome plain(const char *text) {
  return good(text, NULL);
}

// Elaborates a text whose first error must be `id`.
static void bad(const char *text, xlm_diag_id id) {
  outcome o = elaborate_with(text, strlen(text), NULL);
  assert_true(o.diags.errors > 0);
  assert_string_equal(xlm_diag_code(o.diags.at[0].id), xlm_diag_code(id));
  xlm_arena_free(o.arena);
}

static const xlm_node_info *find_leaf(const xlm_graph *g, const char *name) {
  for (xlm_node n = 1; n < g->n_nodes; n++) {
    const char *own = xlm_attr_text(&g->nodes[n].attrs, XLM_A_name, NULL);
    if (own && !strcmp(own, name)) return &g->nodes[n];
  }
  return NULL;
}

static const char *init_text(const xlm_graph *g, const char *name) {
  const xlm_attr *a = xlm_attr_find(&find_leaf(g, name)->attrs, XLM_A_init);
  xlm_text t = xlm_text_new(g->arena);
  if (a) xlm_init_print(&a->init, &t);
  return t.data;
}

static const xlm_type *leaf_type(const xlm_graph *g, const char *name) {
  const xlm_node_info *n = find_leaf(g, name);
  if (!n) fail_msg("no `%s`", name);
  return xlm_val_type(g, n->out);
}

static int count_ops(const xlm_graph *g, xlm_op_id op) {
  int count = 0;
  for (xlm_node n = 1; n < g->n_nodes; n++) count += g->nodes[n].op == op;
  return count;
}

static const xlm_type *output_type(const xlm_graph *g, uint32_t i) {
  assert_true(i < g->outputs.n);
  return xlm_val_type(g, g->outputs.at[i].val);
}

static int64_t dim_size(const xlm_graph *g, const char *name) {
  xlm_dim d = xlm_graph_dim_find(g, name, 0);
  return d ? g->dims[d].size : 0;
}

// --- values

static void precedence(void **state) {
  (void)state;
  const char *text = "dim seq = 32\ndim width = 2 * hidden as intermediate_size\n"
                     "preset wide { hidden = 10  seq = 64  batch = 3 }\n" HEAD
                     "param w[hidden, width] ~ ones\nh = h @ w\n" LOSS;
  outcome o = plain(text);
  assert_int_equal(dim_size(o.graph, "hidden"), 8);
  assert_int_equal(dim_size(o.graph, "width"), 16);
  assert_int_equal(dim_size(o.graph, "batch"), 4);
  assert_int_equal(dim_size(o.graph, "seq"), 32);
  xlm_arena_free(o.arena);
  o = good(text, &(xlm_elaborate_options){.preset = "wide"});
  assert_string_equal(o.graph->preset, "wide");
  assert_int_equal(dim_size(o.graph, "hidden"), 10);
  assert_int_equal(dim_size(o.graph, "width"), 20);
  assert_int_equal(dim_size(o.graph, "batch"), 3);
  assert_int_equal(dim_size(o.graph, "seq"), 64);
  xlm_arena_free(o.arena);
  xlm_set sets[] = {{"hidden", "6"}, {"intermediate-size", "7"}, {"seq", "5"}};
  o = good(text,
           &(xlm_elaborate_options){.preset = "wide", .sets = sets, .n_sets = 3, .batch = 9, .seq = 11});
  assert_int_equal(dim_size(o.graph, "hidden"), 6);
  assert_int_equal(dim_size(o.graph, "width"), 7);
  assert_int_equal(dim_size(o.graph, "batch"), 9);
  assert_int_equal(dim_size(o.graph, "seq"), 11);
  xlm_arena_free(o.arena);
}

static void config(void **state) {
  (void)state;
  outcome o = plain("let eps = 1e-5 as rms_norm_eps, norm_eps\nlet tied = true as tie\n" HEAD
                    "h = rmsnorm(h, eps)\n" LOSS);
  bool seen = false;
  for (uint32_t i = 0; i < o.graph->n_config; i++) {
    const xlm_plan_config *c = &o.graph->config[i];
    if (strcmp(c->name, "eps") != 0) continue;
    seen = true;
    assert_int_equal(c->n_aliases, 2);
    assert_string_equal(c->alias[1], "norm_eps");
    assert_true(c->value == 1e-5 && c->kind == XLM_NUMBER_REAL);
  }
  assert_true(seen);
  xlm_arena_free(o.arena);
}

static void arithmetic(void **state) {
  (void)state;
  outcome o = plain(
      "dim a = max(3, hidden / 4) ** 2 + 7 % 4\nlet half = 1 / 2\ndim b = if a > 11 and not (half == 1) then "
      "hidden * half else 1\n"
      "dim c = round(2.6) - -1\n" HEAD
      "param w[a] ~ uniform(-half, sqrt(4))\nparam v[b, c] ~ constant(1e-3)\nh = h * sum(w) * sum(v)\n" LOSS);
  assert_int_equal(dim_size(o.graph, "a"), 12);
  assert_int_equal(dim_size(o.graph, "b"), 4);
  assert_int_equal(dim_size(o.graph, "c"), 4);
  assert_string_equal(init_text(o.graph, "w"), "uniform(-0.5, 2)");
  assert_string_equal(init_text(o.graph, "v"), "constant(0.001)");
  xlm_arena_free(o.arena);
}

static void numbers_with_tensors(void **state) {
  (void)state;
  outcome o = plain(HEAD "h = 2 * 3 * h\nh = h / (1 + 1)\nh = max(h, 0) + max(2, 3)\n"
                         "m = h > 0\nn = h != 1\nh = h * m * n ** 2\n" LOSS);
  assert_int_equal(count_ops(o.graph, XLM_OP_CONST), 8); // 6, 2, 0, 3, 0, 1, 1, 2: folded first
  assert_int_equal(count_ops(o.graph, XLM_OP_AMAX), 0);
  assert_int_equal(count_ops(o.graph, XLM_OP_LT), 1);
  assert_int_equal(count_ops(o.graph, XLM_OP_EQ), 1);
  xlm_arena_free(o.arena);
  o = plain(HEAD "a = max(h, over hidden)\nb = max(h)\noutput a, b\n" LOSS);
  assert_int_equal(count_ops(o.graph, XLM_OP_AMAX), 2);
  assert_int_equal(output_type(o.graph, 0)->rank, 2);
  assert_int_equal(output_type(o.graph, 1)->rank, 0);
  xlm_arena_free(o.arena);
}

// --- precision

static void mixed_precision(void **state) {
  (void)state;
  const char *text = HEAD
      "param w[hidden, vocab] ~ ones\nparam scale[hidden] ~ ones\na = rmsnorm(h) * scale * 0.5\nb = a @ w\n"
      "c = f32(a) @ w\nd = a + f32(h)\ne = 2 * f32(scale) + a\nf = cast(d)\n"
      "output a, b, c, d, e, f, h\nloss mean(b)\n";
  static const xlm_dtype bf16[] = {XLM_BF16, XLM_BF16, XLM_F32, XLM_F32, XLM_F32, XLM_BF16, XLM_BF16};
  outcome o = good(text, &(xlm_elaborate_options){.dtype = XLM_BF16});
  for (uint32_t i = 0; i < 7; i++) assert_int_equal(output_type(o.graph, i)->dtype, bf16[i]);
  assert_int_equal(leaf_type(o.graph, "w")->dtype, XLM_F32);
  assert_int_equal(xlm_val_type(o.graph, o.graph->losses.at[0].val)->dtype, XLM_F32);
  const xlm_node_info *wide = xlm_val_node(o.graph, o.graph->outputs.at[2].val);
  assert_int_equal(xlm_val_node(o.graph, wide->in[1])->op, XLM_OP_PARAM); // the f32 value, not its bf16 copy
  xlm_arena_free(o.arena);
  static const xlm_dtype pure[] = {XLM_F32, XLM_F64};
  for (int t = 0; t < 2; t++) {
    o = good(text, &(xlm_elaborate_options){.dtype = pure[t]});
    for (uint32_t i = 0; i < 7; i++) assert_int_equal(output_type(o.graph, i)->dtype, pure[t]);
    assert_int_equal(leaf_type(o.graph, "w")->dtype, pure[t]);
    if (pure[t] == XLM_F32) assert_int_equal(count_ops(o.graph, XLM_OP_CAST), 0);
    xlm_arena_free(o.arena);
  }
}

static void dropout_only_in_training(void **state) {
  (void)state;
  const char *text =
      HEAD "h = dropout(h, 0.1)\nrepeat 2 as i {\n  h = dropout(h, 0.1) + dropout(h, 0.2)\n}\n" LOSS;
  outcome o = plain(text);
  assert_int_equal(count_ops(o.graph, XLM_OP_DROPOUT), 0);
  xlm_arena_free(o.arena);
  o = good(text, &(xlm_elaborate_options){.training = true});
  assert_int_equal(count_ops(o.graph, XLM_OP_DROPOUT), 5);
  assert_non_null(find_leaf(o.graph, "dropout"));
  assert_non_null(find_leaf(o.graph, "i.1.dropout.2"));
  xlm_arena_free(o.arena);
  bad(HEAD "h = dropout(h, 2)\n" LOSS, XLM_E_ATTRIBUTE); // checked in any case
}

// --- blocks and repeats

#define NORM                                                                                                 \
  "block norm(x[.., hidden]) -> [.., hidden] {\n  param scale[hidden] ~ ones\n  return rmsnorm(x) * "        \
  "scale\n}\n"

static void scopes(void **state) {
  (void)state;
  outcome o =
      plain("dim layers = 2\n" NORM
            "block two(x[.., hidden]) -> [.., hidden] {\n  return norm.b(norm.a(x))\n}\n" HEAD
            "repeat layers as i over pp {\n  h = two(h)\n  h = norm.last(h)\n}\nh = recompute norm(h)\n"
            "repeat 1 as k {\n  repeat 1 {\n    h = norm(h)\n  }\n}\n" LOSS);
  static const char *const names[] = {"layers.0.two.a.scale", "layers.1.two.b.scale", "layers.1.last.scale",
                                      "norm.scale", "k.0.repeat.0.norm.scale"};
  for (int i = 0; i < 5; i++) assert_non_null(find_leaf(o.graph, names[i]));
  const xlm_node_info *n = find_leaf(o.graph, names[1]);
  assert_string_equal(n->scope, "layers.1.two.b");
  assert_int_equal(n->round, 1);
  assert_false(n->recompute);
  assert_int_equal(find_leaf(o.graph, "norm.scale")->round, -1);
  assert_true(find_leaf(o.graph, "norm.scale")->recompute);
  assert_int_equal(count_ops(o.graph, XLM_OP_PARAM), 9);
  xlm_arena_free(o.arena);
}

static void shared_rounds(void **state) {
  (void)state;
  outcome o =
      plain(NORM HEAD "repeat 3 as i shared {\n  h = norm.a(h)\n  param w[hidden] ~ ones\n  h = h * w\n"
                      "  repeat 2 as j {\n    h = norm(h)\n  }\n}\n" LOSS);
  assert_int_equal(count_ops(o.graph, XLM_OP_PARAM), 5);
  assert_int_equal(count_ops(o.graph, XLM_OP_RMSNORM), 9);
  assert_non_null(find_leaf(o.graph, "j.1.norm.scale"));
  assert_non_null(find_leaf(o.graph, "w"));
  xlm_arena_free(o.arena);
  bad(NORM HEAD "repeat 3 as i shared {\n  if i == 1 {\n    h = norm.a(norm.a(h))\n  }\n}\n" LOSS,
      XLM_E_TWO_INSTANCES);
}

static void blocks(void **state) {
  (void)state;
  outcome o = plain(
      "dim ffn = 12\nblock mlp(x[.., hidden], width, act) -> [.., hidden] {\n  dim half = hidden / 2\n"
      "  param up[hidden, width] ~ ones\n  param down[width, half] ~ ones\n  param out[half, hidden] ~ ones\n"
      "  y = x @ up\n  if act {\n    return relu(y) @ down @ out\n  }\n  return y @ down @ out\n}\n"
      "block pair(x[.., hidden]) -> [.., hidden], [..] {\n  return (x + 1, mean(x, over hidden))\n}\n" HEAD
      "h = mlp.a(h, ffn, true)\nh = mlp.b(h, 24, act = false)\nh = mlp.c(h, 32, 0)\n(h, m) = pair(h)\n"
      "param u[ffn] ~ ones\noutput m\nloss mean(square(h)) + sum(u)\n");
  assert_int_equal(count_ops(o.graph, XLM_OP_RELU), 1);
  const xlm_type *t = leaf_type(o.graph, "a.up"); // the caller's dimension, not a new one
  assert_string_equal(o.graph->dims[t->dim[1]].name, "ffn");
  assert_int_equal(dim_size(o.graph, "width"), 24);
  assert_int_equal(dim_size(o.graph, "width_2"), 32);
  assert_int_equal(dim_size(o.graph, "half"), 4);
  assert_int_equal(output_type(o.graph, 0)->rank, 2);
  xlm_arena_free(o.arena);
}

static void kept_tensors(void **state) {
  (void)state;
  outcome o = plain(
      HEAD "repeat 4 as i {\n  k[i] = h * i\n  h = h + k[0] + (if i > 0 then k[i - 1] else h)\n}\n" LOSS);
  bool found = false;
  for (uint32_t v = 1; v < o.graph->n_values; v++)
    found |= o.graph->values[v].name && !strcmp(o.graph->values[v].name, "i.3.h");
  assert_true(found);
  xlm_arena_free(o.arena);
  bad(HEAD "repeat 2 as i {\n  k[i] = h\n  h = k[i + 1]\n}\n" LOSS, XLM_E_INDEX);
  bad(HEAD "repeat 2 as i {\n  inner = h\n}\nh = inner\n" LOSS, XLM_E_UNKNOWN_NAME);
}

static void results(void **state) {
  (void)state;
  outcome o = plain(
      "dim experts = 4\ndim active = 2\ndim kv_seq = seq\n" HEAD "param router[hidden, experts] ~ normal(1)\n"
      "(w, e) = top_k(softmax(f32(h) @ router, over experts), active)\nonly = top_k(f32(h) @ router, "
      "active)\n"
      "r = rename(h, seq -> kv_seq)\ns = split(h, hidden -> experts active)\noutput only, r, s\n"
      "loss mean(combine(dispatch(h, e), w, e))\nloss 0.1 * mean(h)\n");
  assert_int_equal(output_type(o.graph, 1)->dim[1], xlm_graph_dim_find(o.graph, "kv_seq", 0));
  assert_int_equal(output_type(o.graph, 2)->rank, 4);
  assert_int_equal(o.graph->losses.n, 2);
  assert_string_not_equal(o.graph->losses.at[0].name, o.graph->losses.at[1].name);
  const xlm_node_info *in = find_leaf(o.graph, "tokens");
  assert_int_equal(xlm_attr_enum(&in->attrs, XLM_A_feed, -1), XLM_INPUT_TOKENS);
  assert_true(xlm_attr_has_dim(&in->attrs, XLM_A_vocab, xlm_graph_dim_find(o.graph, "vocab", 0)));
  assert_int_equal(xlm_val_type(o.graph, in->out)->dtype, XLM_I32);
  xlm_arena_free(o.arena);
}

// Training lists what a state becomes (differentiate puts it behind the backward pass); evaluation changes no
// state.
static void states(void **state) {
  (void)state;
  const char *text = "state seen[hidden, vocab] ~ zeros\n" HEAD "param w[vocab] ~ ones\nx = h * w * seen\n"
                     "update seen = 0.9 * seen + mean(x, over batch, seq)\nloss mean(x)\n";
  outcome o = good(text, &(xlm_elaborate_options){.dtype = XLM_BF16, .training = true});
  assert_int_equal(o.graph->n_updates, 1);
  xlm_update u = o.graph->updates[0];
  assert_int_equal(xlm_val_node(o.graph, u.state)->op, XLM_OP_STATE);
  assert_int_equal(xlm_val_type(o.graph, u.val)->dtype, XLM_F32);
  assert_memory_equal(xlm_val_type(o.graph, u.val)->dim, xlm_val_type(o.graph, u.state)->dim,
                      2 * sizeof(xlm_dim));
  xlm_arena_free(o.arena);
  o = good(text, &(xlm_elaborate_options){.dtype = XLM_BF16});
  assert_int_equal(o.graph->n_updates, 0);
  xlm_arena_free(o.arena);
}

static void choices(void **state) {
  (void)state;
  const char *text =
      "let tied = true\n" HEAD "if not tied {\n  dim more = 3\n  param w[vocab, hidden] ~ ones\n}\n"
      "x = h @ (if tied then embed else w)\nloss mean(x)\n"
      "weights a {\n  embed = \"e\"\n  w = \"w\" [vocab, hidden]\n}\n";
  outcome o = plain(text);
  assert_null(find_leaf(o.graph, "w"));
  assert_int_equal(o.graph->n_weights, 1);
  xlm_arena_free(o.arena);
  xlm_set untie = {"tied", "false"};
  o = good(text, &(xlm_elaborate_options){.sets = &untie, .n_sets = 1});
  assert_non_null(find_leaf(o.graph, "w"));
  assert_int_equal(o.graph->n_weights, 2);
  xlm_arena_free(o.arena);
}

// --- rules and weights

static void shard_rules(void **state) {
  (void)state;
  outcome o = plain("shard batch over dp, ep\nshard hidden, vocab over tp\nshard seq over tp where free\n"
                    "dim vocab = 16\ndim hidden = 8\ninput tokens[batch, seq] of vocab\n"
                    "param embed[vocab over none, hidden] ~ ones\nparam w[hidden over (mine, cp)] ~ ones\n"
                    "h = lookup(embed, tokens) * w\n" LOSS);
  assert_int_equal(o.graph->n_rules, 4);
  assert_int_equal(o.graph->rules[0].n_axes, 2);
  assert_string_equal(o.graph->rules[0].axis[1], "ep");
  assert_true(o.graph->rules[3].where_free);
  const xlm_override *none = xlm_override_of(&find_leaf(o.graph, "embed")->attrs, "vocab");
  const xlm_override *two = xlm_override_of(&find_leaf(o.graph, "w")->attrs, "hidden");
  assert_true(none && none->n_axes == 0 && !xlm_override_of(&find_leaf(o.graph, "embed")->attrs, "hidden"));
  assert_true(two && two->n_axes == 2 && !strcmp(two->axis[0], "mine") && !strcmp(two->axis[1], "cp"));
  xlm_arena_free(o.arena);
  bad("shard batch, hidden over dp\n" HEAD LOSS, XLM_E_SHARD_CONFLICT);
  bad("shard seq, width over tp\ndim width = 3\n" HEAD "param w[hidden, width] ~ ones\nh = h @ w\n" LOSS,
      XLM_E_SHARD_CONFLICT);
}

static void weights(void **state) {
  (void)state;
  outcome o = plain(
      "dim heads = 2\ndim head = 4\ndim layers = 2\n" HEAD
      "repeat layers as i {\n  param q[hidden, heads, head] ~ ones\n  param k[hidden, heads, head] ~ ones\n"
      "  param up[heads, hidden, head] ~ ones\n  h = h + sum(q) + sum(k) + sum(up)\n}\n" LOSS
      "weights other {\n  layers[i].q = \"h.{i}.qk\" [hidden, 0 of 2 heads head]\n"
      "  layers[i].k = \"h.{i}.qk\" [hidden, 1 of 2 heads head]\n  layers[0].up = \"first.{heads}\" [head, "
      "hidden]\n"
      "  layers[1].up = \"second\" [head hidden heads]\n  embed = \"e\"\n}\n");
  assert_int_equal(o.graph->n_weights, 7);
  const xlm_plan_weight *k = &o.graph->weights[3];
  assert_string_equal(k->param, "layers.1.k");
  assert_string_equal(k->external, "h.1.qk");
  assert_int_equal(k->n_groups, 2);
  assert_int_equal(k->n_factors, 4); // hidden, the part, heads, head
  assert_int_equal(k->factors[1].group, 1);
  assert_true(!k->factors[1].dim && k->factors[1].at == 1 && k->factors[1].of == 2 && !k->factors[1].n);
  const xlm_plan_weight *up = &o.graph->weights[4];
  assert_string_equal(up->external, "first.{heads}");
  assert_string_equal(o.graph->dims[up->each].name, "heads");
  assert_int_equal(up->n_groups, 2);
  assert_int_equal(o.graph->weights[5].n_factors, 3);
  assert_int_equal(o.graph->weights[5].n_groups, 1);
  assert_int_equal(o.graph->weights[6].n_groups, 2); // no layout: the parameter's own
  xlm_arena_free(o.arena);
}

// --- errors

static void several_errors(void **state) {
  (void)state;
  const char *text = HEAD "a = hh\nb = rmsnrm(h)\nc = sum(h, over hiden)\nloss mean(a + b + c)\n";
  outcome o = elaborate_with(text, strlen(text), NULL);
  assert_int_equal(o.diags.errors, 3); // one each, nothing that follows from them
  xlm_arena_free(o.arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(precedence),      cmocka_unit_test(config),
      cmocka_unit_test(arithmetic),      cmocka_unit_test(numbers_with_tensors),
      cmocka_unit_test(mixed_precision), cmocka_unit_test(dropout_only_in_training),
      cmocka_unit_test(scopes),          cmocka_unit_test(shared_rounds),
      cmocka_unit_test(blocks),          cmocka_unit_test(kept_tensors),
      cmocka_unit_test(results),         cmocka_unit_test(states),
      cmocka_unit_test(choices),         cmocka_unit_test(shard_rules),
      cmocka_unit_test(weights),         cmocka_unit_test(several_errors),

  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
