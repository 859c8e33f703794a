// The exchanges and messages of the comm backends: every group of several meshes, sizes that differ by pair
// (zero too), and the count of bytes sent. Under mpirun (test_mpi.sh) the same on processes.
#include "tests/layouts/ranks.h"

static const char *const meshes[] = {"tp 1",      "tp 2",           "dp 2 tp 2", "pp 2 dp 1 tp 2",
                                     "pp 3 tp 2", "pp 2 dp 2 tp 2", "dp 7",      "pp 2 dp 2 ep 1 cp 2 tp 2"};
enum { MESHES = sizeof meshes / sizeof *meshes, MAX_BYTES = 5000 };

typedef struct buffers {
  const void *out[64];
  void *in[64];
  size_t out_bytes[64], in_bytes[64];
  unsigned char *sent, *got; // [n][MAX_BYTES]
} buffers;

static buffers *new_buffers(int64_t n) {
  buffers *b = calloc(1, sizeof *b);
  b->sent = malloc((size_t)n * MAX_BYTES);
  b->got = malloc((size_t)n * MAX_BYTES);
  for (int64_t k = 0; k < n; k++) b->out[k] = b->sent + k * MAX_BYTES, b->in[k] = b->got + k * MAX_BYTES;
  return b;
}

static void free_buffers(buffers *b) {
  free(b->sent);
  free(b->got);
  free(b);
}

static size_t size_of(uint64_t round, int64_t from, int64_t to) {
  uint32_t r = ranks_random(round, (uint64_t)from, (uint64_t)to);
  return r % 4 == 0 ? 0 : r % MAX_BYTES;
}

static unsigned char byte_of(uint64_t round, int64_t from, int64_t to, size_t i) {
  return (unsigned char)ranks_random(round * 64 + (uint64_t)from, (uint64_t)to, i);
}

static void fill(unsigned char *p, size_t n, uint64_t round, int64_t from, int64_t to) {
  for (size_t i = 0; i < n; i++) p[i] = byte_of(round, from, to, i);
}

static bool holds(const unsigned char *p, size_t n, uint64_t round, int64_t from, int64_t to) {
  for (size_t i = 0; i < n; i++)
    if (p[i] != byte_of(round, from, to, i)) return false;
  return true;
}

static uint64_t sent_in_all(const xlm_comm *c) {
  uint64_t sum = 0;
  for (int i = 0; i < XLM_MAX_AXES; i++) sum += c->bytes_sent[i];
  return sum;
}

static void one_all_to_all(xlm_comm *c, uint32_t axes, uint64_t round) {
  int64_t n = xlm_mesh_group(&c->mesh, axes), me = xlm_mesh_member(&c->mesh, axes, c->coord);
  buffers *b = new_buffers(n);
  uint64_t before = sent_in_all(c), expected = 0;
  for (int64_t k = 0; k < n; k++) {
    int64_t peer = xlm_mesh_member_rank(&c->mesh, axes, c->coord, k);
    b->out_bytes[k] = size_of(round, c->rank, peer), b->in_bytes[k] = size_of(round, peer, c->rank);
    fill(b->sent + k * MAX_BYTES, b->out_bytes[k], round, c->rank, peer);
    if (k != me) expected += b->out_bytes[k];
  }
  RANK_CHECK(c, c->backend->all_to_all(c, axes, b->out, b->out_bytes, b->in, b->in_bytes) == XLM_OK);
  for (int64_t k = 0; k < n; k++) {
    int64_t peer = xlm_mesh_member_rank(&c->mesh, axes, c->coord, k);
    RANK_CHECK(c, holds(b->in[k], b->in_bytes[k], round, peer, c->rank));
  }
  RANK_CHECK(c, sent_in_all(c) - before == expected);
  free_buffers(b);
}

static void one_all_gather(xlm_comm *c, uint32_t axes, uint64_t round) {
  int64_t n = xlm_mesh_group(&c->mesh, axes), me = xlm_mesh_member(&c->mesh, axes, c->coord);
  buffers *b = new_buffers(n);
  uint64_t before = sent_in_all(c);
  for (int64_t k = 0; k < n; k++)
    b->in_bytes[k] = size_of(round, xlm_mesh_member_rank(&c->mesh, axes, c->coord, k), 99);
  void *mine = round % 2 ? b->in[me] : b->sent; // in place too
  fill(mine, b->in_bytes[me], round, c->rank, 99);
  RANK_CHECK(c, c->backend->all_gather(c, axes, mine, b->in, b->in_bytes) == XLM_OK);
  for (int64_t k = 0; k < n; k++)
    RANK_CHECK(c,
               holds(b->in[k], b->in_bytes[k], round, xlm_mesh_member_rank(&c->mesh, axes, c->coord, k), 99));
  RANK_CHECK(c, sent_in_all(c) - before == b->in_bytes[me] * (size_t)(n - 1));
  free_buffers(b);
}

static void exchange_in_all_groups(xlm_comm *c, void *arg) {
  (void)arg;
  for (uint32_t axes = 0; axes < 1u << c->mesh.n; axes++)
    for (uint64_t round = 0; round < 4; round++) {
      one_all_to_all(c, axes, round);
      one_all_gather(c, axes, round + axes);
    }
  RANK_CHECK(c, c->backend->barrier(c) == XLM_OK);
}

