// The table's calls; see fake_cuda.h. Codes are those of cudaError_t.
#include "tests/fake_cuda/fake_priv.h"

#include <cstdlib>
#include <cstring>
#include <set>
#include <unistd.h>

#include "runtime/base/clock.h"

using namespace fake;

enum { INVALID = 1, NO_MEMORY = 2, NO_CARD = 100, FAILED = 719, CAPTURE_UNSUPPORTED = 900, CAPTURE_UNJOINED = 904,
       CAPTURE_ISOLATION = 905 };

enum { GRAPH_LANES = 2 };

struct capture { // under way
  CUstream_st *origin;
  std::vector<CUstream_st *> queues; // captured, the origin first
  std::vector<CUevent_st *> events;  // recorded in it
  struct CUgraphExec_st *graph;
  bool broken = false;
};

struct CUgraphExec_st {
  struct node {
    int lane; // 0: the origin's
    std::shared_ptr<work> does;
    moment after; // of the graph's lanes
  };
  std::vector<node> nodes;
};

struct CUstream_st {
  int lane, beside; // the second for graphs; -1: none yet
  moment at;        // all that was put here, and waited for
  std::string announced = "a launch";
  std::vector<range> touches;
  capture *in = NULL;
  int graph_lane = 0;
  moment graph_at;
};

struct CUevent_st {
  bool timed, recorded = false;
  moment at;
  capture *in = NULL;
  std::shared_ptr<int64_t> passed; // when
};

