// Between the files of the fake runtime: operations and the order among them.
//
// A lane is a row of operations that run one after another: a queue has one, and a second one for the other queue of the
// graphs launched on it. A moment says how many operations of every lane have ended (a vector clock); an operation may run
// when the moment it comes after has been reached.
#ifndef XLM_TESTS_FAKE_PRIV_H
#define XLM_TESTS_FAKE_PRIV_H

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/fake_cuda/fake_cuda.h"

namespace fake {

enum { LANES = 128 };
typedef std::array<uint32_t, LANES> moment;

struct range {
  uintptr_t begin, end;
  bool writes;
};

struct work { // what an operation does; of a graph, any number of times
  std::string what;
  std::vector<range> touches;
  std::function<const char *()> run; // NULL, or what is wrong
  std::function<bool()> ended;       // of what takes until other ranks come: has it, after run? Else NULL
};

struct operation {
  std::shared_ptr<work> does;
  moment after;
  bool begun = false; // it runs until its work has ended
};

struct lane {
  bool used = false;
  std::deque<operation> waiting;
};

// ---- order (fake_order.cpp); the caller holds the lock

extern std::recursive_mutex lock;
int take_lane();
void give_lane(int lane);
// Appends to a lane what comes after `after`, which becomes the moment when that has ended, too.
void append(int lane, std::shared_ptr<work> does, moment &after);
void join(moment &a, const moment &b);
// And, as chance will have it, more. false: nothing more can run until other ranks come.
bool run_until(const moment &m);
// A thread that waits on something and finds no end, or finds it. If every rank's thread waits and nothing has
// happened since, none will ever go on: an error.
void waits(const void *on);
void goes_on(const void *on);
int64_t waiting_operations();
void happened();         // anything that may let others go on
void add_rank(int add);  // 1: this thread is one of a rank that others wait for; -1: no longer
const moment &host();            // what the host has waited for
void fail(const std::string &why);
void forget_bytes(uintptr_t begin, uintptr_t end); // memory is given back: nothing is left to order
const char *error();
void restart(uint64_t seed);
uint64_t next_random();

// ---- the card (fake_cuda.cpp)

bool is_on_card(const void *at, size_t bytes);
bool is_open(xlm_cuda_queue q);
const std::string &announced(xlm_cuda_queue q);
bool is_in_a_graph(const work *w); // also one that is being captured
void put_on(xlm_cuda_queue q, std::shared_ptr<work> w);

} // namespace fake

#endif
