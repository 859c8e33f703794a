// Devices: order within and between queues, failures with their instruction, copies in and out; and the
// executor's message for a failing kernel. The same for each kind of device.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/device/cpu.h"
#include "runtime/exec/team.h"
#include "tests/layouts/hand_plan.h"

static const xlm_device_kind *const kinds[] = {&xlm_device_cpu, &xlm_device_cpu_far};
enum { KINDS = sizeof kinds / sizeof *kinds, MANY = 3000 };

static xlm_device *open_device(const xlm_device_kind *kind, uint32_t room, xlm_comm *comm) {
  xlm_error err;
  xlm_device *d;
  xlm_device_options o = {.threads = 2, .n_marks = MANY, .room = room, .comm = comm};
  if (kind->open(&o, &d, &err) != XLM_OK) fail_msg("%s", err.text);
  return d;
}

// A comm that only says that a second thread may use it.
static void nothing(xlm_comm *c) {
  (void)c;
}
static const xlm_comm_backend quiet = {.name = "quiet", .close = nothing};
static xlm_comm alone(void) {
  return (xlm_comm){.backend = &quiet, .n_ranks = 2, .second_thread = true};
}

// ---- order ----

typedef struct story { // what ran, in the order in which it ended
  _Atomic uint32_t at[MANY];
  atomic_uint n;
  bool broken; // piece 3 of every queue fails
} story;

static xlm_status tell(void *arg, uint32_t instr) {
  story *s = arg;
  if (s->broken && instr == 3) return XLM_ENV;
  atomic_store(&s->at[instr], 1 + atomic_fetch_add(&s->n, 1));
  return XLM_OK;
}

static void push(xlm_device *d, story *s, xlm_queue q, uint32_t instr, double beside) {
  xlm_work w = {.run = tell, .arg = s, .instr = instr, .flops_beside = beside};
  d->kind->enqueue(d, q, &w);
  d->kind->mark(d, q, instr);
}

// Numbers 0, 1, 2, .. are enqueued at random, each after at most one item of the other queue.
static void waits_are_kept(void **state) {
  (void)state;
  for (int k = 0; k < KINDS; k++) {
    xlm_comm comm = alone();
    xlm_device *d = open_device(kinds[k], 500, &comm);
    static story s;
    uint32_t last[XLM_STREAMS], waits[MANY];
    uint64_t x = 12345;
    for (int round = 0; round < 6; round++) {
      memset(&s, 0, sizeof s);
      memset(last, 0xFF, sizeof last);
      uint32_t before[MANY];
      for (uint32_t i = 0; i < 500; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        xlm_queue q = x >> 60 & 1 ? XLM_STREAM_COMM : XLM_STREAM_KERNELS, other = 1 - q;
        before[i] = last[q];
        waits[i] = x >> 50 & 1 ? last[other] : UINT32_MAX;
        if (waits[i] != UINT32_MAX) d->kind->wait(d, q, waits[i]);
        push(d, &s, q, i, x >> 40 & 1 ? 1e9 : 0);
        last[q] = i;
      }
      assert_int_equal(d->kind->join(d, NULL, NULL), XLM_OK);
      assert_int_equal(s.n, 500);
      for (uint32_t i = 0; i < 500; i++) {
        if (before[i] != UINT32_MAX) assert_true(s.at[before[i]] < s.at[i]);
        if (waits[i] != UINT32_MAX) assert_true(s.at[waits[i]] < s.at[i]);
      }
    }
    d->kind->close(d);
    kinds[k]->close(NULL);
  }
}

// ---- failures ----

static void a_failure_is_told_once(void **state) {
  (void)state;
  for (int k = 0; k < KINDS; k++)
    for (int q = 0; q < XLM_STREAMS; q++) {
      xlm_comm comm = alone();
      xlm_device *d = open_device(kinds[k], 16, &comm);
      story s = {.broken = true};
      uint32_t instr = 99;
      xlm_error err = {0};
      for (uint32_t i = 0; i < 8; i++) push(d, &s, (xlm_queue)q, i, 1e9);
      assert_int_equal(d->kind->sync(d, &instr, &err), XLM_ENV);
      assert_int_equal(instr, 3);
      assert_true(*err.text && s.n == 3); // nothing after it ran
      s.broken = false;
      push(d, &s, (xlm_queue)q, 8, 1e9);
      assert_int_equal(d->kind->sync(d, &instr, &err), XLM_OK);
      assert_int_equal(s.n, 4);
      d->kind->close(d);
    }
}

