// Splits: every element belongs to exactly one rank, sizes differ by one unit, splits over fewer axes contain
// those over more; and splitting from both ends balances later elements.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/plan/mesh.h"

enum { MOST = 200 };

static const xlm_mesh meshes[] = {{1, {"cp"}, {2}},
                                  {1, {"cp"}, {3}},
                                  {2, {"cp", "tp"}, {2, 2}},
                                  {2, {"cp", "tp"}, {4, 3}},
                                  {3, {"dp", "cp", "tp"}, {2, 3, 2}}};
enum { MESHES = sizeof meshes / sizeof *meshes };

static xlm_piece piece_at(const xlm_mesh *m, xlm_dim_info *d, int64_t rank) {
  int32_t coord[XLM_MAX_AXES];
  xlm_mesh_coord(m, rank, coord);
  xlm_piece p = xlm_mesh_local(m, d, coord);
  xlm_dim_set_piece(d, p);
  return p;
}

static void assert_same(xlm_piece a, xlm_piece b) {
  assert_true(a.offset == b.offset && a.size == b.size && a.tail == b.tail && a.tail_offset == b.tail_offset);
}

static void is_sound(const xlm_dim_info *d) {
  int64_t first = d->size - d->tail, last = -1;
  assert_true(d->tail >= 0 && first >= 0 && (!d->tail || (first && d->tail_offset > d->offset + first)));
  for (int64_t i = 0; i < d->size; i++) {
    int64_t g = xlm_dim_global(d, i);
    assert_true(g > last && g < d->full);
    assert_int_equal(xlm_dim_local(d, g), i);
    last = g;
  }
}

// Over all axes of the mesh: each element once, and what is elsewhere is said to be.
static void check_cover(const xlm_mesh *m, xlm_dim_info d) {
  int owner[MOST], n = (int)xlm_mesh_ranks(m);
  int64_t least = d.full, most = 0, bounds[2];
  memset(owner, -1, sizeof owner);
  for (int r = 0; r < n; r++) {
    xlm_piece p = piece_at(m, &d, r);
    is_sound(&d);
    least = p.size < least ? p.size : least, most = p.size > most ? p.size : most;
    for (int64_t i = 0; i < p.size; i++) {
      assert_int_equal(owner[xlm_dim_global(&d, i)], -1);
      owner[xlm_dim_global(&d, i)] = r;
    }
  }
  for (int64_t i = 0; i < d.full; i++) assert_true(owner[i] >= 0);
  for (int r = 0; r < n; r++) {
    (void)piece_at(m, &d, r);
    for (int64_t i = 0; i < d.full; i++) assert_int_equal(xlm_dim_local(&d, i) >= 0, owner[i] == r);
  }
  xlm_mesh_bounds(m, &d, &bounds[0], &bounds[1]);
  assert_true(least == bounds[0] && most == bounds[1]);
  assert_true(most - least <= (d.grain > 1 ? d.grain : 1));
  assert_true(least > 0 || d.full < n);
}

// The part over all axes lies in that over the outer ones, where xlm_piece_within says.
static void check_nesting(const xlm_mesh *m, xlm_dim_info d) {
  for (int outer = 0; outer < m->n; outer++)
    for (int64_t r = 0; r < xlm_mesh_ranks(m); r++) {
      xlm_dim_info some = d, local = {0};
      some.axes = d.axes & ((1u << outer) - 1), some.mirrored = d.mirrored & some.axes;
      xlm_piece whole = piece_at(m, &some, r), part = piece_at(m, &d, r), here;
      assert_true(xlm_piece_within(whole, part, &here));
      assert_int_equal(here.size, part.size);
      xlm_dim_set_piece(&local, here);
      for (int64_t i = 0; i < part.size; i++)
        assert_int_equal(xlm_dim_global(&some, xlm_dim_global(&local, i)), xlm_dim_global(&d, i));
    }
}

static void splits_cover_and_nest(void **state) {
  (void)state;
  static const int64_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 25, 36, 96, 100, 199};
  for (int k = 0; k < MESHES; k++)
    for (uint32_t mirrored = 0; mirrored < 1u << meshes[k].n; mirrored++)
      for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        xlm_dim_info d = {
            .name = "d", .full = sizes[s], .axes = (1u << meshes[k].n) - 1, .mirrored = mirrored};
        check_cover(&meshes[k], d);
        check_nesting(&meshes[k], d);
        d.grain = 4;
        if (d.full % 4 == 0 && d.full >= 4 * xlm_mesh_ranks(&meshes[k])) check_cover(&meshes[k], d);
      }
}

// 6 pieces of 100: 17, 17, 17, 17, 16, 16.
static void runs_are_the_pieces_from_both_ends(void **state) {
  (void)state;
  xlm_dim_info d = {.name = "seq", .full = 100, .axes = 1, .mirrored = 1};
  static const xlm_piece expected[] = {{0, 33, 16, 84}, {17, 33, 16, 68}, {34, 34, 0, 0}};
  for (int r = 0; r < 3; r++) {
    xlm_piece p = piece_at(&meshes[1], &d, r);
    assert_same(p, expected[r]);
  }
  d.mirrored = 0;
  xlm_piece p = piece_at(&meshes[1], &d, 2);
  assert_same(p, (xlm_piece){67, 33, 0, 0});
}

// Element i of causal attention costs i + 1.
static void later_elements_are_shared_out(void **state) {
  (void)state;
  const xlm_mesh *m = &meshes[3]; // 4 x 3
  for (int64_t full = 96; full <= 199; full++) {
    xlm_dim_info d = {.name = "seq", .full = full, .axes = 3, .mirrored = 3};
    double mean = (double)full * (double)(full + 1) / 2 / 12;
    for (int64_t r = 0; r < 12; r++) {
      double cost = 0;
      (void)piece_at(m, &d, r);
      for (int64_t i = 0; i < d.size; i++) cost += (double)xlm_dim_global(&d, i) + 1;
      assert_true(cost > mean - 1.5 * (double)full && cost < mean + 1.5 * (double)full); // an element or so
    }
  }
}

static void what_is_not_there_is_said(void **state) {
  (void)state;
  xlm_piece whole = {10, 8, 4, 30}, here;
  assert_true(xlm_piece_within(whole, (xlm_piece){12, 4, 2, 30}, &here));
  assert_same(here, (xlm_piece){2, 4, 0, 0}); // neighbours here
  assert_true(xlm_piece_within(whole, (xlm_piece){10, 2, 1, 33}, &here));
  assert_same(here, (xlm_piece){0, 2, 1, 7});
  assert_false(xlm_piece_within(whole, (xlm_piece){13, 2, 0, 0}, &here));
  assert_false(xlm_piece_within(whole, (xlm_piece){9, 1, 0, 0}, &here));
  assert_false(xlm_piece_within(whole, (xlm_piece){10, 5, 1, 34}, &here));
  assert_true(xlm_piece_within(whole, (xlm_piece){0}, &here)); // nothing is everywhere
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(splits_cover_and_nest), cmocka_unit_test(runs_are_the_pieces_from_both_ends),
      cmocka_unit_test(later_elements_are_shared_out), cmocka_unit_test(what_is_not_there_is_said)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
