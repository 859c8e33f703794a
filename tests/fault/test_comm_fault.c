// A rank that fails, disagrees, leaves or never arrives ends the run on all ranks, with one message that says
// which and why, reported by one rank. The alarm in ranks_run turns a hang into a failure.
//
// `test_comm_fault SCENARIO` under mpirun (tests/layouts/test_mpi.sh) does this with the processes of a job.
#include <signal.h>

#include "tests/layouts/ranks.h"

static atomic_int reporting;

static void expect_failure(xlm_comm *c, const char *text) {
  RANK_CHECK(c, c->err.status == XLM_ENV && strstr(c->err.text, text));
  if (c->reports) atomic_fetch_add(&reporting, 1);
}

static xlm_status gather(xlm_comm *c, uint32_t axes, size_t size) {
  static _Thread_local char mine[256], got[16][256];
  void *in[16];
  size_t bytes[16];
  for (int i = 0; i < 16; i++) in[i] = got[i], bytes[i] = size;
  return c->backend->all_gather(c, axes, mine, in, bytes);
}

static xlm_status exchange(xlm_comm *c, uint32_t axes, size_t size) {
  static _Thread_local char sent[256], got[16][256];
  const void *out[16];
  void *in[16];
  size_t bytes[16];
  for (int i = 0; i < 16; i++) out[i] = sent, in[i] = got[i], bytes[i] = size;
  return c->backend->all_to_all(c, axes, out, bytes, in, bytes);
}

static void run_and_count(const char *mesh, double timeout_s, ranks_fn *fn, void *arg) {
  xlm_mesh m = ranks_mesh(mesh);
  atomic_store(&reporting, 0);
  ranks_run(&m, timeout_s, fn, arg);
  assert_int_equal(atomic_load(&reporting), 1);
}

// Rank 5 fails while the others stand in every kind of call.
static void fail_rank_5(xlm_comm *c, void *arg) {
  xlm_comm_at(c, "layer 3");
  if (c->rank == 5) {
    if (*(const int *)arg) usleep(30000); // the others wait already
    c->backend->fail(c, "the disk is full");
    RANK_CHECK(c, c->reports);
  } else {
    xlm_status s = XLM_OK;
    char x[8];
    while (s == XLM_OK && c->rank % 4 == 0) s = gather(c, 0xFF, 8);
    while (s == XLM_OK && c->rank % 4 == 1) s = exchange(c, 0xFF, 8);
    while (s == XLM_OK && c->rank % 4 == 2) s = c->backend->recv(c, 5, 1, x, 8);
    while (s == XLM_OK && c->rank % 4 == 3) s = c->backend->barrier(c);
    RANK_CHECK(c, s == XLM_ENV);
  }
  expect_failure(c, "rank 5 failed in layer 3: the disk is full");
  RANK_CHECK(c, gather(c, 1, 8) == XLM_ENV && exchange(c, 1, 8) == XLM_ENV); // and nothing works any more
  RANK_CHECK(c, c->backend->send(c, 0, 1, "x", 1) == XLM_ENV && c->backend->barrier(c) == XLM_ENV);
}

static void a_rank_fails(void **state) {
  (void)state;
  for (int i = 0; i < 6; i++) {
    int late = i % 2;
    run_and_count("dp 8", 0, fail_rank_5, &late);
  }
}

// During exchanges, at many times: memory must not be read after its owner has got it back.
static void fail_in_exchanges(xlm_comm *c, void *arg) {
  const int *moment = arg;
  xlm_status s = XLM_OK;
  size_t n = 20000;
  for (int i = 0; s == XLM_OK && i < 50; i++) {
    char *mine = calloc(1, n), *got = malloc(n * 6);
    void *in[6];
    size_t bytes[6];
    for (int k = 0; k < 6; k++) in[k] = got + (size_t)k * n, bytes[k] = n;
    if (i == *moment && c->rank == *moment % 6)
      c->backend->fail(c, "enough"), s = XLM_ENV;
    else
      s = c->backend->all_gather(c, 0xFF, mine, in, bytes);
    free(mine); // the sanitizer detects later reads
    free(got);
  }
  expect_failure(c, "enough");
}

static void it_fails_at_any_moment(void **state) {
  (void)state;
  for (int moment = 0; moment < 40; moment++) run_and_count("dp 3 tp 2", 0, fail_in_exchanges, &moment);
}

static void come_in_two_ways(xlm_comm *c, void *arg) {
  (void)arg;
  xlm_comm_at(c, c->rank == 2 ? "mlp" : "attention");
  xlm_status s = c->rank == 2 ? exchange(c, 0xFF, 8) : gather(c, 0xFF, 8);
  RANK_CHECK(c, s == XLM_ENV);
  RANK_CHECK(c, strstr(c->err.text, "in attention (all-gather)"));
  expect_failure(c, "in mlp (all-to-all)");
}

static void they_disagree(void **state) {
  (void)state;
  for (int i = 0; i < 5; i++) run_and_count("dp 2 tp 2", 0, come_in_two_ways, NULL);
}

