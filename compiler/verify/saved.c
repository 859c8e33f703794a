// Properties that hold by construction for a compiled plan and must be checked for a saved one: dimensions
// fit the mesh, instructions obey the rules of their ops (rules.c), and states, inputs, outputs and weights
// are usable by a run.
#include <stdlib.h>
#include <string.h>

#include "compiler/verify/verify_plan_priv.h"

typedef struct saved {
  verifier *v;
  const xlm_rank_plan *r;
  uint32_t rank_plan;
} saved;

// ---- offsets ----

static bool places_are_aligned(const xlm_rank_plan *r, uint32_t align) {
  uint64_t all = 0;
  for (int a = 0; a < XLM_AREAS; a++) all |= r->area_begin[a];
  for (int k = 0; k < XLM_SLOT_AREAS; k++)
    for (int32_t i = 0; i < r->slots[k].n; i++) all |= r->slots[k].at[i];
  for (uint32_t i = 1; i < r->n_tensors; i++) all |= r->tensors[i].offset;
  for (uint32_t i = 0; i < r->n_instrs; i++) all |= r->instrs[i].workspace_at;
  return all % align == 0;
}

static bool check_places(const saved *s) {
  uint32_t align = s->v->plan->target.align;
  if (places_are_aligned(s->r, align)) return true;
  return xlm_verify_fail(s->v, "%s: an offset is not a multiple of %u bytes",
                         xlm_verify_owner(s->v, s->rank_plan), align);
}

// ---- dimensions ----

static bool run_fits(int64_t offset, int64_t size, int64_t full) {
  return offset >= 0 && size >= 0 && offset <= full && size <= full - offset;
}

static bool dim_is_sound(const saved *s, const xlm_dim_info *d) {
  bool runs = run_fits(d->offset, d->size - d->tail, d->full) && run_fits(d->tail_offset, d->tail, d->full);
  bool whole = d->size == d->full && !d->offset && !d->tail, split = d->axes >> s->v->plan->mesh.n == 0;
  bool grain = d->grain <= 1 || d->full % d->grain == 0;
  if (d->ragged) return split && d->size >= 0;
  return runs && split && grain && !(d->mirrored & ~d->axes) && (d->axes || whole);
}

static bool check_dims(const saved *s) {
  for (uint32_t i = 1; i < s->r->n_dims; i++)
    if (!dim_is_sound(s, &s->r->dims[i]))
      return xlm_verify_fail(s->v, "%s: what it holds of the dimension `%.100s` is not a part of it",
                             xlm_verify_owner(s->v, s->rank_plan), s->r->dims[i].name);
  return true;
}

// xlm_mesh_rank_dims relies on this.
static bool check_rank(verifier *v, int64_t rank) {
  const xlm_rank_plan *r = v->plan->rank_plans[v->plan->rank_plan_of[rank]];
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(&v->plan->mesh, rank, coord);
  for (uint32_t i = 1; i < r->n_dims; i++) {
    const xlm_dim_info *d = &r->dims[i];
    if (!d->axes || d->ragged) continue;
    long long size = xlm_mesh_local(&v->plan->mesh, d, coord).size;
    if (size != d->size)
      return xlm_verify_fail(
          v, "%s: the mesh gives it %lld of the %lld elements of `%.100s`, and its plan has %lld",
          xlm_verify_rank(v, rank), size, (long long)d->full, d->name, (long long)d->size);
  }
  return true;
}

// ---- states ----

static bool state_is_storable(const saved *s, const xlm_plan_state *x) {
  const xlm_type *t = &s->r->tensors[x->tensor].type;
  int64_t n = 8;
  for (int i = 0; i < t->rank; i++) {
    const xlm_dim_info *d = &s->r->dims[t->dim[i]];
    if (d->ragged || __builtin_mul_overflow(n, d->full > 1 ? d->full : 1, &n)) return false;
  }
  return true;
}

