// The CUDA device on the fake runtime: order, failures, memory, graphs, time, and what a machine lacks.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/device/cuda/cuda.h"
#include "tests/fake_cuda/fixture.h"

static const xlm_device_kind *const kinds[] = {&xlm_device_cuda, &xlm_device_cuda_eager,
                                               &xlm_device_cuda_checked};
enum { KINDS = 3, MANY = 300 };

static xlm_device *open_device(const xlm_device_kind *kind, xlm_comm *comm) {
  xlm_error err = {0};
  xlm_device *d;
  xlm_device_options o = {.threads = 1, .n_marks = MANY, .room = MANY, .comm = comm};
  if (kind->open(&o, &d, &err) != XLM_OK) fail_msg("%s", err.text);
  return d;
}

static int errors_are_forgotten(void **state) {
  (void)state;
  fake_cuda_reset(1);
  return fake_cuda_taken() == 0 && fake_cuda_open() == 0 ? 0 : -1;
}

// ---- order ----

typedef struct story { // what ran on the card, in the order in which it ended
  xlm_device *d;
  uint32_t at[MANY], n;
  xlm_queue queue[MANY];
  bool refused, broken; // piece 3 cannot be launched; goes wrong on the card
} story;

typedef struct piece {
  story *s;
  uint32_t instr;
} piece;

static const char *tell(void *arg) {
  piece *p = arg;
  p->s->at[p->instr] = ++p->s->n;
  return p->s->broken && p->instr == 3 ? "the card is out of breath" : NULL;
}

static xlm_status launch(void *arg, uint32_t instr) {
  story *s = arg;
  if (s->refused && instr == 3) return xlm_fail(&s->d->err[s->queue[instr]], XLM_ENV, "too many threads");
  piece *p = malloc(sizeof *p);
  *p = (piece){s, instr};
  fake_cuda_enqueue(xlm_cuda_device_of(s->d)->queue[s->queue[instr]], "a piece", tell, free, p);
  return XLM_OK;
}

static void push(story *s, xlm_queue q, uint32_t instr) {
  xlm_work w = {.run = launch, .arg = s, .instr = instr};
  s->queue[instr] = q;
  s->d->kind->enqueue(s->d, q, &w);
  s->d->kind->mark(s->d, q, instr);
}

// Pieces go to the queues as chance will have it, each behind one or none of the other queue; several times
// the same, so that the device `cuda` captures them and launches the graph.
static void waits_are_kept(void **state) {
  (void)state;
  for (int k = 0; k < KINDS; k++) {
    story s = {.d = open_device(kinds[k], NULL)};
    const xlm_step_env env = {0};
    const xlm_device_segment segment = {.segment = 3, .env = &env};
    for (int round = 0; round < 6; round++) {
      uint32_t before[MANY], waits[MANY], last[XLM_STREAMS] = {UINT32_MAX, UINT32_MAX};
      uint64_t x = 12345;
      bool known;
      s.n = 0;
      assert_int_equal(s.d->kind->begin(s.d, &segment, &known, NULL), XLM_OK);
      assert_int_equal(known, k == 0 && round > 1);
      for (uint32_t i = 0; i < MANY; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        xlm_queue q = x >> 60 & 1 ? XLM_STREAM_COMM : XLM_STREAM_KERNELS;
        before[i] = last[q];
        waits[i] = x >> 50 & 1 ? last[1 - q] : UINT32_MAX;
        if (!known && waits[i] != UINT32_MAX) s.d->kind->wait(s.d, q, waits[i]);
        if (!known) push(&s, q, i);
        last[q] = i;
      }
      assert_int_equal(s.d->kind->sync(s.d, NULL, NULL), XLM_OK);
      assert_int_equal(s.n, MANY);
      for (uint32_t i = 0; i < MANY; i++) {
        if (before[i] != UINT32_MAX) assert_true(s.at[before[i]] < s.at[i]);
        if (waits[i] != UINT32_MAX) assert_true(s.at[waits[i]] < s.at[i]);
      }
    }
    s.d->kind->close(s.d);
    kinds[k]->close(NULL);
  }
}