namespace {

std::set<const void *> known; // queues, events, graphs
std::set<CUgraphExec_st *> graphs; // also those that are being captured
std::map<uintptr_t, size_t> card, pinned;
int64_t launches, asked, made; // made: graphs that are open
thread_local capture *capturing;

typedef std::lock_guard<std::recursive_mutex> guard;

int code() { return error() ? FAILED : 0; }
int wrong_use(const std::string &what) {
  fail(what);
  return INVALID;
}
bool is_known(const void *p) { return known.count(p) != 0; }

// What the host may not do while it captures. The capture is lost.
int forbid(const char *what) {
  if (capturing) capturing->broken = true;
  fail(std::string(what) + " while a graph is captured");
  return CAPTURE_UNSUPPORTED;
}

bool within(const std::map<uintptr_t, size_t> &all, const void *at, size_t bytes) {
  auto i = all.upper_bound((uintptr_t)at);
  if (i == all.begin()) return false;
  --i;
  return (uintptr_t)at + bytes <= i->first + i->second;
}

// The host waits, without an end if others do not come.
void wait_until(const moment &m, const void *on) {
  while (!run_until(m)) {
    waits(on);
    lock.unlock();
    usleep(100);
    lock.lock();
  }
  goes_on(on);
}

int ask(const moment &m, const void *on) {
  if (run_until(m)) return goes_on(on), code();
  waits(on);
  return XLM_CUDA_NOT_READY;
}

// ---- the machine

int cards_of_test() { // XLM_FAKE_CARDS: of the machine
  const char *text = getenv("XLM_FAKE_CARDS");
  return text ? atoi(text) : 1;
}

struct {
  int driver = 13000, cards = cards_of_test(), major = 9;
} machine;

int versions(int *driver, int *runtime) {
  *driver = machine.driver, *runtime = 13000;
  return 0;
}
int count(int *cards) {
  *cards = machine.cards;
  return machine.cards ? 0 : NO_CARD;
}
size_t memory_of_test();
int use(int) { return 0; }
int card_of(int index, xlm_cuda_card *out) {
  memset(out, 0, sizeof *out);
  out->id[0] = (char)(1 + index);
  snprintf(out->name, sizeof out->name, "no card");
  out->major = machine.major, out->minor = 0, out->memory = memory_of_test();
  return 0;
}

// ---- memory

enum { CONTEXT = 256 << 20, GRAPH = 64 << 10 }; // what a card gives to the driver

size_t memory_of_test() { // XLM_FAKE_MEMORY: of a card, in MiB
  const char *text = getenv("XLM_FAKE_MEMORY");
  return (text ? (size_t)atoll(text) : 8 << 10) << 20;
}

int64_t taken() {
  int64_t n = 0;
  for (const auto &b : card) n += (int64_t)b.second;
  return n;
}

int memory(size_t *unused, size_t *all) {
  guard g(lock);
  if (capturing) return forbid("memory is asked for");
  *all = memory_of_test();
  *unused = *all - CONTEXT - (size_t)taken() - (size_t)made * GRAPH;
  return code();
}

int alloc_of(std::map<uintptr_t, size_t> &of, void **out, size_t bytes, size_t align) {
  guard g(lock);
  if (capturing) return forbid("memory is taken");
  asked++;
  if (&of == &card && (size_t)taken() + CONTEXT + bytes > memory_of_test()) return NO_MEMORY;
  if (posix_memalign(out, align, (bytes + align - 1) / align * align)) return NO_MEMORY;
  memset(*out, 0xa5, bytes); // nothing is zero by itself
  of[(uintptr_t)*out] = bytes;
  return code();
}

int free_of(std::map<uintptr_t, size_t> &of, void *at) {
  guard g(lock);
  if (capturing) return forbid("memory is given back");
  auto i = of.find((uintptr_t)at);
  if (i == of.end()) return wrong_use("memory is given back that was never taken");
  forget_bytes(i->first, i->first + i->second);
  of.erase(i);
  free(at);
  return code();
}

int alloc(void **out, size_t bytes) { return alloc_of(card, out, bytes, 256); }
int release(void *at) { return free_of(card, at); }
int alloc_pinned(void **out, size_t bytes) { return alloc_of(pinned, out, bytes, 4096); }
int free_pinned(void *at) { return free_of(pinned, at); }

int copy(void *to, const void *from, size_t bytes, xlm_cuda_way way, xlm_cuda_queue q) {
  guard g(lock);
  if (!is_known(q)) return wrong_use("a copy on a queue that is not open");
  const auto &from_of = way == XLM_CUDA_TO_CARD ? pinned : card, &to_of = way == XLM_CUDA_TO_HOST ? pinned : card;
  if (!within(from_of, from, bytes)) return wrong_use("a copy from where it may not read");
  if (!within(to_of, to, bytes)) return wrong_use("a copy to where it may not write");
  uintptr_t f = (uintptr_t)from, t = (uintptr_t)to;
  put_on(q, std::make_shared<work>(work{"a copy of " + q->announced, {{f, f + bytes, false}, {t, t + bytes, true}}, [=] {
                                          memmove(to, from, bytes);
                                          return (const char *)NULL;
                                        }}));
  return code();
}

int fill(void *to, int byte, size_t bytes, xlm_cuda_queue q) {
  guard g(lock);
  if (!is_known(q)) return wrong_use("a fill on a queue that is not open");
  if (!within(card, to, bytes)) return wrong_use("a fill of what is not the card's memory");
  uintptr_t t = (uintptr_t)to;
  put_on(q, std::make_shared<work>(work{"a fill", {{t, t + bytes, true}}, [=] {
                                          memset(to, byte, bytes);
                                          return (const char *)NULL;
                                        }}));
  return code();
}

// ---- queues and events

int open_queue(xlm_cuda_queue *out, bool) {
  guard g(lock);
  *out = new CUstream_st;
  (*out)->lane = take_lane(), (*out)->beside = -1;
  (*out)->at = host();
  known.insert(*out);
  return code();
}

int close_queue(xlm_cuda_queue q) {
  guard g(lock);
  if (!known.erase(q)) return wrong_use("a queue is closed that is not open");
  wait_until(q->at, q);
  give_lane(q->lane);
  if (q->beside >= 0) give_lane(q->beside);
  delete q;
  return code();
}

int finish(xlm_cuda_queue q) {
  guard g(lock);
  if (!is_known(q)) return wrong_use("the host waits for a queue that is not open");
  if (q->in || capturing) return forbid("the host waits");
  wait_until(q->at, q);
  return code();
}

int idle(xlm_cuda_queue q) {
  guard g(lock);
  if (!is_known(q)) return wrong_use("the host asks for a queue that is not open");
  if (q->in || capturing) return forbid("the host asks for a queue");
  return ask(q->at, q);
}

int open_event(xlm_cuda_event *out, bool timed) {
  guard g(lock);
  *out = new CUevent_st;
  (*out)->timed = timed;
  (*out)->passed = std::make_shared<int64_t>(0);
  known.insert(*out);
  return code();
}

int close_event(xlm_cuda_event e) {
  guard g(lock);
  if (!known.erase(e)) return wrong_use("an event is closed that is not open");
  delete e;
  return code();
}

int record(xlm_cuda_event e, xlm_cuda_queue q) {
  guard g(lock);
  if (!is_known(e) || !is_known(q)) return wrong_use("an event is recorded and it, or its queue, is not open");
  e->in = q->in, e->recorded = true;
  if (q->in) {
    e->at = q->graph_at;
    q->in->events.push_back(e);
    return code();
  }
  std::shared_ptr<int64_t> passed = e->passed = std::make_shared<int64_t>(0);
  if (e->timed)
    put_on(q, std::make_shared<work>(work{"an event", {}, [passed] {
                                            *passed = xlm_clock_ns();
                                            return (const char *)NULL;
                                          }}));
  e->at = q->at;
  return code();
}

int wait_event(xlm_cuda_queue q, xlm_cuda_event e) {
  guard g(lock);
  if (!is_known(e) || !is_known(q)) return wrong_use("a queue waits and it, or the event, is not open");
  if (!e->recorded) return wrong_use("a queue waits for an event that was never recorded");
  if (q->in && q->in != e->in) {
    q->in->broken = true;
    return fail("a captured queue waits for an event from outside of the capture"), CAPTURE_ISOLATION;
  }
  if (!e->in) return join(q->at, e->at), code();
  if (!q->in) { // it becomes part of the capture
    q->in = e->in, q->graph_lane = (int)e->in->queues.size(), q->graph_at = moment{};
    if (q->graph_lane >= GRAPH_LANES) return wrong_use("a capture of more queues than this runtime has room for");
    e->in->queues.push_back(q);
  }
  join(q->graph_at, e->at);
  return code();
}

int reach(xlm_cuda_event e) {
  guard g(lock);
  if (!is_known(e) || !e->recorded) return wrong_use("the host waits for an event that is not open or never recorded");
  if (e->in || capturing) return forbid("the host waits");
  wait_until(e->at, e);
  return code();
}

int passed(xlm_cuda_event e) {
  guard g(lock);
  if (!is_known(e) || !e->recorded) return wrong_use("the host asks for an event that is not open or never recorded");
  if (e->in || capturing) return forbid("the host asks for an event");
  return ask(e->at, e);
}

int elapsed(float *ms, xlm_cuda_event from, xlm_cuda_event to) {
  guard g(lock);
  if (!is_known(from) || !is_known(to) || !from->timed || !to->timed) return wrong_use("the time between untimed events");
  if (!*from->passed || !*to->passed) return wrong_use("the time between events that are not passed");
  *ms = (float)((double)(*to->passed - *from->passed) * 1e-6);
  return code();
}

// ---- graphs

int begin_capture(xlm_cuda_queue q) {
  guard g(lock);
  if (!is_known(q) || q->in || capturing) return wrong_use("a capture begins within a capture");
  q->in = capturing = new capture{q, {q}, {}, new CUgraphExec_st};
  graphs.insert(capturing->graph);
  q->graph_lane = 0, q->graph_at = moment{};
  return code();
}

int end_capture(xlm_cuda_queue q, xlm_cuda_graph *out) {
  guard g(lock);
  *out = NULL;
  capture *c = capturing;
  if (!c || c->origin != q) return wrong_use("a capture ends that was not begun here");
  bool joined = true;
  for (const CUstream_st *other : c->queues) {
    size_t lane = (size_t)other->graph_lane;
    joined &= q->graph_at[lane] == other->graph_at[lane];
  }
  for (CUstream_st *other : c->queues) other->in = NULL;
  for (CUevent_st *e : c->events)
    if (is_known(e) && e->in == c) e->in = NULL, e->recorded = false;
  capturing = NULL;
  bool good = joined && !c->broken;
  if (good) *out = c->graph, known.insert(c->graph), made++;
  if (!joined) fail("a capture ends with a queue that was not joined");
  if (!good) graphs.erase(c->graph), delete c->graph;
  delete c;
  return good ? code() : CAPTURE_UNJOINED;
}

int launch(xlm_cuda_graph graph, xlm_cuda_queue q) {
  guard g(lock);
  if (!is_known(graph) || !is_known(q)) return wrong_use("a graph is launched and it, or the queue, is not open");
  if (q->in) return wrong_use("a graph is launched while one is captured");
  if (q->beside < 0) q->beside = take_lane();
  launches++;
  join(q->at, host());
  // Where the graph's lanes begin, and what each of their operations has become.
  moment begin = q->at, lanes_at[GRAPH_LANES] = {q->at, q->at};
  std::vector<moment> ended[GRAPH_LANES];
  for (const auto &n : graph->nodes) {
    moment after = begin;
    for (size_t lane = 0; lane < GRAPH_LANES; lane++)
      if (n.after[lane]) join(after, ended[lane][n.after[lane] - 1]);
    join(after, lanes_at[n.lane]);
    append(n.lane ? q->beside : q->lane, n.does, after);
    lanes_at[n.lane] = after;
    ended[n.lane].push_back(after);
  }
  join(q->at, lanes_at[0]), join(q->at, lanes_at[1]);
  return code();
}

int close_graph(xlm_cuda_graph graph) {
  guard g(lock);
  if (!known.erase(graph)) return wrong_use("a graph is closed that is not open");
  graphs.erase(graph), made--;
  delete graph;
  return code();
}

const char *text(int rc) { return error() ? error() : rc == NO_MEMORY ? "out of memory" : rc == NO_CARD ? "no device" : "no error is known"; }
int last_error() { return 0; }

// ---- what instructions touch

void add_range(CUstream_st *q, const void *at, size_t bytes, bool writes) {
  if (at && bytes) q->touches.push_back({(uintptr_t)at, (uintptr_t)at + bytes, writes});
}

void add_call(CUstream_st *q, const xlm_call *c, bool first) {
  if (first)
    q->announced += std::string(" (") + xlm_op_name(c->instr->op) + " of " + (c->instr->scope ? c->instr->scope : "") + ")";
  for (int i = 0; i < c->instr->n_in; i++) add_range(q, c->in[i], xlm_type_bytes(c->in_type[i], c->dims), false);
  for (int i = 0; i < c->instr->n_out; i++) add_range(q, c->out[i], xlm_type_bytes(c->out_type[i], c->dims), true);
  add_range(q, c->workspace, c->instr->workspace, true);
}

void announce(xlm_cuda_queue q, const xlm_work *w) {
  guard g(lock);
  q->touches.clear();
  q->announced = "instruction " + std::to_string(w->instr);
  for (int i = 0; i < w->n_calls; i++) add_call(q, w->calls[i], i == 0);
}

} // namespace

