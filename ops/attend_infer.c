// The operands of attention: which dimensions and types they may have.
//
// What else takes part in a score are optional operands (xlm_operand). A bias, mask or slope may lack any
// dimension of the scores [batch, heads, seq, kv_seq]. Where queries and keys have one sequence dimension, it
// is the keys' in a bias or mask. A sink is only a term of the sum that attend divides by, which the
// logsumexp contains: backward does not need it.
#include <math.h>
#include <string.h>

#include "ops/attend_priv.h"

enum { Q, K, V };

static const char *name_of(const xlm_infer *x, xlm_dim d) {
  return x->g->dims[d].name;
}

// The only dim of t that `other` lacks and that is not one of `known`; 0 when there is none; *n = -1 when
// there are several.
static xlm_dim lone_dim(const xlm_type *t, const xlm_type *other, xlm_dim seq, xlm_dim feature, int *n) {
  xlm_dim found = 0;
  *n = 0;
  for (int i = 0; i < t->rank; i++) {
    xlm_dim d = t->dim[i];
    if (d == seq || d == feature || xlm_type_find(other, d) >= 0) continue;
    found = d;
    ++*n;
  }
  return found;
}

static xlm_dim named(const xlm_infer *x, const xlm_type *t, const char *name) {
  for (int i = 0; i < t->rank; i++)
    if (!strcmp(name_of(x, t->dim[i]), name)) return t->dim[i];
  return 0;
}

// The only dimension of keys that queries lack, besides one called `kv_heads`; 0: it may be the heads, or
// there are several.
static xlm_dim other_sequence(const xlm_infer *x, xlm_dim seq, xlm_dim feature) {
  const xlm_type *q = xlm_infer_type(x, Q), *k = xlm_infer_type(x, K);
  xlm_dim kv_heads = named(x, k, "kv_heads");
  int n, n_q;
  xlm_dim lone = lone_dim(k, q, kv_heads, feature, &n);
  lone_dim(q, k, seq, feature, &n_q);
  bool heads_known = !n_q || (kv_heads && xlm_type_find(q, kv_heads) < 0);
  return n == 1 && heads_known ? lone : 0;
}

// Without a name: the queries' dimension if keys have it, else `kv_seq`, else the other sequence.
static bool infer_seqs(xlm_infer *x, xlm_dim feature, xlm_dim *seq, xlm_dim *kv_seq) {
  if (!xlm_infer_dim_attr(x, XLM_A_seq, Q, "seq", false, seq)) return false;
  const xlm_type *k = xlm_infer_type(x, K);
  *kv_seq = xlm_type_find(k, *seq) >= 0 ? *seq : named(x, k, "kv_seq") ? 0 : other_sequence(x, *seq, feature);
  if (*kv_seq && !xlm_attr_find(&x->attrs, XLM_A_kv_seq)) {
    xlm_infer_set_dims(x, XLM_A_kv_seq, kv_seq, 1);
    return true;
  }
  if (xlm_infer_dim_attr(x, XLM_A_kv_seq, K, "kv_seq", false, kv_seq)) return true;
  return xlm_infer_help(x, "name the keys' sequence: attend(.., kv_seq = ..)");
}

// Values are as keys, but one head's vector may be another dimension of any size.
static bool infer_values(xlm_infer *x, xlm_dim feature, xlm_dim *v_feature) {
  const xlm_type *k = xlm_infer_type(x, K), *v = xlm_infer_type(x, V);
  int n, more;
  xlm_dim own = lone_dim(v, k, 0, 0, &n), lacked = lone_dim(k, v, 0, 0, &more);
  *v_feature = feature;
  if (!n && !more) return true;
  if (n == 1 && more == 1 && lacked == feature && xlm_type_find(xlm_infer_type(x, Q), own) < 0) {
    *v_feature = own;
    xlm_infer_set_dims(x, XLM_A_v_feature, v_feature, 1);
    return true;
  }
  xlm_infer_fail(x, XLM_FAULT_DIM_MISMATCH, V,
                 "keys %s and values %s may differ only in `%s`, one head's vector",
                 xlm_infer_dims_text(x, k), xlm_infer_dims_text(x, v), name_of(x, feature));
  return xlm_infer_help(x,
                        "values are [.., kv_seq, kv_heads, head], where one head's vector may have another "
                        "name and size");
}

