// The trace of a measured run, as written by xlmrun, compared with the plan that ran: every run of a segment,
// every operation and every message is there, in the plan's place and order, with the names of the planned
// trace.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "runtime/base/map.h"
#include "runtime/plan/mesh.h"
#include "runtime/plan/trace.h"

#define XLMRUN XLM_BINARY_DIR "/xlmrun "
#define XLMC XLM_BINARY_DIR "/xlmc "
static const char model[] = XLM_SOURCE_DIR "/models/llama.xlm --hidden-size 16 --set layers=4 --set heads=2 "
                                           "--intermediate-size 32 --vocab-size 64 --seq-length 16 "
                                           "--global-batch-size 4 --micro-batch-size 1 --threads 4 ";
static const char run_flags[] = "--max-steps 4 --eval-interval 2 --eval-batches 1 --save-interval 0 ";

static char folder[] = "/tmp/xlm_trace_XXXXXX";

static int enter_folder(void **state) {
  (void)state;
  return !mkdtemp(folder) || chdir(folder);
}

static int leave_folder(void **state) {
  char command[64];
  (void)state;
  snprintf(command, sizeof command, "rm -rf %s", folder);
  return chdir("/") || system(command);
}

static int status_of(const char *format, ...) XLM_PRINTF(1, 2);
static int status_of(const char *format, ...) {
  char command[2048];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(command, sizeof command, format, args);
  va_end(args);
  assert_true(n < (int)sizeof command);
  int s = system(command);
  return WIFEXITED(s) ? WEXITSTATUS(s) : -1;
}

// ---- the plan and the file ----

static xlm_map read_whole(const char *path) {
  xlm_map m;
  xlm_error err = {0};
  if (xlm_map_open(path, &m, &err) != XLM_OK) fail_msg("%s", err.text);
  return m;
}

static const xlm_plan *plan_of(xlm_arena *a, const char *layout) {
  const xlm_plan *p;
  xlm_error err = {0};
  assert_int_equal(status_of(XLMC "plan %s %s --format json --output plan.json", model, layout), 0);
  xlm_map m = read_whole("plan.json");
  if (xlm_plan_read_json(a, (const char *)m.data, m.n, &p, &err) != XLM_OK) fail_msg("%s", err.text);
  xlm_map_close(&m);
  return p;
}

typedef struct slice {
  int64_t begin, end; // nanoseconds
  char name[96], category[16];
} slice;

typedef struct track {
  char name[48];
  slice *at;
  int n;
} track;

typedef struct arrow_end {
  int64_t id, tid, at;
} arrow_end;

enum { MOST = 1 << 17, TRACKS = 64 };

typedef struct view { // one process of a trace
  track tracks[TRACKS];
  arrow_end *sent, *received;
  int n_sent, n_received, marks;
  char process[64];
} view;

static int64_t ns_of(const json_t *event, const char *key) {
  return (int64_t)(json_number_value(json_object_get(event, key)) * 1000 + 0.5);
}

static const char *text_of(const json_t *event, const char *key) {
  const char *s = json_string_value(json_object_get(event, key));
  return s ? s : "";
}

static void take_slice(track *k, const json_t *event) {
  if (!k->at) k->at = calloc(MOST, sizeof *k->at);
  assert_true(k->n < MOST);
  slice *s = &k->at[k->n++];
  *s = (slice){.begin = ns_of(event, "ts")};
  s->end = s->begin + ns_of(event, "dur");
  snprintf(s->name, sizeof s->name, "%s", text_of(event, "name"));
  snprintf(s->category, sizeof s->category, "%s", text_of(event, "cat"));
  assert_true(s->begin >= 0 && s->end >= s->begin);
}