namespace fake {

bool is_on_card(const void *at, size_t bytes) { return within(card, at, bytes); }
bool is_open(xlm_cuda_queue q) { return is_known(q); }
const std::string &announced(xlm_cuda_queue q) { return q->announced; }
bool is_in_a_graph(const work *w) {
  for (const CUgraphExec_st *g : graphs)
    for (const auto &n : g->nodes)
      if (n.does.get() == w) return true;
  return false;
}

void put_on(CUstream_st *q, std::shared_ptr<work> w) {
  if (q->in) {
    q->in->graph->nodes.push_back({q->graph_lane, w, q->graph_at});
    q->graph_at[(size_t)q->graph_lane]++;
    return;
  }
  join(q->at, host());
  append(q->lane, w, q->at);
}

} // namespace fake

void fake_cuda_enqueue(xlm_cuda_queue q, const char *what, const char *(*run)(void *), void (*drop)(void *), void *arg) {
  guard g(lock);
  std::shared_ptr<void> mine(arg, [drop](void *p) {
    if (drop) drop(p);
  });
  put_on(q, std::make_shared<work>(work{std::string(what) + " of " + q->announced, q->touches, [run, mine] {
                                          return run ? run(mine.get()) : NULL;
                                        }}));
}

extern "C" const char *emu_enqueue(void *stream, const char *kernel, const char *(*run)(void *), void (*drop)(void *),
                                   void *pending) {
  fake_cuda_enqueue((xlm_cuda_queue)stream, kernel, run, drop, pending);
  return NULL;
}

