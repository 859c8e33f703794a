// Which calls of attention cuDNN computes, in which parts, and with how much workspace: see attend_cudnn.h.
//
// Only the library itself can tell its workspace, and it need not be there when a plan is made. So its
// formulas are written here, as found with cuDNN 9.19; when a plan is opened, the library must have something
// within what was planned. tests/cudnn compares them with the library for the shapes of all shipped models.
#include <string.h>

#include "ops/cuda/attend_cudnn.h"
#include "ops/cuda/attend_priv.h"

enum { ROWS = 128 }; // queries and keys come in multiples: older versions do not mask what is beyond
// Bytes of the gradients of scores: a part has as many heads as fit in the first, but at least one of keys,
// which may have the second.
uint64_t xlm_cudnn_part_bytes = 512ull << 20;
static const uint64_t most_bytes = 2ull << 30;

typedef struct arch_rule { // bytes of workspace, but for alignment
  const char *arch;
  int64_t features;     // at most
  uint64_t always;      // of forward, too
  uint64_t each_score;  // backward: of the gradient of a score
  uint64_t each_shared; // of dk and dv before the heads of a group are added; none if there are no groups
} arch_rule;

static const arch_rule rules[] = {
    {"sm_80", 128, 0, 2, 2}, {"sm_90", 256, 128, 2, 2}, {"sm_100", 128, 0, 0, 4}};

static const arch_rule *rule_of(const char *arch) {
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (!strcmp(rules[i].arch, arch)) return &rules[i];
  return NULL;
}

// ---- what it computes ----

static const xlm_type *type_at(const xlm_call *c, int i) {
  return i < c->instr->n_in ? c->in_type[i] : c->out_type[i - c->instr->n_in];
}

static bool types_fit(const xlm_call *c, bool backward) {
  int n = backward ? XLM_CUDNN_OPERANDS : XLM_CUDNN_DOUT;
  if (c->instr->n_in + c->instr->n_out != n) return false; // the logsumexp has a gradient, too
  for (int i = 0; i < n; i++)
    if (type_at(c, i)->dtype != (i == XLM_CUDNN_STATS ? XLM_F32 : XLM_BF16)) return false;
  return true;
}

static bool is_whole(const xlm_call *c, xlm_attr_key dim) { // on every rank
  const xlm_dim_info *d = &c->dims[xlm_call_dim(c, dim, 0)];
  return d->size == d->full && !d->tail && !d->offset;
}

static bool sequences_fit(const xlm_call *c, const attend_shape *s) {
  if (!is_whole(c, XLM_A_seq) || !is_whole(c, XLM_A_kv_seq)) return false;
  if (!s->queries || !s->keys || s->queries % ROWS || s->keys % ROWS) return false;
  return !s->window || s->queries <= s->keys; // every query sees a key
}

static bool heads_fit(const attend_shape *s) { // groups are alike, and neighbours
  if (!s->heads || !s->kv_heads || s->heads % s->kv_heads) return false;
  for (int64_t h = 0; h < s->heads; h++)
    if (attend_key_head(s, h) != h / (s->heads / s->kv_heads)) return false;
  return true;
}

// Batch dims are one dimension with one stride. Heads that queries and keys share are a batch dim of the
// call: `shared` is then its number, else -1. 8 elements are the 16 bytes of an access.
static bool read_strides(const attend_shape *s, const attend_view *v, int shared, bool of_keys,
                         xlm_cudnn_strides *out) {
  int64_t size = 1, batch = 0, heads = of_keys ? s->kv_heads : s->heads;
  for (int i = s->n_batch - 1; i >= 0; i--) {
    if (s->batch[i] == 1 || i == shared) continue;
    if (size == 1) batch = v->batch[i];
    if (v->batch[i] != batch * size) return false;
    size *= s->batch[i];
  }
  *out = (xlm_cudnn_strides){.batch = batch, .head = shared >= 0 ? v->batch[shared] : v->head, .row = v->row};
  if (shared < 0 && heads == 1) out->head = s->features; // not used
  if (size == 1) out->batch = (of_keys ? s->keys : s->queries) * v->row;
  return true;
}

static bool is_accessible(const attend_view *v, const xlm_cudnn_strides *x) {
  return v->feature == 1 && x->batch % 8 == 0 && x->head % 8 == 0 && x->row % 8 == 0;
}