static void take_event(view *v, const json_t *event) {
  int64_t tid = json_integer_value(json_object_get(event, "tid"));
  char phase = *text_of(event, "ph");
  assert_true(tid >= 0 && tid < TRACKS);
  if (phase == 'X') take_slice(&v->tracks[tid], event);
  if (phase == 'i') v->marks++;
  if (phase == 'M' && !strcmp(text_of(event, "name"), "thread_name"))
    snprintf(v->tracks[tid].name, sizeof v->tracks[tid].name, "%s",
             text_of(json_object_get(event, "args"), "name"));
  if (phase == 'M' && !strcmp(text_of(event, "name"), "process_name"))
    snprintf(v->process, sizeof v->process, "%s", text_of(json_object_get(event, "args"), "name"));
  arrow_end e = {json_integer_value(json_object_get(event, "id")), tid, ns_of(event, "ts")};
  assert_true(v->n_sent < MOST && v->n_received < MOST);
  if (phase == 's') v->sent[v->n_sent++] = e;
  if (phase == 'f') v->received[v->n_received++] = e;
}

static view *read_trace(const char *path, xlm_trace_source source) {
  json_error_t why;
  json_t *top = json_load_file(path, 0, &why), *event;
  if (!top) fail_msg("%s:%d: %s", path, why.line, why.text);
  view *v = calloc(1, sizeof *v);
  size_t i;
  v->sent = calloc(MOST, sizeof *v->sent);
  v->received = calloc(MOST, sizeof *v->received);
  json_array_foreach(json_object_get(top, "traceEvents"), i, event) {
    if (json_integer_value(json_object_get(event, "pid")) == source) take_event(v, event);
  }
  json_decref(top);
  return v;
}

static void free_view(view *v) {
  for (int i = 0; i < TRACKS; i++) free(v->tracks[i].at);
  free(v->sent);
  free(v->received);
  free(v);
}

// ---- what must hold ----

static bool is_op(const slice *s) {
  return !strcmp(s->category, "op");
}

static const xlm_rank_plan *rank_plan(const xlm_plan *p, int64_t rank) {
  return p->rank_plans[p->rank_plan_of[rank]];
}

static const char *expected_name(const xlm_rank_plan *r, int entry, int chunks, char out[32]) {
  const xlm_segment_run *run = &r->schedule[entry];
  const xlm_segment *g = &r->segments[run->segment];
  int n = snprintf(out, 32, "%s", xlm_segment_name(g->kind));
  if (run->microbatch >= 0) n += snprintf(out + n, 32 - (size_t)n, " %d", run->microbatch);
  if (run->microbatch >= 0 && chunks > 1) snprintf(out + n, 32 - (size_t)n, ".%d", g->chunk);
  return out;
}

// The runs of a rank: those of its schedule in order, `steps` times.
static void check_runs(const track *k, const xlm_rank_plan *r, int chunks, int steps) {
  int n = 0;
  int64_t last = 0;
  for (int i = 0; i < k->n; i++) {
    char want[32];
    if (is_op(&k->at[i])) continue;
    assert_string_equal(k->at[i].name, expected_name(r, n++ % (int)r->n_schedule, chunks, want));
    assert_true(k->at[i].begin >= last);
    last = k->at[i].end;
  }
  assert_int_equal(n, (int)r->n_schedule * steps);
}

static const slice *slice_at(const track *k, int64_t at, bool op) { // the innermost
  const slice *found = NULL;
  for (int i = 0; i < k->n; i++)
    if (is_op(&k->at[i]) == op && k->at[i].begin <= at && at < k->at[i].end) found = &k->at[i];
  return found;
}

// Its operations, here and on the communication track: each as often as its segment runs, within a run.
static uint64_t count_ops(const track *of, const track *runs) {
  uint64_t n = 0;
  for (int i = 0; i < of->n; i++) {
    if (!is_op(&of->at[i])) continue;
    const slice *run = slice_at(runs, of->at[i].begin, false);
    n++;
    if (!run || of->at[i].end > run->end) fail_msg("%s: %s lies in no segment", of->name, of->at[i].name);
  }
  return n;
}

static void check_ops(const track *k, const track *beside, const xlm_rank_plan *r, int steps) {
  uint64_t want = 0;
  for (uint32_t i = 0; i < r->n_schedule; i++)
    want += (uint64_t)r->segments[r->schedule[i].segment].n * (uint64_t)steps;
  assert_int_equal(count_ops(k, k) + count_ops(beside, k), want);
}

