// Cases of rope, attend and attend_bwd. A row of a table is one configuration; `both` configurations are
// small and are also checked by finite differences, the others span several tiles and compare attend_bwd
// directly with the reference.
#include <string.h>

#include "tests/ops/run_op.h"

// From here on `seq` is the local part, at `offset`, of a dimension that is split over an axis.
static void later_part(op_test *t, int offset) {
  xlm_dim_info *seq = &t->b.g->dims[op_dim(t, "seq")];
  seq->offset = offset;
  seq->full += offset;
  seq->axes = 1;
}

// From here on `seq` is the piece of the first of `ranks` when it is split from both ends.
static void both_ends(op_test *t, int ranks) {
  xlm_dim_info *seq = &t->b.g->dims[op_dim(t, "seq")];
  int64_t piece = seq->size / 2;
  seq->tail = seq->size - piece, seq->tail_offset = (2 * ranks - 1) * piece;
  seq->full = seq->tail_offset + seq->tail;
  seq->axes = seq->mirrored = 1;
}

// ---- rope

static xlm_val rope(op_test *t, const char *decl, const xlm_attr_list *l) {
  xlm_val x = op_leaf(t, decl);
  return xlm_emit(&t->b, XLM_OP_ROPE, &x, 1, l);
}

static void rope_plain(op_test *t) {
  op_out(t, rope(t, "x[batch 2, seq 3, heads 2, head 6]", NULL));
}
static void rope_wide(op_test *t) {
  op_out(t, rope(t, "x[seq 70, heads 2, head 72]", NULL));
} // whole vectors and a remainder

static void rope_even(op_test *t) { // whole accesses; more heads than a GPU's thread turns
  op_out(t, rope(t, "x[batch 3, seq 5, heads 5, head 64]", NULL));
}
static void rope_heads_first(op_test *t) {
  op_out(t, rope(t, "x[batch 2, heads 3, seq 5, head 32]", NULL));
}
static void rope_long(op_test *t) { // more pairs than one launch takes
  op_out(t, rope(t, "x[seq 3, head 1040]", NULL));
}
static void rope_even_neighbours(op_test *t) {
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_interleaved, 1);
  op_out(t, rope(t, "x[seq 5, heads 2, head 16]", &l));
}

static void rope_neighbours(op_test *t) {
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_interleaved, 1);
  xlm_attr_put_int(&l, XLM_A_position, 5);
  xlm_attr_put_float(&l, XLM_A_base, 500);
  op_out(t, rope(t, "x[seq 5, heads 2, head 8]", &l));
}

static void rope_feature_first(op_test *t) { // feature not last, another sequence name
  xlm_attr_list l = op_attrs(t);
  op_put_dims(t, &l, XLM_A_seq, "time 5");
  op_put_dims(t, &l, XLM_A_feature, "head 4");
  op_out(t, rope(t, "x[head, batch 2, time]", &l));
}

static void rope_later_part(op_test *t) { // this rank holds the second half of a sequence
  xlm_val x = op_leaf(t, "x[batch 2, seq 4, head 36]");
  later_part(t, 1000);
  op_out(t, xlm_op1(&t->b, XLM_OP_ROPE, x));
}

static void rope_both_ends(op_test *t) {
  xlm_val x = op_leaf(t, "x[batch 2, seq 70, head 36]");
  both_ends(t, 3);
  op_out(t, xlm_op1(&t->b, XLM_OP_ROPE, x));
}

static void rope_scaled(op_test *t, xlm_rope_scaling kind, double original) {
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_enum(&l, XLM_A_scaling, kind);
  xlm_attr_put_float(&l, XLM_A_factor, 4);
  if (kind != XLM_ROPE_LINEAR) xlm_attr_put_float(&l, XLM_A_original, original);
  xlm_attr_put_int(&l, XLM_A_position, 1000);
  op_out(t, rope(t, "x[seq 5, heads 2, head 36]", &l));
}

