// A treap (a search tree balanced by random priorities: Seidel, Aragon 1996) of the occupied rectangles,
// ordered by offset and then by time. A search sweeps upwards over everything that overlaps in time. Each
// subtree stores enough to be skipped in two cases: nothing in it overlaps the query, or everything does and
// no gap inside is large enough. Equal tensors of many rounds are adjacent when they are live at the same
// time, and at the same offset when they are not; those of forward and backward leave a hole in time between
// them. Few subtrees are therefore mixed, and a search visits about log n of n nodes.
//
// What would mix is in different trees: short lifetimes, and long ones that follow each other in the same
// bytes. Of those, each is in the first tree that has nothing in its bytes; so long lifetimes of one kind are
// side by side. The trees are searched in turn, each from where the others found no conflict.
#include "compiler/planner/gaps.h"

#include "runtime/base/philox.h"

typedef struct taken { // a node, and summary data for its subtree
  uint32_t left, right;
  uint64_t priority;
  uint32_t begin, end;
  uint64_t offset, top;
  uint32_t first_begin, last_begin, first_end, last_end;
  uint64_t lowest, highest; // offset, top
  uint64_t gap;             // no gap between its rectangles is larger
  uint32_t hole, hole_end;  // within its lifetimes, nothing in it is live at positions hole .. hole_end - 1
} taken;

enum { TREES = 8, LONG = 64 }; // tree 0: lifetimes of up to LONG positions

struct xlm_gaps {
  xlm_arena *arena;
  taken *at; // entry 0: the empty tree
  uint32_t n, cap, root[TREES];
  uint64_t visited;
};

typedef struct query {
  uint32_t begin, end;
  uint64_t bytes, at; // at: nothing below it is free, as far as searched
} query;

xlm_gaps *xlm_gaps_new(xlm_arena *a) {
  xlm_gaps *g = XLM_NEW(a, xlm_gaps);
  g->arena = a;
  XLM_PUSH(a, g->at, g->n, g->cap, (taken){0});
  return g;
}

// ---- subtrees ----

static void dig(taken *t, uint32_t from, uint32_t end) { // keeps the larger of two holes
  if (from < end && end - from > t->hole_end - t->hole) t->hole = from, t->hole_end = end;
}

static uint32_t later(uint32_t a, uint32_t b) {
  return a > b ? a : b;
}

static uint32_t sooner(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}

static uint32_t next(uint32_t end) {
  return end < UINT32_MAX ? end + 1 : end;
}

// A common hole of a and b: the overlap of their holes, or the part of one's hole before or after the other's
// lifetimes, or the time between both.
static void join_holes(taken *t, const taken *a, const taken *b) {
  uint32_t a_end = next(a->last_end), b_end = next(b->last_end);
  t->hole = t->hole_end = 0;
  dig(t, a_end, b->first_begin);
  dig(t, b_end, a->first_begin);
  dig(t, later(a->hole, b->hole), sooner(a->hole_end, b->hole_end));
  dig(t, a->hole, sooner(a->hole_end, b->first_begin));
  dig(t, later(a->hole, b_end), a->hole_end);
  dig(t, b->hole, sooner(b->hole_end, a->first_begin));
  dig(t, later(b->hole, a_end), b->hole_end);
}

static void widen(taken *t, const taken *part) {
  taken whole = *t;
  join_holes(t, &whole, part);
  if (part->first_begin < t->first_begin) t->first_begin = part->first_begin;
  if (part->last_begin > t->last_begin) t->last_begin = part->last_begin;
  if (part->first_end < t->first_end) t->first_end = part->first_end;
  if (part->last_end > t->last_end) t->last_end = part->last_end;
  if (part->lowest < t->lowest) t->lowest = part->lowest;
  if (part->highest > t->highest) t->highest = part->highest;
  if (part->gap > t->gap) t->gap = part->gap;
}

static void join_gap(taken *t, uint64_t below, uint64_t above) {
  if (above > below && above - below > t->gap) t->gap = above - below;
}

static void sum_up(xlm_gaps *g, uint32_t i) {
  taken *t = &g->at[i];
  t->first_begin = t->last_begin = t->begin;
  t->first_end = t->last_end = t->end;
  t->lowest = t->offset, t->highest = t->top;
  t->gap = 0;
  t->hole = t->hole_end = 0;
  if (t->left) {
    join_gap(t, g->at[t->left].highest, t->offset);
    widen(t, &g->at[t->left]);
  }
  if (t->right) {
    uint64_t below = t->left && g->at[t->left].highest > t->top ? g->at[t->left].highest : t->top;
    join_gap(t, below, g->at[t->right].lowest);
    widen(t, &g->at[t->right]);
  }
}