// ---- memory ----

typedef struct touch {
  char *at;
  size_t n;
  int sum;
} touch;

static xlm_status add_up(void *arg, uint32_t instr) {
  touch *t = arg;
  (void)instr;
  t->sum = 0;
  for (size_t i = 0; i < t->n; i++) t->sum += t->at[i];
  return XLM_OK;
}

static void memory_goes_in_and_out(void **state) {
  (void)state;
  enum { N = 300000 };
  static char in[N], out[N];
  for (int k = 0; k < KINDS; k++) {
    xlm_device *d = open_device(kinds[k], 4, NULL);
    void *at;
    assert_int_equal(d->kind->alloc(d, N, &at, NULL), XLM_OK);
    for (int i = 0; i < N; i++) in[i] = (char)(i % 101);
    assert_int_equal(d->kind->get(d, out, at, N, NULL), XLM_OK);
    for (int i = 0; i < N; i++) assert_int_equal(out[i], 0); // zeroed
    assert_int_equal(d->kind->put(d, (char *)at + 5, in, N - 5, NULL), XLM_OK);
    assert_int_equal(d->kind->fill(d, at, 7, 3, NULL), XLM_OK);
    assert_int_equal(d->kind->get(d, out, at, N, NULL), XLM_OK);
    assert_memory_equal(out, "\7\7\7\0\0", 5);
    assert_memory_equal(out + 5, in, N - 5);
    touch t = {at, N, 0};
    xlm_work w = {.run = add_up, .arg = &t};
    d->kind->enqueue(d, XLM_STREAM_KERNELS, &w);
    assert_int_equal(d->kind->sync(d, NULL, NULL), XLM_OK);
    int sum = 0;
    for (int i = 0; i < N; i++) sum += out[i];
    assert_int_equal(t.sum, sum);
    xlm_device_memory m;
    d->kind->memory(d, &m);
    assert_true(m.host > 0);
    d->kind->close(d);
  }
}

// A pointer into the arena of `cpu-far` must not be dereferenced outside of a kernel.
static void far_is_out_of_reach(void **state) {
  (void)state;
  pid_t child = fork();
  if (!child) {
    xlm_device *d;
    void *at;
    signal(SIGSEGV, SIG_DFL);
    if (xlm_device_cpu_far.open(&(xlm_device_options){.threads = 1, .room = 1}, &d, NULL) != XLM_OK) _exit(3);
    if (d->kind->alloc(d, 64, &at, NULL) != XLM_OK) _exit(4);
    touch t = {at, 64, 0};
    d->kind->enqueue(d, XLM_STREAM_KERNELS, &(xlm_work){.run = add_up, .arg = &t});
    if (d->kind->sync(d, NULL, NULL) != XLM_OK) _exit(5);
    _exit(*(volatile char *)at);
  }
  int status;
  assert_true(waitpid(child, &status, 0) == child);
  assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGSEGV
                                  : WEXITSTATUS(status) == 1); // 1: a sanitizer's
}

// ---- time ----

typedef struct times {
  uint32_t n[XLM_STREAMS], instrs;
  int64_t all;
} times;

static void take_time(void *arg, xlm_queue queue, uint32_t instr, int64_t begin, int64_t end) {
  times *t = arg;
  t->n[queue]++, t->instrs += instr;
  t->all += end - begin;
}

