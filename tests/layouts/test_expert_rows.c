// Rows of experts (send_rows, collect_rows) on several ranks: both directions, with uneven counts, experts
// without rows and members without experts; and sums of ragged rows.
#include "tests/layouts/one_call.h"

enum { EXPERTS = 1, ROUTED, HERE, ROUTED_HERE, HIDDEN, OFFSETS, OFFSETS_HERE };

typedef struct routing {
  int64_t experts, hidden, most; // most rows at home
} routing;

static int64_t rows_of(uint64_t seed, int64_t rank, int64_t expert) {
  uint32_t r = ranks_random(seed, (uint64_t)rank, (uint64_t)expert);
  return r % 3 == 0 || seed % 5 == 4 ? 0 : r % 7; // some experts, or all, have none
}

static double row_value(uint64_t seed, int64_t rank, int64_t expert, int64_t row, int64_t i) {
  return value(seed, XLM_F32, rank, (expert * 100 + row) * 100 + i);
}

static void add_rows_attrs(call *k, bool back, uint32_t axes) {
  if (back) {
    add_dims(k, XLM_A_from, HERE, ROUTED_HERE);
    add_dims(k, XLM_A_to, EXPERTS, ROUTED);
  } else { // either order will do
    add_dims(k, XLM_A_from, ROUTED, EXPERTS);
    add_dims(k, XLM_A_to, ROUTED_HERE, HERE);
  }
  add_sizes(k);
  add_attr(k, (xlm_attr){.key = XLM_A_axes, .i = axes});
}

static call *new_rows_call(const xlm_comm *c, const routing *r, uint32_t axes) {
  call *k = calloc(1, sizeof *k);
  int64_t n = xlm_mesh_group(&c->mesh, axes);
  k->dims[EXPERTS] = (xlm_dim_info){.name = "experts", .size = r->experts, .full = r->experts};
  k->dims[ROUTED] = (xlm_dim_info){.name = "routed", .size = r->most, .full = r->most, .ragged = true};
  k->dims[HERE] = own_part(c, "experts", r->experts, axes, 0);
  set_sizes(c, k, 0, &k->dims[HERE], axes);
  int64_t mine = k->dims[HERE].size;
  k->dims[ROUTED_HERE] =
      (xlm_dim_info){.name = "routed", .size = n * r->most, .full = n * r->most, .ragged = true};
  k->dims[HIDDEN] = (xlm_dim_info){.name = "hidden", .size = r->hidden, .full = r->hidden};
  k->dims[OFFSETS] = (xlm_dim_info){.name = "offsets", .size = r->experts + 1, .full = r->experts + 1};
  k->dims[OFFSETS_HERE] = (xlm_dim_info){.name = "offsets.1", .size = mine + 1, .full = mine + 1};
  set_type(k, 1, XLM_F32, (xlm_dim[]){EXPERTS, ROUTED, HIDDEN}, 3);
  set_type(k, 2, XLM_I32, (xlm_dim[]){OFFSETS}, 1);
  set_type(k, 3, XLM_F32, (xlm_dim[]){HERE, ROUTED_HERE, HIDDEN}, 3);
  set_type(k, 4, XLM_I32, (xlm_dim[]){OFFSETS_HERE}, 1);
  set_type(k, 5, XLM_F32, (xlm_dim[]){EXPERTS, ROUTED, HIDDEN}, 3);
  return k;
}

static void fill_home(const xlm_comm *c, call *k, const routing *r, uint64_t seed) {
  float *x = k->data[1];
  int32_t *offsets = k->data[2], row = 0;
  for (int64_t e = 0; e < r->experts; e++) {
    offsets[e] = row;
    for (int64_t i = 0; i < rows_of(seed, c->rank, e); i++, row++)
      for (int64_t h = 0; h < r->hidden; h++)
        x[row * r->hidden + h] = (float)row_value(seed, c->rank, e, i, h);
  }
  offsets[r->experts] = row;
}

static void check_here(xlm_comm *c, call *k, const routing *r, uint32_t axes, uint64_t seed) {
  const float *y = k->data[3];
  const int32_t *offsets = k->data[4];
  int32_t row = 0;
  for (int64_t e = 0; e < k->dims[HERE].size; e++) {
    RANK_CHECK(c, offsets[e] == row);
    for (int64_t m = 0; m < xlm_mesh_group(&c->mesh, axes); m++) {
      int64_t rank = xlm_mesh_member_rank(&c->mesh, axes, c->coord, m), expert = e + k->dims[HERE].offset;
      for (int64_t i = 0; i < rows_of(seed, rank, expert); i++, row++)
        for (int64_t h = 0; h < r->hidden; h++)
          RANK_CHECK(c, y[row * r->hidden + h] == (float)row_value(seed, rank, expert, i, h));
    }
  }
  RANK_CHECK(c, offsets[k->dims[HERE].size] == row);
  for (int64_t i = row * r->hidden; i < k->dims[ROUTED_HERE].size * r->hidden; i++) RANK_CHECK(c, y[i] == 0);
}

