// A small decoder built by hand, for tests of passes: two rounds of attention and MLP (or experts), a tied
// head, a second loss, a metric, a state with an update, and dropout. It has features that passes easily get
// wrong: a parameter with three uses, views, values with two readers, operands in different storage orders.
#ifndef XLM_TESTS_UNIT_SMALL_GRAPH_H
#define XLM_TESTS_UNIT_SMALL_GRAPH_H

#include <string.h>

#include "compiler/ir/op.h"
#include "compiler/pass/pass.h"

typedef struct small_options {
  int64_t batch;
  xlm_dtype dtype; // of activations; parameters are cast
  bool dropout;
  bool recompute; // marks every round's MLP
  bool update;    // with a state that a statement updates
  bool moe;       // the second round has experts instead of an MLP
} small_options;

typedef struct small {
  xlm_build b;
  xlm_graph *g;
  small_options o;
  xlm_dim batch, seq, kv_seq, hidden, heads, head, ffn, vocab, experts, active;
} small;

#define SMALL_INIT(kind, ...) (&(xlm_init){XLM_INIT_##kind, {__VA_ARGS__}})

static inline xlm_val small_leaf(small *s, xlm_op_id op, const char *name, xlm_dtype t, const xlm_init *init,
                                 const xlm_dim *dims, int n) {
  xlm_attr_list l = xlm_attr_list_new(s->g->arena);
  xlm_attr_put_text(&l, XLM_A_name, name);
  xlm_attr_put_enum(&l, XLM_A_dtype, t);
  if (init) xlm_attr_put(&l, (xlm_attr){.key = XLM_A_init, .init = *init});
  xlm_attr_put_dims(&l, XLM_A_dims, dims, n);
  xlm_val v = xlm_emit(&s->b, op, NULL, 0, &l);
  xlm_val_at(s->g, v)->name = name;
  return v;
}

static inline xlm_val small_param(small *s, const char *what, const xlm_init *init, const xlm_dim *dims,
                                  int n) {
  const char *name = *s->b.scope ? xlm_arena_printf(s->g->arena, "%s.%s", s->b.scope, what) : what;
  xlm_val p = small_leaf(s, XLM_OP_PARAM, name, XLM_F32, init, dims, n);
  return xlm_cast_to(&s->b, p, s->o.dtype);
}

#define SMALL_DIMS(...)                                                                                      \
  (const xlm_dim[]){__VA_ARGS__}, (int)(sizeof((const xlm_dim[]){__VA_ARGS__}) / sizeof(xlm_dim))
#define SMALL_PARAM(s, what, ...) small_param(s, what, SMALL_INIT(NORMAL, 0.02), SMALL_DIMS(__VA_ARGS__))

static inline xlm_val small_norm(small *s, const char *name, xlm_val x) {
  xlm_val scale = small_param(s, name, SMALL_INIT(ONES, 0), SMALL_DIMS(s->hidden));
  return xlm_op2(&s->b, XLM_OP_MUL, xlm_op1(&s->b, XLM_OP_RMSNORM, x), scale);
}

static inline xlm_val small_product(small *s, xlm_val x, xlm_val y) {
  return xlm_emit(&s->b, XLM_OP_CONTRACT, (xlm_val[]){x, y}, 2, NULL);
}

static inline xlm_val small_rename(small *s, xlm_val x, xlm_dim from, xlm_dim to) {
  xlm_attr_list l = xlm_attr_list_new(s->g->arena);
  xlm_attr_put_dims(&l, XLM_A_from, &from, 1);
  xlm_attr_put_dims(&l, XLM_A_to, &to, 1);
  return xlm_emit(&s->b, XLM_OP_RENAME, &x, 1, &l);
}

// Attention in plain operations: scores, softmax, mix.
static inline xlm_val small_attention(small *s, xlm_val x) {
  xlm_val q = small_product(s, x, SMALL_PARAM(s, "wq", s->hidden, s->heads, s->head));
  xlm_val k = small_rename(s, small_product(s, x, SMALL_PARAM(s, "wk", s->hidden, s->heads, s->head)), s->seq,
                           s->kv_seq);
  xlm_val v = small_rename(s, small_product(s, x, SMALL_PARAM(s, "wv", s->heads, s->head, s->hidden)), s->seq,
                           s->kv_seq);
  xlm_val scores = xlm_contract(&s->b, q, k, &s->head, 1, NULL, -1);
  xlm_attr_list l = xlm_attr_list_new(s->g->arena);
  xlm_attr_put_dims(&l, XLM_A_over, &s->kv_seq, 1);
  xlm_val p = xlm_emit(&s->b, XLM_OP_SOFTMAX, &scores, 1, &l);
  xlm_val mixed = xlm_contract(&s->b, p, v, &s->kv_seq, 1, NULL, -1);
  return small_product(s, mixed, SMALL_PARAM(s, "wo", s->heads, s->head, s->hidden));
}

