// The CUDA device's link on the fake card: exchanges, gathers and messages of four ranks arrive as sent.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/device/cuda/cuda.h"
#include "tests/fake_cuda/fixture.h"
#include "tests/layouts/ranks.h"

static const xlm_device_kind *const kinds[] = {&xlm_device_cuda, &xlm_device_cuda_eager,
                                               &xlm_device_cuda_checked};
enum { KINDS = 3 };

enum { PART = 1000 };

static uint32_t word(int64_t from, int64_t to, int64_t i) {
  return ranks_random((uint64_t)from, (uint64_t)to, (uint64_t)i);
}

static void exchange(xlm_comm *c, xlm_device *d, uint32_t *at, uint32_t *host) {
  const void *out[8];
  void *in[8];
  size_t out_bytes[8], in_bytes[8];
  for (int64_t k = 0; k < c->n_ranks; k++) {
    out[k] = at + k * PART, in[k] = at + (8 + k) * PART;
    out_bytes[k] = (size_t)(c->rank + 2 * k + 1) * 40, in_bytes[k] = (size_t)(k + 2 * c->rank + 1) * 40;
    for (int64_t i = 0; i < PART; i++) host[k * PART + i] = word(c->rank, k, i);
  }
  RANK_CHECK(c, d->kind->put(d, at, host, sizeof(uint32_t) * 8 * PART, NULL) == XLM_OK);
  xlm_link *l = d->link;
  xlm_error err = {0};
  RANK_CHECK(c, l->kind->exchange(l, 0, UINT32_MAX, out, out_bytes, in, in_bytes, &err) == XLM_OK);
  RANK_CHECK(c, d->kind->get(d, host, at, sizeof(uint32_t) * 16 * PART, &err) == XLM_OK);
  for (int64_t k = 0; k < c->n_ranks; k++)
    for (size_t i = 0; i < in_bytes[k] / 4; i++)
      RANK_CHECK(c, host[(8 + (size_t)k) * PART + i] == word(k, c->rank, (int64_t)i));
}

static void gather(xlm_comm *c, xlm_device *d, uint32_t *at, uint32_t *host) {
  void *in[8];
  size_t bytes[8];
  for (int64_t k = 0; k < c->n_ranks; k++) in[k] = at + k * PART, bytes[k] = (size_t)(k + 1) * 100;
  for (int64_t i = 0; i < PART; i++) host[i] = word(c->rank, 77, i);
  RANK_CHECK(c, d->kind->put(d, at + 9 * PART, host, sizeof(uint32_t) * PART, NULL) == XLM_OK);
  RANK_CHECK(c, d->link->kind->gather(d->link, 0, UINT32_MAX, at + 9 * PART, in, bytes, NULL) == XLM_OK);
  RANK_CHECK(c, d->kind->get(d, host, at, sizeof(uint32_t) * 8 * PART, NULL) == XLM_OK);
  for (int64_t k = 0; k < c->n_ranks; k++)
    for (size_t i = 0; i < bytes[k] / 4; i++)
      RANK_CHECK(c, host[(size_t)k * PART + i] == word(k, 77, (int64_t)i));
}

static void messages(xlm_comm *c, xlm_device *d, uint32_t *at,
                     uint32_t *host) { // around a ring, larger ones later
  int64_t next = (c->rank + 1) % c->n_ranks, before = (c->rank + c->n_ranks - 1) % c->n_ranks;
  for (size_t n = 1; n <= PART; n *= 10) {
    for (size_t i = 0; i < n; i++) host[i] = word(c->rank, next, (int64_t)(i + n));
    RANK_CHECK(c, d->kind->put(d, at, host, n * 4, NULL) == XLM_OK);
    RANK_CHECK(c, d->link->kind->send(d->link, 0, next, 5, at, n * 4, NULL) == XLM_OK);
    RANK_CHECK(c, d->link->kind->recv(d->link, 0, before, 5, at + PART, n * 4, NULL) == XLM_OK);
    RANK_CHECK(c, d->kind->get(d, host, at + PART, n * 4, NULL) == XLM_OK);
    for (size_t i = 0; i < n; i++) RANK_CHECK(c, host[i] == word(before, c->rank, (int64_t)(i + n)));
  }
}

static void communicate(xlm_comm *c, void *arg) {
  xlm_device *d;
  xlm_device_options o = {.threads = 1, .comm = c};
  void *at;
  uint32_t *host = malloc(sizeof *host * 16 * PART);
  RANK_CHECK(c, ((const xlm_device_kind *)arg)->open(&o, &d, NULL) == XLM_OK);
  RANK_CHECK(c, d->kind->alloc(d, sizeof *host * 16 * PART, &at, NULL) == XLM_OK);
  for (int round = 0; round < 3; round++) {
    exchange(c, d, at, host);
    gather(c, d, at, host);
    messages(c, d, at, host);
  }
  d->kind->close(d);
  free(host);
}

static void the_link_moves_bytes(void **state) {
  (void)state;
  xlm_mesh m = ranks_mesh("tp 4");
  for (int k = 0; k < KINDS; k++) ranks_run(&m, 20, communicate, (void *)(uintptr_t)kinds[k]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_link_moves_bytes, fake_setup, fake_nothing_is_left),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