static bool before(const taken *a, const taken *b) {
  if (a->offset != b->offset) return a->offset < b->offset;
  if (a->begin != b->begin) return a->begin < b->begin;
  return a->end < b->end;
}

static uint32_t rotate_right(xlm_gaps *g, uint32_t i) {
  uint32_t up = g->at[i].left;
  g->at[i].left = g->at[up].right;
  g->at[up].right = i;
  sum_up(g, i);
  return up;
}

static uint32_t rotate_left(xlm_gaps *g, uint32_t i) {
  uint32_t up = g->at[i].right;
  g->at[i].right = g->at[up].left;
  g->at[up].left = i;
  sum_up(g, i);
  return up;
}

static uint32_t insert(xlm_gaps *g, uint32_t tree, uint32_t i) {
  if (!tree) {
    sum_up(g, i);
    return i;
  }
  if (before(&g->at[i], &g->at[tree])) {
    g->at[tree].left = insert(g, g->at[tree].left, i);
    if (g->at[g->at[tree].left].priority > g->at[tree].priority) tree = rotate_right(g, tree);
  } else {
    g->at[tree].right = insert(g, g->at[tree].right, i);
    if (g->at[g->at[tree].right].priority > g->at[tree].priority) tree = rotate_left(g, tree);
  }
  sum_up(g, tree);
  return tree;
}

// Are some of these bytes taken, at whatever time? In a tree of which no two rectangles share bytes.
static bool is_taken(const xlm_gaps *g, uint32_t tree, uint64_t offset, uint64_t top) {
  while (tree && (g->at[tree].offset >= top || g->at[tree].top <= offset))
    tree = g->at[tree].offset >= top ? g->at[tree].left : g->at[tree].right;
  return tree != 0;
}

static uint32_t *tree_for(xlm_gaps *g, const taken *t) {
  int m = t->end - t->begin > LONG;
  while (m > 0 && m < TREES - 1 && is_taken(g, g->root[m], t->offset, t->top)) m++;
  return &g->root[m];
}

void xlm_gaps_take(xlm_gaps *g, uint32_t begin, uint32_t end, uint64_t offset, uint64_t bytes) {
  taken t = {
      .priority = xlm_hash_mix(g->n), .begin = begin, .end = end, .offset = offset, .top = offset + bytes};
  uint32_t *root = tree_for(g, &t);
  XLM_PUSH(g->arena, g->at, g->n, g->cap, t);
  *root = insert(g, *root, g->n - 1);
}

// ---- the search ----

// true: the gap at q->at is large enough in this tree; later nodes cannot change that.
static bool sweep(xlm_gaps *g, uint32_t tree, query *q) {
  if (!tree) return false;
  const taken *t = &g->at[tree];
  g->visited++;
  if (t->first_begin > q->end || t->last_end < q->begin || t->highest <= q->at) return false;
  if (q->begin >= t->hole && q->end < t->hole_end) return false;
  if (t->last_begin <= q->end && t->first_end >= q->begin) { // all of it conflicts
    if (t->lowest >= q->at + q->bytes) return true;
    if (t->gap < q->bytes) {
      q->at = t->highest;
      return false;
    }
  }
  if (sweep(g, t->left, q)) return true;
  t = &g->at[tree];
  if (t->begin <= q->end && t->end >= q->begin) {
    if (t->offset >= q->at + q->bytes) return true;
    if (t->top > q->at) q->at = t->top;
  }
  return sweep(g, t->right, q);
}

uint64_t xlm_gaps_lowest(xlm_gaps *g, uint32_t begin, uint32_t end, uint64_t bytes) {
  query q = {begin, end, bytes, 0};
  for (int agreed = 0, m = 0; agreed < TREES; m = (m + 1) % TREES) {
    uint64_t from = q.at;
    (void)sweep(g, g->root[m], &q);
    agreed = q.at == from ? agreed + 1 : 1;
  }
  return q.at;
}

uint64_t xlm_gaps_visited(const xlm_gaps *g) {
  return g->visited;
}