static inline xlm_val small_mlp(small *s, xlm_val x) {
  xlm_val gate = small_product(s, x, SMALL_PARAM(s, "gate", s->hidden, s->ffn));
  xlm_val up = small_product(s, x, SMALL_PARAM(s, "up", s->ffn, s->hidden));
  xlm_val h = xlm_op2(&s->b, XLM_OP_MUL, xlm_op1(&s->b, XLM_OP_SILU, gate), up);
  xlm_val y = small_product(s, h, SMALL_PARAM(s, "down", s->ffn, s->hidden));
  if (!s->o.dropout) return y;
  xlm_attr_list l = xlm_attr_list_new(s->g->arena);
  xlm_attr_put_float(&l, XLM_A_p, 0.25);
  xlm_attr_put_text(&l, XLM_A_name, s->b.scope);
  return xlm_emit(&s->b, XLM_OP_DROPOUT, &y, 1, &l);
}

// Experts without dropping: ragged rows, two losses' worth of routing, results in pairs.
static inline xlm_val small_experts(small *s, xlm_val x) {
  xlm_graph *g = s->g;
  xlm_val logits =
      xlm_cast_to(&s->b, small_product(s, x, SMALL_PARAM(s, "router", s->hidden, s->experts)), XLM_F32);
  xlm_attr_list over = xlm_attr_list_new(g->arena), choose = over, route = over;
  xlm_attr_put_dims(&over, XLM_A_over, &s->experts, 1);
  xlm_attr_put_dims(&choose, XLM_A_active, &s->active, 1);
  xlm_attr_put_dims(&route, XLM_A_experts, &s->experts, 1);
  xlm_val p = xlm_emit(&s->b, XLM_OP_SOFTMAX, &logits, 1, &over);
  xlm_val w = xlm_emit(&s->b, XLM_OP_TOP_K, &p, 1, &choose), e = w + 1;
  xlm_val xs = xlm_emit(&s->b, XLM_OP_DISPATCH, (xlm_val[]){x, e}, 2, &route);
  xlm_val up = SMALL_PARAM(s, "up", s->experts, s->hidden, s->ffn);
  xlm_val down = SMALL_PARAM(s, "down", s->experts, s->ffn, s->hidden);
  xlm_val h = xlm_op1(&s->b, XLM_OP_SILU, xlm_contract(&s->b, xs, up, &s->hidden, 1, NULL, -1));
  xlm_val ys = xlm_contract(&s->b, h, down, &s->ffn, 1, NULL, -1);
  w = xlm_op2(&s->b, XLM_OP_DIV, w, xlm_sum_over(&s->b, w, &s->active, 1));
  xlm_val balance = xlm_op2(&s->b, XLM_OP_LOAD_BALANCE, logits, e);
  xlm_vals_add(g, &g->losses, NULL, xlm_scale(&s->b, balance, 0.01), (xlm_span){7, 8});
  xlm_vals_add(g, &g->metrics, "balance", balance, (xlm_span){7, 8});
  return xlm_emit(&s->b, XLM_OP_COMBINE, (xlm_val[]){ys, w, e}, 3, NULL);
}

static inline xlm_val small_round(small *s, int i, xlm_val h) {
  xlm_arena *a = s->g->arena;
  s->b.round = i;
  s->b.span = (xlm_span){10, 20};
  s->b.scope = xlm_arena_printf(a, "layers.%d.attention", i);
  xlm_val x = small_attention(s, small_norm(s, "pre", h));
  s->b.scope = xlm_arena_printf(a, "layers.%d", i);
  h = xlm_op2(&s->b, XLM_OP_ADD, h, x);
  s->b.scope = xlm_arena_printf(a, "layers.%d.mlp", i);
  s->b.recompute = s->o.recompute;
  xlm_val y = small_norm(s, "post", h);
  x = s->o.moe && i == 1 ? small_experts(s, y) : small_mlp(s, y);
  s->b.recompute = false;
  s->b.scope = xlm_arena_printf(a, "layers.%d", i);
  h = xlm_op2(&s->b, XLM_OP_ADD, h, x);
  s->b.round = -1;
  s->b.scope = "";
  return h;
}

