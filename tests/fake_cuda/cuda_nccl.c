// The link over NCCL on the fake card: which link is chosen, data over it, capture, failures of ranks, and
// that the fake NCCL finds what it must.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/device/cuda/cuda.h"
#include "tests/fake_cuda/fake_cuda.h"
#include "tests/fake_cuda/fake_nccl.h"
#include "tests/layouts/ranks.h"
#include "tests/train/toy_team.h"

enum { CARDS = 8, PART = 1000, MOST = 8 };

static const xlm_device_kind *const kinds[] = {&xlm_device_cuda, &xlm_device_cuda_eager,
                                               &xlm_device_cuda_checked};
enum { KINDS = 3 };

static int setup(void **state) {
  (void)state;
  fake_cuda_reset(1);
  fake_cuda_pretend(13000, CARDS, 9);
  fake_nccl_break(-1);
  return setenv("XLM_CUDA_LINK", "auto", 1);
}

static int nothing_is_left(void **state) {
  (void)state;
  return fake_cuda_taken() == 0 && fake_cuda_open() == 0 && fake_nccl_open() == 0 && !fake_cuda_error() ? 0
                                                                                                        : -1;
}

// ---- ranks with a device ----

static const uint32_t masks[] = {1, 2, 3};
static const xlm_route pair[] = {{0, 1, -1, 4 * PART, 2}, {1, 0, 5, 4 * PART, 3}};
static const xlm_routes routes = {.n_axes = 3, .n = 2, .axes = masks, .at = pair}; // of "pp 2 tp 2"

static xlm_device *open_device(xlm_comm *c, const xlm_device_kind *kind) {
  xlm_error err = {0};
  xlm_device *d = NULL;
  xlm_device_options o = {.threads = 1, .n_marks = 10, .room = 10, .comm = c};
  RANK_CHECK(c, kind->open(&o, &d, &err) == XLM_OK);
  return d;
}

static xlm_device *open_connected(xlm_comm *c, const xlm_device_kind *kind) {
  xlm_error err = {0};
  xlm_device *d = open_device(c, kind);
  RANK_CHECK(c, kind->connect(d, &routes, &err) == XLM_OK);
  return d;
}

static uint32_t *alloc(xlm_comm *c, xlm_device *d, int parts) {
  void *at = NULL;
  RANK_CHECK(c, d->kind->alloc(d, sizeof(uint32_t) * PART * (size_t)parts, &at, NULL) == XLM_OK);
  return at;
}

// ---- data ----

static uint32_t word(int64_t from, int64_t to, int64_t i) {
  return ranks_random((uint64_t)from, (uint64_t)to, (uint64_t)i);
}

static int64_t member(const xlm_comm *c, uint32_t axes, int64_t k) {
  return xlm_mesh_member_rank(&c->mesh, axes, c->coord, k);
}

// Uneven pieces, one of them empty, between the members of a group.
static void exchange(xlm_comm *c, xlm_device *d, uint32_t axes, uint32_t *at, uint32_t *host) {
  const void *out[MOST];
  void *in[MOST];
  size_t out_bytes[MOST], in_bytes[MOST];
  int64_t n = xlm_mesh_group(&c->mesh, axes);
  for (int64_t k = 0; k < n; k++) {
    int64_t other = member(c, axes, k);
    out[k] = at + k * PART, in[k] = at + (MOST + k) * PART;
    out_bytes[k] = (size_t)((c->rank + 2 * other) % 3) * 40,
    in_bytes[k] = (size_t)((other + 2 * c->rank) % 3) * 40;
    for (int64_t i = 0; i < PART; i++) host[k * PART + i] = word(c->rank, other, i);
  }
  RANK_CHECK(c, d->kind->put(d, at, host, sizeof(uint32_t) * MOST * PART, NULL) == XLM_OK);
  RANK_CHECK(c, d->link->kind->exchange(d->link, 0, axes, out, out_bytes, in, in_bytes, NULL) == XLM_OK);
  RANK_CHECK(c, d->kind->get(d, host, at, sizeof(uint32_t) * 2 * MOST * PART, NULL) == XLM_OK);
  for (int64_t k = 0; k < n; k++)
    for (size_t i = 0; i < in_bytes[k] / 4; i++)
      RANK_CHECK(c, host[(MOST + (size_t)k) * PART + i] == word(member(c, axes, k), c->rank, (int64_t)i));
}

