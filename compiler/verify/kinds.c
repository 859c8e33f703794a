// Kinds of ranks: the coarsest partition in which ranks of one kind have, over every set of axes, groups of
// the same kinds in the same order (colour refinement). verify_plan.c explains its use. A round costs ranks *
// masks; few rounds are needed, because ranks differ (stages, uneven pieces) along the axes.
#include "compiler/verify/verify_plan_priv.h"
#include "runtime/base/philox.h"

typedef struct refine {
  const verifier *v;
  const uint32_t *masks;
  int n_masks;
  int64_t n;        // ranks
  uint32_t **group; // [mask][rank]: number of its group
  uint64_t *sign;   // [rank] signature
  uint64_t *shared; // [group] the kinds of its members, in order
  uint64_t *keys;   // hash table: signature -> kind
  uint32_t *kind_of_key, n_buckets;
  rank_kinds kinds;
} refine;

static void number_groups(refine *f) {
  const xlm_mesh *mesh = &f->v->plan->mesh;
  f->group = XLM_NEW_N(f->v->arena, uint32_t *, f->n_masks);
  for (int m = 0; m < f->n_masks; m++) f->group[m] = XLM_NEW_N(f->v->arena, uint32_t, f->n);
  for (int64_t r = 0; r < f->n; r++) {
    int32_t coord[XLM_MAX_AXES];
    xlm_mesh_coord(mesh, r, coord);
    for (int m = 0; m < f->n_masks; m++)
      f->group[m][r] = (uint32_t)xlm_mesh_member(mesh, ~f->masks[m], coord);
  }
}

static void sign_start(refine *f) { // rank_plan and position in the pipeline
  for (int64_t r = 0; r < f->n; r++) {
    int32_t coord[XLM_MAX_AXES];
    xlm_mesh_coord(&f->v->plan->mesh, r, coord);
    uint64_t stage = f->v->pp >= 0 ? (uint64_t)coord[f->v->pp] : 0;
    f->sign[r] = xlm_hash_mix(xlm_hash_mix(stage) ^ f->v->plan->rank_plan_of[r]);
  }
}

static void
sign_again(refine *f) { // kind, and the kinds of all groups; members of a group have ascending ranks
  for (int64_t r = 0; r < f->n; r++) f->sign[r] = xlm_hash_mix(f->kinds.of[r]);
  for (int m = 0; m < f->n_masks; m++) {
    for (int64_t r = 0; r < f->n; r++) f->shared[f->group[m][r]] = 0;
    for (int64_t r = 0; r < f->n; r++) {
      uint64_t *s = &f->shared[f->group[m][r]];
      *s = xlm_hash_mix(*s ^ f->kinds.of[r]) + 1;
    }
    for (int64_t r = 0; r < f->n; r++) f->sign[r] = xlm_hash_mix(f->sign[r] ^ f->shared[f->group[m][r]]);
  }
}

static void number_kinds(refine *f) { // in the order of their first ranks
  for (uint32_t i = 0; i < f->n_buckets; i++) f->kind_of_key[i] = UINT32_MAX;
  f->kinds.n = 0;
  for (int64_t r = 0; r < f->n; r++) {
    uint32_t at = (uint32_t)f->sign[r] & (f->n_buckets - 1);
    while (f->kind_of_key[at] != UINT32_MAX && f->keys[at] != f->sign[r]) at = (at + 1) & (f->n_buckets - 1);
    if (f->kind_of_key[at] == UINT32_MAX) {
      f->keys[at] = f->sign[r];
      f->kind_of_key[at] = f->kinds.n;
      f->kinds.at[f->kinds.n++] = (rank_kind){.rank_plan = f->v->plan->rank_plan_of[r], .rank = r};
    }
    f->kinds.of[r] = f->kind_of_key[at];
  }
}

// Signatures are hashes, so the property of the partition is checked member by member.
static void check_stable(const refine *f) {
  const xlm_mesh *mesh = &f->v->plan->mesh;
  for (int m = 0; m < f->n_masks; m++)
    for (int64_t r = 0; r < f->n; r++) {
      int32_t coord[XLM_MAX_AXES], like[XLM_MAX_AXES];
      xlm_mesh_coord(mesh, r, coord);
      int64_t first = xlm_mesh_member_rank(mesh, f->masks[m], coord, 0);
      xlm_mesh_coord(mesh, f->kinds.at[f->kinds.of[first]].rank, like);
      int64_t twin = xlm_mesh_member_rank(mesh, f->masks[m], like, xlm_mesh_member(mesh, f->masks[m], coord));
      XLM_ASSERT(f->kinds.of[twin] == f->kinds.of[r], "ranks %lld and %lld differ", (long long)twin,
                 (long long)r);
    }
  for (int64_t r = 0; r < f->n; r++)
    XLM_ASSERT(f->v->plan->rank_plan_of[r] == f->kinds.at[f->kinds.of[r]].rank_plan, "rank %lld has another rank_plan",
               (long long)r);
}

rank_kinds xlm_verify_kinds(verifier *v, const uint32_t *masks, int n_masks) {
  xlm_arena *a = v->arena;
  int64_t n = v->plan->n_ranks;
  refine f = {.v = v,
              .masks = masks,
              .n_masks = n_masks,
              .n = n,
              .sign = XLM_NEW_N(a, uint64_t, n),
              .shared = XLM_NEW_N(a, uint64_t, n),
              .n_buckets = 4,
              .kinds = {.at = XLM_NEW_N(a, rank_kind, n), .of = XLM_NEW_N(a, uint32_t, n)}};
  while (f.n_buckets < 2 * n) f.n_buckets *= 2;
  f.keys = XLM_NEW_N(a, uint64_t, f.n_buckets);
  f.kind_of_key = XLM_NEW_N(a, uint32_t, f.n_buckets);
  number_groups(&f);
  sign_start(&f);
  number_kinds(&f);
  for (uint32_t before = 0; f.kinds.n > before;) {
    before = f.kinds.n;
    sign_again(&f);
    number_kinds(&f);
  }
  check_stable(&f);
  for (int64_t r = 0; r < n; r++) f.kinds.at[f.kinds.of[r]].members++;
  return f.kinds;
}