static bool same_state(const saved *a, const xlm_plan_state *x, const saved *b, const xlm_plan_state *y) {
  const xlm_type *t = &a->r->tensors[x->tensor].type, *u = &b->r->tensors[y->tensor].type;
  bool same = t->dtype == u->dtype && t->rank == u->rank && x->role == y->role && x->saved == y->saved;
  for (int i = 0; same && i < t->rank; i++) same = a->r->dims[t->dim[i]].full == b->r->dims[u->dim[i]].full;
  return same;
}

typedef struct named_state {
  const xlm_plan_state *state;
  saved of;
} named_state;

static int by_name(const void *a, const void *b) {
  const named_state *x = a, *y = b;
  int order = strcmp(x->state->name, y->state->name);
  return order ? order : (x->of.rank_plan > y->of.rank_plan) - (x->of.rank_plan < y->of.rank_plan);
}

// Ranks hold pieces of one tensor under one name; each rank one piece.
static bool check_states(verifier *v) {
  size_t n = 0, most = 0;
  for (uint32_t c = 0; c < v->plan->n_rank_plans; c++) most += v->plan->rank_plans[c]->n_states;
  named_state *all = XLM_NEW_N(v->arena, named_state, most);
  for (uint32_t c = 0; c < v->plan->n_rank_plans; c++)
    for (uint32_t i = 0; i < v->plan->rank_plans[c]->n_states; i++) {
      saved s = {v, v->plan->rank_plans[c], c};
      if (!state_is_storable(&s, &s.r->states[i]))
        return xlm_verify_fail(v, "%s: the state `%.200s` has no sizes that can be kept",
                               xlm_verify_owner(v, c), s.r->states[i].name);
      all[n++] = (named_state){&s.r->states[i], s};
    }
  if (n) qsort(all, n, sizeof *all, by_name);
  for (size_t i = 1; i < n; i++) {
    const named_state *x = &all[i - 1], *y = &all[i];
    if (strcmp(x->state->name, y->state->name)) continue;
    if (x->of.rank_plan == y->of.rank_plan || !same_state(&x->of, x->state, &y->of, y->state))
      return xlm_verify_fail(v, "the state `%.200s` of %s is another one on %s", x->state->name,
                             xlm_verify_owner(v, x->of.rank_plan), xlm_verify_owner(v, y->of.rank_plan));
  }
  return true;
}

// ---- inputs and outputs ----

static bool is_scalar(const saved *s, uint32_t tensor) {
  const xlm_type *t = &s->r->tensors[tensor].type;
  return !tensor || (!t->rank && (t->dtype == XLM_F32 || t->dtype == XLM_F64));
}

static bool is_whole(const xlm_dim_info *d, int64_t n) {
  return !d->ragged && d->full == n && d->size == n;
}

static bool decodes(int program) {
  return program == XLM_PROGRAM_PREFILL || program == XLM_PROGRAM_DECODE;
}

// Programs that take each sequence at its own place.
static bool has_counts(int program, xlm_input_role role) {
  return decodes(program) || (program == XLM_PROGRAM_ENCODE && role == XLM_INPUT_COUNT);
}

// The positions of every sequence that one run of a program takes.
static bool is_sequence(const saved *s, const xlm_dim_info *d, int program) {
  const xlm_plan *p = s->v->plan;
  if (!decodes(program)) return !strcmp(d->name, "seq") && d->full == p->seq;
  return !strcmp(d->name, "chunk") && is_whole(d, program == XLM_PROGRAM_PREFILL ? p->chunk : 1);
}

// A part of each sample: `batch` of the plan once and any other dimensions; for a whole step, its
// microbatches before them.
static bool is_data(const saved *s, const xlm_plan_input *in, int program) {
  const xlm_type *t = &s->r->tensors[in->tensor[program]].type;
  const xlm_plan *p = s->v->plan;
  bool tokens = in->role == XLM_INPUT_TOKENS;
  int batches = 0, others = 0;
  if (in->whole_step && (!t->rank || !is_whole(&s->r->dims[t->dim[0]], p->microbatches))) return false;
  for (int i = in->whole_step; i < t->rank; i++) {
    const xlm_dim_info *d = &s->r->dims[t->dim[i]];
    bool batch = !strcmp(d->name, "batch");
    *(batch ? &batches : &others) += 1;
    if (d->ragged || (batch && d->full != p->batch)) return false;
    if (tokens && !batch && !is_sequence(s, d, program)) return false;
  }
  bool ids = t->dtype == XLM_I32;
  bool type = tokens ? ids : ids || t->dtype == XLM_F32 || t->dtype == XLM_F64;
  return type && batches == 1 && (!tokens || others == 1) && (!in->shift || others == 1);
}