// state += sign(mean of its running square) ..., a value per feature that sums over the data: what crosses
// microbatches.
static inline void small_update(small *s, xlm_val h) {
  xlm_val state =
      small_leaf(s, XLM_OP_STATE, "running", XLM_F32, SMALL_INIT(ZEROS, 0), SMALL_DIMS(s->hidden));
  xlm_dim data[] = {s->batch, s->seq};
  xlm_val total = xlm_sum_over(&s->b, xlm_cast_to(&s->b, h, XLM_F32), data, 2);
  xlm_val largest = xlm_emit(&s->b, XLM_OP_AMAX, &total, 1, NULL);
  xlm_val scaled = xlm_op2(&s->b, XLM_OP_DIV, xlm_op1(&s->b, XLM_OP_SQUARE, total), largest);
  xlm_graph_update(s->g, state, xlm_op2(&s->b, XLM_OP_ADD, state, scaled));
}

static inline void small_heads(small *s, xlm_val h, xlm_val embed, xlm_val targets) {
  xlm_graph *g = s->g;
  xlm_val logits = small_product(s, small_norm(s, "final", h), embed);
  xlm_val_at(g, logits)->name = "logits";
  xlm_attr_list l = xlm_attr_list_new(g->arena);
  xlm_attr_put_int(&l, XLM_A_ignore, 0);
  xlm_vals_add(g, &g->losses, NULL,
               xlm_emit(&s->b, XLM_OP_CROSS_ENTROPY, (xlm_val[]){logits, targets}, 2, &l), (xlm_span){1, 2});
  xlm_attr_list over = xlm_attr_list_new(g->arena);
  xlm_attr_put_dims(&over, XLM_A_over, &s->vocab, 1);
  xlm_val z = xlm_emit(&s->b, XLM_OP_LOGSUMEXP, &logits, 1, &over);
  z = xlm_emit(&s->b, XLM_OP_MEAN, (xlm_val[]){xlm_op1(&s->b, XLM_OP_SQUARE, z)}, 1, NULL);
  xlm_vals_add(g, &g->losses, "z", xlm_scale(&s->b, z, 0.01), (xlm_span){3, 4});
  xlm_vals_add(g, &g->metrics, "zloss", z, (xlm_span){3, 4});
  xlm_vals_add(g, &g->outputs, "logits", logits, (xlm_span){5, 6});
}

static inline xlm_graph *small_model(xlm_arena *a, small_options o) {
  small s = {.g = xlm_graph_new(a, NULL, "small"), .o = o};
  s.b = xlm_build_new(s.g);
  s.batch = xlm_graph_dim(s.g, "batch", o.batch);
  s.seq = xlm_graph_dim(s.g, "seq", 5);
  s.kv_seq = xlm_graph_dim(s.g, "kv_seq", 5);
  s.hidden = xlm_graph_dim(s.g, "hidden", 6);
  s.heads = xlm_graph_dim(s.g, "heads", 2);
  s.head = xlm_graph_dim(s.g, "head", 3);
  s.ffn = xlm_graph_dim(s.g, "ffn", 7);
  s.vocab = xlm_graph_dim(s.g, "vocab", 9);
  s.experts = xlm_graph_dim(s.g, "experts", 3);
  s.active = xlm_graph_dim(s.g, "active", 2);
  xlm_val tokens = small_leaf(&s, XLM_OP_INPUT, "tokens", XLM_I32, NULL, SMALL_DIMS(s.batch, s.seq));
  xlm_val targets = small_leaf(&s, XLM_OP_INPUT, "targets", XLM_I32, NULL, SMALL_DIMS(s.batch, s.seq));
  xlm_val embed = SMALL_PARAM(&s, "embed", s.vocab, s.hidden);
  xlm_val h = xlm_op2(&s.b, XLM_OP_LOOKUP, embed, tokens);
  for (int i = 0; i < 2; i++) h = small_round(&s, i, h);
  if (o.update) small_update(&s, h);
  small_heads(&s, h, embed, targets);
  return s.g;
}

#endif