static void check_home(xlm_comm *c, call *k, const routing *r) {
  size_t used = (size_t)((int32_t *)k->data[2])[r->experts] * (size_t)r->hidden;
  RANK_CHECK(c, !memcmp(k->data[1], k->data[5], used * sizeof(float)));
  for (size_t i = used; i < (size_t)(r->most * r->hidden); i++) RANK_CHECK(c, ((float *)k->data[5])[i] == 0);
}

static void try_rows(xlm_comm *c, void *arg) {
  uint64_t seed = *(const uint64_t *)arg;
  for (int i = 0; i < 10; i++, seed++) {
    uint32_t axes = 1 + ranks_random(seed, 12, 0) % ((1u << c->mesh.n) - 1);
    routing r = {.experts = 1 + ranks_random(seed, 13, 0) % 9, .hidden = 1 + ranks_random(seed, 14, 0) % 9};
    r.most = r.experts * 6;
    call *k = new_rows_call(c, &r, axes);
    fill_home(c, k, &r, seed);
    add_rows_attrs(k, false, axes);
    k->in[0] = 1, k->in[1] = 2, k->out[0] = 3, k->out[1] = 4;
    call_run(k, c, XLM_OP_SEND_ROWS, 2, 2);
    check_here(c, k, &r, axes, seed);
    k->instr.attrs.n = 0;
    add_rows_attrs(k, true, axes);
    k->in[0] = 3, k->in[1] = 4, k->in[2] = 2, k->out[0] = 5;
    call_run(k, c, XLM_OP_COLLECT_ROWS, 3, 1);
    check_home(c, k, &r);
    call_free(k);
    free(k);
  }
}

static void rows(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof meshes / sizeof *meshes; i++) {
    xlm_mesh m = ranks_mesh(meshes[i]);
    uint64_t seed = 19 * i + 1;
    ranks_run(&m, 30, try_rows, &seed);
  }
}

// A sum of ragged rows transfers only the rows in use, and zeroes the others.
static void try_ragged_sum(xlm_comm *c, void *arg) {
  (void)arg;
  routing r = {.experts = 3, .hidden = 4, .most = 50};
  call *k = new_rows_call(c, &r, 0);
  float *x = k->data[1], *y = k->data[5];
  memcpy(k->data[2], (int32_t[]){0, 5, 5, 9}, 16);
  for (int i = 0; i < 36; i++) x[i] = (float)value(3, XLM_F32, c->rank, i);
  add_attr(k, (xlm_attr){.key = XLM_A_axes, .i = 0xFF});
  k->in[0] = 1, k->in[1] = 2, k->out[0] = 5;
  k->instr.op = XLM_OP_ALL_REDUCE, k->instr.n_in = 2, k->instr.n_out = 1, k->instr.in = k->in,
  k->instr.out = k->out;
  const xlm_kernel *kernel = kernel_here(XLM_OP_ALL_REDUCE);
  RANK_CHECK(c, plan_by_hand(&k->instr, k->tensors, k->dims, &c->mesh));
  const xlm_type *types[] = {&k->tensors[1].type, &k->tensors[2].type, &k->tensors[5].type};
  void *workspace = NULL;
  RANK_CHECK(c, !posix_memalign(&workspace, 64, k->instr.workspace));
  xlm_cpu_link link;
  xlm_cpu_link_init(&link, c);
  xlm_call call_ = {.instr = &k->instr,
                    .variant = xlm_kernel_variant(kernel, k->instr.variant),
                    .dims = k->dims,
                    .in_type = types,
                    .out_type = types + 2,
                    .mesh = &c->mesh,
                    .link = &link.link,
                    .in = (void *[]){x, k->data[2]},
                    .out = (void *[]){y},
                    .workspace = workspace};
  xlm_arena *tables = xlm_arena_new(0);
  if (kernel->prepare) RANK_CHECK(c, kernel->prepare(&call_, tables, &call_.prepared, NULL) == XLM_OK);
  RANK_CHECK(c, kernel->run(&call_) == XLM_OK);
  for (int i = 0; i < 200; i++)
    RANK_CHECK(c, y[i] == (i < 36 ? (float)reduced(c, 0xFF, XLM_REDUCTION_SUM, 3, XLM_F32, i) : 0));
  uint64_t sent = 0;
  for (int i = 0; i < XLM_MAX_AXES; i++) sent += c->bytes_sent[i];
  RANK_CHECK(c, sent == (uint64_t)(c->n_ranks - 1) * 36 * 4);
  xlm_arena_free(tables);
  free(workspace);
  call_free(k);
  free(k);
}

static void ragged_sum(void **state) {
  (void)state;
  for (size_t i = 1; i < 4; i++) {
    xlm_mesh m = ranks_mesh(meshes[i]);
    ranks_run(&m, 30, try_ragged_sum, NULL);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(rows), cmocka_unit_test(ragged_sum)};
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  if (failed == 0) xlm_comm_mpi_end();
  return failed;
}