// A whole number for each sequence of `batch`.
static bool is_per_sequence(const saved *s, uint32_t tensor) {
  const xlm_type *t = &s->r->tensors[tensor].type;
  const xlm_dim_info *d = &s->r->dims[t->dim[0]];
  return t->dtype == XLM_I32 && t->rank == 1 && !strcmp(d->name, "batch") && d->full == s->v->plan->batch;
}

static bool fits(const saved *s, const xlm_plan_input *in, int program) {
  uint32_t tensor = in->tensor[program];
  if (!tensor) return true;
  if (xlm_input_is_data(in->role)) return is_data(s, in, program);
  return xlm_input_is_scalar(in->role) ? is_scalar(s, tensor)
                                       : is_per_sequence(s, tensor) && has_counts(program, in->role);
}

static bool check_microbatches(const saved *s) { // the number of microbatches fed equals the number run
  int64_t n = 0;
  for (uint32_t i = 0; i < s->r->n_schedule; i++)
    if (s->r->schedule[i].microbatch >= n) n = s->r->schedule[i].microbatch + 1;
  if (!s->r->n_schedule || n == s->v->plan->microbatches) return true;
  return xlm_verify_fail(s->v, "%s: the schedule runs %lld microbatches and the plan has %lld",
                         xlm_verify_owner(s->v, s->rank_plan), (long long)n,
                         (long long)s->v->plan->microbatches);
}

static bool check_ends(const saved *s) {
  for (uint32_t i = 0; i < s->r->n_inputs; i++) {
    const xlm_plan_input *in = &s->r->inputs[i];
    for (int p = 0; p < XLM_PROGRAMS; p++)
      if (!fits(s, in, p))
        return xlm_verify_fail(s->v, "%s: the input `%.200s` has another type than what fills it",
                               xlm_verify_owner(s->v, s->rank_plan), in->name);
  }
  for (uint32_t i = 0; i < s->r->n_outputs; i++) {
    const xlm_plan_output *out = &s->r->outputs[i];
    if (s->r->tensors[out->tensor].type.rank || is_scalar(s, out->tensor)) continue;
    return xlm_verify_fail(s->v, "%s: the output `%.200s` is no number", xlm_verify_owner(s->v, s->rank_plan),
                           out->name);
  }
  return true;
}

// ---- weights ----

static int64_t extent(const xlm_dim_info *dims, const xlm_plan_factor *f) {
  return f->size ? f->size : dims[f->dim].full;
}

static bool has_dim(const xlm_plan_weight *w, int n, xlm_dim d) { // among the first n factors
  for (int i = 0; i < n; i++)
    if (w->factors[i].dim == d) return true;
  return false;
}

// Do its factors make up the dimension, each index once? Each one's step is the product of the finer ones'
// sizes.
static bool covers(const xlm_plan_weight *w, const xlm_dim_info *dims, xlm_dim d) {
  int64_t done = 1;
  int all = 0, found = 0;
  for (int i = 0; i < w->n_factors; i++) all += w->factors[i].dim == d && extent(dims, &w->factors[i]) > 1;
  for (int i = 0; i < w->n_factors; i++) {
    const xlm_plan_factor *f = &w->factors[i];
    int64_t n = extent(dims, f);
    if (f->dim != d || n < 2 || f->step != done || n > dims[d].full / done) continue;
    done *= n, found++;
    i = -1; // the next coarser one may stand anywhere
  }
  return found == all && done == dims[d].full;
}