static void gather(xlm_comm *c, xlm_device *d, uint32_t axes, uint32_t *at, uint32_t *host) {
  void *in[MOST];
  size_t bytes[MOST];
  int64_t n = xlm_mesh_group(&c->mesh, axes);
  for (int64_t k = 0; k < n; k++) in[k] = at + k * PART, bytes[k] = (size_t)member(c, axes, k) * 100;
  for (int64_t i = 0; i < PART; i++) host[i] = word(c->rank, 77, i);
  RANK_CHECK(c, d->kind->put(d, at + 9 * PART, host, sizeof(uint32_t) * PART, NULL) == XLM_OK);
  RANK_CHECK(c, d->link->kind->gather(d->link, 0, axes, at + 9 * PART, in, bytes, NULL) == XLM_OK);
  RANK_CHECK(c, d->kind->get(d, host, at, sizeof(uint32_t) * MOST * PART, NULL) == XLM_OK);
  for (int64_t k = 0; k < n; k++)
    for (size_t i = 0; i < bytes[k] / 4; i++)
      RANK_CHECK(c, host[(size_t)k * PART + i] == word(member(c, axes, k), 77, (int64_t)i));
}

// Both stages send all that there is room for before they receive; the sent memory is then written.
static void messages(xlm_comm *c, xlm_device *d, uint32_t *at, uint32_t *host) {
  const xlm_link_kind *k = d->link->kind;
  int64_t peer = member(c, 1, !c->coord[0]);
  for (int64_t m = 0; m < 2; m++) {
    for (int64_t i = 0; i < PART; i++) host[i] = word(c->rank, peer, i + m);
    RANK_CHECK(c, d->kind->put(d, at, host, 4 * PART, NULL) == XLM_OK);
    RANK_CHECK(c, k->send(d->link, 0, peer, c->coord[0] ? 5 : 6, at, 4 * (size_t)(PART - m), NULL) == XLM_OK);
  }
  RANK_CHECK(c, d->kind->fill(d, at, 0, 4 * PART, NULL) == XLM_OK);
  for (int64_t m = 0; m < 2; m++) {
    size_t n = (size_t)(PART - m);
    RANK_CHECK(c, k->recv(d->link, 0, peer, c->coord[0] ? 6 : 5, at + PART, 4 * n, NULL) == XLM_OK);
    RANK_CHECK(c, d->kind->get(d, host, at + PART, 4 * n, NULL) == XLM_OK);
    for (size_t i = 0; i < n; i++) RANK_CHECK(c, host[i] == word(peer, c->rank, (int64_t)i + m));
  }
}

static void communicate(xlm_comm *c, void *kind) {
  xlm_device *d = open_connected(c, kind);
  uint32_t *at = alloc(c, d, 2 * MOST), *host = malloc(sizeof *host * 2 * MOST * PART);
  RANK_CHECK(c, !strcmp(d->link->how, "NCCL 2.28.9"));
  for (int round = 0; round < 3; round++) {
    for (uint32_t axes = 1; axes <= 3; axes++) exchange(c, d, axes, at, host), gather(c, d, axes, at, host);
    messages(c, d, at, host);
  }
  d->kind->close(d);
  free(host);
}