// A join orders both queues, without a wait of the host.
static void a_join_orders_all(void **state) {
  (void)state;
  for (uint64_t seed = 0; seed < 20; seed++) {
    fake_cuda_reset(seed);
    story s = {.d = open_device(&xlm_device_cuda_eager, NULL)};
    for (uint32_t i = 0; i < 40; i++) {
      push(&s, i % 3 ? XLM_STREAM_KERNELS : XLM_STREAM_COMM, i);
      if (i % 10 == 9) assert_int_equal(s.d->kind->join(s.d, NULL, NULL), XLM_OK);
    }
    assert_true(s.n < 40);
    assert_int_equal(s.d->kind->sync(s.d, NULL, NULL), XLM_OK);
    for (uint32_t i = 0; i < 40; i++)
      for (uint32_t j = 0; j < i / 10 * 10; j++) assert_true(s.at[j] < s.at[i]);
    s.d->kind->close(s.d);
  }
}

// ---- failures ----

static void a_launch_that_fails_is_told_once(void **state) {
  (void)state;
  for (int k = 0; k < KINDS; k++)
    for (int q = 0; q < XLM_STREAMS; q++) {
      story s = {.d = open_device(kinds[k], NULL), .refused = true};
      uint32_t instr = 99;
      xlm_error err = {0};
      for (uint32_t i = 0; i < 8; i++) push(&s, (xlm_queue)q, i);
      assert_int_equal(s.d->kind->sync(s.d, &instr, &err), XLM_ENV);
      assert_int_equal(instr, 3);
      assert_string_equal(err.text, "too many threads");
      s.refused = false;
      push(&s, (xlm_queue)q, 8);
      assert_int_equal(s.d->kind->sync(s.d, &instr, &err), XLM_OK);
      assert_int_equal(s.n, 4); // nothing behind it ran
      s.d->kind->close(s.d);
    }
}

static void a_failure_on_the_card_is_noticed(void **state) {
  (void)state;
  for (int k = 0; k < KINDS; k++) {
    fake_cuda_reset(1);
    story s = {.d = open_device(kinds[k], NULL), .broken = true};
    uint32_t instr = 99;
    xlm_error err = {0};
    for (uint32_t i = 0; i < 8; i++) push(&s, XLM_STREAM_KERNELS, i);
    assert_int_equal(s.d->kind->sync(s.d, &instr, &err), XLM_ENV);
    assert_int_equal(instr, kinds[k]->checked ? 3 : XLM_NO_INSTR);
    assert_non_null(strstr(err.text, "the card is out of breath"));
    assert_int_equal(s.d->kind->put(s.d, NULL, NULL, 0, &err), XLM_ENV); // on and on
    s.d->kind->close(s.d);
  }
}

// ---- memory ----

static void memory_goes_in_and_out(void **state) {
  (void)state;
  enum { N = 12000000 }; // more than the ring holds
  char *in = malloc(N), *out = malloc(N);
  for (int k = 0; k < KINDS; k++) {
    xlm_device *d = open_device(kinds[k], NULL);
    xlm_device_memory before, after;
    void *at;
    d->kind->memory(d, &before);
    assert_int_equal(d->kind->alloc(d, N, &at, NULL), XLM_OK);
    assert_int_equal((uintptr_t)at % 256, 0);
    d->kind->memory(d, &after);
    assert_int_equal(after.arena - before.arena, N);
    assert_true(before.host > 0 && after.host == before.host && after.libraries == before.libraries);
    assert_int_equal(d->kind->get(d, out, at, N, NULL), XLM_OK);
    for (int i = 0; i < N; i++) assert_int_equal(out[i], 0);
    for (int i = 0; i < N; i++) in[i] = (char)(i % 101);
    assert_int_equal(d->kind->put(d, (char *)at + 5, in, N - 5, NULL), XLM_OK);
    memset(in, 1, N); // it may be used again
    assert_int_equal(d->kind->fill(d, at, 7, 3, NULL), XLM_OK);
    assert_int_equal(d->kind->get(d, out, at, N, NULL), XLM_OK);
    assert_memory_equal(out, "\7\7\7\0\0", 5);
    for (int i = 5; i < N; i++) assert_int_equal(out[i], (i - 5) % 101);
    d->kind->close(d);
  }
  free(in);
  free(out);
}

