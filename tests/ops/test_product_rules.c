// What the rules of contract, rope, attend and the training ops refuse, and what they say products cost.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/ir/op.h"

typedef struct bench { // a graph to try calls in
  xlm_build b;
} bench;

static bench start(void) {
  xlm_arena *a = xlm_arena_new(0);
  assert_non_null(a);
  return (bench){xlm_build_new(xlm_graph_new(a, NULL, "test"))};
}

static void end(bench *t) {
  xlm_arena_free(t->b.g->arena);
}

static xlm_dim dim(bench *t, const char *name, int64_t size) {
  return xlm_graph_dim(t->b.g, name, size);
}

static xlm_val leaf(bench *t, xlm_dtype dtype, int n, const xlm_dim *dims) {
  xlm_attr_list l = xlm_attr_list_new(t->b.g->arena);
  xlm_attr_put_text(&l, XLM_A_name, "x");
  xlm_attr_put_enum(&l, XLM_A_dtype, dtype);
  xlm_attr_put_dims(&l, XLM_A_dims, dims, n);
  return xlm_emit(&t->b, XLM_OP_INPUT, NULL, 0, &l);
}

#define LEAF(t, dtype, ...)                                                                                  \
  leaf(t, dtype, (int)(sizeof((xlm_dim[]){__VA_ARGS__}) / sizeof(xlm_dim)), (xlm_dim[]){__VA_ARGS__})

static void refuses(bench *t, xlm_op_id op, const xlm_val *in, int n, const xlm_attr_list *l, xlm_fault fault,
                    const char *says) {
  xlm_infer x;
  assert_int_equal(xlm_emit_checked(&t->b, op, in, n, l, &x), 0);
  assert_int_equal(x.fault, fault);
  assert_non_null(x.fault_text);
  if (!strstr(x.fault_text, says)) fail_msg("\"%s\" does not say \"%s\"", x.fault_text, says);
}

static void contract_refuses(void **state) {
  (void)state;
  bench t = start();
  xlm_dim a = dim(&t, "a", 3), b = dim(&t, "b", 3), c = dim(&t, "c", 4);
  xlm_val ab = LEAF(&t, XLM_F32, a, b), c1 = LEAF(&t, XLM_F32, c), bc = LEAF(&t, XLM_F32, b, c),
          i = LEAF(&t, XLM_I32, a);
  refuses(&t, XLM_OP_CONTRACT, (xlm_val[]){ab, c1}, 2, NULL, XLM_FAULT_NO_SHARED_DIM,
          "[a, b] and [c] share no dimension");
  refuses(&t, XLM_OP_CONTRACT, (xlm_val[]){ab, i}, 2, NULL, XLM_FAULT_DTYPE, "i32");
  xlm_attr_list l = xlm_attr_list_new(t.b.g->arena);
  xlm_attr_put_dims(&l, XLM_A_over, &a, 1);
  refuses(&t, XLM_OP_CONTRACT, (xlm_val[]){ab, bc}, 2, &l, XLM_FAULT_MISSING_DIM, "`a`");
  xlm_attr_put_dims(&l, XLM_A_over, &b, 1);
  xlm_attr_put_dims(&l, XLM_A_dims, (xlm_dim[]){a, b}, 2);
  refuses(&t, XLM_OP_CONTRACT, (xlm_val[]){ab, bc}, 2, &l, XLM_FAULT_DIM_MISMATCH, "[a, c]");
  end(&t);
}

static void contract_suggests_a_rename(void **state) {
  (void)state;
  bench t = start();
  xlm_val x = LEAF(&t, XLM_F32, dim(&t, "seq", 5), dim(&t, "hidden", 8)),
          w = LEAF(&t, XLM_F32, dim(&t, "width", 8));
  xlm_infer f;
  assert_int_equal(xlm_emit_checked(&t.b, XLM_OP_CONTRACT, (xlm_val[]){x, w}, 2, NULL, &f), 0);
  assert_non_null(strstr(f.fault_help, "width -> hidden"));
  end(&t);
}