static bool part_is_sound(const xlm_plan_weight *w, const xlm_dim_info *dims, int i) {
  const xlm_plan_factor *f = &w->factors[i];
  int64_t own = 1;
  if (i + f->n >= w->n_factors) return false;
  for (int k = 1; k <= f->n; k++) {
    const xlm_plan_factor *x = &w->factors[i + k];
    if (!x->dim || x->group != f->group || __builtin_mul_overflow(own, extent(dims, x), &own)) return false;
  }
  return f->of > 0 && own <= f->of && f->at <= f->of - own;
}

static bool is_sound(const xlm_plan_weight *w, const xlm_dim_info *dims) {
  int parts = 0, group = 0;
  for (int i = 0; i < w->n_factors; i++) {
    const xlm_plan_factor *f = &w->factors[i];
    if (f->group != group && f->group != group + 1) return false;
    group = f->group;
    if (!f->dim && (parts++ || !part_is_sound(w, dims, i))) return false;
    if (f->dim && (f->dim == w->each || (!has_dim(w, i, f->dim) && !covers(w, dims, f->dim)))) return false;
  }
  return w->n_factors ? group + 1 == w->n_groups && !w->factors[0].group : !w->n_groups;
}

static bool is_packed(const xlm_plan_weight *w) {
  return has_dim(w, w->n_factors, 0);
}

static void shape_of(const xlm_plan_weight *w, const xlm_dim_info *dims, int64_t shape[XLM_MAX_RANK]) {
  for (int i = 0; i < XLM_MAX_RANK; i++) shape[i] = 1;
  for (int i = 0; i < w->n_factors; i++) {
    const xlm_plan_factor *f = &w->factors[i];
    shape[f->group] *= f->dim ? extent(dims, f) : f->of;
    if (!f->dim) i += f->n; // they number indices of the part
  }
}

// Parts of one tensor must agree on its shape.
static bool same_shape(const xlm_plan_weight *a, const xlm_plan_weight *b, const xlm_dim_info *dims) {
  int64_t x[XLM_MAX_RANK], y[XLM_MAX_RANK];
  shape_of(a, dims, x), shape_of(b, dims, y);
  return a->n_groups == b->n_groups && a->each == b->each && !memcmp(x, y, sizeof x);
}

static bool check_weights(verifier *v) {
  const xlm_plan *p = v->plan;
  const xlm_dim_info *dims = p->rank_plans[0]->dims;
  const xlm_plan_weight *last = NULL;
  for (uint32_t i = 0; i < p->n_weights; i++) {
    const xlm_plan_weight *w = &p->weights[i];
    if (!is_sound(w, dims)) return xlm_verify_fail(v, "the weight of `%.200s` is malformed", w->param);
    if (!is_packed(w)) continue;
    for (uint32_t k = 0; k < i; k++)
      if (is_packed(&p->weights[k]) && !strcmp(p->weights[k].external, w->external)) last = &p->weights[k];
    if (last && !strcmp(last->external, w->external) && !same_shape(last, w, dims))
      return xlm_verify_fail(v, "the parts of the weight `%.200s` do not fit together", w->external);
  }
  return true;
}

xlm_plan_check xlm_plan_verify_saved(const xlm_plan *p, xlm_arena *a) {
  xlm_plan_check check = xlm_plan_verify(p, a);
  if (check.text) return check;
  verifier v = {.plan = p, .arena = a, .pp = xlm_mesh_axis(&p->mesh, "pp")};
  bool sound = true;
  for (uint32_t c = 0; sound && c < p->n_rank_plans; c++) {
    saved s = {&v, p->rank_plans[c], c};
    sound = check_places(&s) && check_dims(&s) && xlm_verify_rules(&v, c) && check_microbatches(&s) &&
            check_ends(&s);
  }
  for (uint32_t r = 0; sound && r < p->n_ranks; r++) sound = check_rank(&v, r);
  (void)(sound && check_states(&v) && check_weights(&v));
  check.text = v.wrong;
  return check;
}