// Determines the head dims: the one of q that k lacks and the one of k that q lacks. If there are none, q and
// k have the same heads.
static bool infer_heads(xlm_infer *x, xlm_dim seq, xlm_dim kv_seq, xlm_dim feature) {
  const xlm_type *q = xlm_infer_type(x, Q), *k = xlm_infer_type(x, K);
  int n_q, n_k;
  xlm_dim heads = lone_dim(q, k, seq, feature, &n_q), kv = lone_dim(k, q, kv_seq, feature, &n_k);
  if (n_q > 1 || n_k > n_q) {
    xlm_infer_fail(x, n_q > 1 ? XLM_FAULT_MISSING_DIM : XLM_FAULT_EXTRA_DIM, K,
                   "queries %s and keys %s may differ in one dimension each (the heads) besides the sequence",
                   xlm_infer_dims_text(x, q), xlm_infer_dims_text(x, k));
    return xlm_infer_help(x, "queries are [.., seq, heads, head], keys and values [.., seq, kv_heads, head]");
  }
  if (xlm_attr_find(&x->attrs, XLM_A_heads)) {
    xlm_dim given[XLM_MAX_RANK] = {0};
    xlm_attr_dims(&x->attrs, XLM_A_heads, given);
    if (!xlm_infer_has(x, Q, given[0], "which is named as that of the query heads")) return false;
    if (heads && given[0] != heads)
      return xlm_infer_fail(x, XLM_FAULT_MISSING_DIM, K, "the keys lack `%s`, which is not the query heads",
                            name_of(x, heads));
    heads = given[0];
  }
  if (xlm_attr_find(&x->attrs, XLM_A_kv_heads)) {
    xlm_dim given[XLM_MAX_RANK] = {0};
    xlm_attr_dims(&x->attrs, XLM_A_kv_heads, given);
    if (!xlm_infer_has(x, K, given[0], "which is named as that of the key heads")) return false;
    if ((kv && given[0] != kv) || (!kv && given[0] != heads))
      return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, K,
                            "`%s` is not what keys have in the place of the query heads",
                            name_of(x, given[0]));
    kv = given[0];
  }
  if (heads) xlm_infer_set_dims(x, XLM_A_heads, &heads, 1);
  if (kv) xlm_infer_set_dims(x, XLM_A_kv_heads, &kv, 1);
  if (heads && kv && x->g->dims[heads].full % x->g->dims[kv].full) {
    xlm_infer_fail(x, XLM_FAULT_SIZE, K, "`%s` = %lld does not divide `%s` = %lld", name_of(x, kv),
                   (long long)x->g->dims[kv].full, name_of(x, heads), (long long)x->g->dims[heads].full);
    return xlm_infer_help(x, "every key head serves the same number of query heads");
  }
  return true;
}

static bool check_numbers(xlm_infer *x) {
  int64_t window = xlm_attr_int(&x->attrs, XLM_A_window, 0);
  if (window < 0) return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "a window of %lld keys", (long long)window);
  if (window && !xlm_attr_int(&x->attrs, XLM_A_causal, 0)) {
    xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "a window looks back only, so attention must be causal");
    return xlm_infer_help(x, "write attend(q, k, v, causal, window = %lld)", (long long)window);
  }
  if (xlm_attr_float(&x->attrs, XLM_A_softcap, 0) < 0)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "softcap must be positive, or 0 for none");
  return true;
}