static void work_is_timed(void **state) {
  (void)state;
  for (int k = 0; k < KINDS; k++) {
    xlm_comm comm = alone();
    xlm_device *d = open_device(kinds[k], 16, &comm);
    story s = {0};
    times t = {0};
    d->kind->seconds(d, take_time, &t);
    push(d, &s, XLM_STREAM_KERNELS, 1, 0), push(d, &s, XLM_STREAM_COMM, 2, 1e9);
    push(d, &s, XLM_STREAM_COMM, 4, 0); // nothing beside it: in place
    assert_int_equal(d->kind->sync(d, NULL, NULL), XLM_OK);
    d->kind->seconds(d, NULL, NULL);
    push(d, &s, XLM_STREAM_KERNELS, 8, 0);
    assert_int_equal(d->kind->sync(d, NULL, NULL), XLM_OK);
    assert_true(t.n[XLM_STREAM_KERNELS] == 2 && t.n[XLM_STREAM_COMM] == 1 && t.instrs == 7 && t.all > 0);
    d->kind->close(d);
  }
}

// ---- the executor's word ----

static xlm_status run_nothing(const xlm_call *c) {
  (void)c;
  return XLM_OK;
}
static xlm_status run_fails(const xlm_call *c) {
  return xlm_fail(c->err, XLM_ENV, "the device is out of breath");
}
static xlm_status prepare_fails(const xlm_call *c, xlm_arena *a, void **prepared, xlm_error *err) {
  (void)c, (void)a, (void)prepared;
  return xlm_fail(err, XLM_ENV, "no memory for its tables");
}

static const xlm_kernel *find_broken(const char *arch, xlm_op_id op) {
  (void)arch;
  static const xlm_kernel kernels[] = {{.op = XLM_OP_EXP, .run = run_nothing},
                                       {.op = XLM_OP_SUM, .run = run_fails},
                                       {.op = XLM_OP_MEAN, .prepare = prepare_fails, .run = run_nothing}};
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
    if (kernels[i].op == op) return &kernels[i];
  return NULL;
}

// Opens a plan of two instructions, the second `op` in line 12, and runs a step of it.
static xlm_status run_plan(const xlm_device_kind *kind, xlm_op_id op, xlm_error *err) {
  hand_plan *h = hand_plan_new(arena, 1, (const char *[]){"dp"}, (int32_t[]){1}, 1);
  hand_rank_plan *c = hand_add(h);
  uint32_t x = hand_tensor(c, "x", XLM_AREA_FB, 16), y = hand_tensor(c, "y", XLM_AREA_FB, 16);
  hand_segment(c, XLM_SEG_F);
  hand_op(c, XLM_OP_EXP, x, y, 11);
  hand_op(c, op, y, x, 12);
  hand_run(c, 0, 0, 0);
  hand_finish_all(h);
  h->p.target = (xlm_target){.backend = "broken", .arch = "any", .threads = 1, .align = 64};
  xlm_backend broken = {.info = {.name = "broken"}, .device = kind, .find = find_broken};
  xlm_exec *e = NULL;
  xlm_status s = xlm_exec_open(&h->p, 0, &broken, 1, NULL, &e, err);
  if (s == XLM_OK) s = xlm_exec_step(e, (xlm_step_env){0}, NULL, NULL, err);
  xlm_exec_close(e);
  return s;
}

static void what_fails_is_named(void **state) {
  (void)state;
  xlm_error err;
  for (int k = 0; k < KINDS; k++) {
    assert_int_equal(run_plan(kinds[k], XLM_OP_EXP, &err), XLM_OK);
    assert_int_equal(run_plan(kinds[k], XLM_OP_SUM, &err), XLM_ENV);
    assert_string_equal(err.text, "`sum` of block (m.xlm:12): the device is out of breath");
    assert_int_equal(run_plan(kinds[k], XLM_OP_MEAN, &err), XLM_ENV);
    assert_string_equal(err.text, "`mean` of block (m.xlm:12): no memory for its tables");
    assert_int_equal(run_plan(kinds[k], XLM_OP_AMAX, &err), XLM_USER);
    assert_string_equal(err.text, "`amax` of block (m.xlm:12): the broken backend has no such kernel");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(waits_are_kept),
      cmocka_unit_test(a_failure_is_told_once),
      cmocka_unit_test(memory_goes_in_and_out),
      cmocka_unit_test(far_is_out_of_reach),
      cmocka_unit_test(work_is_timed),
      cmocka_unit_test_setup_teardown(what_fails_is_named, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
