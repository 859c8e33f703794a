// The search over layouts; see search.h.
#include "compiler/search/search.h"

#include <stdlib.h>
#include <string.h>

#include "compiler/cost/estimate.h"
#include "compiler/search/search_priv.h"

enum { MOST_PLANNED = 32 };

typedef struct option {
  xlm_layout_choice choice;
  double seconds, bytes; // rough estimates
  int64_t order;
  enum { NOT_PLANNED, SKIPPED, ILLEGAL, FITS, TOO_LARGE } outcome;
} option;

typedef struct search {
  xlm_arena *a, *scratch;
  const xlm_search_request *r;
  xlm_rough model;
  option *at;
  int64_t n, cap;
  xlm_search_result *out;
} search;

// ---- compiling one layout ----

static void weigh(xlm_candidate *out, const xlm_estimate *e) {
  out->step = e->step;
  out->tokens_per_second = e->tokens_per_second;
  out->mfu = e->mfu;
  out->bubble = e->bubble;
  out->compute = e->compute;
  out->idle = e->bubble * e->step;
  out->exposed = e->step - e->compute - out->idle;
  if (out->exposed < 0) out->exposed = 0;
}

xlm_arena *xlm_search_scratch(void) {
  return xlm_arena_new((size_t)4 << 30);
}

bool xlm_search_try(xlm_arena *a, const xlm_source *source, const xlm_compile_options *o,
                    const xlm_cluster *cluster, xlm_candidate *out) {
  *out = (xlm_candidate){.o = *o};
  volatile bool legal = false; // set between TRY and a failure
  xlm_arena_clear(a);
  if (XLM_ARENA_TRY(a)) {
    xlm_diags d;
    xlm_diags_init(&d, a, source);
    xlm_compile_options figures = *o;
    figures.figures_only = true;
    xlm_compiled c = xlm_compile(a, source, &figures, &d, NULL, NULL);
    legal = c.plan != NULL;
    for (uint32_t i = 0; c.plan && i < c.plan->n_rank_plans; i++)
      if (c.plan->rank_plans[i]->arena_bytes > out->arena_bytes)
        out->arena_bytes = c.plan->rank_plans[i]->arena_bytes;
    if (c.plan && cluster) {
      xlm_estimate e = xlm_estimate_plan(c.plan, cluster, a);
      weigh(out, &e);
    }
  }
  return legal;
}

// ---- the search space ----

static void add(search *s, const xlm_layout_choice *c) {
  s->out->possible++;
  double bytes = xlm_rough_bytes(&s->model, c);
  if (bytes > 1.1 * (double)s->r->memory_limit) return;
  s->out->small_enough++;
  option o = {*c, xlm_rough_seconds(&s->model, s->r, c), bytes, s->n, NOT_PLANNED};
  XLM_PUSH(s->a, s->at, s->n, s->cap, o);
}

static void vary_memory(search *s, xlm_layout_choice c) {
  static const struct {
    int zero;
    bool reduce_each;
  } ways[] = {{0, false}, {1, false}, {2, true}, {3, false}, {3, true}}; // {2, false} equals {1, false}
  for (size_t i = 0; i < (c.size[XLM_DP] > 1 ? sizeof ways / sizeof *ways : 1); i++) {
    if (ways[i].reduce_each && c.microbatches == 1) continue; // no sums over microbatches
    c.zero = ways[i].zero;
    c.reduce_each = ways[i].reduce_each;
    for (int full = 0; full < 2; full++) {
      c.full = full;
      add(s, &c);
    }
  }
}

static void vary_schedule(search *s, xlm_layout_choice c) {
  int stages = c.size[XLM_PP];
  c.schedule = "1f1b";
  c.chunks = s->model.loops > 1; // one, where that has to be said
  vary_memory(s, c);
  if (stages == 1) return;
  c.schedule = "zb-h1";
  vary_memory(s, c);
  c.schedule = "interleaved";
  int least = s->model.loops > 1 ? s->model.loops : 2;
  for (c.chunks = least; c.chunks <= 2 * least && c.microbatches % stages == 0; c.chunks *= 2)
    if (s->model.rounds >= stages * c.chunks) vary_memory(s, c);
}

