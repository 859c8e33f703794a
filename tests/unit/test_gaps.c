// The lowest gap: the same result as an exhaustive search, at much lower cost.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "compiler/planner/gaps.h"

enum { MOST = 400 };

typedef struct place {
  uint32_t begin, end;
  uint64_t offset, bytes;
} place;

static int by_offset(const void *pa, const void *pb) {
  const place *a = pa, *b = pb;
  return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static uint64_t lowest(place *all, int n, const place *p) { // the definition
  uint64_t at = 0;
  qsort(all, (size_t)n, sizeof *all, by_offset);
  for (int i = 0; i < n; i++) {
    if (all[i].end < p->begin || all[i].begin > p->end) continue;
    if (all[i].offset >= at + p->bytes) return at;
    if (all[i].offset + all[i].bytes > at) at = all[i].offset + all[i].bytes;
  }
  return at;
}

static void random_places(void **state) {
  (void)state;
  srand(7);
  for (int round = 0; round < 60; round++) {
    xlm_arena *a = xlm_arena_new(0);
    xlm_gaps *g = xlm_gaps_new(a);
    place all[MOST];
    uint32_t length = 1 + (uint32_t)rand() % 200, longest = 1 + (uint32_t)rand() % 200;
    for (int n = 0; n < MOST; n++) {
      place p = {.begin = (uint32_t)rand() % length, .bytes = (uint64_t)(rand() % 9) * 64};
      p.end = rand() % 10 ? p.begin + (uint32_t)rand() % longest : UINT32_MAX; // some are permanent
      p.offset = xlm_gaps_lowest(g, p.begin, p.end, p.bytes);
      assert_int_equal(p.offset, lowest(all, n, &p));
      if (round & 1) p.offset += (uint64_t)(rand() % 3) * 64; // holes
      xlm_gaps_take(g, p.begin, p.end, p.offset, p.bytes);
      all[n] = p;
    }
    xlm_arena_free(a);
  }
}

// As a model of so many rounds has them: of every round one that lives to its backward, and short ones of
// several sizes.
static uint64_t cost(uint32_t rounds) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_gaps *g = xlm_gaps_new(a);
  uint32_t end = 8 * rounds;
  for (uint32_t size = 5; size > 0; size--)
    for (uint32_t r = 0; r < rounds; r++)
      for (uint32_t at = 4 * r;; at = end - 4 * r - 4) { // forward, then backward
        uint32_t until = size == 3 && at == 4 * r ? end - 4 * r - 1 : at + 2;
        xlm_gaps_take(g, at, until, xlm_gaps_lowest(g, at, until, 64 * size), 64 * size);
        if (at != 4 * r || size == 3) break;
      }
  uint64_t visited = xlm_gaps_visited(g);
  xlm_arena_free(a);
  return visited;
}

// The same with two kinds of long lifetimes, which follow each other at the same offsets: from forward to
// backward, and from there to the step, which runs through the rounds more slowly. Of two sizes, so that the
// smaller ones are placed among the larger.
static uint64_t cost_of_two_kinds(uint32_t rounds) {
  xlm_arena *a = xlm_arena_new(0);
  xlm_gaps *g = xlm_gaps_new(a);
  uint32_t middle = 4 * rounds;
  for (uint32_t size = 4; size > 0; size /= 2)
    for (uint32_t r = 0; r < 2 * rounds; r++) {
      uint32_t back = r - rounds, begin = r < rounds ? 4 * r : middle + 4 * back,
               end = r < rounds ? 2 * middle - 4 * r : middle + 8 * back + 100;
      xlm_gaps_take(g, begin, end, xlm_gaps_lowest(g, begin, end, 64 * size), 64 * size);
    }
  uint64_t visited = xlm_gaps_visited(g);
  xlm_arena_free(a);
  return visited;
}

static void many_rounds(void **state) {
  (void)state;
  uint64_t (*costs[])(uint32_t) = {cost, cost_of_two_kinds};
  for (int k = 0; k < 2; k++) {
    uint64_t few = costs[k](500), many = costs[k](4000);
    if (many > 16 * few)
      fail_msg("500 rounds: %llu places looked at; 4000: %llu", (unsigned long long)few,
               (unsigned long long)many);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(random_places), cmocka_unit_test(many_rounds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