static void bytes_arrive(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("pp 2 tp 2");
  int64_t before = fake_nccl_groups();
  for (uint64_t seed = 0; seed < 4; seed++)
    for (int k = 0; k < KINDS; k++) {
      fake_cuda_reset(seed);
      ranks_run(&m, 20, communicate, (void *)(uintptr_t)kinds[k]);
    }
  assert_true(fake_nccl_groups() - before > 4 * KINDS * 4 * 20);
}

static void count_bytes(xlm_comm *c, void *kind) {
  xlm_device *d = open_connected(c, kind);
  uint32_t *at = alloc(c, d, 4);
  const void *out[] = {at, at, at, at};
  void *in[] = {at + PART, at + PART + 100, at + PART + 200, at + PART + 300};
  const size_t bytes[] = {40, 40, 40, 40};
  for (int i = 0; i < XLM_MAX_AXES; i++) RANK_CHECK(c, c->bytes_sent[i] == 0); // connecting is not the plan's
  RANK_CHECK(c, d->link->kind->exchange(d->link, 0, 2, out, bytes, in, bytes, NULL) == XLM_OK);
  RANK_CHECK(c, d->link->kind->gather(d->link, 0, 3, at, in, bytes, NULL) == XLM_OK);
  RANK_CHECK(c, c->bytes_sent[0] == 3 * 40 && c->bytes_sent[1] == 40);
  RANK_CHECK(c, d->kind->sync(d, NULL, NULL) == XLM_OK);
  d->kind->close(d);
}

static void bytes_are_counted_by_axis(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("pp 2 tp 2");
  ranks_run(&m, 20, count_bytes, (void *)(uintptr_t)&xlm_device_cuda);
}

// ---- the choice ----

typedef struct choice {
  int cards, version;
  const char *wish, *how; // how NULL: it fails
  const char *error;
} choice;

static void choose(xlm_comm *c, void *arg) {
  const choice *x = arg;
  xlm_error err = {0};
  xlm_device *d = open_device(c, &xlm_device_cuda);
  xlm_status s = d->kind->connect(d, &routes, &err);
  RANK_CHECK(c, (s == XLM_OK) == !x->error);
  RANK_CHECK(c, x->error || !strcmp(d->link->how, x->how));
  RANK_CHECK(c, !x->error || strstr(err.text, x->error));
  d->kind->close(d);
}

static void the_link_follows_from_the_machine(void **state) {
  (void)state;
  static const choice choices[] = {
      {4, 22809, "auto", "NCCL 2.28.9", NULL},
      {4, 22809, "nccl", "NCCL 2.28.9", NULL},
      {4, 22809, "", "NCCL 2.28.9", NULL},
      {4, 22809, "host", "through host memory (XLM_CUDA_LINK=host)", NULL},
      {3, 22809, "auto", "through host memory (ranks 0 and 3 share a GPU)", NULL},
      {4, 0, "auto", "through host memory (rank 0: libnccl.so.2 was not found)", NULL},
      {4, 0, "nccl", NULL, "XLM_CUDA_LINK=nccl cannot be: rank 0: libnccl.so.2 was not found"},
      {1, 22809, "nccl", NULL, "XLM_CUDA_LINK=nccl cannot be: ranks 0 and 1 share a GPU"},
      {4, 22809, "nvlink", NULL, "XLM_CUDA_LINK is 'nvlink': it can be nccl, host or auto"},
  };
  xlm_mesh m = ranks_mesh("pp 2 tp 2");
  for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
    fake_cuda_pretend(13000, choices[i].cards, 9);
    fake_nccl_pretend(choices[i].version);
    assert_int_equal(setenv("XLM_CUDA_LINK", choices[i].wish, 1), 0);
    ranks_run(&m, 20, choose, (void *)(uintptr_t)&choices[i]);
  }
  fake_nccl_pretend(22809);
}

// ---- graphs ----

typedef struct job {
  xlm_device *d;
  xlm_comm *c;
  uint32_t *at;
} job;

static const char operation[] = "all_reduce of layers.3.mlp (m.xlm:48)";

