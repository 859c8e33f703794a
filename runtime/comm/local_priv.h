// The ranks of one process: what local.c (life and exchanges), local_wait.c (waiting and giving up) and
// local_mail.c (messages) share.
//
// Every axis mask cuts the ranks into groups; a group is a barrier and one entry per member, where it lays
// open what it brings to an exchange. An exchange is: publish, barrier, copy what is mine from everybody's
// memory, barrier.
//
// Giving up: the first failure sets `failed`, and every wait looks at it. A rank must not hand its memory
// back to its caller while another still copies from it, so a rank that gives an exchange up first waits
// until no member is `copying`; every member sets that before it looks at `failed` and clears it before it
// waits for the others.
#ifndef XLM_COMM_LOCAL_PRIV_H
#define XLM_COMM_LOCAL_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/comm/comm_priv.h"

enum { LINE = 64 }; // bytes of a cache line

typedef struct entry {
  _Alignas(LINE) const char *what; // the kind of exchange, to catch members that meet in different ones
  const void *const *out;          // all_to_all
  const size_t *out_bytes;
  const void *mine; // all_gather
  size_t bytes;
  int64_t rank;
  atomic_uint entered; // barriers so far
  atomic_bool copying;
} entry;

typedef struct word { // a number to wait for: sleepers sleep on its address
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
  size_t bytes, room; // sent; allocated
  char data[];
} message;

typedef struct inbox { // of one rank
  _Alignas(LINE) pthread_mutex_t lock;
  message *first, *spare; // in order of arrival; used buffers, kept for the next messages
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
  int spin;     // looks before a waiting rank sleeps; 0 when there are more ranks than processors
  local *ranks; // [n]
  group *groups[1 << XLM_MAX_AXES]; // by normalised mask; NULL where the mask has none
  entry *entries[1 << XLM_MAX_AXES];
  inbox *inboxes;       // [n]
  pthread_mutex_t lock; // of `error`
  atomic_bool failed;
  char error[2048];
  atomic_int open; // comms not closed
} world;

// ---- local_wait.c

// Everybody's first failure, as a sentence; every rank's err becomes it. Returns XLM_ENV.
xlm_status xlm_local_fail(local *c, const char *fmt, ...) XLM_PRINTF(2, 3);
// XLM_OK, or this rank's err set to the failure that ended the run.
xlm_status xlm_local_check(local *c);
void xlm_local_set(word *w, unsigned value); // and wakes who sleeps on it
void xlm_local_wake(word *w);
// Waits until w differs from `seen`, for the members of g that have not entered as often as `me`, or (g NULL)
// for rank `peer`. Fails when the run does, when who is waited for has closed, and after the timeout.
xlm_status xlm_local_wait(local *c, word *w, unsigned seen, const group *g, int64_t me, int64_t peer);

// ---- local_mail.c

xlm_status xlm_local_send(xlm_comm *c, int64_t peer, int32_t tag, const void *data, size_t bytes);
xlm_status xlm_local_recv(xlm_comm *c, int64_t peer, int32_t tag, void *data, size_t bytes);
void xlm_local_mail_free(inbox *box);

#endif