static void contract_refuses_ragged(void **state) { // rows of experts meet a matrix that has no experts
  (void)state;
  bench t = start();
  xlm_dim experts = dim(&t, "experts", 2), hidden = dim(&t, "hidden", 4), ffn = dim(&t, "ffn", 3);
  xlm_dim routed =
      xlm_graph_dim_add(t.b.g, (xlm_dim_info){.name = "routed", .size = 6, .full = 6, .ragged = true});
  xlm_val x = LEAF(&t, XLM_F32, experts, routed, hidden), w = LEAF(&t, XLM_F32, hidden, ffn);
  refuses(&t, XLM_OP_CONTRACT, (xlm_val[]){x, w}, 2, NULL, XLM_FAULT_MISSING_DIM, "`routed` is ragged");
  end(&t);
}

static void contract_bias_refuses(void **state) {
  (void)state;
  bench t = start();
  xlm_dim b = dim(&t, "b", 2), k = dim(&t, "k", 3), m = dim(&t, "m", 4), n = dim(&t, "n", 5);
  xlm_val x = LEAF(&t, XLM_F32, b, k), w = LEAF(&t, XLM_F32, k, m, n), mn = LEAF(&t, XLM_F32, m, n);
  xlm_val y = xlm_emit(&t.b, XLM_OP_CONTRACT_BIAS, (xlm_val[]){x, w, mn}, 3, NULL);
  assert_int_equal(xlm_val_type(t.b.g, y)->rank, 3);
  refuses(&t, XLM_OP_CONTRACT_BIAS, (xlm_val[]){x, w, LEAF(&t, XLM_F32, m)}, 3, NULL, XLM_FAULT_DIM_MISMATCH,
          "the last dimensions of the product [b, m, n]");
  refuses(&t, XLM_OP_CONTRACT_BIAS, (xlm_val[]){x, w, LEAF(&t, XLM_F32, n, m)}, 3, NULL,
          XLM_FAULT_DIM_MISMATCH, "the last dimensions");
  refuses(&t, XLM_OP_CONTRACT_BIAS, (xlm_val[]){x, w, LEAF(&t, XLM_F32, b, n)}, 3, NULL, XLM_FAULT_DIM_MISMATCH,
          "x none of them");
  xlm_val whole = LEAF(&t, XLM_F32, b, m, n);
  assert_int_equal(xlm_val_type(t.b.g, xlm_emit(&t.b, XLM_OP_CONTRACT_BIAS, (xlm_val[]){x, w, whole}, 3, NULL))->rank, 3);
  (void)xlm_emit(&t.b, XLM_OP_CONTRACT_BIAS, (xlm_val[]){x, w, mn, whole}, 4, NULL);
  refuses(&t, XLM_OP_CONTRACT_BIAS, (xlm_val[]){x, w, whole, mn}, 4, NULL, XLM_FAULT_DIM_MISMATCH, "or all of them");
  refuses(&t, XLM_OP_CONTRACT_BIAS, (xlm_val[]){x, w, mn, mn}, 4, NULL, XLM_FAULT_DIM_MISMATCH, "or all of them");
  refuses(&t, XLM_OP_CONTRACT_BIAS, (xlm_val[]){x, w, LEAF(&t, XLM_BF16, m, n)}, 3, NULL, XLM_FAULT_DTYPE,
          "the result's type, f32");
  end(&t);
}

static void contract_types_and_costs(void **state) {
  (void)state;
  bench t = start();
  xlm_dim b = dim(&t, "b", 2), m = dim(&t, "m", 3), n = dim(&t, "n", 5), k = dim(&t, "k", 7);
  xlm_val x = LEAF(&t, XLM_BF16, b, m, k), y = LEAF(&t, XLM_BF16, k, b, n), z = LEAF(&t, XLM_F32, k, b, n);
  xlm_val xy = xlm_contract(&t.b, x, y, &k, 1, NULL, -1), xz = xlm_contract(&t.b, x, z, &k, 1, NULL, -1);
  assert_int_equal(xlm_val_type(t.b.g, xy)->dtype, XLM_BF16);
  assert_int_equal(xlm_val_type(t.b.g, xz)->dtype, XLM_F32);
  const xlm_dim order[] = {b, m, n};
  assert_memory_equal(xlm_val_type(t.b.g, xy)->dim, order, sizeof order);
  xlm_cost cost;
  xlm_op_cost(t.b.g, xlm_val_at(t.b.g, xy)->def, &cost);
  assert_true(cost.flops == 2.0 * 2 * 3 * 5 * 7 && cost.model_flops == cost.flops);
  assert_true(cost.bytes == 2.0 * (2 * 3 * 7 + 7 * 2 * 5 + 2 * 3 * 5));
  end(&t);
}