static void send_other_sizes(xlm_comm *c, void *arg) {
  const int *how = arg;
  xlm_status s;
  char x[256] = {0};
  xlm_comm_at(c, "the loss");
  if (*how == 0)
    s = gather(c, 1, c->rank == 1 ? 16 : 8);
  else if (*how == 1)
    s = exchange(c, 1, c->rank == 1 ? 16 : 8);
  else
    s = c->rank == 1 ? c->backend->send(c, 0, 4, x, 16) : c->backend->recv(c, 1 - c->rank, 4, x, 8);
  if (*how == 2 && c->rank == 1) s = gather(c, 1, 8);
  RANK_CHECK(c, s == XLM_ENV);
  expect_failure(c, "in the loss");
}

static void sizes_differ(void **state) {
  (void)state;
  for (int how = 0; how < 3; how++) run_and_count("dp 2", 0, send_other_sizes, &how);
}

static void leave_early(xlm_comm *c, void *arg) {
  const int *how = arg;
  char x[8] = {0};
  xlm_comm_at(c, "the last step");
  if (c->rank == 0) { // and closes; first only a part of what the others expect
    if (*how == 1) RANK_CHECK(c, gather(c, 1, 8) == XLM_OK && c->backend->send(c, 1, 1, x, 8) == XLM_OK);
    return;
  }
  if (*how == 1) RANK_CHECK(c, gather(c, 1, 8) == XLM_OK);
  if (*how == 1 && c->rank == 1) { // messages sent before must arrive
    RANK_CHECK(c, c->backend->recv(c, 0, 1, x, 8) == XLM_OK && c->backend->send(c, 2, 2, x, 8) == XLM_OK);
  } else if (*how == 1) { // only then does rank 2 detect it; rank 1 may have been faster
    (void)c->backend->recv(c, 1, 2, x, 8);
  }
  xlm_status s = c->rank == 1 ? c->backend->recv(c, 0, 1, x, 8) : gather(c, 1, 8);
  RANK_CHECK(c, s == XLM_ENV);
  expect_failure(c, "rank 0 ended while rank ");
}

static void a_rank_leaves(void **state) {
  (void)state;
  for (int how = 0; how < 2; how++) run_and_count("dp 3", 0, leave_early, &how);
}

static void never_come(xlm_comm *c, void *arg) {
  (void)arg;
  xlm_comm_at(c, c->rank == 1 ? "a long computation" : "the gradients");
  if (c->rank == 1) {
    while (c->backend->send(c, 1, 9, "", 0) == XLM_OK) usleep(10000); // busy forever
  } else {
    RANK_CHECK(c, gather(c, 1, 8) == XLM_ENV);
  }
  RANK_CHECK(c, strstr(c->err.text, "in the gradients for rank 1, which is at a long computation"));
  expect_failure(c, "waited 0.");
}

static void a_rank_never_comes(void **state) {
  (void)state;
  run_and_count("dp 3", 0.3, never_come, NULL);
}

// ---- processes

static void fails(xlm_comm *c) {
  c->backend->fail(c, "the disk is full");
}
static void dies(xlm_comm *c) {
  (void)c;
  raise(SIGKILL);
}
static void leaves(xlm_comm *c) {
  (void)c;
  exit(1);
}
static void sleeps(xlm_comm *c) {
  (void)c;
  for (;;) sleep(1);
}
static void sends_more(xlm_comm *c) {
  (void)gather(c, 0xFF, 200);
}
static void sends_less(xlm_comm *c) {
  (void)gather(c, 0xFF, 1);
}

static const struct {
  const char *name;
  void (*act)(xlm_comm *);
} scenarios[] = {{"fails", fails},           {"dies", dies},
                 {"leaves", leaves},         {"sleeps", sleeps},
                 {"sends_more", sends_more}, {"sends_less", sends_less}};

// Rank 1 works for a while and then does what the scenario says; the others continue until they are notified.
static int run_scenario(const char *name) {
  char mesh_text[32];
  snprintf(mesh_text, sizeof mesh_text, "dp %lld", (long long)xlm_comm_mpi_size());
  xlm_mesh mesh = ranks_mesh(mesh_text);
  xlm_error err;
  xlm_comm *c;
  if (xlm_comm_mpi(&mesh, 2, &c, &err) != XLM_OK) return fprintf(stderr, "%s\n", err.text), 1;
  xlm_comm_at(c, "layer 3");
  xlm_status s = XLM_OK;
  for (int i = 0; s == XLM_OK && i < 1000000; i++) {
    for (size_t k = 0; k < sizeof scenarios / sizeof *scenarios; k++)
      if (i == 100 && c->rank == 1 && !strcmp(name, scenarios[k].name)) scenarios[k].act(c);
    s = i % 2 ? gather(c, 0xFF, 64) : exchange(c, 0xFF, 64);
  }
  if (c->reports) fprintf(stderr, "REPORT %s\n", c->err.text);
  fprintf(stderr, "rank %lld knows: %s\n", (long long)c->rank, c->err.text);
  c->backend->close(c);
  xlm_comm_mpi_end();
  return s;
}

int main(int argc, char **argv) {
  if (argc > 1) return run_scenario(argv[1]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_rank_fails),  cmocka_unit_test(it_fails_at_any_moment),
      cmocka_unit_test(they_disagree), cmocka_unit_test(sizes_differ),
      cmocka_unit_test(a_rank_leaves), cmocka_unit_test(a_rank_never_comes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