static int count_sends(const xlm_plan *p) {
  int n = 0;
  for (uint32_t rank = 0; rank < p->n_ranks; rank++) {
    const xlm_rank_plan *r = rank_plan(p, rank);
    for (uint32_t i = 0; i < r->n_schedule; i++) {
      const xlm_segment *g = &r->segments[r->schedule[i].segment];
      for (uint32_t k = g->first; k < g->first + g->n; k++) n += r->instrs[k].op == XLM_OP_SEND;
    }
  }
  return n;
}

static void check_end(const view *v, const arrow_end *e, const char *op) {
  const slice *s = slice_at(&v->tracks[e->tid], e->at, true);
  if (!s || strncmp(s->name, op, strlen(op)) != 0)
    fail_msg("an arrow's end lies in '%s' and not in a %s", s ? s->name : "nothing", op);
}

// Arrows go from a send to a receive of the same model line's value, forward in time, between stages.
static void check_arrows(const view *v, const xlm_plan *p, int steps) {
  assert_int_equal(v->n_sent, count_sends(p) * steps);
  assert_int_equal(v->n_received, v->n_sent);
  for (int i = 0; i < v->n_sent; i++) {
    const arrow_end *s = &v->sent[i], *r = &v->received[i];
    assert_int_equal(s->id, r->id);
    for (int k = 0; k < i; k++) assert_int_not_equal(v->sent[k].id, s->id);
    assert_true(s->at <= r->at);
    assert_int_not_equal(rank_plan(p, s->tid / XLM_STREAMS)->stage,
                         rank_plan(p, r->tid / XLM_STREAMS)->stage);
    check_end(v, s, "send");
    check_end(v, r, "recv");
  }
}

static void check_measured(const char *path, const xlm_plan *p, int steps, bool beside) {
  view *v = read_trace(path, XLM_TRACE_MEASURED);
  assert_string_equal(v->process, "measured llama");
  assert_int_equal(v->marks, steps);
  for (uint32_t rank = 0; rank < p->n_ranks; rank++) {
    char name[48];
    const track *k = &v->tracks[rank * XLM_STREAMS];
    snprintf(name, sizeof name, "rank %u, stage %d", rank, rank_plan(p, rank)->stage);
    assert_string_equal(k->name, name);
    check_runs(k, rank_plan(p, rank), xlm_trace_chunks(p), steps);
    check_ops(k, k + 1, rank_plan(p, rank), steps);
    assert_true(!beside || (k[1].n && strstr(k[1].name, " communication")));
  }
  check_arrows(v, p, steps);
  free_view(v);
}

// The planned step has, for the ranks it shows, the tracks and slices of the measured one, in the same order.
static void check_overlay(const char *planned_path, const char *measured_path) {
  view *p = read_trace(planned_path, XLM_TRACE_PLANNED), *m = read_trace(measured_path, XLM_TRACE_MEASURED);
  int shown = 0;
  assert_string_equal(p->process, "planned llama");
  for (int i = 0; i < TRACKS; i += XLM_STREAMS) {
    const track *x = &p->tracks[i], *y = &m->tracks[i];
    int at = 0;
    if (!x->n) continue;
    shown++;
    assert_string_equal(x->name, y->name);
    for (int k = 0; k < x->n; k++) {
      if (is_op(&x->at[k])) continue;
      while (at < y->n && is_op(&y->at[at])) at++;
      assert_true(at < y->n);
      assert_string_equal(x->at[k].name, y->at[at++].name);
    }
  }
  assert_true(shown > 1);
  free_view(p);
  free_view(m);
}

// ---- tests ----

static bool has_mpi(void) {
  return !status_of("command -v mpirun >/dev/null && ldd " XLMRUN "| grep -q libmpi");
}

// launch: what stands before the command, as "mpirun -n N"
static int train(const char *launch, const char *layout, const char *more) {
  return status_of("%s " XLMRUN
                   "train %s --data synthetic %s %s %s --output-dir out --overwrite >log.txt 2>&1",
                   launch, model, layout, run_flags, more);
}

