// rope: rotary position embedding (Su et al., "RoFormer"). A linear map by a rotation per position, so its
// gradient is the same op with the opposite rotation.
#include <math.h>

#include "compiler/ir/chunk.h"
#include "ops/shape_priv.h"
#include "runtime/base/json.h"

static double number(const xlm_infer *x, xlm_attr_key key, double unset) {
  return xlm_attr_float(&x->attrs, key, unset);
}

static bool wrong(xlm_infer *x, const char *what) {
  return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "%s", what);
}

// Positions: operand 1, or the places in `seq`.
static bool infer_places(xlm_infer *x, xlm_dim feature) {
  xlm_dim seq;
  const char *name = shape_name(x, feature);
  if (x->n_in == 1) {
    if (!xlm_infer_dim_attr(x, XLM_A_seq, 0, "seq", false, &seq)) return false;
    if (seq != feature) return true;
    xlm_infer_fail(x, XLM_FAULT_ATTR, 0, "rope turns `%s` by its own position", name);
    return xlm_infer_help(x, "name the dimension of one head's vector: rope(x, feature = ..)");
  }
  const xlm_type *p = xlm_infer_type(x, 1);
  if (p->dtype == XLM_BF16)
    return xlm_infer_fail(x, XLM_FAULT_DTYPE, 1, "positions must be integers or f32: bf16 has 8 bits") ||
           xlm_infer_help(x, "write `f32(...)` around what they are computed from");
  if (xlm_type_find(p, feature) >= 0)
    return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, 1, "a position is for whole vectors along `%s`", name);
  for (int i = 0; i < p->rank; i++)
    if (!xlm_infer_has(x, 0, p->dim[i], "which the positions have")) return false;
  if (!xlm_attr_find(&x->attrs, XLM_A_seq) && !xlm_attr_int(&x->attrs, XLM_A_position, 0)) return true;
  return wrong(x, "`seq` and `position` are for positions that are not given");
}

// Operand 2: one number per pair.
static bool infer_factors(xlm_infer *x, xlm_dim feature) {
  if (x->n_in < 3) return true;
  int64_t pairs = xlm_attr_int(&x->attrs, XLM_A_rotary, shape_size(x, feature)) / 2;
  const xlm_type *t = xlm_infer_type(x, 2);
  if (!xlm_infer_is_float(x, 2)) return false;
  if (t->dtype == XLM_BF16)
    return xlm_infer_fail(x, XLM_FAULT_DTYPE, 2, "factors must be f32: bf16 has 8 bits") ||
           xlm_infer_help(x, "write `f32(...)` around them");
  if (t->rank != 1)
    return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, 2, "factors have one dimension, of pairs, and these are %s",
                          xlm_infer_dims_text(x, t));
  if (shape_size(x, t->dim[0]) != pairs)
    return xlm_infer_fail(x, XLM_FAULT_SIZE, 2, "%lld factors, and `%s` has %lld pairs that are turned",
                          (long long)shape_size(x, t->dim[0]), shape_name(x, feature), (long long)pairs);
  if (xlm_attr_enum(&x->attrs, XLM_A_scaling, XLM_ROPE_NONE))
    return wrong(x, "`scaling` and factors both change the frequencies: give one of them");
  xlm_infer_set_dims(x, XLM_A_over, t->dim, 1);
  return true;
}

static bool infer_part(xlm_infer *x, xlm_dim feature) {
  int64_t n = shape_size(x, feature), start = xlm_attr_int(&x->attrs, XLM_A_start, 0);
  int64_t turned = xlm_attr_int(&x->attrs, XLM_A_rotary, n);
  const char *name = shape_name(x, feature);
  if (turned % 2)
    return xlm_infer_fail(x, XLM_FAULT_SIZE, 0, "rope turns pairs, and %s%s%s = %lld is odd",
                          turned == n ? "`" : "", turned == n ? name : "rotary", turned == n ? "`" : "",
                          (long long)turned);
  if (turned >= 2 && start >= 0 && start + turned <= n) return true;
  return xlm_infer_fail(x, XLM_FAULT_SIZE, 0, "%lld elements from index %lld are not among the %lld of `%s`",
                        (long long)turned, (long long)start, (long long)n, name);
}

static bool needs(xlm_infer *x, xlm_attr_key key) {
  if (number(x, key, 0) > 0) return true;
  xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "this scaling of rope needs `%s`, above 0", xlm_attr_name(key));
  return xlm_infer_help(x, "as in rope(x, base = theta, scaling = yarn, factor = 4, original = 4096)");
}