static void vary_batch(search *s, xlm_layout_choice c) {
  int64_t ranks = (int64_t)c.size[XLM_DP] * c.size[XLM_EP], each = s->r->global_batch / ranks;
  if (s->r->global_batch % ranks) return;
  for (c.micro = 1; c.micro <= each && c.micro <= 8; c.micro *= 2) {
    if (each % c.micro) continue;
    c.microbatches = each / c.micro;
    if (c.microbatches >= c.size[XLM_PP]) vary_schedule(s, c);
  }
}

// Iterates over sizes of axis `i` for the remaining devices; the last axis, dp, gets the rest.
static void vary_mesh(search *s, xlm_layout_choice c, int axis, int64_t left) {
  static const int order[] = {XLM_TP, XLM_PP, XLM_EP, XLM_CP, XLM_DP};
  int which = order[axis];
  int64_t most[XLM_SEARCH_AXES] = {[XLM_TP] = (int64_t)s->r->cluster->devices_per_node,
                                   [XLM_PP] = s->model.rounds,
                                   [XLM_EP] = s->model.experts,
                                   [XLM_CP] = s->model.seq / XLM_SEARCH_TOKENS,
                                   [XLM_DP] = left};
  if (axis == XLM_SEARCH_AXES - 1) {
    if (left > 1 && !s->model.uses[XLM_DP]) return;
    c.size[which] = (int32_t)left;
    vary_batch(s, c);
    return;
  }
  for (int64_t n = 1; n <= left; n++) {
    if (left % n || n > (n > 1 && !s->model.uses[which] ? 1 : most[which] > 1 ? most[which] : 1)) continue;
    c.size[which] = (int32_t)n;
    vary_mesh(s, c, axis + 1, left / n);
  }
}

// ---- selection ----

static int faster_first(const void *pa, const void *pb) {
  const option *a = pa, *b = pb;
  if (a->seconds != b->seconds) return a->seconds < b->seconds ? -1 : 1;
  return a->order < b->order ? -1 : a->order > b->order;
}

static int best_first(const void *pa, const void *pb) {
  const xlm_candidate *a = pa, *b = pb;
  if (a->tokens_per_second != b->tokens_per_second)
    return a->tokens_per_second < b->tokens_per_second ? 1 : -1;
  if (a->arena_bytes != b->arena_bytes) return a->arena_bytes < b->arena_bytes ? -1 : 1;
  return a->o.zero - b->o.zero;
}

static bool same_mesh(const xlm_layout_choice *a, const xlm_layout_choice *b) {
  return !memcmp(a->size, b->size, sizeof a->size) && a->micro == b->micro;
}

static bool same_way(const xlm_layout_choice *a, const xlm_layout_choice *b) {
  return !strcmp(a->schedule, b->schedule) && a->chunks == b->chunks && a->full == b->full;
}

// Skips a candidate if enough of this mesh and micro batch were found, so that different ones are tried, or
// if one with the same schedule that should need less did not fit.
static bool skip(const search *s, int64_t i) {
  enum { OF_A_KIND = 3 };
  const option *o = &s->at[i];
  int kin = 0;
  for (int64_t k = 0; k < i; k++) {
    const option *before = &s->at[k];
    kin += before->outcome == FITS && same_mesh(&before->choice, &o->choice);
    if (before->outcome == TOO_LARGE && same_way(&before->choice, &o->choice) && before->bytes <= o->bytes)
      return true;
  }
  return kin >= OF_A_KIND;
}

static void plan_option(search *s, option *o) {
  xlm_compile_options options = xlm_choice_options(s->r->base, &o->choice);
  xlm_candidate c;
  if (!xlm_search_try(s->scratch, s->r->source, &options, s->r->cluster, &c)) {
    o->outcome = ILLEGAL;
    return;
  }
  s->out->planned++;
  if (!s->out->least_bytes || c.arena_bytes < s->out->least_bytes) s->out->least_bytes = c.arena_bytes;
  o->outcome = c.arena_bytes <= s->r->memory_limit ? FITS : TOO_LARGE;
  if (o->outcome == FITS) s->out->at[s->out->n++] = c;
}

// Do all that fit split the sequence, and can nothing else fit?
static bool only_cp(const search *s) {
  for (int64_t i = 0; i < s->n; i++) {
    const option *o = &s->at[i];
    if (o->choice.size[XLM_CP] == 1 && (o->outcome == FITS || o->outcome == NOT_PLANNED)) return false;
  }
  return s->out->n > 0;
}