static void rope_linear(op_test *t) {
  rope_scaled(t, XLM_ROPE_LINEAR, 0);
}
static void rope_llama3(op_test *t) {
  rope_scaled(t, XLM_ROPE_LLAMA3, 256);
}
static void rope_yarn(op_test *t) {
  rope_scaled(t, XLM_ROPE_YARN, 4096);
}
static void rope_yarn_exact(op_test *t) {
  rope_scaled(t, XLM_ROPE_YARN_EXACT, 4096);
}

static void rope_some(op_test *t) { // only a part of the vector is turned
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_rotary, 34);
  xlm_attr_put_int(&l, XLM_A_start, 3);
  op_out(t, rope(t, "x[seq 5, heads 2, head 41]", &l));
  xlm_attr_put_int(&l, XLM_A_interleaved, 1);
  xlm_attr_put_int(&l, XLM_A_start, 0);
  op_out(t, rope(t, "y[seq, head]", &l));
}

static void rope_some_in_packs(op_test *t) {
  xlm_attr_list l = op_attrs(t);
  xlm_attr_put_int(&l, XLM_A_rotary, 32);
  xlm_attr_put_int(&l, XLM_A_start, 16);
  op_out(t, rope(t, "x[seq 5, heads 2, head 64]", &l));
}

static void rope_given(op_test *t) { // positions per sample, in another order than x has its dimensions
  xlm_val in[2] = {op_leaf(t, "x[batch 3, seq 5, heads 9, head 48]")};
  in[1] = op_ints(t, "p[seq, batch]", -3, 90000);
  op_out(t, xlm_emit(&t->b, XLM_OP_ROPE, in, 2, NULL));
}

static void rope_given_real(op_test *t) { // of two axes, feature not last
  xlm_attr_list l = op_attrs(t);
  xlm_val x = op_leaf(t, "x[batch 3, head 8, seq 5]"), row = op_fixed(t, "row[seq]", 0, 30),
          column = op_fixed(t, "column[seq]", 0, 9);
  op_put_dims(t, &l, XLM_A_feature, "head");
  xlm_attr_put_int(&l, XLM_A_rotary, 4);
  xlm_val y = xlm_emit(&t->b, XLM_OP_ROPE, (xlm_val[]){x, row}, 2, &l);
  xlm_attr_put_int(&l, XLM_A_start, 4);
  op_out(t, xlm_emit(&t->b, XLM_OP_ROPE, (xlm_val[]){y, column}, 2, &l));
}

// Factors of the frequencies: more pairs than one launch takes, and only a part of the vector.
static void rope_factors(op_test *t) {
  xlm_attr_list l = op_attrs(t);
  xlm_val in[3] = {op_leaf(t, "x[batch 2, seq 5, head 1040]")};
  in[1] = op_ints(t, "p[seq]", 0, 90000), in[2] = op_fixed(t, "f[pairs 520]", 1, 40);
  op_out(t, xlm_emit(&t->b, XLM_OP_ROPE, in, 3, NULL));
  in[0] = op_leaf(t, "y[seq, heads 3, part 41]"), in[2] = op_fixed(t, "g[few 16]", 0.5, 3);
  xlm_attr_put_int(&l, XLM_A_rotary, 32);
  xlm_attr_put_int(&l, XLM_A_start, 3);
  xlm_attr_put_float(&l, XLM_A_base, 500);
  xlm_attr_put_float(&l, XLM_A_scale, 1.25);
  op_out(t, xlm_emit(&t->b, XLM_OP_ROPE, in, 3, &l));
}

// ---- attend

typedef struct setting {
  const char *name, *q, *k, *v;
  bool causal;
  int window, q_offset;
  double scale, softcap; // 0: default
  const char *heads, *kv_heads, *kv_seq, *feature;
  int ranks; // split from both ends over so many; 0: not
} setting;