static xlm_status made_status;
static int made, dropped[2], n_dropped;
static xlm_status make(xlm_cuda_device *d, void **out, xlm_error *err) {
  (void)d;
  *out = &made;
  made++;
  return made_status == XLM_OK ? XLM_OK : xlm_fail(err, made_status, "no such library");
}
static void drop_first(xlm_cuda_device *d, void *thing) {
  assert_true(thing == &made && d->queue[0]);
  dropped[n_dropped++] = 1;
}
static void drop_second(xlm_cuda_device *d, void *thing) {
  (void)d, (void)thing;
  dropped[n_dropped++] = 2;
}

static void things_are_kept_and_dropped(void **state) {
  (void)state;
  static const xlm_cuda_kept first = {make, drop_first}, second = {make, drop_second};
  xlm_device *d = open_device(&xlm_device_cuda, NULL);
  xlm_cuda_device *c = xlm_cuda_device_of(d);
  void *thing;
  made_status = XLM_ENV;
  assert_int_equal(xlm_cuda_keep(c, &first, &thing, NULL), XLM_ENV);
  made_status = XLM_OK;
  for (int i = 0; i < 3; i++) {
    assert_int_equal(xlm_cuda_keep(c, &first, &thing, NULL), XLM_OK);
    assert_int_equal(xlm_cuda_keep(c, &second, &thing, NULL), XLM_OK);
  }
  assert_int_equal(made, 3);
  d->kind->close(d);
  assert_true(n_dropped == 2 && dropped[0] == 2 && dropped[1] == 1);
}

// ---- graphs ----

typedef struct reader { // a kernel that reads the numbers of the step
  xlm_device *d;
  const xlm_step_env *env;
  int64_t saw;
} reader;

static const char *read_env(void *arg) {
  reader *r = arg;
  r->saw = r->env->step * 1000 + r->env->first_row;
  return NULL;
}

static xlm_status launch_reader(void *arg, uint32_t instr) {
  reader *r = arg;
  (void)instr;
  r->env = xlm_cuda_device_of(r->d)->env;
  fake_cuda_enqueue(xlm_cuda_device_of(r->d)->queue[0], "a reader", read_env, NULL, r);
  return XLM_OK;
}

static void graphs_are_those_of_segment_and_slots(void **state) {
  (void)state;
  reader r = {.d = open_device(&xlm_device_cuda, NULL)};
  int64_t graphs = fake_cuda_launches();
  int enqueued = 0;
  for (int64_t step = 0; step < 5; step++)
    for (int32_t slot = 0; slot < 3; slot++) {
      const int32_t slots[XLM_SLOT_AREAS] = {slot, -1, 0};
      const xlm_step_env env = {.step = step, .first_row = slot};
      bool known;
      const xlm_device_segment s = {.segment = 1, .slot = slots, .env = &env};
      assert_int_equal(r.d->kind->begin(r.d, &s, &known, NULL), XLM_OK);
      if (!known) r.d->kind->enqueue(r.d, 0, &(xlm_work){.run = launch_reader, .arg = &r}), enqueued++;
      assert_int_equal(r.d->kind->sync(r.d, NULL, NULL), XLM_OK);
      assert_int_equal(r.saw, step * 1000 + slot);
    }
  assert_int_equal(enqueued, 3 * 2); // once as they are, once captured
  assert_int_equal(fake_cuda_launches() - graphs, 3 * 4);
  r.d->kind->close(r.d);
}

