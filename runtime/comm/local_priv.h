// Ranks of one process: shared by local.c (open, close, exchanges), local_wait.c (waiting and failures) and
// local_mail.c (messages).
//
// Every axis mask divides the ranks into groups. A group has a barrier and one entry per member, in which the
// member publishes its part of an exchange. An exchange consists of: publish, barrier, copy from the other
// members' memory, barrier.
//
// Failures: the first one sets `failed`, which every wait checks. A rank must not return memory to its caller
// while another copies from it. So a rank that abandons an exchange first waits until no member is `copying`;
// every member sets that flag before it checks `failed` and clears it before it waits for the others.
#ifndef XLM_COMM_LOCAL_PRIV_H
#define XLM_COMM_LOCAL_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/comm/comm_priv.h"

enum { LINE = 64 }; // bytes of a cache line

typedef struct entry {
  _Alignas(LINE) const char *what; // the kind of exchange, to detect members in different ones
  const void *const *out;          // all_to_all
  const size_t *out_bytes;
  const void *mine; // all_gather
  size_t bytes;
  int64_t rank;
  atomic_uint entered; // number of barriers entered so far
  atomic_bool copying;
} entry;

typedef struct word { // a number to wait for: waiters sleep on its address
  atomic_uint value;
  atomic_int sleepers;
} word;

typedef struct group {
  _Alignas(LINE) word generation;
  atomic_uint arrived;
  int64_t n;
  entry *entries; // [n]
} group;

typedef struct message {
  struct message *next;
  int64_t src;
  int32_t tag;
  size_t bytes, room; // bytes sent; bytes allocated
  char data[];
} message;

typedef struct inbox { // of one rank
  _Alignas(LINE) pthread_mutex_t lock;
  message *first, *spare; // in order of arrival; buffers for reuse
  word arrivals;
} inbox;

struct world;

typedef struct local {
  xlm_comm base;
  struct world *world;
  atomic_bool closed;
} local;

typedef struct world {
  xlm_mesh mesh;
  int64_t n;
  int spin;     // polls before a waiting rank sleeps; 0 when there are more ranks than processors
  local *ranks; // [n]
  group *groups[1 << XLM_MAX_AXES]; // by normalised mask; NULL for a mask without groups
  entry *entries[1 << XLM_MAX_AXES];
  inbox *inboxes;       // [n]
  pthread_mutex_t lock; // of `error`
  atomic_bool failed;
  char error[2048];
  atomic_int open; // comms not closed
} world;

// ---- local_wait.c

// Records the first failure of the run, which becomes every rank's err. Returns XLM_ENV.
xlm_status xlm_local_fail(local *c, const char *fmt, ...) XLM_PRINTF(2, 3);
// XLM_OK, or XLM_ENV with this rank's err set to the failure that ended the run.
xlm_status xlm_local_check(local *c);
void xlm_local_set(word *w, unsigned value); // and wakes its waiters
void xlm_local_wake(word *w);
// Waits until w differs from `seen`. It waits for the members of g that have entered fewer barriers than
// `me`, or (g NULL) for rank `peer`. Fails when the run fails, when an awaited rank has closed, and after the
// timeout.
xlm_status xlm_local_wait(local *c, word *w, unsigned seen, const group *g, int64_t me, int64_t peer);

// ---- local_mail.c

xlm_status xlm_local_send(xlm_comm *c, int64_t peer, int32_t tag, const void *data, size_t bytes);
xlm_status xlm_local_recv(xlm_comm *c, int64_t peer, int32_t tag, void *data, size_t bytes);
void xlm_local_mail_free(inbox *box);

#endif