static const setting settings[] = {
    {"plain", "q[batch 2, seq 3, heads 2, head 4]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]"},
    {"causal", "q[batch 2, seq 5, heads 2, head 4]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]", true},
    {"grouped", "q[seq 5, heads 4, head 3]", "k[seq, kv_heads 2, head]", "v[seq, kv_heads, head]", true},
    {"one_key_head", "q[seq 5, heads 3, head 4]", "k[seq, head]", "v[seq, head]", true},
    {"no_heads", "q[seq 4, head 4]", "k[seq, head]", "v[seq, head]"},
    {"window", "q[seq 7, heads 2, head 4]", "k[seq, heads, head]", "v[seq, heads, head]", true, 3},
    {"softcap", "q[seq 5, heads 2, head 4]", "k[seq, heads, head]", "v[seq, heads, head]", true, 0, 0, 2.5,
     1.5},
    {"other_keys", "q[seq 3, heads 2, head 4]", "k[kv_seq 6, heads, head]", "v[kv_seq, heads, head]", false,
     0, 0, 0.3},
    {"orders", "q[heads 2, head 5, batch 2, seq 4]", "k[head, seq, kv_heads 1, batch]",
     "v[batch, kv_heads, seq, head]", true, .feature = "head"},
    {"named", "q[time 4, h 2, e 3]", "k[past 6, g 2, e]", "v[past, g, e]", .heads = "h", .kv_heads = "g",
     .kv_seq = "past", .feature = "e"},
    {"later_part", "q[seq 4, heads 2, head 4]", "k[kv_seq 7, heads, head]", "v[kv_seq, heads, head]", true, 3,
     3},
    // across tiles: 64 queries by 64 keys, strips of 4 or 8, vectors of 4 to 16
    {"tiles", "q[batch 2, seq 140, heads 1, head 24]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]"},
    {"tiles_causal", "q[seq 130, heads 2, head 64]", "k[seq, heads, head]", "v[seq, heads, head]", true},
    {"tiles_one_head", "q[seq 200, head 33]", "k[seq, head]", "v[seq, head]", true},
    {"tiles_grouped", "q[seq 131, heads 6, head 16]", "k[seq, kv_heads 2, head]", "v[seq, kv_heads, head]",
     true},
    {"tiles_window", "q[batch 2, seq 260, head 16]", "k[batch, seq, head]", "v[batch, seq, head]", true, 70},
    {"tiles_narrow", "q[batch 2, seq 140, head 8]", "k[batch, seq, head]", "v[batch, seq, head]", true, 5},
    {"tiles_softcap", "q[batch 2, seq 90, head 16]", "k[batch, seq, head]", "v[batch, seq, head]", true, 0, 0,
     0, 2},
    {"tiles_part", "q[seq 100, heads 2, head 16]", "k[kv_seq 170, heads, head]", "v[kv_seq, heads, head]",
     true, 50, 90},
    {"both_ends", "q[seq 4, heads 2, head 4]", "k[kv_seq 8, heads, head]", "v[kv_seq, heads, head]", true,
     .ranks = 2},
    {"tiles_both_ends", "q[seq 150, heads 4, head 16]", "k[kv_seq 450, kv_heads 2, head]",
     "v[kv_seq, kv_heads, head]", true, .ranks = 3},
    {"window_both_ends", "q[seq 140, heads 2, head 8]", "k[kv_seq 280, heads, head]",
     "v[kv_seq, heads, head]", true, 90, .ranks = 2},
    {"unseeing", "q[seq 80, heads 2, head 8]", "k[kv_seq 20, heads, head]", "v[kv_seq, heads, head]", true,
     9},
    {"even", "q[seq 5, heads 4, head 8]", "k[seq, kv_heads 2, head]", "v[seq, kv_heads, head]", true},
    {"tiles_orders", "q[heads 2, head 24, batch 2, seq 70]", "k[head, seq, kv_heads 1, batch]",
     "v[batch, kv_heads, seq, head]", true, .feature = "head"},
    // multiples of 128, for which libraries have kernels
    {"whole", "q[batch 3, seq 128, heads 2, head 16]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]"},
    {"whole_causal", "q[batch 2, seq 128, heads 1, head 8]", "k[batch, seq, heads, head]",
     "v[batch, seq, heads, head]", true},
    {"whole_grouped", "q[batch 2, seq 128, heads 4, head 8]", "k[batch, seq, kv_heads 2, head]",
     "v[batch, seq, kv_heads, head]", true, 0, 0, 0.3},
    {"whole_one_key_head", "q[seq 128, heads 3, head 16]", "k[seq, head]", "v[seq, head]", true},
    {"whole_window", "q[batch 2, seq 128, heads 2, head 8]", "k[batch, kv_seq 256, kv_heads 1, head]",
     "v[batch, kv_seq, kv_heads, head]", true, 20},
    {"whole_other_keys", "q[heads 2, seq 128, batch 2, head 8]", "k[batch, kv_seq 256, heads, head]",
     "v[kv_seq, heads, batch, head]"},
    // heads of other sizes
    {"head_1", "q[seq 67, heads 2, head 1]", "k[seq, heads, head]", "v[seq, heads, head]", true},
    {"head_40", "q[seq 70, heads 3, head 40]", "k[seq, head]", "v[seq, head]", true},
    {"head_80", "q[seq 65, head 80]", "k[kv_seq 97, head]", "v[kv_seq, head]"},
    {"head_96", "q[seq 71, head 96]", "k[seq, head]", "v[seq, head]", true, 9},
    {"head_128", "q[seq 67, heads 2, head 128]", "k[seq, heads, head]", "v[seq, heads, head]", true},
    {"head_130", "q[seq 66, head 130]", "k[seq, head]", "v[seq, head]", true},
    {"head_256", "q[seq 66, head 256]", "k[seq, head]", "v[seq, head]", true, 0, 0, 0, 30},
};

