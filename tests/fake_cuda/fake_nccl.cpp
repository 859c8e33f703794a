// See fake_nccl.h. A clique is what all members of a communicator share; a transfer is one send or receive, a
// group what one group call enqueues.
#include "tests/fake_cuda/fake_nccl.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "tests/fake_cuda/fake_priv.h"

using namespace fake;

namespace {

enum { REMOTE_ERROR = 6, INVALID = 4, BLOCKING = 0 };

struct group;

struct transfer {
  group *of;
  bool sends;
  char *data;
  size_t bytes;
  int type, peer;
};

struct split_call { // of one member
  bool made = false;
  int color = 0, key = 0;
  nccl_comm *out = NULL;
};

struct clique {
  int n, came = 0, finalized = 0;
  std::vector<nccl_comm> members;
  std::vector<std::deque<transfer>> sends, recvs; // [from * n + to] that have no partner yet
  std::vector<std::vector<split_call>> splits;    // in order; of each member
  explicit clique(int size) : n(size), members((size_t)size), sends((size_t)(size * size)), recvs((size_t)(size * size)) {}
};

} // namespace

struct ncclComm {
  std::shared_ptr<clique> in;
  int rank, world_rank;
  bool ready = false, finalizing = false, counted_final = false, aborted = false;
  size_t splits = 0; // calls so far
  bool splitting = false;
  std::shared_ptr<work> late; // enqueued when it is asked
  xlm_cuda_queue late_on = NULL;
};