// The dimensions that an optional operand may have, and must have (0: none).
typedef struct allowed {
  bool heads, queries, keys;
  xlm_dim numbers; // with caches: the dimension that numbers all keys, instead of their sequence
  xlm_dim needs;
  const char *what; // in words
} allowed;

static bool may_have(const xlm_infer *x, const allowed *a, xlm_dim d, xlm_dim seq, xlm_dim kv_seq) {
  xlm_dim feature[XLM_MAX_RANK];
  xlm_attr_dims(&x->attrs, XLM_A_feature, feature);
  if (a->numbers ? d == a->numbers : d == kv_seq && a->keys) return true;
  if (d == seq) return a->queries;
  if (d == kv_seq || d == feature[0] || xlm_type_find(xlm_infer_type(x, Q), d) < 0) return false;
  return a->heads || xlm_type_find(xlm_infer_type(x, K), d) >= 0;
}

static bool infer_optional(xlm_infer *x, xlm_operand what, allowed a, xlm_dim seq, xlm_dim kv_seq) {
  int at = xlm_infer_operand(x, what);
  const char *name = xlm_enum_name(XLM_ENUM_OPERAND, what);
  if (at < 0) return true;
  const xlm_type *t = xlm_infer_type(x, at);
  if (a.needs && !xlm_infer_has(x, at, a.needs, "the sequence that it describes")) return false;
  for (int i = 0; i < t->rank; i++) {
    if (may_have(x, &a, t->dim[i], seq, kv_seq)) continue;
    xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, at, "`%s` %s has `%s`; it may have %s", name,
                   xlm_infer_dims_text(x, t), name_of(x, t->dim[i]), a.what);
    if (a.keys && seq == kv_seq && xlm_type_find(t, seq) >= 0 &&
        x->g->dims[t->dim[i]].full == x->g->dims[seq].full)
      return xlm_infer_help(
          x, "queries and keys have one dimension `%s`: rename it in k and v, rename(.., %s -> %s)",
          name_of(x, seq), name_of(x, seq), name_of(x, t->dim[i]));
    return xlm_infer_help(x, "queries are %s, keys %s", xlm_infer_dims_text(x, xlm_infer_type(x, Q)),
                          xlm_infer_dims_text(x, xlm_infer_type(x, K)));
  }
  return true;
}

static bool is_whole_numbers(xlm_infer *x, xlm_operand what) {
  int at = xlm_infer_operand(x, what);
  if (at < 0 || xlm_infer_type(x, at)->dtype == XLM_I32) return true;
  return xlm_infer_fail(x, XLM_FAULT_DTYPE, at, "`%s` is of whole numbers, not %s",
                        xlm_enum_name(XLM_ENUM_OPERAND, what), xlm_dtype_name(xlm_infer_type(x, at)->dtype));
}

static bool is_real(xlm_infer *x, xlm_operand what) {
  int at = xlm_infer_operand(x, what);
  return at < 0 || xlm_infer_is_float(x, at);
}

// Documents of queries are those of keys, too, if both have one sequence.
static bool infer_documents(xlm_infer *x, xlm_dim seq, xlm_dim kv_seq) {
  int own = xlm_infer_operand(x, XLM_OPERAND_DOCUMENTS),
      keys = xlm_infer_operand(x, XLM_OPERAND_KV_DOCUMENTS);
  if (own >= 0 && keys < 0 && seq == kv_seq)
    xlm_infer_add_operand(x, XLM_OPERAND_KV_DOCUMENTS, x->in[own]);
  else if ((own >= 0) != (keys >= 0)) {
    xlm_infer_fail(x, XLM_FAULT_ATTR, own >= 0 ? own : keys, "`%s` is given, but not `%s`",
                   own >= 0 ? "documents" : "kv_documents", own >= 0 ? "kv_documents" : "documents");
    return xlm_infer_help(
        x,
        "queries and keys with sequences of their own need both: attend(.., documents = a[.., "
        "%s], kv_documents = b[.., %s])",
        name_of(x, seq), name_of(x, kv_seq));
  }
  return is_whole_numbers(x, XLM_OPERAND_DOCUMENTS) && is_whole_numbers(x, XLM_OPERAND_KV_DOCUMENTS);
}