static const setting *setting_of(const op_test *t) {
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
    if (!strcmp(settings[i].name, t->the_case->name)) return &settings[i];
  XLM_ASSERT(false, "no setting %s", t->the_case->name);
  return NULL;
}

static void put_dim(op_test *t, xlm_attr_list *l, xlm_attr_key key, const char *dim) {
  if (dim) op_put_dims(t, l, key, dim);
}

static xlm_attr_list attrs_of(op_test *t, const setting *s) {
  xlm_attr_list l = op_attrs(t);
  if (s->causal) xlm_attr_put_int(&l, XLM_A_causal, 1);
  if (s->window) xlm_attr_put_int(&l, XLM_A_window, s->window);
  if (s->scale) xlm_attr_put_float(&l, XLM_A_scale, s->scale);
  if (s->softcap) xlm_attr_put_float(&l, XLM_A_softcap, s->softcap);
  if (s->kv_seq) op_put_dims(t, &l, XLM_A_seq, "time");
  put_dim(t, &l, XLM_A_kv_seq, s->kv_seq);
  put_dim(t, &l, XLM_A_heads, s->heads);
  put_dim(t, &l, XLM_A_kv_heads, s->kv_heads);
  put_dim(t, &l, XLM_A_feature, s->feature);
  if (s->q_offset) later_part(t, s->q_offset);
  if (s->ranks) both_ends(t, s->ranks);
  return l;
}

static xlm_val attend(op_test *t, const setting *s, xlm_val in[3], xlm_attr_list *l) {
  in[0] = op_leaf(t, s->q), in[1] = op_leaf(t, s->k), in[2] = op_leaf(t, s->v);
  *l = attrs_of(t, s);
  return xlm_emit(&t->b, XLM_OP_ATTEND, in, 3, l);
}

static void both(op_test *t) { // and a gradient through the logsumexp
  xlm_val in[3];
  xlm_attr_list l;
  xlm_val out = attend(t, setting_of(t), in, &l);
  op_out(t, out);
  op_out(t, out + 1);
}

static void result_only(op_test *t) {
  xlm_val in[3];
  xlm_attr_list l;
  xlm_val out = attend(t, setting_of(t), in, &l);
  op_out(t, out);
  op_out_const(t, out + 1);
}

static void direct(op_test *t) { // attend_bwd as a node of its own
  xlm_val in[7];
  xlm_attr_list l;
  const setting *s = setting_of(t);
  char decl[128] = "d";
  in[5] = op_leaf(t, strcat(decl, s->q));
  in[3] = attend(t, s, in, &l);
  in[4] = in[3] + 1;
  op_out_const(t, in[3]);
  xlm_val first = xlm_emit(&t->b, XLM_OP_ATTEND_BWD, in, 6, &l);
  for (xlm_val i = 0; i < 3; i++) op_out_const(t, first + i);
}