static void rope_refuses(void **state) {
  (void)state;
  bench t = start();
  xlm_dim seq = dim(&t, "seq", 4), head = dim(&t, "head", 5);
  xlm_val odd = LEAF(&t, XLM_F32, seq, head), lost = LEAF(&t, XLM_F32, head),
          ends = LEAF(&t, XLM_F32, head, seq);
  refuses(&t, XLM_OP_ROPE, &odd, 1, NULL, XLM_FAULT_SIZE, "5 is odd");
  refuses(&t, XLM_OP_ROPE, &lost, 1, NULL, XLM_FAULT_MISSING_DIM, "`seq`");
  refuses(&t, XLM_OP_ROPE, &ends, 1, NULL, XLM_FAULT_ATTR, "its own position");
  end(&t);
}

static void attend_refuses(void **state) {
  (void)state;
  bench t = start();
  xlm_dim batch = dim(&t, "batch", 2), seq = dim(&t, "seq", 4), heads = dim(&t, "heads", 4),
          head = dim(&t, "head", 6);
  xlm_dim kv = dim(&t, "kv_heads", 3), other = dim(&t, "other", 6);
  xlm_val q = LEAF(&t, XLM_F32, batch, seq, heads, head), k = LEAF(&t, XLM_F32, batch, seq, kv, head);
  xlm_val same = LEAF(&t, XLM_F32, batch, seq, heads, head), wide = LEAF(&t, XLM_F32, batch, seq, kv, other);
  xlm_val bare = LEAF(&t, XLM_F32, seq, head), timeless = LEAF(&t, XLM_F32, batch, heads, head);
  refuses(&t, XLM_OP_ATTEND, (xlm_val[]){q, k, k}, 3, NULL, XLM_FAULT_SIZE,
          "`kv_heads` = 3 does not divide `heads` = 4");
  refuses(&t, XLM_OP_ATTEND, (xlm_val[]){q, same, wide}, 3, NULL, XLM_FAULT_DIM_MISMATCH, "only in `head`");
  refuses(&t, XLM_OP_ATTEND, (xlm_val[]){q, bare, bare}, 3, NULL, XLM_FAULT_MISSING_DIM,
          "may differ in one dimension");
  refuses(&t, XLM_OP_ATTEND, (xlm_val[]){q, same, k}, 3, NULL, XLM_FAULT_DIM_MISMATCH, "may differ only in `head`");
  refuses(&t, XLM_OP_ATTEND, (xlm_val[]){q, timeless, timeless}, 3, NULL, XLM_FAULT_MISSING_DIM, "`kv_seq`");
  xlm_attr_list l = xlm_attr_list_new(t.b.g->arena);
  xlm_attr_put_int(&l, XLM_A_window, 2);
  refuses(&t, XLM_OP_ATTEND, (xlm_val[]){q, same, same}, 3, &l, XLM_FAULT_ATTR, "must be causal");
  end(&t);
}

static void refuses_operand(bench *t, xlm_operand what, xlm_val v, bool causal, xlm_fault fault,
                            const char *says) {
  xlm_dim batch = dim(t, "batch", 2), seq = dim(t, "seq", 4), heads = dim(t, "heads", 4),
          head = dim(t, "head", 6);
  xlm_val q = LEAF(t, XLM_F32, batch, seq, heads, head);
  xlm_attr_list l = xlm_attr_list_new(t->b.g->arena);
  xlm_attr_put_ints(&l, XLM_A_operands, &(int64_t){what}, 1);
  xlm_attr_put_int(&l, XLM_A_causal, causal);
  refuses(t, XLM_OP_ATTEND, (xlm_val[]){q, q, q, v}, 4, &l, fault, says);
}