void fake_cuda_reset(uint64_t seed) {
  guard g(lock);
  restart(seed);
}
void fake_cuda_pretend(int driver, int cards, int major) {
  machine.driver = driver, machine.cards = cards, machine.major = major;
}
const char *fake_cuda_error(void) {
  guard g(lock);
  return error();
}
int64_t fake_cuda_taken(void) {
  guard g(lock);
  return taken();
}
int64_t fake_cuda_largest(void) {
  guard g(lock);
  int64_t most = 0;
  for (const auto &b : card)
    if ((int64_t)b.second > most) most = (int64_t)b.second;
  return most;
}
int64_t fake_cuda_asked(void) {
  guard g(lock);
  return asked;
}
int64_t fake_cuda_open(void) {
  guard g(lock);
  return (int64_t)known.size();
}
int64_t fake_cuda_waiting(void) {
  guard g(lock);
  return waiting_operations();
}
int64_t fake_cuda_launches(void) {
  guard g(lock);
  return launches;
}

extern const xlm_cuda_runtime fake_cuda;
const xlm_cuda_runtime fake_cuda = {
    versions, count,  use,  card_of,    memory,      alloc,  release,     alloc_pinned, free_pinned, open_queue, close_queue,
    finish,   idle,   open_event, close_event, record, wait_event, reach, passed,    elapsed,     copy,       fill,
    begin_capture, end_capture, launch, close_graph, text, last_error, announce};

extern "C" {
extern const xlm_cuda_runtime *const xlm_cuda_runtime_here;
const xlm_cuda_runtime *const xlm_cuda_runtime_here = &fake_cuda;
}