static const op_case table[] = {
    {"plain", XLM_OP_ROPE, rope_plain, .bf16 = true},
    {"wide", XLM_OP_ROPE, rope_wide, .bf16 = true},
    {"even", XLM_OP_ROPE, rope_even, .bf16 = true},
    {"heads_first", XLM_OP_ROPE, rope_heads_first, .bf16 = true},
    {"long", XLM_OP_ROPE, rope_long, .bf16 = true},
    {"even_neighbours", XLM_OP_ROPE, rope_even_neighbours, .bf16 = true},
    {"neighbours", XLM_OP_ROPE, rope_neighbours, .bf16 = true},
    {"feature_first", XLM_OP_ROPE, rope_feature_first, .bf16 = true},
    {"later_part", XLM_OP_ROPE, rope_later_part, .bf16 = true},
    {"both_ends", XLM_OP_ROPE, rope_both_ends, .bf16 = true},
    {"linear", XLM_OP_ROPE, rope_linear},
    {"llama3", XLM_OP_ROPE, rope_llama3},
    {"yarn", XLM_OP_ROPE, rope_yarn, .bf16 = true},
    {"yarn_exact", XLM_OP_ROPE, rope_yarn_exact},
    {"some", XLM_OP_ROPE, rope_some, .bf16 = true},
    {"some_in_packs", XLM_OP_ROPE, rope_some_in_packs, .bf16 = true},
    {"given", XLM_OP_ROPE, rope_given, .bf16 = true},
    {"given_real", XLM_OP_ROPE, rope_given_real, .bf16 = true},
    {"factors", XLM_OP_ROPE, rope_factors, .bf16 = true},
    {"plain", XLM_OP_ATTEND, both, .bf16 = true},
    {"causal", XLM_OP_ATTEND, result_only, .bf16 = true},
    {"grouped", XLM_OP_ATTEND, result_only, .bf16 = true},
    {"one_key_head", XLM_OP_ATTEND, both, .bf16 = true},
    {"no_heads", XLM_OP_ATTEND, result_only},
    {"window", XLM_OP_ATTEND, both, .bf16 = true},
    {"softcap", XLM_OP_ATTEND, both, .bf16 = true},
    {"other_keys", XLM_OP_ATTEND, result_only},
    {"orders", XLM_OP_ATTEND, both, .bf16 = true},
    {"named", XLM_OP_ATTEND, both},
    {"later_part", XLM_OP_ATTEND, both},
    {"both_ends", XLM_OP_ATTEND, both},
    {"even", XLM_OP_ATTEND, both, .bf16 = true},
    {"tiles", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"tiles_causal", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"tiles_one_head", XLM_OP_ATTEND_BWD, direct, .no_grad = true},
    {"tiles_grouped", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"tiles_window", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"tiles_narrow", XLM_OP_ATTEND_BWD, direct, .no_grad = true},
    {"tiles_softcap", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"tiles_part", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"tiles_both_ends", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"window_both_ends", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"unseeing", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"tiles_orders", XLM_OP_ATTEND_BWD, direct, .no_grad = true},
    {"whole", XLM_OP_ATTEND, result_only, .bf16 = true, .no_grad = true},
    {"whole_grouped", XLM_OP_ATTEND, result_only, .bf16 = true, .no_grad = true},
    {"whole_window", XLM_OP_ATTEND, result_only, .bf16 = true, .no_grad = true},
    {"whole_other_keys", XLM_OP_ATTEND, result_only, .bf16 = true, .no_grad = true},
    {"whole", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"whole_causal", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"whole_grouped", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"whole_one_key_head", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"whole_window", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"whole_other_keys", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"head_1", XLM_OP_ATTEND_BWD, direct, .no_grad = true},
    {"head_40", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"head_80", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"head_96", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"head_128", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
    {"head_130", XLM_OP_ATTEND_BWD, direct, .no_grad = true},
    {"head_256", XLM_OP_ATTEND_BWD, direct, .bf16 = true, .no_grad = true, .tol_bf16 = 5e-2},
};
const op_cases cases_attention = {table, sizeof table / sizeof *table};