static void attend_refuses_operands(void **state) {
  (void)state;
  bench t = start();
  xlm_dim batch = dim(&t, "batch", 2), seq = dim(&t, "seq", 4), heads = dim(&t, "heads", 4),
          head = dim(&t, "head", 6);
  xlm_dim keys = dim(&t, "keys", 4);
  xlm_val pairs = LEAF(&t, XLM_F32, heads, seq, keys), of_head = LEAF(&t, XLM_F32, head),
          rows = LEAF(&t, XLM_F32, heads, seq), ids = LEAF(&t, XLM_I32, batch, seq),
          per_head = LEAF(&t, XLM_I32, seq, heads, head), length = LEAF(&t, XLM_I32, batch),
          real = LEAF(&t, XLM_F32, batch);
  refuses_operand(&t, XLM_OPERAND_BIAS, pairs, false, XLM_FAULT_EXTRA_DIM,
                  "`bias` [heads, seq, keys] has `keys`");
  refuses_operand(&t, XLM_OPERAND_BIAS, ids, false, XLM_FAULT_DTYPE, "real numbers");
  refuses_operand(&t, XLM_OPERAND_MASK, of_head, false, XLM_FAULT_EXTRA_DIM, "`head`");
  refuses_operand(&t, XLM_OPERAND_SINK, rows, false, XLM_FAULT_EXTRA_DIM, "`seq`");
  refuses_operand(&t, XLM_OPERAND_SLOPES, rows, false, XLM_FAULT_EXTRA_DIM, "`seq`");
  refuses_operand(&t, XLM_OPERAND_DOCUMENTS, rows, false, XLM_FAULT_DTYPE, "whole numbers");
  refuses_operand(&t, XLM_OPERAND_DOCUMENTS, per_head, false, XLM_FAULT_EXTRA_DIM, "`head`");
  refuses_operand(&t, XLM_OPERAND_DOCUMENTS, length, false, XLM_FAULT_MISSING_DIM, "`seq`");
  refuses_operand(&t, XLM_OPERAND_KV_DOCUMENTS, ids, false, XLM_FAULT_ATTR, "but not `documents`");
  refuses_operand(&t, XLM_OPERAND_PREFIX, length, false, XLM_FAULT_ATTR, "without `causal`");
  refuses_operand(&t, XLM_OPERAND_PREFIX, ids, true, XLM_FAULT_EXTRA_DIM, "`seq`");
  refuses_operand(&t, XLM_OPERAND_PREFIX, real, true, XLM_FAULT_DTYPE, "whole numbers");
  end(&t);
}

static double attend_flops_of(bench *t, xlm_val q, xlm_val k, int64_t causal, int64_t window) {
  xlm_attr_list l = xlm_attr_list_new(t->b.g->arena);
  xlm_attr_put_int(&l, XLM_A_causal, causal);
  xlm_attr_put_int(&l, XLM_A_window, window);
  xlm_val out = xlm_emit(&t->b, XLM_OP_ATTEND, (xlm_val[]){q, k, k}, 3, &l);
  xlm_cost cost;
  xlm_op_cost(t->b.g, xlm_val_at(t->b.g, out)->def, &cost);
  return cost.model_flops;
}

static double attend_flops(bench *t, xlm_val q, int64_t causal, int64_t window) {
  return attend_flops_of(t, q, q, causal, window);
}

// One by one, as its definition says.
static double count_pairs(const xlm_dim_info *q, const xlm_dim_info *k, int64_t window) {
  double pairs = 0;
  for (int64_t i = 0; i < q->size; i++)
    for (int64_t j = 0; j < k->size; j++) {
      int64_t behind = xlm_dim_global(q, i) - (k->offset + j);
      pairs += behind >= 0 && (!window || behind < window);
    }
  return pairs;
}