static void plan_promising(search *s) {
  qsort(s->at, (size_t)s->n, sizeof *s->at, faster_first);
  s->out->at = XLM_NEW_N(s->a, xlm_candidate, MOST_PLANNED);
  for (int64_t i = 0; i < s->n && s->out->planned < MOST_PLANNED; i++)
    if (skip(s, i))
      s->at[i].outcome = SKIPPED;
    else
      plan_option(s, &s->at[i]);
  if (s->out->n) qsort(s->out->at, (size_t)s->out->n, sizeof *s->out->at, best_first);
  s->out->fitting = s->out->n;
  s->out->only_cp = only_cp(s);
}

xlm_status xlm_search(xlm_arena *a, const xlm_search_request *r, xlm_search_result *out, xlm_error *err) {
  *out = (xlm_search_result){0};
  search s = {.a = a, .r = r, .out = out};
  XLM_TRY(xlm_rough_measure(a, r, &s.model, err));
  vary_mesh(&s, (xlm_layout_choice){.size = {1, 1, 1, 1, 1}}, 0, r->devices);
  s.scratch = xlm_search_scratch();
  if (!s.scratch) return xlm_fail(err, XLM_ENV, "no memory to search in");
  if (s.n) plan_promising(&s);
  xlm_arena_free(s.scratch);
  return XLM_OK;
}

// ---- messages ----

static const char *recompute_name(xlm_recompute r) {
  return r == XLM_RECOMPUTE_FULL ? "full" : r == XLM_RECOMPUTE_NONE ? "none" : "marked";
}

static int64_t axis_size(const xlm_mesh *m, const char *name) {
  int i = xlm_mesh_axis(m, name);
  return i < 0 ? 1 : m->size[i];
}

const char *xlm_search_flags(const xlm_compile_options *o, xlm_arena *a) {
  xlm_text t = xlm_text_new(a);
  int64_t ranks = axis_size(&o->mesh, "dp") * axis_size(&o->mesh, "ep");
  for (int i = o->mesh.n - 1; i >= 0; i--) xlm_text_printf(&t, "--%s %d ", o->mesh.axis[i], o->mesh.size[i]);
  xlm_text_printf(&t, "--micro-batch-size %lld", (long long)(o->settings.batch / ranks));
  if (axis_size(&o->mesh, "pp") > 1) xlm_text_printf(&t, " --pipeline-schedule %s", o->schedule);
  if (o->chunks > 0) xlm_text_printf(&t, " --chunks %d", o->chunks);
  if (o->zero) xlm_text_printf(&t, " --zero %d", o->zero);
  if (o->zero >= 2 && o->reduce_each && o->train.microbatches > 1)
    xlm_text_add(&t, " --reduce-gradients microbatch");
  if (o->recompute != XLM_RECOMPUTE_MARKED)
    xlm_text_printf(&t, " --recompute %s", recompute_name(o->recompute));
  return t.data;
}

static const char *seconds(xlm_arena *a, double s) {
  return s >= 1 ? xlm_arena_printf(a, "%.2f s", s) : xlm_arena_printf(a, "%.1f ms", s * 1e3);
}

const char *xlm_search_reason(const xlm_search_result *r, xlm_arena *a) {
  const xlm_candidate *x = &r->at[0], *y = r->n > 1 ? &r->at[1] : NULL;
  const char *cp = r->only_cp ? "; nothing fits whose sequence is not split over cp" : "";
  if (!y) return xlm_arena_printf(a, "the only one that fits%s", cp);
  const struct {
    const char *what;
    double first, second;
  } parts[] = {{"computing", x->compute, y->compute},
               {"waiting for other stages", x->idle, y->idle},
               {"waiting for communication", x->exposed, y->exposed}};
  int most = 0;
  for (int i = 1; i < 3; i++)
    if (parts[i].second - parts[i].first > parts[most].second - parts[most].first) most = i;
  if (parts[most].second <= parts[most].first)
    return xlm_arena_printf(a, "as fast as the second, in less memory%s", cp);
  return xlm_arena_printf(
      a, "its step is %s shorter than that of the second, above all by less %s: %s against %s%s",
      seconds(a, y->step - x->step), parts[most].what, seconds(a, parts[most].first),
      seconds(a, parts[most].second), cp);
}