static void fill(xlm_infer *x, xlm_attr_key key, double value) {
  if (!xlm_attr_find(&x->attrs, key)) xlm_infer_set_float(x, key, value);
}

static bool infer_scaling(xlm_infer *x) {
  int kind = xlm_attr_enum(&x->attrs, XLM_A_scaling, XLM_ROPE_NONE);
  static const xlm_attr_key settings[] = {XLM_A_factor, XLM_A_original, XLM_A_low, XLM_A_high};
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
    if ((kind == XLM_ROPE_NONE || (i && kind == XLM_ROPE_LINEAR)) && xlm_attr_find(&x->attrs, settings[i]))
      return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "`%s` is not a setting of rope %s",
                            xlm_attr_name(settings[i]),
                            kind ? "with `scaling = linear`" : "without `scaling`") ||
             xlm_infer_help(x, "`scaling` is linear, llama3, yarn or yarn_exact");
  if (kind == XLM_ROPE_NONE) return true;
  if (!needs(x, XLM_A_factor)) return false;
  if (kind == XLM_ROPE_LINEAR) return true;
  if (!needs(x, XLM_A_original)) return false;
  bool yarn = kind != XLM_ROPE_LLAMA3;
  double factor = number(x, XLM_A_factor, 1);
  fill(x, XLM_A_low, 1);
  fill(x, XLM_A_high, yarn ? 32 : 4);
  if (yarn) fill(x, XLM_A_scale, factor > 1 ? 0.1 * log(factor) + 1 : 1);
  if (number(x, XLM_A_low, 0) > 0 && number(x, XLM_A_high, 0) > number(x, XLM_A_low, 0)) return true;
  return wrong(x, "`low` and `high` are numbers of turns: 0 < low < high");
}

static bool infer(xlm_infer *x) {
  xlm_dim feature;
  if (!xlm_infer_is_float(x, 0) || !xlm_infer_dim_attr(x, XLM_A_feature, 0, NULL, true, &feature))
    return false;
  if (!infer_places(x, feature) || !infer_part(x, feature) || !infer_factors(x, feature)) return false;
  if (number(x, XLM_A_base, 10000) <= 0) return wrong(x, "rope's base must be positive");
  x->out[0] = *xlm_infer_type(x, 0);
  return infer_scaling(x);
}

static void grad(xlm_grad *d) {
  if (!d->dout[0] || !d->need[0]) return;
  const xlm_node_info *n = xlm_node_at(d->b->g, d->node);
  xlm_attr_list l = xlm_attr_list_from(d->b->g->arena, &n->attrs);
  xlm_attr_put_int(&l, XLM_A_inverse, !xlm_attr_int(&n->attrs, XLM_A_inverse, 0));
  xlm_val in[3] = {d->dout[0]};
  for (int i = 1; i < n->n_in; i++) in[i] = d->in[i];
  d->din[0] = xlm_emit(d->b, XLM_OP_ROPE, in, n->n_in, &l);
}

static void cost(const xlm_graph *g, xlm_node n, xlm_cost *out) {
  const xlm_type *t = xlm_val_type(g, xlm_node_at(g, n)->out);
  out->flops = 3 * (double)xlm_type_elements(t, g->dims);
}

static void put_yarn(xlm_json *j, const xlm_attrs *as, bool exact) {
  xlm_json_put_rounded(j, "beta_slow", xlm_attr_float(as, XLM_A_low, 1), 15);
  xlm_json_put_rounded(j, "beta_fast", xlm_attr_float(as, XLM_A_high, 32), 15);
  xlm_json_put_rounded(j, "attention_factor", xlm_attr_float(as, XLM_A_scale, 1), 15);
  if (exact) xlm_json_put_bool(j, "truncate", false);
}

static void put_llama3(xlm_json *j, const xlm_attrs *as) {
  xlm_json_put_rounded(j, "low_freq_factor", xlm_attr_float(as, XLM_A_low, 1), 15);
  xlm_json_put_rounded(j, "high_freq_factor", xlm_attr_float(as, XLM_A_high, 4), 15);
}

