// Runs a function on every rank of a mesh: in threads or, when mpirun started this program, on this process's
// rank. Ranks must not use cmocka's assertions (they are threads); they report errors with RANK_CHECK, which
// makes ranks_run fail.
#ifndef XLM_TESTS_LAYOUTS_RANKS_H
#define XLM_TESTS_LAYOUTS_RANKS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#undef fail // cmocka's; a comm has one too

#include "runtime/comm/comm.h"

typedef void ranks_fn(xlm_comm *c, void *arg);

static atomic_int ranks_wrong;

#define RANK_CHECK(c, cond)                                                                                  \
  do {                                                                                                       \
    if (!(cond) && atomic_fetch_add(&ranks_wrong, 1) < 5)                                                    \
      fprintf(stderr, "rank %lld, %s:%d: %s (%s)\n", (long long)(c)->rank, __FILE__, __LINE__, #cond,        \
              (c)->err.text);                                                                                \
  } while (0)

typedef struct ranks_thread {
  pthread_t thread;
  xlm_comm *comm;
  ranks_fn *fn;
  void *arg;
} ranks_thread;

static _Thread_local void (*ranks_leave)(void); // what a rank does on its thread before its comm closes, once

static inline void ranks_call(ranks_fn *fn, xlm_comm *c, void *arg) {
  fn(c, arg);
  if (ranks_leave) ranks_leave();
  ranks_leave = NULL;
}

static inline void *ranks_main(void *arg) {
  ranks_thread *t = arg;
  ranks_call(t->fn, t->comm, t->arg);
  t->comm->backend->close(t->comm);
  return NULL;
}

static inline void ranks_local(const xlm_mesh *mesh, double timeout_s, ranks_fn *fn, void *arg) {
  int64_t n = xlm_mesh_ranks(mesh);
  xlm_error err = {0};
  xlm_comm **comms = calloc((size_t)n, sizeof *comms);
  ranks_thread *t = calloc((size_t)n, sizeof *t);
  assert_int_equal(xlm_comm_local(mesh, timeout_s, comms, &err), XLM_OK);
  for (int64_t i = 0; i < n; i++) {
    t[i] = (ranks_thread){.comm = comms[i], .fn = fn, .arg = arg};
    assert_int_equal(pthread_create(&t[i].thread, NULL, ranks_main, &t[i]), 0);
  }
  for (int64_t i = 0; i < n; i++) pthread_join(t[i].thread, NULL);
  free(comms);
  free(t);
}

// Under mpirun only meshes of its number of processes run.
static inline bool ranks_can_run(const xlm_mesh *mesh) {
  return !xlm_comm_mpi_launched() || xlm_comm_mpi_size() == xlm_mesh_ranks(mesh);
}

static inline void ranks_run(const xlm_mesh *mesh, double timeout_s, ranks_fn *fn, void *arg) {
  atomic_store(&ranks_wrong, 0);
  alarm(60); // a hang is a failure, too
  if (!ranks_can_run(mesh)) return;
  if (xlm_comm_mpi_launched()) {
    xlm_comm *c = NULL;
    xlm_error err = {0};
    xlm_status s = xlm_comm_mpi(mesh, timeout_s, &c, &err);
    if (s != XLM_OK) print_error("%s\n", err.text);
    assert_int_equal(s, XLM_OK);
    ranks_call(fn, c, arg);
    c->backend->close(c);
  } else {
    ranks_local(mesh, timeout_s, fn, arg);
  }
  alarm(0);
  assert_int_equal(atomic_load(&ranks_wrong), 0);
}

// "pp 2 dp 1 tp 3"
static inline xlm_mesh ranks_mesh(const char *text) {
  static char names[64][8];
  static int used;
  xlm_mesh m = {0};
  int size, n;
  for (char name[8]; sscanf(text, " %7s %d%n", name, &size, &n) == 2; text += n) {
    int i = 0;
    while (i < used && strcmp(names[i], name)) i++;
    if (i == used) strcpy(names[used++], name);
    m.axis[m.n] = names[i];
    m.size[m.n++] = size;
  }
  return m;
}

// A number from a few others: tests need values that every rank can compute for every other.
static inline uint32_t ranks_random(uint64_t a, uint64_t b, uint64_t c) {
  uint64_t x = a * 0x9E3779B97F4A7C15u ^ (b + 1) * 0xBF58476D1CE4E5B9u ^ (c + 1) * 0x94D049BB133111EBu;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return (uint32_t)((x ^ (x >> 31)) >> 16);
}

#endif