static bool operands_fit(const xlm_call *c, const attend_shape *s, int shared, xlm_cudnn_attend *a) {
  int n = a->backward ? XLM_CUDNN_OPERANDS : XLM_CUDNN_DOUT;
  for (int i = 0; i < n; i++) {
    bool of_keys = i == XLM_CUDNN_K || i == XLM_CUDNN_V || i == XLM_CUDNN_DK || i == XLM_CUDNN_DV;
    attend_view v = attend_view_of(c, type_at(c, i), NULL, of_keys);
    if (!read_strides(s, &v, shared, of_keys, &a->at[i])) return false;
    if (i != XLM_CUDNN_STATS && !is_accessible(&v, &a->at[i])) return false;
  }
  a->batches = s->batches, a->heads = s->heads, a->kv_heads = s->kv_heads;
  if (shared >= 0) a->heads = a->kv_heads = s->batch[shared], a->batches /= a->heads;
  return true;
}

static bool fit_some_way(const xlm_call *c, const attend_shape *s, xlm_cudnn_attend *a) {
  bool grouped = s->heads > 1 || s->kv_heads > 1;
  for (int shared = -1; shared < (grouped ? 0 : s->n_batch); shared++)
    if (operands_fit(c, s, shared, a)) return true;
  return false;
}

// ---- parts ----

static int64_t largest_divisor(int64_t n, uint64_t most) { // at least 1
  for (int64_t d = n; d > 1; d--)
    if (n % d == 0 && (uint64_t)d <= most) return d;
  return 1;
}

// The same on every arch, so that a part means the same where the plan is opened.
static bool divide(xlm_cudnn_attend *a) {
  int64_t group = a->heads / a->kv_heads;
  uint64_t each = (uint64_t)(group * a->queries) * (uint64_t)a->keys * 2, fit = xlm_cudnn_part_bytes / each;
  a->part_batches = a->batches, a->part_kv_heads = a->kv_heads;
  if (a->backward && fit < (uint64_t)a->kv_heads)
    a->part_batches = 1, a->part_kv_heads = largest_divisor(a->kv_heads, fit);
  else if (a->backward)
    a->part_batches = largest_divisor(a->batches, fit / (uint64_t)a->kv_heads);
  a->part_heads = a->part_kv_heads * group;
  return !a->backward || each <= most_bytes;
}

bool xlm_cudnn_attend_of(const xlm_call *c, const char *arch, xlm_cudnn_attend *out) {
  const arch_rule *r = arch ? rule_of(arch) : NULL;
  attend_shape s = attend_shape_of(c);
  bool backward = c->instr->op == XLM_OP_ATTEND_BWD;
  if ((arch && (!r || s.features > r->features)) || s.features % 8 || s.cap > 0 || !s.batches) return false;
  if (s.v_features != s.features || xlm_attr_ints(&c->instr->attrs, XLM_A_operands).n) return false;
  if (!types_fit(c, backward) || !sequences_fit(c, &s) || !heads_fit(&s)) return false;
  memset(out, 0, sizeof *out);
  out->backward = backward, out->causal = s.causal, out->window = s.causal ? s.window : 0;
  out->queries = s.queries, out->keys = s.keys, out->features = s.features;
  out->scale = s.scale;
  return fit_some_way(c, &s, out) && divide(out);
}

// ---- workspace ----

static uint64_t aligned(uint64_t bytes) {
  return (bytes + 255) / 256 * 256;
}

xlm_cudnn_room xlm_cudnn_attend_room(const xlm_cudnn_attend *a) {
  uint64_t stats = (uint64_t)(a->batches * a->heads * a->queries) * sizeof(float);
  uint64_t sums = (uint64_t)(a->part_batches * a->part_heads * a->queries) * sizeof(float);
  xlm_cudnn_room r = {.sums = aligned(stats)};
  r.library = r.sums + (a->backward ? aligned(sums) : 0);
  return r;
}

uint64_t xlm_cudnn_attend_library(const xlm_cudnn_attend *a, const char *arch) {
  const uint64_t alignment = 128;
  const arch_rule *r = rule_of(arch);
  uint64_t heads = (uint64_t)(a->part_batches * a->part_heads), keys = (uint64_t)a->keys, bytes = r->always;
  if (a->backward) bytes += heads * (uint64_t)a->queries * keys * r->each_score;
  if (a->backward && a->heads != a->kv_heads)
    bytes += 2 * heads * keys * (uint64_t)a->features * r->each_shared;
  return bytes ? bytes + alignment : 0;
}