// The keys are those of transformers (modeling_rope_utils.py). Factors are a tensor: what it holds is for the
// config section to say.
static const char *published(const xlm_graph *g, xlm_node n, xlm_arena *a) {
  static const char *const types[] = {[XLM_ROPE_LINEAR] = "linear",
                                      [XLM_ROPE_LLAMA3] = "llama3",
                                      [XLM_ROPE_YARN] = "yarn",
                                      [XLM_ROPE_YARN_EXACT] = "yarn"};
  const xlm_attrs *as = &xlm_node_at(g, n)->attrs;
  if (xlm_node_at(g, n)->n_in > 2) return "";
  int kind = xlm_attr_enum(as, XLM_A_scaling, XLM_ROPE_NONE);
  if (kind == XLM_ROPE_NONE) return NULL;
  xlm_text t = xlm_text_new(a);
  xlm_json j;
  xlm_json_to_text(&j, &t);
  xlm_json_object(&j, NULL, XLM_JSON_ROW);
  xlm_json_put_text(&j, "rope_type", types[kind]);
  xlm_json_put_rounded(&j, "factor", xlm_attr_float(as, XLM_A_factor, 1), 15);
  if (kind != XLM_ROPE_LINEAR)
    xlm_json_put_int(&j, "original_max_position_embeddings", (int64_t)xlm_attr_float(as, XLM_A_original, 0));
  if (kind == XLM_ROPE_LLAMA3) put_llama3(&j, as);
  if (kind == XLM_ROPE_YARN || kind == XLM_ROPE_YARN_EXACT) put_yarn(&j, as, kind == XLM_ROPE_YARN_EXACT);
  xlm_json_close(&j);
  return t.data;
}

static bool is_placed(const xlm_node_info *n, const bool *sequence) {
  xlm_dim seq[XLM_MAX_RANK];
  return xlm_attr_dims(&n->attrs, XLM_A_seq, seq) && sequence[seq[0]];
}

static xlm_reach reach(const xlm_graph *g, xlm_node n, const bool *sequence) {
  return (xlm_reach){.along = is_placed(xlm_node_at(g, n), sequence) ? XLM_ALONG_PLACED : XLM_ALONG_LOCAL};
}

static void chunk(xlm_chunk *c) {
  const xlm_node_info *n = xlm_chunk_node(c);
  xlm_val in[3] = {c->in[0]};
  if (!is_placed(n, c->all->sequence)) {
    xlm_chunk_emit(c, XLM_OP_ROPE, c->in, c->n_in, &c->attrs);
    return;
  }
  int64_t position = xlm_attr_int(&n->attrs, XLM_A_position, 0);
  xlm_attrs here = xlm_attr_freeze(&c->attrs);
  xlm_dim seq[XLM_MAX_RANK] = {0}, of[XLM_MAX_RANK] = {0};
  xlm_attr_dims(&here, XLM_A_seq, seq);
  xlm_attr_dims(&n->attrs, XLM_A_seq, of);
  if (c->all->before[of[0]] < 0) {
    c->wrong = "turns by the place in a dimension that is more than the sequence";
    c->help = "rotate before the dimensions are merged";
    return;
  }
  in[1] = xlm_chunk_positions(c->all, seq[0]);
  if (position) in[1] = xlm_op2(c->b, XLM_OP_ADD, in[1], xlm_scalar(c->b, (double)position));
  xlm_attr_drop(&c->attrs, XLM_A_seq);
  xlm_attr_drop(&c->attrs, XLM_A_position);
  xlm_chunk_emit(c, XLM_OP_ROPE, in, 2, &c->attrs);
}

static const xlm_param params[] = {{"x", XLM_P_TENSOR, 0, true},
                                   {"positions", XLM_P_TENSOR, 0, false},
                                   {"factors", XLM_P_TENSOR, 0, false},
                                   {"base", XLM_P_FLOAT, XLM_A_base, false},
                                   {"position", XLM_P_INT, XLM_A_position, false},
                                   {"seq", XLM_P_DIM, XLM_A_seq, false},
                                   {"feature", XLM_P_DIM, XLM_A_feature, false},
                                   {"interleaved", XLM_P_FLAG, XLM_A_interleaved, false},
                                   {"rotary", XLM_P_INT, XLM_A_rotary, false},
                                   {"start", XLM_P_INT, XLM_A_start, false},
                                   {"scaling", XLM_P_ENUM, XLM_A_scaling, false},
                                   {"factor", XLM_P_FLOAT, XLM_A_factor, false},
                                   {"original", XLM_P_FLOAT, XLM_A_original, false},
                                   {"low", XLM_P_FLOAT, XLM_A_low, false},
                                   {"high", XLM_P_FLOAT, XLM_A_high, false},
                                   {"scale", XLM_P_FLOAT, XLM_A_scale, false},
                                   {NULL}};