// Queries of a rank in two runs, keys from somewhere on.
static void attend_counts_pieces(void **state) {
  (void)state;
  static const xlm_dim_info queries[] = {{.size = 5, .offset = 2},
                                         {.size = 4, .offset = 0, .tail = 2, .tail_offset = 14},
                                         {.size = 6, .offset = 3, .tail = 3, .tail_offset = 10},
                                         {.size = 16}},
                            keys[] = {{.size = 16}, {.size = 7, .offset = 4}, {.size = 1, .offset = 15}};
  for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
    for (size_t j = 0; j < sizeof keys / sizeof *keys; j++)
      for (int64_t window = 0; window <= 17; window++) {
        bench t = start();
        xlm_dim_info q = queries[i], k = keys[j];
        q.name = "seq", k.name = "kv_seq", q.full = k.full = 16, q.axes = k.axes = 1;
        xlm_dim head = dim(&t, "head", 6), seq = xlm_graph_dim_add(t.b.g, q),
                kv_seq = xlm_graph_dim_add(t.b.g, k);
        xlm_val x = LEAF(&t, XLM_F32, seq, head), y = LEAF(&t, XLM_F32, kv_seq, head);
        assert_true(attend_flops_of(&t, x, y, 1, window) == 2.0 * 2 * 6 * count_pairs(&q, &k, window));
        end(&t);
      }
}

static void attend_counts_what_is_visible(void **state) {
  (void)state;
  bench t = start();
  xlm_val q =
      LEAF(&t, XLM_F32, dim(&t, "batch", 2), dim(&t, "seq", 4), dim(&t, "heads", 3), dim(&t, "head", 6));
  double per_pair = 2.0 * 2 * (2 * 3 * 6);
  assert_true(attend_flops(&t, q, 0, 0) == per_pair * 16);
  assert_true(attend_flops(&t, q, 1, 0) == per_pair * (1 + 2 + 3 + 4));
  assert_true(attend_flops(&t, q, 1, 2) == per_pair * (1 + 2 + 2 + 2));
  end(&t);
}

static void training_ops_refuse(void **state) {
  (void)state;
  bench t = start();
  xlm_dim a = dim(&t, "a", 3), b = dim(&t, "b", 4);
  xlm_val ab = LEAF(&t, XLM_F32, a, b), ba = LEAF(&t, XLM_F32, b, a), half = LEAF(&t, XLM_BF16, a, b);
  xlm_val one = leaf(&t, XLM_F32, 0, NULL);
  refuses(&t, XLM_OP_ACCUMULATE, (xlm_val[]){ab, ba}, 2, NULL, XLM_FAULT_DIM_MISMATCH, "same order");
  refuses(&t, XLM_OP_ACCUMULATE, (xlm_val[]){half, ab}, 2, NULL, XLM_FAULT_DTYPE, "f32");
  refuses(&t, XLM_OP_ASSIGN, (xlm_val[]){ab, half}, 2, NULL, XLM_FAULT_DTYPE, "bf16");
  refuses(&t, XLM_OP_CLIP_SCALE, &one, 1, NULL, XLM_FAULT_DTYPE, "f64");
  refuses(&t, XLM_OP_ADAMW, (xlm_val[]){ab, ab, half, ab, one, one, one}, 7, NULL, XLM_FAULT_DTYPE, "bf16");
  refuses(&t, XLM_OP_ADAMW, (xlm_val[]){ab, ab, ab, ba, one, one, one}, 7, NULL, XLM_FAULT_DIM_MISMATCH,
          "[b, a]");
  refuses(&t, XLM_OP_SGD, (xlm_val[]){ab, ab, ab, one, ab}, 5, NULL, XLM_FAULT_DIM_MISMATCH, "[a, b]");
  end(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(contract_refuses),
      cmocka_unit_test(contract_suggests_a_rename),
      cmocka_unit_test(contract_refuses_ragged),
      cmocka_unit_test(contract_bias_refuses),
      cmocka_unit_test(contract_types_and_costs),
      cmocka_unit_test(rope_refuses),
      cmocka_unit_test(attend_refuses_operands),
      cmocka_unit_test(attend_refuses),
      cmocka_unit_test(attend_counts_what_is_visible),
      cmocka_unit_test(attend_counts_pieces),
      cmocka_unit_test(training_ops_refuse),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