static xlm_status reduce(void *arg, uint32_t instr) { // bytes of each tp member to the other
  job *j = arg;
  const void *out[] = {j->at, j->at};
  void *in[] = {j->at + PART, j->at + 2 * PART};
  const size_t bytes[] = {400, 400};
  (void)instr;
  xlm_comm_at(j->c, operation); // as the executor does
  return j->d->link->kind->exchange(j->d->link, XLM_STREAM_COMM, 2, out, bytes, in, bytes,
                                    &j->d->err[XLM_STREAM_COMM]);
}

static xlm_status run_segment(job *j, bool together, bool *known) {
  const xlm_step_env env = {0};
  const xlm_device_segment s = {.segment = 1, .env = &env, .communicates = true, .together = together};
  xlm_work w = {.run = reduce, .arg = j, .instr = 7, .where = operation};
  RANK_CHECK(j->c, j->d->kind->begin(j->d, &s, known, NULL) == XLM_OK);
  if (!*known) j->d->kind->enqueue(j->d, XLM_STREAM_COMM, &w);
  return j->d->kind->sync(j->d, NULL, NULL);
}

static void capture(xlm_comm *c, void *arg) {
  bool together = arg != NULL, known;
  job j = {open_connected(c, &xlm_device_cuda), c, NULL};
  uint32_t host[100];
  j.at = alloc(c, j.d, 3);
  for (uint32_t round = 0; round < 6; round++) {
    for (uint32_t i = 0; i < 100; i++) host[i] = word(c->rank, round, i);
    RANK_CHECK(c, j.d->kind->put(j.d, j.at, host, sizeof host, NULL) == XLM_OK);
    RANK_CHECK(c, run_segment(&j, together, &known) == XLM_OK);
    RANK_CHECK(c, known == (together && round > 1));
    RANK_CHECK(c, c->bytes_sent[1] == 400 * (round + 1)); // each launch counts
    for (int64_t k = 0; k < 2; k++) {
      RANK_CHECK(c, j.d->kind->get(j.d, host, j.at + (1 + k) * PART, sizeof host, NULL) == XLM_OK);
      for (uint32_t i = 0; i < 100; i++) RANK_CHECK(c, host[i] == word(member(c, 2, k), round, i));
    }
  }
  j.d->kind->close(j.d);
}

static void what_all_members_capture_is_captured(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("pp 2 tp 2");
  int64_t before = fake_cuda_launches();
  ranks_run(&m, 20, capture, NULL);
  assert_int_equal(fake_cuda_launches(), before);
  ranks_run(&m, 20, capture, &m);
  assert_int_equal(fake_cuda_launches() - before, 4 * 5);
}

// ---- failures ----

static xlm_error told[4];

static void one_breaks(xlm_comm *c, void *arg) {
  int64_t who = *(int64_t *)arg;
  bool known;
  job j = {open_connected(c, &xlm_device_cuda), c, NULL};
  j.at = alloc(c, j.d, 3);
  RANK_CHECK(c, run_segment(&j, true, &known) == XLM_OK);
  RANK_CHECK(c, c->backend->barrier(c) == XLM_OK);
  if (c->rank == who) fake_nccl_break((int)who);
  RANK_CHECK(c, c->backend->barrier(c) == XLM_OK);
  xlm_status s = run_segment(&j, true, &known);
  for (int i = 0; i < 3 && s == XLM_OK; i++)
    s = run_segment(&j, true, &known); // others may be a group on their own
  if (s == XLM_OK) s = c->backend->barrier(c);
  RANK_CHECK(c, s == XLM_ENV && c->err.status == XLM_ENV);
  told[c->rank] = c->err;
  j.d->kind->close(j.d);
}

