// A small hand-made plan for one rank or two, and the memory of its states: for tests of states, weights and
// checkpoints. Failures end the test.
#ifndef XLM_TESTS_HAND_WORLD_H
#define XLM_TESTS_HAND_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/interchange/weights.h"

enum { D = 6, H = 4, HD = 3, E = 2, F = 5, STATES = 8, DIMS = 8, STAGE_STATES = 3 };
enum { DIM_D = 1, DIM_H, DIM_HD, DIM_E, DIM_F, DIM_ONE };

typedef struct world {
  xlm_plan plan;
  xlm_rank_plan rank[2], *rank_plans[2];
  uint32_t rank_plan_of[2];
  xlm_dim_info dims[2][DIMS];
  xlm_tensor tensors[STATES + 1];
  xlm_plan_state states[STATES];
  float memory[2][STATES][512];
  xlm_store *store;
  uint32_t refuses;        // state + 1; 0 = none
  uint32_t only;           // the one rank that is here, + 1; 0 = all are
  uint32_t first_state[2]; // by rank
} world;

world *new_world(int ranks);
world *new_world_of(int ranks, bool mirrored); // mirrored: split dimensions come in two pieces per rank
world *new_world_of_stages(void);       // of two ranks: one with the first STAGE_STATES, one with the others
void let_only(world *w, uint32_t rank); // that one rank is here
void free_world(world *w);
xlm_states states_of(world *w);
void init_world(world *w, uint64_t seed);
void get_all(const world *w, const char *name, float *out);
void expect_same(const world *a, const world *b, bool parameters_only);

// A folder for the test's files: group setup and teardown, and paths in it.
int make_root(void **state);
int remove_root(void **state);
const char *in_root(const char *name);

xlm_checkpoint_info info_at(int64_t step);
void save(const world *w, const char *dir, int64_t step, int keep);

#endif
