// The fake NCCL finds what it must: two ranks that use it wrongly, each mistake by itself.
#include "tests/fake_cuda/fake_cuda.h"
#include "tests/fake_cuda/fake_nccl.h"
#include "tests/layouts/ranks.h"

typedef struct mistake {
  void (*make)(xlm_comm *c, nccl_comm comm, const xlm_nccl *n, xlm_cuda_queue q, char *at);
  const char *found;
} mistake;

static void settle(const xlm_nccl *n, nccl_comm comm) {
  int result;
  do (void)n->async_error(comm, &result);
  while (result == NCCL_IN_PROGRESS);
}

static void finish(xlm_cuda_queue q) {
  while (fake_cuda.idle(q) == XLM_CUDA_NOT_READY) usleep(100);
}

static void one_way(const xlm_nccl *n, nccl_comm comm, xlm_cuda_queue q, char *at, bool sends, size_t bytes) {
  (void)n->group_start();
  if (sends)
    (void)n->send(at, bytes, NCCL_UINT8, 1, comm, q);
  else
    (void)n->recv(at, bytes, NCCL_UINT8, 0, comm, q);
  (void)n->group_end();
  settle(n, comm);
}

static void other_sizes(xlm_comm *c, nccl_comm comm, const xlm_nccl *n, xlm_cuda_queue q, char *at) {
  one_way(n, comm, q, at, !c->rank, c->rank ? 44 : 40);
  finish(q);
}
static void send_without_recv(xlm_comm *c, nccl_comm comm, const xlm_nccl *n, xlm_cuda_queue q, char *at) {
  if (!c->rank) one_way(n, comm, q, at, true, 40), finish(q);
  if (c->rank) (void)n->finalize(comm), settle(n, comm);
}
static void both_receive_first(xlm_comm *c, nccl_comm comm, const xlm_nccl *n, xlm_cuda_queue q, char *at) {
  for (int i = 0; i < 2; i++) {
    (void)n->group_start();
    if (i)
      (void)n->send(at, 8, NCCL_UINT8, !c->rank, comm, q);
    else
      (void)n->recv(at + 100, 8, NCCL_UINT8, !c->rank, comm, q);
    (void)n->group_end();
    settle(n, comm);
  }
  finish(q);
}
static void overlapping_memory(xlm_comm *c, nccl_comm comm, const xlm_nccl *n, xlm_cuda_queue q, char *at) {
  (void)n->group_start();
  (void)n->send(at, 8, NCCL_UINT8, !c->rank, comm, q),
      (void)n->recv(at + 7, 8, NCCL_UINT8, !c->rank, comm, q);
  (void)n->group_end();
}
static void foreign_memory(xlm_comm *c, nccl_comm comm, const xlm_nccl *n, xlm_cuda_queue q, char *at) {
  static char host[8];
  (void)at;
  (void)n->group_start();
  (void)n->send(host, 8, NCCL_UINT8, !c->rank, comm, q);
  (void)n->group_end();
}
static void outside_of_a_group(xlm_comm *c, nccl_comm comm, const xlm_nccl *n, xlm_cuda_queue q, char *at) {
  (void)n->send(at, 8, NCCL_UINT8, !c->rank, comm, q);
}
static void destroyed_unfinished(xlm_comm *c, nccl_comm comm, const xlm_nccl *n, xlm_cuda_queue q, char *at) {
  (void)c, (void)q, (void)at;
  (void)n->destroy(comm);
}
static void aborted_before_its_graph(xlm_comm *c, nccl_comm comm, const xlm_nccl *n, xlm_cuda_queue q,
                                     char *at) {
  xlm_cuda_graph g;
  (void)fake_cuda.begin_capture(q);
  one_way(n, comm, q, at, !c->rank, 40);
  (void)fake_cuda.end_capture(q, &g);
  (void)n->abandon(comm);
  (void)fake_cuda.close_graph(g);
}
static void split_too_early(xlm_comm *c, nccl_comm comm, const xlm_nccl *n, xlm_cuda_queue q, char *at) {
  static nccl_comm out[2][2];
  (void)q, (void)at;
  for (int i = 0; i < 2; i++) (void)n->split(comm, 0, 0, &out[c->rank][i], NULL);
  settle(n, comm);
  if (out[c->rank][0]) (void)n->abandon(out[c->rank][0]); // that of the first, if all had come
}
static void read_before_it_arrives(xlm_comm *c, nccl_comm comm, const xlm_nccl *n, xlm_cuda_queue q,
                                   char *at) {
  xlm_cuda_queue other;
  one_way(n, comm, q, at, !c->rank, 40);
  (void)fake_cuda.open_queue(&other, false);
  if (c->rank) (void)fake_cuda.fill(at, 1, 8, other);
  (void)fake_cuda.close_queue(other);
  finish(q);
}

static void err_on_purpose(xlm_comm *c, void *arg) {
  static nccl_id id;
  const mistake *m = arg;
  const xlm_nccl *n;
  xlm_cuda_queue q;
  nccl_comm comm;
  nccl_config config = NCCL_CONFIG;
  int version;
  void *at;
  RANK_CHECK(c, xlm_nccl_table(&n, &version, NULL) == XLM_OK);
  (void)fake_cuda.alloc(&at, 400), (void)fake_cuda.open_queue(&q, false);
  if (!c->rank) (void)n->unique_id(&id);
  RANK_CHECK(c, c->backend->barrier(c) == XLM_OK);
  RANK_CHECK(c, n->init(&comm, 2, id, (int)c->rank, &config) == NCCL_IN_PROGRESS);
  settle(n, comm);
  RANK_CHECK(c, c->backend->barrier(c) == XLM_OK);
  m->make(c, comm, n, q, at);
  if (!c->rank)
    while (!fake_cuda_error()) (void)fake_cuda.idle(q), usleep(100);
  RANK_CHECK(c, c->backend->barrier(c) == XLM_OK);
  RANK_CHECK(c, strstr(fake_cuda_error(), m->found));
  (void)n->abandon(comm);
  (void)fake_cuda.close_queue(q), (void)fake_cuda.release(at);
}

static void mistakes_are_found(void **state) {
  (void)state;
  static const mistake mistakes[] = {
      {other_sizes, "sends 40 bytes of type 1, and rank 1 in a launch receives 44"},
      {send_without_recv, "all ranks wait for one another"},
      {both_receive_first, "all ranks wait for one another: NCCL, rank 0"},
      {overlapping_memory, "receives where the same group reads or receives"},
      {foreign_memory, "memory that is not the card's"},
      {outside_of_a_group, "outside of a group"},
      {destroyed_unfinished, "before it is finalized"},
      {aborted_before_its_graph, "would wait for a graph"},
      {split_too_early, "split while it is in progress"},
      {read_before_it_arrives, "no order between"},
  };
  xlm_mesh m = ranks_mesh("tp 2");
  for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
    fake_cuda_reset(i);
    ranks_run(&m, 20, err_on_purpose, (void *)(uintptr_t)&mistakes[i]);
  }
  fake_cuda_reset(1);
  assert_true(fake_cuda_taken() == 0 && fake_cuda_open() == 0 && fake_nccl_open() == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(mistakes_are_found)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