static void traced(const char *layout, const char *launch) {
  xlm_arena *a = xlm_arena_new((size_t)1 << 30);
  assert_non_null(a);
  const xlm_plan *p = plan_of(a, layout);
  int code = train(launch, layout, "--trace t.json --cluster " XLM_SOURCE_DIR "/clusters/cpu.yaml");
  if (code)
    fail_msg("%s %s: exit code %d: %s", launch, layout, code, (const char *)read_whole("log.txt").data);
  check_measured("t.json", p, 2, strstr(launch, "always"));
  assert_int_equal(access("t.json.partial", F_OK), -1);
  assert_int_equal(status_of(XLMC "plan %s %s --cluster " XLM_SOURCE_DIR
                                  "/clusters/cpu.yaml --trace planned.json >log.txt",
                             model, layout),
                   0);
  check_overlay("planned.json", "t.json");                      // two files
  check_overlay("t.json", "t.json");                            // in one
  assert_int_equal(train(launch, layout, "--trace m.json"), 0); // as the documents join two
  assert_int_equal(status_of("(head -n -1 planned.json; echo ,; tail -n +2 m.json) >both.json"), 0);
  check_measured("both.json", p, 2, false);
  check_overlay("both.json", "both.json");
  xlm_arena_free(a);
}

static void ranks_that_are_threads(void **state) {
  (void)state;
  traced("--pp 2 --tp 2", "");
  traced("--pp 2 --tp 2", "XLM_COMM_THREAD=always"); // with communication beside kernels
  traced("--pp 2 --dp 2 --pipeline-schedule zb-h1 --zero 1 --micro-batch-size 1", "");
  traced("--pp 2 --pipeline-schedule interleaved", "");
}

static void ranks_that_are_processes(void **state) {
  (void)state;
  if (!has_mpi()) skip();
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
  setenv("ASAN_OPTIONS", "detect_leaks=0", 1); // MPI keeps what it allocates
  traced("--pp 2 --tp 2", "timeout 60 mpirun -n 4");
}

static void a_run_that_ends_early_gives_what_it_had(void **state) {
  (void)state;
  xlm_arena *a = xlm_arena_new((size_t)1 << 30);
  const xlm_plan *p = plan_of(a, "--pp 2");
  assert_int_equal(train("", "--pp 2", "--trace new/folder/t.json --trace-steps 4:9"), 0);
  check_measured("new/folder/t.json", p, 1, false);
  assert_int_equal(status_of(XLMRUN "bench %s --pp 2 --steps 2 --warmup 1 --trace b.json >log.txt", model),
                   0);
  check_measured("b.json", p, 2, false);
  xlm_arena_free(a);
}

static void refused(const char *flags, const char *message) {
  int code = train("", "--pp 2", flags);
  xlm_map log = read_whole("log.txt");
  char *text = calloc(1, log.n + 1);
  memcpy(text, log.data, log.n);
  xlm_map_close(&log);
  if (!code || !strstr(text, message)) fail_msg("%s: exit code %d: %s", flags, code, text);
  assert_null(strstr(text, "step 1/")); // before the first step
  free(text);
}

static void mistakes_are_found_before_the_first_step(void **state) {
  (void)state;
  refused("--trace .", "--trace: cannot create '.': it is a folder");
  refused("--trace /proc/t.json", "--trace: cannot create '/proc/t.json.partial': ");
  refused("--trace x.json --trace-steps 3:2", "'3:2' is no range of steps");
  refused("--trace x.json --trace-steps 0", "'0' is no range of steps");
  refused("--trace x.json --trace-steps 2:x", "'2:x' is no range of steps");
  refused("--trace x.json --trace-steps 1:2000", "are too many to keep");
  refused("--trace x.json --trace-steps 5", "would begin with step 5 and this run has 4");
  refused("--trace x.json --cluster nothing", "cannot read `nothing`");
  refused("--cluster cpu", "--cluster goes with --trace FILE");
  assert_int_equal(access("x.json", F_OK), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ranks_that_are_threads),
      cmocka_unit_test(ranks_that_are_processes),
      cmocka_unit_test(a_run_that_ends_early_gives_what_it_had),
      cmocka_unit_test(mistakes_are_found_before_the_first_step),
  };
  return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