const xlm_op xlm_op_rope = {
    .name = "rope",
    .facts = {.linear = 1,
              .mixes = XLM_KEY(feature) | XLM_KEY(over),
              .published = {XLM_A_base, "rope_theta", 10000}},
    .min_in = 1,
    .max_in = 3,
    .n_out = 1,
    .in_place = 1,
    .params = params,
    XLM_TAKES({XLM_A_seq, XLM_IN(0), 1, 1, .may = true, .without = "positions are an operand"},
              {XLM_A_feature, XLM_IN(0), 1, 1},
              {XLM_A_over, XLM_IN(2), 1, 1, .may = true, .without = "no factors"},
              {XLM_A_base, .low = 0, .high = XLM_ATTR_MOST, .may = true, .unset = 10000},
              {XLM_A_position, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST, .may = true},
              {XLM_A_interleaved, .low = 0, .high = 1, .may = true},
              {XLM_A_inverse, .low = 0, .high = 1, .may = true},
              {XLM_A_rotary, .low = 2, .high = XLM_ATTR_MOST, .may = true, .without = "all of `feature`"},
              {XLM_A_start, .low = 0, .high = XLM_ATTR_MOST, .may = true},
              {XLM_A_scaling, .may = true, .unset = XLM_ROPE_NONE},
              {XLM_A_factor, .low = 0, .high = XLM_ATTR_MOST, .may = true, .without = "no scaling"},
              {XLM_A_original, .low = 0, .high = XLM_ATTR_MOST, .may = true, .without = "no scaling"},
              {XLM_A_low, .low = 0, .high = XLM_ATTR_MOST, .may = true, .without = "no scaling"},
              {XLM_A_high, .low = 0, .high = XLM_ATTR_MOST, .may = true, .without = "no scaling"},
              {XLM_A_scale, .low = -XLM_ATTR_MOST, .high = XLM_ATTR_MOST, .may = true, .unset = 1}),
    .layout = "[* seq feature], [*], [over] -> [* seq feature] | seq: place, feature: whole, over: whole",
    .infer = infer,
    .reach = reach,
    .chunk = chunk,
    .grad = grad,
    .cost = cost,
    .published = published,
    .published_as = "rope_scaling",
    .doc =
        "Turns each pair (a, b) of `feature` (default: the last dimension, n of them) at position p of "
        "`seq` by the "
        "angle p * base^(-2j/n): (a cos - b sin, b cos + a sin). Pair j is (j, j + n/2) as in Llama, with "
        "`interleaved` (2j, 2j + 1). base = 10000 unless given; `position` is added to every position.\n\n"
        "`rope(x, positions)`: positions as a tensor, integers or f32, with any of x's other dimensions, "
        "such as those of "
        "packed documents, `[batch, seq]`.\n\n"
        "`rotary = m`: only m elements are turned, from element `start` (0) on, and n is m; the others "
        "are unchanged. "
        "So a head can have several axes: `rope(rope(x, row, rotary = head / 2), column, start = head / "
        "2, rotary = "
        "head / 2)`.\n\n"
        "`rope(x, positions, factors)`: the frequency of pair j is divided by factors[j], f32, such as the "
        "short or the long "
        "factors of LongRoPE: `rope(x, iota(seq), if seq > original then long else short, base = theta, "
        "scale = "
        "sqrt(1 + log(factor) / log(original)))`. With `base = 1` they are one over the frequencies. They "
        "get no gradient.\n\n"
        "`scaling` changes the frequencies f for longer sequences than those of length `original` that a "
        "model was "
        "trained on, `factor` times as long. `linear`: all are f / factor. `llama3`: those that make "
        "fewer than "
        "`low` (1) turns in `original` are f / factor, those that make more than `high` (4) stay, and "
        "between the "
        "two it is a mixture. `yarn`: the same with `low` = 1 and `high` = 32 (transformers: beta_slow, "
        "beta_fast), the "
        "mixture by the pair's number, between whole numbers; `yarn_exact` does not round them (truncate "
        "= false); and "
        "the result is multiplied by `scale` = 0.1 ln(factor) + 1 (attention_factor) unless given."};
