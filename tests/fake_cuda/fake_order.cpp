// Running operations in random legal orders, and finding pairs in no order; see fake_priv.h.
//
// The check keeps, for every run of bytes, its last write and the last read of every lane since (as FastTrack does, Flanagan
// and Freund 2009): an operation must come after the last write, and one that writes after these reads. That finds a pair in
// no order wherever there is one.
#include "tests/fake_cuda/fake_priv.h"

#include <cstdlib>
#include <thread>

namespace fake {

std::recursive_mutex lock;

namespace {

struct access {
  int lane = -1;
  uint32_t number = 0;
  std::shared_ptr<work> by;
};
struct bytes { // from the map's key to `end`
  uintptr_t end;
  access write;
  std::map<int, access> reads;
};

lane lanes[LANES];
moment put, done, seen; // operations of every lane: appended; ended; waited for by the host
std::map<uintptr_t, bytes> touched;
std::string wrong;
uint64_t random_state = 1;

enum { PATIENCE = 20 };
uint64_t events = 1; // so far: of operations and of what happened besides
struct waiting {
  const void *on = NULL;
  uint64_t since = 0; // events then
  int asked = 0;      // since then
  int ranks = 0;
};
std::map<std::thread::id, waiting> threads; // of ranks

bool reached(const moment &now, const moment &m) {
  for (int i = 0; i < LANES; i++)
    if (now[(size_t)i] < m[(size_t)i]) return false;
  return true;
}

struct coming { // the operation that is being appended, as it orders itself
  moment after;
  access me;
};

void check_order(const access &before, const coming &c) {
  if (before.lane < 0 || c.after[(size_t)before.lane] >= before.number) return;
  fail("no order between " + before.by->what + " and " + c.me.by->what + ", which touch the same bytes");
}

void split(uintptr_t at) { // a run of bytes begins here, if any covers it
  auto i = touched.upper_bound(at);
  if (i == touched.begin()) return;
  --i;
  if (i->first == at || i->second.end <= at) return;
  bytes rest = i->second;
  i->second.end = at;
  touched.emplace(at, rest);
}

void touch(const coming &c, const range &r) {
  split(r.begin), split(r.end);
  uintptr_t at = r.begin;
  for (auto i = touched.lower_bound(r.begin); at < r.end; ++i) {
    if (i == touched.end() || i->first > at) // bytes that nothing has touched yet
      i = touched.emplace(at, bytes{i == touched.end() || i->first > r.end ? r.end : i->first, {}, {}}).first;
    bytes &b = i->second;
    check_order(b.write, c);
    if (r.writes) {
      for (const auto &read : b.reads) check_order(read.second, c);
      b.reads.clear();
      b.write = c.me;
    } else {
      b.reads[c.me.lane] = c.me;
    }
    at = b.end;
  }
}

// XLM_FAKE_FAULT=n: the n-th operation goes wrong, as a kernel does that leaves its memory.
bool is_faulty() {
  static int64_t n, at = getenv("XLM_FAKE_FAULT") ? atoll(getenv("XLM_FAKE_FAULT")) : 0;
  return ++n == at;
}

void run(operation &o) {
  const char *bad = is_faulty() ? "an illegal address" : o.does->run && wrong.empty() ? o.does->run() : NULL;
  if (bad) fail(o.does->what + ": " + bad);
  o.begun = true;
}

bool has_ended(const operation &o) { return !o.does->ended || !wrong.empty() || o.does->ended(); }

bool can_run(const lane &l) {
  if (l.waiting.empty()) return false;
  const operation &o = l.waiting.front();
  return o.begun ? has_ended(o) : reached(done, o.after);
}

std::string who_waits() {
  std::string all;
  for (const lane &l : lanes)
    if (!l.waiting.empty() && l.waiting.front().begun) all += (all.empty() ? "" : "; ") + l.waiting.front().does->what;
  return all;
}

} // namespace

void fail(const std::string &why) {
  if (wrong.empty()) wrong = why;
}
uint64_t next_random() { // xorshift64 (Marsaglia 2003)
  uint64_t &r = random_state;
  r ^= r << 13, r ^= r >> 7, r ^= r << 17;
  return r >> 11;
}

void happened() { events++; }

int64_t waiting_operations() {
  int64_t n = 0;
  for (const lane &l : lanes) n += (int64_t)l.waiting.size();
  return n;
}

void add_rank(int add) {
  waiting &w = threads[std::this_thread::get_id()];
  happened();
  if (!(w.ranks += add)) threads.erase(std::this_thread::get_id());
}

void waits(const void *on) {
  auto t = threads.find(std::this_thread::get_id());
  if (t == threads.end()) return;
  waiting &me = t->second;
  me.asked = me.on && me.since == events ? me.asked + 1 : 0;
  me.on = on, me.since = events;
  for (const auto &other : threads) // a thread that gives up asks no more
    if (!other.second.on || other.second.since != events || other.second.asked < PATIENCE) return;
  std::string who = who_waits();
  fail("all ranks wait for one another: " + (who.empty() ? "for a call that not every rank makes" : who));
}

void goes_on(const void *on) {
  auto t = threads.find(std::this_thread::get_id());
  if (t != threads.end() && t->second.on == on) t->second.on = NULL;
}

const char *error() { return wrong.empty() ? NULL : wrong.c_str(); }
const moment &host() { return seen; }

void join(moment &a, const moment &b) {
  for (int i = 0; i < LANES; i++)
    if (a[(size_t)i] < b[(size_t)i]) a[(size_t)i] = b[(size_t)i];
}

int take_lane() {
  for (int i = 0; i < LANES; i++)
    if (!lanes[i].used) return lanes[i].used = true, i;
  fail("too many queues are open");
  return 0;
}
void give_lane(int i) { lanes[i].used = false; }

void append(int to, std::shared_ptr<work> does, moment &after) {
  operation o = {does, after};
  o.after[(size_t)to] = put[(size_t)to];
  coming c = {o.after, {to, ++put[(size_t)to], does}};
  c.after[(size_t)to] = c.me.number;
  for (const range &r : does->touches)
    if (r.begin < r.end) touch(c, r);
  lanes[to].waiting.push_back(o);
  happened();
  after[(size_t)to] = c.me.number;
}

bool run_until(const moment &m) {
  while (!reached(done, m)) {
    int ready[LANES], n = 0;
    bool begun = false;
    for (int i = 0; i < LANES; i++) {
      if (can_run(lanes[i])) ready[n++] = i;
      begun |= !lanes[i].waiting.empty() && lanes[i].waiting.front().begun;
    }
    if (!n && begun) return false;
    if (!n) return fail("operations wait for one another in a circle"), true;
    int i = ready[next_random() % (uint64_t)n];
    operation &o = lanes[i].waiting.front();
    happened();
    if (!o.begun) run(o);
    if (!has_ended(o)) continue;
    lanes[i].waiting.pop_front();
    done[(size_t)i]++;
  }
  join(seen, m);
  return true;
}

void forget_bytes(uintptr_t begin, uintptr_t end) {
  split(begin), split(end);
  touched.erase(touched.lower_bound(begin), touched.lower_bound(end));
}

void restart(uint64_t seed) {
  random_state = seed * 2 + 1;
  wrong.clear();
}

} // namespace fake