namespace {

struct group {
  nccl_comm comm;
  std::shared_ptr<clique> in;
  xlm_cuda_queue q;
  std::string what;
  std::vector<transfer> parts;
  std::weak_ptr<work> does;
  size_t left = 0;
  bool aborted = false;
};

typedef std::lock_guard<std::recursive_mutex> guard;

int version = 22809, broken = -1;
int64_t groups_run;
std::set<nccl_comm> known;
std::map<std::string, std::weak_ptr<clique>> worlds;
thread_local int depth;
thread_local std::vector<std::pair<nccl_comm, std::pair<xlm_cuda_queue, transfer>>> calls;

int wrong(const std::string &what) {
  fail("NCCL: " + what);
  return INVALID;
}

std::string name(const group &g) { return "rank " + std::to_string(g.comm->world_rank) + " in " + g.what; }

// ---- transfers

void meet(clique &c, int from, int to) {
  auto &s = c.sends[(size_t)(from * c.n + to)], &r = c.recvs[(size_t)(from * c.n + to)];
  while (!s.empty() && !r.empty()) {
    transfer a = s.front(), b = r.front();
    s.pop_front(), r.pop_front();
    if (a.bytes != b.bytes || a.type != b.type)
      fail("NCCL: " + name(*a.of) + " sends " + std::to_string(a.bytes) + " bytes of type " + std::to_string(a.type) + ", and " +
           name(*b.of) + " receives " + std::to_string(b.bytes) + " of type " + std::to_string(b.type));
    else
      memcpy(b.data, a.data, a.bytes);
    a.of->left--, b.of->left--;
    happened();
  }
}

const char *post(const std::shared_ptr<group> &g) {
  g->left = g->parts.size();
  groups_run++;
  if (g->aborted || g->comm->world_rank == broken) return NULL; // it goes on and on
  for (const transfer &t : g->parts) {
    int from = t.sends ? g->comm->rank : t.peer, to = t.sends ? t.peer : g->comm->rank;
    auto &list = t.sends ? g->in->sends : g->in->recvs;
    list[(size_t)(from * g->in->n + to)].push_back(t);
    meet(*g->in, from, to);
  }
  return NULL;
}

bool ended(const std::shared_ptr<group> &g) { return g->aborted || !g->left; }

bool overlaps(const transfer &a, const transfer &b) { return a.data < b.data + b.bytes && b.data < a.data + a.bytes; }

int check_group(const group &g) {
  for (const transfer &t : g.parts) {
    if (!is_on_card(t.data, t.bytes)) return wrong(name(g) + " uses memory that is not the card's");
    if (t.peer < 0 || t.peer >= g.in->n || t.peer == g.comm->rank) return wrong(name(g) + " has no such peer");
    for (const transfer &o : g.parts)
      if (&o != &t && !t.sends && overlaps(o, t)) return wrong(name(g) + " receives where the same group reads or receives");
  }
  return NCCL_OK;
}

std::shared_ptr<work> work_of(const std::shared_ptr<group> &g) {
  std::vector<range> touches;
  for (transfer &t : g->parts) {
    t.of = g.get();
    touches.push_back({(uintptr_t)t.data, (uintptr_t)t.data + t.bytes, !t.sends});
  }
  auto w = std::make_shared<work>(work{"NCCL, " + name(*g), touches, [g] { return post(g); }, [g] { return ended(g); }});
  g->does = w;
  return w;
}

std::vector<std::weak_ptr<group>> all_groups;
size_t prune_at = 1000;

void remember(const std::shared_ptr<group> &g) {
  all_groups.push_back(g);
  if (all_groups.size() < prune_at) return;
  auto gone = [](const std::weak_ptr<group> &w) { return w.expired(); };
  all_groups.erase(std::remove_if(all_groups.begin(), all_groups.end(), gone), all_groups.end());
  prune_at = 2 * all_groups.size() + 1000;
}

int end_group() {
  auto list = std::move(calls);
  calls.clear();
  if (list.empty()) return NCCL_OK;
  auto g = std::make_shared<group>();
  g->comm = list[0].first, g->q = list[0].second.first;
  for (auto &call : list) {
    if (call.first != g->comm || call.second.first != g->q) return wrong("a group over more than one communicator or queue");
    g->parts.push_back(call.second.second);
  }
  if (!known.count(g->comm) || !is_open(g->q)) return wrong("a communicator or queue that is not open");
  g->in = g->comm->in, g->what = announced(g->q);
  if (!g->comm->ready || g->comm->late || g->comm->splitting || g->comm->finalizing)
    return wrong("a communicator is used while it is in progress");
  int rc = check_group(*g);
  if (rc) return rc;
  remember(g);
  if (next_random() % 2) {
    g->comm->late = work_of(g), g->comm->late_on = g->q;
    return NCCL_IN_PROGRESS;
  }
  put_on(g->q, work_of(g));
  return NCCL_OK;
}

int call(bool sends, const void *data, size_t n, int type, int peer, nccl_comm c, xlm_cuda_queue q) {
  if (!depth) return wrong("a send or receive outside of a group");
  transfer t = {NULL, sends, (char *)const_cast<void *>(data), n, type, peer};
  calls.push_back({c, {q, t}});
  return NCCL_OK;
}

// ---- communicators

nccl_comm add(const std::shared_ptr<clique> &in, int rank, int world_rank) {
  nccl_comm c = new ncclComm;
  c->in = in, c->rank = rank, c->world_rank = world_rank;
  in->members[(size_t)rank] = c;
  in->came++;
  known.insert(c);
  add_rank(1);
  return c;
}

void drop(nccl_comm c) {
  c->in->members[(size_t)c->rank] = NULL;
  known.erase(c);
  add_rank(-1);
  delete c;
}

bool made_by_all(const std::vector<split_call> &calls_of) {
  return std::all_of(calls_of.begin(), calls_of.end(), [](const split_call &s) { return s.made; });
}

// The members of `me`'s colour, ordered by key and rank. Each member makes its own communicator, on its own thread.
nccl_comm join_split(nccl_comm c, std::vector<split_call> &s, std::map<std::pair<clique *, std::pair<size_t, int>>, std::weak_ptr<clique>> &made) {
  int me = c->rank;
  if (s[(size_t)me].color == NCCL_NO_COLOR) return NULL;
  std::vector<std::pair<int, int>> order;
  for (int i = 0; i < c->in->n; i++)
    if (s[(size_t)i].color == s[(size_t)me].color) order.push_back({s[(size_t)i].key, i});
  std::sort(order.begin(), order.end());
  auto &known_as = made[{c->in.get(), {c->splits - 1, s[(size_t)me].color}}];
  auto in = known_as.lock();
  if (!in) known_as = in = std::make_shared<clique>((int)order.size());
  int rank = (int)(std::find(order.begin(), order.end(), std::make_pair(s[(size_t)me].key, me)) - order.begin());
  return add(in, rank, c->world_rank);
}

void go_on_splitting(nccl_comm c) {
  static std::map<std::pair<clique *, std::pair<size_t, int>>, std::weak_ptr<clique>> made;
  auto &s = c->in->splits[c->splits - 1];
  if (!made_by_all(s)) return;
  *s[(size_t)c->rank].out = join_split(c, s, made);
  c->splitting = false;
  happened();
}

void go_on_finalizing(nccl_comm c) {
  bool idle = std::none_of(all_groups.begin(), all_groups.end(), [c](const std::weak_ptr<group> &w) {
    auto g = w.lock();
    return g && g->comm == c && g->left && !g->aborted;
  });
  if (!idle || c->counted_final) return;
  c->counted_final = true;
  c->in->finalized++;
  happened();
}

bool is_in_progress(nccl_comm c) {
  if (c->late) {
    put_on(c->late_on, c->late);
    c->late = nullptr;
  }
  if (c->splitting) go_on_splitting(c);
  if (c->finalizing) go_on_finalizing(c);
  if (c->in->came == c->in->n && !c->ready) c->ready = true, happened();
  return !c->ready || c->splitting || (c->finalizing && c->in->finalized < c->in->n);
}

bool may_wait(const nccl_config *config) { return config && config->blocking != BLOCKING; }

// ---- the table

int get_version(int *out) {
  *out = version;
  return NCCL_OK;
}
const char *text(int rc) { return rc == REMOTE_ERROR ? "remote process exited or there was a network error" : "invalid"; }
const char *last_error(nccl_comm) {
  guard g(lock);
  return error() ? error() : "the fake was told to fail";
}

int unique_id(nccl_id *out) {
  guard g(lock);
  static int n;
  memset(out, 0, sizeof *out);
  snprintf(out->bytes, sizeof out->bytes, "world %d", ++n);
  return NCCL_OK;
}

int init(nccl_comm *out, int ranks, nccl_id id, int rank, nccl_config *config) {
  guard g(lock);
  if (!config || may_wait(config)) return wrong("a communicator whose calls wait for other ranks");
  auto in = worlds[id.bytes].lock();
  if (!in) worlds[id.bytes] = in = std::make_shared<clique>(ranks);
  if (in->n != ranks || in->members[(size_t)rank]) return wrong("two members disagree about their world");
  *out = add(in, rank, rank);
  return NCCL_IN_PROGRESS;
}

int split(nccl_comm c, int color, int key, nccl_comm *out, nccl_config *config) {
  guard g(lock);
  if (!known.count(c) || !c->ready || c->late || c->splitting) return wrong("a communicator is split while it is in progress");
  if (may_wait(config)) return wrong("a communicator whose calls wait for other ranks");
  if (c->in->splits.size() == c->splits) c->in->splits.emplace_back((size_t)c->in->n);
  c->in->splits[c->splits++][(size_t)c->rank] = {true, color, key, out};
  c->splitting = true;
  happened();
  return NCCL_IN_PROGRESS;
}

int async_error(nccl_comm c, int *result) {
  guard g(lock);
  if (!known.count(c)) return wrong("a communicator is asked that is not open");
  bool waiting = is_in_progress(c);
  *result = waiting ? NCCL_IN_PROGRESS : NCCL_OK;
  if (c->world_rank == broken) *result = REMOTE_ERROR;
  if (*result != NCCL_IN_PROGRESS)
    goes_on(c);
  else if (c->in->came == c->in->n) // before, more ranks are to come
    waits(c);
  if (!error() || *result == REMOTE_ERROR) return NCCL_OK;
  *result = REMOTE_ERROR; // something was found: nothing is certain
  return NCCL_OK;
}

int group_start() {
  depth++;
  return NCCL_OK;
}
int group_end() {
  guard g(lock);
  if (!depth) return wrong("a group ends that has not begun");
  return --depth ? NCCL_OK : end_group();
}
int send(const void *data, size_t n, int type, int peer, nccl_comm c, xlm_cuda_queue q) {
  guard g(lock);
  return call(true, data, n, type, peer, c, q);
}
int recv(void *data, size_t n, int type, int peer, nccl_comm c, xlm_cuda_queue q) {
  guard g(lock);
  return call(false, data, n, type, peer, c, q);
}

bool is_captured(nccl_comm c) { // in a graph that is left
  return std::any_of(all_groups.begin(), all_groups.end(), [c](const std::weak_ptr<group> &w) {
    auto g = w.lock();
    auto does = g ? g->does.lock() : nullptr;
    return does && g->comm == c && is_in_a_graph(does.get());
  });
}

int finalize(nccl_comm c) {
  guard g(lock);
  if (known.count(c) && is_captured(c)) return wrong("closing a communicator would wait for a graph that holds operations of it");
  if (!known.count(c) || c->finalizing) return wrong("a communicator is finalized that is not open, or twice");
  c->finalizing = true;
  happened();
  return NCCL_IN_PROGRESS;
}

int destroy(nccl_comm c) {
  guard g(lock);
  if (!known.count(c)) return wrong("a communicator is destroyed that is not open");
  if (!c->finalizing || c->in->finalized < c->in->n) return wrong("a communicator is destroyed before it is finalized");
  drop(c);
  return NCCL_OK;
}

int abort_comm(nccl_comm c) {
  guard g(lock);
  if (!known.count(c)) return wrong("a communicator is aborted that is not open");
  if (is_captured(c)) return wrong("aborting a communicator would wait for a graph that holds operations of it");
  for (auto &w : all_groups)
    if (auto one = w.lock())
      if (one->comm == c) one->aborted = true;
  for (auto *all : {&c->in->sends, &c->in->recvs})
    for (auto &list : *all) {
      auto mine = [](const transfer &t) { return t.of->aborted; };
      list.erase(std::remove_if(list.begin(), list.end(), mine), list.end());
    }
  happened();
  drop(c);
  return NCCL_OK;
}

const xlm_nccl table = {get_version, text,      last_error, unique_id, init, split,    async_error,
                        group_start, group_end, send,       recv,      finalize, destroy, abort_comm};

} // namespace

extern "C" xlm_status xlm_nccl_table(const xlm_nccl **out, int *found, xlm_error *err) {
  *out = &table, *found = version;
  return version ? XLM_OK : xlm_fail(err, XLM_ENV, "libnccl.so.2 was not found");
}

void fake_nccl_pretend(int v) { version = v; }
void fake_nccl_break(int rank) {
  guard g(lock);
  broken = rank;
}
int64_t fake_nccl_open(void) {
  guard g(lock);
  return (int64_t)known.size();
}
int64_t fake_nccl_groups(void) {
  guard g(lock);
  return groups_run;
}