static void what_communicates_is_not_captured(void **state) {
  (void)state;
  reader r = {.d = open_device(&xlm_device_cuda, NULL)};
  int64_t graphs = fake_cuda_launches();
  const xlm_step_env env = {0};
  for (int i = 0; i < 8; i++) {
    const xlm_device_segment s = {.segment = 1, .env = &env, .communicates = i % 2, .apart = i % 2 == 0};
    bool known = true;
    assert_int_equal(r.d->kind->begin(r.d, &s, &known, NULL), XLM_OK);
    assert_false(known);
    assert_int_equal(r.d->kind->sync(r.d, NULL, NULL), XLM_OK);
  }
  assert_int_equal(fake_cuda_launches(), graphs);
  r.d->kind->close(r.d);
}

// ---- time ----

static void take_time(void *arg, xlm_queue queue, uint32_t instr, int64_t begin, int64_t end) {
  uint32_t *seen = arg;
  assert_true(begin <= end);
  *seen |= 1u << (instr + 8 * queue);
}

static void work_is_timed(void **state) {
  (void)state;
  for (int k = 0; k < KINDS; k++) {
    story s = {.d = open_device(kinds[k], NULL)};
    uint32_t seen = 0;
    s.d->kind->seconds(s.d, take_time, &seen);
    push(&s, XLM_STREAM_KERNELS, 1), push(&s, XLM_STREAM_COMM, 2);
    assert_int_equal(s.d->kind->sync(s.d, NULL, NULL), XLM_OK);
    s.d->kind->seconds(s.d, NULL, NULL);
    push(&s, XLM_STREAM_KERNELS, 3);
    assert_int_equal(s.d->kind->sync(s.d, NULL, NULL), XLM_OK);
    assert_int_equal(seen, 1u << 1 | 1u << 10);
    s.d->kind->close(s.d);
  }
}

// ---- the machine ----

static void what_is_missing_is_said(void **state) {
  (void)state;
  static const struct {
    int driver, cards, major;
    const char *says;
  } machines[] = {{0, 0, 0, "no NVIDIA driver"},
                  {12040, 1, 9, "the NVIDIA driver is for CUDA 12.4 and this xlm was built with CUDA 13.0"},
                  {13000, 0, 0, "the NVIDIA driver finds no GPU: no device"},
                  {13020, 1, 7, "has compute capability 7.0: xlm needs 8.0"}};
  for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
    xlm_error err = {0};
    xlm_device *d;
    xlm_device_options o = {.threads = 1};
    fake_cuda_pretend(machines[i].driver, machines[i].cards, machines[i].major);
    assert_int_equal(xlm_device_cuda.check(&err), XLM_ENV);
    if (!strstr(err.text, machines[i].says)) fail_msg("%s", err.text);
    assert_int_equal(xlm_device_cuda.open(&o, &d, &err), XLM_ENV);
    assert_null(d);
    assert_null(xlm_backend_find("cuda")->here());
  }
  fake_cuda_pretend(13000, 1, 9);
  assert_int_equal(xlm_device_cuda.check(NULL), XLM_OK);
}

#define CLEAN(test) cmocka_unit_test_setup_teardown(test, fake_setup, fake_nothing_is_left)
#define WRONG(test) cmocka_unit_test_setup_teardown(test, fake_setup, errors_are_forgotten)

int main(void) {
  const struct CMUnitTest tests[] = {
      CLEAN(waits_are_kept),
      CLEAN(a_join_orders_all),
      CLEAN(a_launch_that_fails_is_told_once),
      WRONG(a_failure_on_the_card_is_noticed),
      CLEAN(memory_goes_in_and_out),
      CLEAN(things_are_kept_and_dropped),
      CLEAN(graphs_are_those_of_segment_and_slots),
      CLEAN(what_communicates_is_not_captured),
      CLEAN(work_is_timed),
      CLEAN(what_is_missing_is_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