static void a_rank_that_nccl_fails_on_ends_all(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("pp 2 tp 2");
  for (int64_t who = 0; who < 4; who += 3) {
    fake_nccl_break(-1);
    ranks_run(&m, 20, one_breaks, &who);
    for (int i = 0; i < 4; i++) {
      assert_string_equal(told[i].text, told[0].text);
      assert_non_null(strstr(told[i].text,
                             "failed in all_reduce of layers.3.mlp (m.xlm:48): NCCL: communicating between "
                             "GPUs: remote process exited"));
    }
  }
}

static void one_stays_away(xlm_comm *c, void *arg) {
  bool known;
  job j = {open_connected(c, arg), c, NULL};
  j.at = alloc(c, j.d, 3);
  for (int i = 0; i < 3; i++) RANK_CHECK(c, run_segment(&j, true, &known) == XLM_OK); // now it is a graph
  xlm_comm_at(c, "something else");
  if (c->rank == 2)
    while (c->backend->check(c) == XLM_OK) usleep(1000);
  else
    RANK_CHECK(c, (c->rank == 3) == (run_segment(&j, true, &known) != XLM_OK));
  while (c->backend->check(c) == XLM_OK) usleep(1000);
  told[c->rank] = c->err;
  j.d->kind->close(j.d);
}

static void a_rank_that_never_comes_ends_all(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("pp 2 tp 2");
  for (int k = 0; k < 2; k++) {
    ranks_run(&m, 0.5, one_stays_away, (void *)(uintptr_t)kinds[k]);
    for (int i = 0; i < 4; i++) {
      assert_string_equal(told[i].text, told[0].text);
      assert_non_null(
          strstr(told[i].text, "rank 3 failed in all_reduce of layers.3.mlp (m.xlm:48): it waited 0."));
    }
  }
}

static void one_fails_before_it_connects(xlm_comm *c, void *arg) {
  xlm_error err = {0};
  xlm_device *d = open_device(c, &xlm_device_cuda);
  (void)arg;
  if (c->rank == 1)
    c->backend->fail(c, "no more memory");
  else
    RANK_CHECK(c, d->kind->connect(d, &routes, &err) == XLM_ENV && strstr(err.text, "no more memory"));
  d->kind->close(d);
}

static void nobody_waits_for_a_rank_that_does_not_connect(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("pp 2 tp 2");
  ranks_run(&m, 20, one_fails_before_it_connects, NULL);
}

// Training: the message names the operation and its line of the model.
static void training_ends_with_the_line(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new(0);
  toy_options o = toy_defaults("llama");
  o.batch = 4, o.microbatches = 2;
  xlm_compile_options c = toy_compile_options(a, &o);
  c.mesh = ranks_mesh("pp 2 tp 2");
  toy_team *t = toy_team_open_on("cuda", toy_plan_on("cuda", a, toy_source(a, "llama"), &c), "llama");
  xlm_error err = {0};
  assert_string_equal(xlm_exec_link(xlm_team_exec(t->team, 3)), "NCCL 2.28.9");
  for (int s = 0; s < 3; s++) toy_team_step(t, s, 1e-3);
  fake_nccl_break(2);
  assert_int_equal(xlm_feeds_step(&t->feeds, 7, 3, 1e-3, &err), XLM_ENV);
  print_message("%s\n", err.text);
  assert_true(strstr(err.text, " failed in ") && strstr(err.text, ".xlm:") && strstr(err.text, "NCCL: "));
  toy_team_close(t);
  xlm_arena_free(a);
}

#define CLEAN(test) cmocka_unit_test_setup_teardown(test, setup, nothing_is_left)

int main(void) {
  const struct CMUnitTest tests[] = {
      CLEAN(bytes_arrive),
      CLEAN(bytes_are_counted_by_axis),
      CLEAN(the_link_follows_from_the_machine),
      CLEAN(what_all_members_capture_is_captured),
      CLEAN(a_rank_that_nccl_fails_on_ends_all),
      CLEAN(a_rank_that_never_comes_ends_all),
      CLEAN(nobody_waits_for_a_rank_that_does_not_connect),
      CLEAN(training_ends_with_the_line),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