static void exchanges(void **state) {
  (void)state;
  for (int i = 0; i < MESHES; i++) {
    xlm_mesh m = ranks_mesh(meshes[i]);
    ranks_run(&m, 30, exchange_in_all_groups, NULL);
  }
}

// Bytes are attributed to the outermost axis with more than one member.
static void count_bytes(xlm_comm *c, void *arg) {
  (void)arg;
  char data[100] = {0}, got[4][100];
  void *in[] = {got[0], got[1], got[2], got[3]};
  size_t bytes[] = {100, 100, 100, 100};
  int dp = xlm_mesh_axis(&c->mesh, "dp"), tp = xlm_mesh_axis(&c->mesh, "tp"),
      pp = xlm_mesh_axis(&c->mesh, "pp");
  RANK_CHECK(c, c->backend->all_gather(c, 1u << pp | 1u << tp, data, in, bytes) == XLM_OK);
  RANK_CHECK(c, c->bytes_sent[tp] == 100 && c->bytes_sent[dp] == 0 && c->bytes_sent[pp] == 0);
  RANK_CHECK(c, c->backend->all_gather(c, 1u << dp | 1u << tp, data, in, bytes) == XLM_OK);
  RANK_CHECK(c, c->bytes_sent[tp] == 100 && c->bytes_sent[dp] == 300 && c->bytes_sent[pp] == 0);
  RANK_CHECK(c, c->backend->send(c, c->n_ranks - 1 - c->rank, 1, data, 77) == XLM_OK);
  RANK_CHECK(c, c->backend->recv(c, c->n_ranks - 1 - c->rank, 1, got[0], 77) == XLM_OK);
  RANK_CHECK(c, c->bytes_sent[pp] == 77);
}

static void counts(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("pp 1 dp 2 tp 2");
  ranks_run(&m, 30, count_bytes, NULL);
}

// Every rank sends to every other before any receives; then the messages are received in another order, each
// by its tag.
static void all_send_first(xlm_comm *c, void *arg) {
  size_t large = *(size_t *)arg;
  unsigned char *p = malloc(large), *got = malloc(large);
  for (uint64_t step = 0; step < 3; step++) {
    for (int64_t peer = 0; peer < c->n_ranks; peer++)
      for (int32_t k = 0; k < 6; k++) {
        size_t n = k == 5 ? large : size_of(step * 6 + (uint64_t)k, c->rank, peer);
        fill(p, n, step * 6 + (uint64_t)k, c->rank, peer);
        RANK_CHECK(c, c->backend->send(c, peer, k % 2, p, n) == XLM_OK);
        memset(p, 0xEE, n); // the memory may be reused
      }
    for (int64_t i = c->n_ranks; i-- > 0;)
      for (int32_t k = 0; k < 6; k++) {
        int64_t peer = (c->rank + i) % c->n_ranks;
        int32_t at = k < 3 ? 2 * k + 1 : 2 * (k - 3); // odd tags first
        size_t n = at == 5 ? large : size_of(step * 6 + (uint64_t)at, peer, c->rank);
        RANK_CHECK(c, c->backend->recv(c, peer, at % 2, got, n) == XLM_OK);
        RANK_CHECK(c, holds(got, n, step * 6 + (uint64_t)at, peer, c->rank));
      }
  }
  free(p);
  free(got);
}

static void messages(void **state) {
  (void)state;
  for (int i = 0; i < MESHES; i++) {
    xlm_mesh m = ranks_mesh(meshes[i]);
    size_t large = i == 1 ? 3000000 : 70000;
    ranks_run(&m, 30, all_send_first, &large);
  }
}

// Sixteen ranks, whatever the number of processors: short exchanges in overlapping groups, with messages
// between.
static void many_short_ones(xlm_comm *c, void *arg) {
  (void)arg;
  for (uint64_t round = 0; round < 60; round++) {
    int64_t next = (c->rank + 1) % c->n_ranks, last = (c->rank + c->n_ranks - 1) % c->n_ranks;
    RANK_CHECK(c, c->backend->send(c, next, 3, &round, sizeof round) == XLM_OK);
    one_all_gather(c, 1u << round % c->mesh.n, round);
    one_all_to_all(c, ranks_random(5, round, 0) & 15, round);
    uint64_t got = 0;
    RANK_CHECK(c, c->backend->recv(c, last, 3, &got, sizeof got) == XLM_OK);
    RANK_CHECK(c, got == round);
  }
}

static void stress(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("pp 2 dp 2 cp 2 tp 2");
  ranks_run(&m, 30, many_short_ones, NULL);
  m = ranks_mesh("pp 1 dp 2 cp 1 tp 2");
  ranks_run(&m, 30, many_short_ones, NULL);
}

static void refused(void **state) {
  (void)state;
  xlm_error err = {0};
  xlm_comm *c[1];
  xlm_mesh m = ranks_mesh("dp 5000");
  assert_int_equal(xlm_comm_local(&m, 1, c, &err), XLM_USER);
  assert_non_null(strstr(err.text, "5000 ranks"));
  if (xlm_comm_mpi_launched()) {
    assert_int_equal(xlm_comm_mpi(&m, 1, c, &err), XLM_USER);
    assert_non_null(strstr(err.text, "mpirun -n 5000"));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exchanges), cmocka_unit_test(counts),  cmocka_unit_test(messages),
      cmocka_unit_test(stress),    cmocka_unit_test(refused),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  if (failed == 0) xlm_comm_mpi_end();
  return failed;
}