static bool infer_prefix(xlm_infer *x) {
  int at = xlm_infer_operand(x, XLM_OPERAND_PREFIX);
  if (at >= 0 && !xlm_attr_int(&x->attrs, XLM_A_causal, 0)) {
    xlm_infer_fail(x, XLM_FAULT_ATTR, at,
                   "without `causal` every query sees all keys, those of the prefix too");
    return xlm_infer_help(x, "write attend(q, k, v, causal, prefix = ..)");
  }
  return is_whole_numbers(x, XLM_OPERAND_PREFIX);
}

// ---- caches: keys and values of earlier places

// The dimension of a bias or mask that is not one of queries.
static bool infer_keys(xlm_infer *x, xlm_operand what, xlm_dim *keys) {
  int at = xlm_infer_operand(x, what), n;
  if (at < 0) return true;
  xlm_dim own = lone_dim(xlm_infer_type(x, at), xlm_infer_type(x, Q), 0, 0, &n);
  if (n > 1 || (*keys && own && own != *keys))
    return xlm_infer_fail(x, XLM_FAULT_EXTRA_DIM, at, "`%s` %s has several dimensions that queries lack",
                          xlm_enum_name(XLM_ENUM_OPERAND, what),
                          xlm_infer_dims_text(x, xlm_infer_type(x, at)));
  if (own) *keys = own;
  return true;
}

// As the keys, with another dimension in the place of the sequence.
static bool infer_past(xlm_infer *x, xlm_operand what, int of, xlm_dim seq, xlm_dim *past) {
  int at = xlm_infer_operand(x, what), n, more;
  const xlm_type *t = xlm_infer_type(x, of);
  xlm_dim own = at < 0 ? 0 : lone_dim(xlm_infer_type(x, at), t, 0, 0, &n);
  xlm_dim lacked = at < 0 ? 0 : lone_dim(t, xlm_infer_type(x, at), 0, 0, &more);
  bool fits = own && n == 1 && more == 1 && lacked == seq && (!*past || *past == own);
  if (!fits || xlm_infer_type(x, at)->dtype != t->dtype)
    return xlm_infer_fail(
        x, XLM_FAULT_DIM_MISMATCH, at < 0 ? of : at,
        "the caches of keys and values are as these, %s, with another dimension in the place of `%s`",
        xlm_infer_dims_text(x, t), name_of(x, seq));
  *past = own;
  return true;
}

static bool infer_caches(xlm_infer *x, xlm_dim seq, xlm_dim kv_seq, xlm_dim *keys) {
  xlm_dim past = 0;
  int start = xlm_infer_operand(x, XLM_OPERAND_START);
  *keys = 0;
  if (start < 0 && xlm_infer_operand(x, XLM_OPERAND_PAST_K) < 0 &&
      xlm_infer_operand(x, XLM_OPERAND_PAST_V) < 0)
    return true;
  if (xlm_infer_operand(x, XLM_OPERAND_DOCUMENTS) >= 0)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1, "with caches, all keys are of one document");
  if (start < 0 || seq != kv_seq)
    return xlm_infer_fail(x, XLM_FAULT_ATTR, -1,
                          "with caches, queries and keys have one sequence, and a `start` in it");
  if (!infer_past(x, XLM_OPERAND_PAST_K, K, seq, &past) ||
      !infer_past(x, XLM_OPERAND_PAST_V, V, seq, &past) || !infer_keys(x, XLM_OPERAND_BIAS, keys) ||
      !infer_keys(x, XLM_OPERAND_MASK, keys))
    return false;
  xlm_infer_set_dims(x, XLM_A_past, &past, 1);
  if (*keys) xlm_infer_set_dims(x, XLM_A_keys, keys, 1);
  return true;
}

static bool infer_optionals(xlm_infer *x, xlm_dim seq, xlm_dim kv_seq) {
  xlm_dim numbers;
  if (!infer_caches(x, seq, kv_seq, &numbers)) return false;
  bool cached = xlm_infer_operand(x, XLM_OPERAND_START) >= 0;
  bool one = seq == kv_seq && !cached; // which is then that of keys
  allowed scores = {.heads = true,
                    .queries = !one,
                    .keys = !cached,
                    .numbers = numbers,
                    .what = "dimensions of queries, and the keys' sequence"};
  allowed heads = {.heads = true, .what = "dimensions of queries besides the sequence and one head's vector"};
  allowed samples = {.what = "dimensions that queries and keys share, besides the sequence"};
  allowed queries = samples, keys = samples;
  queries.queries = true, queries.needs = seq,
  queries.what = "the queries' sequence and dimensions of samples";
  keys.keys = true, keys.needs = kv_seq, keys.what = "the keys' sequence and dimensions of samples";
  return infer_documents(x, seq, kv_seq) && infer_prefix(x) && is_whole_numbers(x, XLM_OPERAND_START) &&
         is_real(x, XLM_OPERAND_BIAS) && is_real(x, XLM_OPERAND_SLOPES) && is_real(x, XLM_OPERAND_SINK) &&
         infer_optional(x, XLM_OPERAND_BIAS, scores, seq, kv_seq) &&
         infer_optional(x, XLM_OPERAND_MASK, scores, seq, kv_seq) &&
         infer_optional(x, XLM_OPERAND_SLOPES, heads, seq, kv_seq) &&
         infer_optional(x, XLM_OPERAND_SINK, heads, seq, kv_seq) &&
         infer_optional(x, XLM_OPERAND_DOCUMENTS, queries, seq, kv_seq) &&
         infer_optional(x, XLM_OPERAND_KV_DOCUMENTS, keys, seq, kv_seq) &&
         infer_optional(x, XLM_OPERAND_PREFIX, samples, seq, kv_seq) &&
         infer_optional(x, XLM_OPERAND_START, samples, seq, kv_seq);
}

bool xlm_attend_infer(xlm_infer *x, xlm_dim *v_feature) {
  xlm_dim seq, kv_seq, feature;
  for (int i = Q; i <= V; i++)
    if (!xlm_infer_is_float(x, i)) return false;
  if (!xlm_infer_dim_attr(x, XLM_A_feature, Q, NULL, true, &feature) ||
      !infer_seqs(x, feature, &seq, &kv_seq))
    return false;
  if (feature == seq || feature == kv_seq) {
    xlm_infer_fail(x, XLM_FAULT_ATTR, Q, "`%s` cannot be both the sequence and one head's vector",
                   name_of(x, feature));
    return xlm_infer_help(x, "name the dimension of one head's vector: attend(.., feature = ..)");
  }
  if (!xlm_infer_has(x, K, feature, "over which queries and keys are multiplied")) return false;
  if (!infer_values(x, feature, v_feature) || !infer_heads(x, seq, kv_seq, feature) || !check_numbers(x) ||
      !infer_optionals(x, seq, kv_seq))
    return false;
  xlm_infer_set_float(x, XLM_A_scale,
                      xlm_attr_float(&x->attrs, XLM_A_scale, 1 / sqrt((double)x->g->dims[feature].full)));
  return true;
}

xlm_type xlm_attend_result(const xlm_infer *x, xlm_dim v_feature) {
  xlm_dim feature[XLM_MAX_RANK];
  xlm_attr_dims(&x->attrs, XLM_A_feature, feature);
  const xlm_type *q = xlm_infer_type(x, Q);
  xlm_type t = {.dtype = q->dtype};
  for (int i = 0; i < q->rank; i++) {
    xlm_dim d = q->dim[i] == feature[0] ? v_feature : q->dim[i];
    if (d) t.dim[t.rank++] = d;
  }
  return t;
}
