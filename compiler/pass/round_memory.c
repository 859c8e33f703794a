// See round_memory.h. A value that the forward computes and the backward reads is stored from one to the
// other. In a round that is recomputed (recompute.c), values that do not leave the round are temporary
// instead: computed again at the beginning of its backward, each until its last use there. What this needs
// from outside the round is stored.
//
// Values that only nodes of the same program read count as nothing: after fusing they are in registers.
#include "compiler/pass/round_memory.h"

#include "compiler/pass/fusable.h"
#include "compiler/pass/pass_priv.h"

typedef enum work { FORWARD, BACKWARD, WEIGHTS, STEP } work; // the kind of segment a node is in

typedef struct pair {
  uint64_t of[2]; // bytes, 1: of a round that is recomputed
} pair;

typedef struct value {
  xlm_val root;     // the value that owns the memory; the rest is about that one
  uint64_t bytes;   // 0: exists in registers only
  xlm_node last[2]; // the last readers in the forward; in the backward
  bool leaves;      // a forward node outside its round reads it
  bool by_weights;  // a node in a W segment reads it
  bool in_chain;    // part of a program, and so are all its readers
  bool repeated;    // computed again for the backward, if its round is recomputed
  bool stored[2];   // as in pair: stored from one segment to another
} value;

typedef struct state {
  uint64_t bytes, *users; // a set of rounds
} state;

struct xlm_round_memory {
  const xlm_graph *g; // NULL when the analysis is done
  xlm_arena *a;
  bool split_weights;
  int32_t rounds;
  int32_t *part; // by node: the round it counts as part of; -1: of none
  value *values;
  pair *stored[XLM_SLOT_AREAS]; // by round
  pair *temporary;              // by round
  uint64_t **users;             // by value of the step: a set of rounds; NULL: not known
  uint32_t n_words;
  state *states;
  uint32_t n_states, cap_states;
};

static work work_of(const xlm_round_memory *m, const xlm_node_info *n) {
  if (n->phase == XLM_PHASE_FWD) return FORWARD;
  if (n->phase == XLM_PHASE_WGT && m->split_weights) return WEIGHTS;
  return n->phase == XLM_PHASE_STEP || n->phase == XLM_PHASE_PROLOGUE ? STEP : BACKWARD;
}

static bool is_fusable(const xlm_round_memory *m, const xlm_node_info *n) {
  xlm_fusable f = xlm_fusable_of(m->g, n);
  return f.kind && xlm_fusable_fits(m->g, NULL, &f);
}

static value *memory_of(const xlm_round_memory *m, xlm_val v) {
  return &m->values[m->values[v].root];
}

static const xlm_node_info *maker(const xlm_round_memory *m, const value *v) {
  return xlm_val_node(m->g, v->root);
}

// A value of the forward that its round, if recomputed, would not store.
static bool is_inner(const xlm_round_memory *m, const value *v) {
  const xlm_node_info *n = maker(m, v);
  return n->phase == XLM_PHASE_FWD && n->round >= 0 && !v->leaves;
}

// ---- nodes and values ----

static void find_parts(xlm_round_memory *m) {
  bool inside[2] = {false, false};
  for (xlm_node id = 1; id < m->g->n_nodes; id++) {
    const xlm_node_info *n = &m->g->nodes[id];
    work w = work_of(m, n);
    m->part[id] = w == STEP || xlm_is_leaf(n) ? -1 : n->round;
    if (m->part[id] >= 0) inside[w != FORWARD] = true;
    if (w == STEP || xlm_is_leaf(n) || n->round >= 0) continue;
    bool late = inside[w != FORWARD] == (w == FORWARD); // the backward goes the other way
    m->part[id] = late ? m->rounds - 1 : 0;
  }
}

static xlm_val root_of(const xlm_round_memory *m, const xlm_node_info *n, int i) {
  if (xlm_is_view(n) || i < xlm_op_at(n->op)->n_alias) return m->values[n->in[i]].root;
  return n->out + (xlm_val)i;
}

static void find_values(xlm_round_memory *m) {
  for (xlm_node id = 1; id < m->g->n_nodes; id++) {
    const xlm_node_info *n = &m->g->nodes[id];
    for (int i = 0; i < n->n_out; i++)
      m->values[n->out + (xlm_val)i] =
          (value){.root = root_of(m, n, i),
                  .bytes = xlm_type_bytes(xlm_val_type(m->g, n->out + (xlm_val)i), m->g->dims),
                  .in_chain = is_fusable(m, n)};
  }
}

static void read_value(xlm_round_memory *m, xlm_node id, value *v) {
  const xlm_node_info *n = &m->g->nodes[id], *by = maker(m, v);
  work w = work_of(m, n);
  v->in_chain &=
      is_fusable(m, n) && w == work_of(m, by) && m->part[id] == m->part[m->g->values[v->root].def];
  if (w == STEP) return;
  v->last[w != FORWARD] = id;
  v->leaves |= w == FORWARD && n->round != by->round;
  v->by_weights |= w == WEIGHTS;
}

static void find_readers(xlm_round_memory *m) {
  for (xlm_node id = 1; id < m->g->n_nodes; id++) {
    const xlm_node_info *n = &m->g->nodes[id];
    for (int i = 0; i < n->n_in && !xlm_is_view(n); i++) read_value(m, id, memory_of(m, n->in[i]));
  }
  for (xlm_val v = 1; v < m->g->n_values; v++)
    if (m->values[v].in_chain) m->values[v].bytes = 0;
}

// ---- what is stored ----

static void store(xlm_round_memory *m, value *v, int32_t part, int recomputed) {
  bool forward = maker(m, v)->phase == XLM_PHASE_FWD && !(recomputed && v->repeated);
  xlm_area area = !v->by_weights ? XLM_AREA_FB : forward ? XLM_AREA_FW : XLM_AREA_BW;
  if (!v->stored[recomputed]) m->stored[area - XLM_FIRST_SLOT_AREA][part].of[recomputed] += v->bytes;
  v->stored[recomputed] = true;
}

static void repeat(xlm_round_memory *m, value *v) {
  int32_t round = maker(m, v)->round;
  v->repeated = true;
  if (v->last[1]) store(m, v, round, 0);
  if (v->by_weights) store(m, v, round, 1);
}

static void read_stored(xlm_round_memory *m, xlm_node id, xlm_val in) {
  value *v = memory_of(m, in);
  if (xlm_is_leaf(maker(m, v)) || work_of(m, maker(m, v)) >= work_of(m, &m->g->nodes[id])) return;
  if (is_inner(m, v))
    repeat(m, v);
  else
    for (int k = 0; k < 2; k++) store(m, v, m->part[id], k);
}

static bool is_repeated(const xlm_round_memory *m, const xlm_node_info *n) {
  for (int i = 0; i < n->n_out; i++)
    if (memory_of(m, n->out + (xlm_val)i)->repeated) return true;
  return false;
}

static void read_repeated(xlm_round_memory *m, int32_t round, xlm_val in) {
  value *v = memory_of(m, in);
  if (xlm_is_leaf(maker(m, v)) || v->repeated) return;
  if (is_inner(m, v))
    repeat(m, v);
  else
    store(m, v, round, 1);
}

// Readers come after definitions, so a sweep from the end sees them first.
static void find_stored(xlm_round_memory *m) {
  for (xlm_node id = m->g->n_nodes; id-- > 1;) {
    const xlm_node_info *n = &m->g->nodes[id];
    work w = work_of(m, n);
    for (int i = 0; i < n->n_in && (w == BACKWARD || w == WEIGHTS); i++) read_stored(m, id, n->in[i]);
    if (n->phase != XLM_PHASE_FWD || n->round < 0 || !is_repeated(m, n)) continue;
    for (int i = 0; i < n->n_in; i++) read_repeated(m, n->round, n->in[i]);
  }
}

// ---- temporaries ----

static void add(pair *to, pair x, int sign) {
  for (int k = 0; k < 2; k++) to->of[k] += sign > 0 ? x.of[k] : -x.of[k];
}

static void update_peak(uint64_t *peak, uint64_t bytes) {
  if (bytes > *peak) *peak = bytes;
}

// Bytes among the temporaries of the segment that computes v.
static pair temporary(const value *v) {
  return (pair){{v->stored[0] ? 0 : v->bytes, v->stored[1] ? 0 : v->bytes}};
}

// The last reader of a kind releases the value. `repeated`: by round, what its backward still needs of it.
static void finish(xlm_round_memory *m, xlm_node id, value *v, pair *live, uint64_t *repeated) {
  bool backward = work_of(m, &m->g->nodes[id]) != FORWARD;
  const xlm_node_info *by = maker(m, v);
  if (xlm_is_leaf(by) || v->last[backward] != id) return;
  v->last[backward] = 0; // the node may read it twice
  if ((work_of(m, by) != FORWARD) == backward)
    add(live, temporary(v), -1);
  else if (v->repeated && !v->stored[1])
    repeated[by->round] -= v->bytes;
}

static void begin(const xlm_round_memory *m, const value *v, pair *live) {
  bool backward = maker(m, v)->phase != XLM_PHASE_FWD;
  if (v->last[backward]) add(live, temporary(v), 1); // else it is not read in this segment
}

static void run_node(xlm_round_memory *m, xlm_node id, pair *live, uint64_t *repeated) {
  const xlm_node_info *n = &m->g->nodes[id];
  int32_t part = m->part[id];
  bool replaces = xlm_op_at(n->op)->in_place; // an operand, which is released before
  for (int i = 0; replaces && i < n->n_in; i++) finish(m, id, memory_of(m, n->in[i]), live, repeated);
  for (xlm_val v = n->out; v < n->out + n->n_out; v++)
    if (m->values[v].root == v) begin(m, &m->values[v], live);
  update_peak(&m->temporary[part].of[0], live->of[0]);
  update_peak(&m->temporary[part].of[1],
              n->phase == XLM_PHASE_FWD ? live->of[1] : live->of[0] + repeated[part]);
  for (int i = 0; !replaces && i < n->n_in; i++) finish(m, id, memory_of(m, n->in[i]), live, repeated);
}

static void find_temporaries(xlm_round_memory *m) {
  uint64_t *repeated = XLM_NEW_N(m->a, uint64_t, m->rounds);
  pair live = {{0}};
  for (xlm_val v = 1; v < m->g->n_values; v++) {
    const value *x = &m->values[v];
    if (x->root == v && x->repeated && x->last[1] && !x->stored[1]) repeated[maker(m, x)->round] += x->bytes;
  }
  for (xlm_node id = 1; id < m->g->n_nodes; id++)
    if (m->part[id] >= 0 && !xlm_is_view(&m->g->nodes[id])) run_node(m, id, &live, repeated);
}

// ---- states ----

static void add_users(xlm_round_memory *m, xlm_val v, const uint64_t *users, int32_t part) {
  if (!m->users[v]) m->users[v] = XLM_NEW_N(m->a, uint64_t, m->n_words);
  for (uint32_t w = 0; users && w < m->n_words; w++) m->users[v][w] |= users[w];
  if (part >= 0) m->users[v][part / 64] |= (uint64_t)1 << part % 64;
}

static bool is_state(const xlm_round_memory *m, xlm_val v) {
  return xlm_op_is_state(xlm_val_node(m->g, v)->op);
}

// Gives the users of value `from` to those operands of the node that have none yet.
static void share_users(xlm_round_memory *m, const xlm_node_info *n, xlm_val from) {
  const uint64_t *users = m->users[m->values[from].root];
  for (int i = 0; users && i < n->n_in; i++) {
    xlm_val v = m->values[n->in[i]].root;
    if (!m->users[v]) add_users(m, v, users, -1);
  }
}

// What only nodes of the step read belongs to the rounds that use their result: a parameter of which a cast
// is stored. Then to those of their first operand, which is the parameter in an update.
static void find_users_in_step(xlm_round_memory *m) {
  for (xlm_node id = m->g->n_nodes; id-- > 1;) {
    const xlm_node_info *n = &m->g->nodes[id];
    if (m->part[id] < 0 && n->n_out) share_users(m, n, n->out);
  }
  for (xlm_node id = 1; id < m->g->n_nodes; id++) {
    const xlm_node_info *n = &m->g->nodes[id];
    if (m->part[id] < 0 && n->n_in) share_users(m, n, n->in[0]);
  }
}

static void find_states(xlm_round_memory *m) {
  for (xlm_node id = 1; id < m->g->n_nodes; id++) {
    const xlm_node_info *n = &m->g->nodes[id];
    for (int i = 0; m->part[id] >= 0 && i < n->n_in; i++) {
      xlm_val v = m->values[n->in[i]].root;
      if (is_state(m, v)) add_users(m, v, NULL, m->part[id]);
    }
  }
  find_users_in_step(m);
  for (xlm_val v = 1; v < m->g->n_values; v++)
    if (m->users[v] && is_state(m, v)) {
      state s = {m->values[v].bytes, m->users[v]};
      XLM_PUSH(m->a, m->states, m->n_states, m->cap_states, s);
    }
}

// ---- results ----

xlm_round_memory *xlm_round_memory_new(const xlm_graph *g, xlm_arena *a, bool split_weights) {
  xlm_round_memory *m = XLM_NEW(a, xlm_round_memory);
  *m = (xlm_round_memory){.g = g, .a = a, .split_weights = split_weights};
  for (xlm_node id = 1; id < g->n_nodes; id++)
    if (g->nodes[id].round >= m->rounds) m->rounds = g->nodes[id].round + 1;
  XLM_ASSERT(m->rounds, "a model without rounds");
  m->n_words = (uint32_t)(m->rounds + 63) / 64;
  m->part = XLM_NEW_N(a, int32_t, g->n_nodes);
  m->values = XLM_NEW_N(a, value, g->n_values);
  m->users = XLM_NEW_N(a, uint64_t *, g->n_values);
  for (int k = 0; k < XLM_SLOT_AREAS; k++) m->stored[k] = XLM_NEW_N(a, pair, m->rounds);
  m->temporary = XLM_NEW_N(a, pair, m->rounds);
  find_parts(m);
  find_values(m);
  find_readers(m);
  find_stored(m);
  find_temporaries(m);
  find_states(m);
  m->g = NULL;
  return m;
}

uint64_t xlm_round_memory_states(const xlm_round_memory *m, int32_t first, int32_t end) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < m->n_states; i++) {
    bool used = false;
    for (int32_t r = first; r < end && !used; r++) used = m->states[i].users[r / 64] >> r % 64 & 1;
    if (used) bytes += m->states[i].bytes;
  }
  return bytes;
}

uint64_t xlm_round_memory_stored(const xlm_round_memory *m, xlm_area area, int32_t first, int32_t end,
                                 int32_t recomputed) {
  const pair *stored = m->stored[area - XLM_FIRST_SLOT_AREA];
  uint64_t bytes = 0;
  for (int32_t r = first; r < end; r++) bytes += stored[r].of[r < recomputed];
  return bytes;
}

uint64_t xlm_round_memory_temporary(const xlm_round_memory *m, int32_t first, int32_t end,
                                    int32_t recomputed) {
  uint64_t most = 0;
  for (int32_t r = first; r < end; r++) update_peak(&most, m->temporary[r].of[r < recomputed]);
  return most;
}

uint64_t xlm_round_memory_peak(const xlm_round_memory *m, int32_t recomputed) {
  uint64_t most = 0;
  for (int32_t r = 0; r < m->rounds; r++)
    update_peak(&most, xlm_round_memory_stored(m, XLM_AREA_FB, 0, r + 1, recomputed) +
                           xlm_round_memory_temporary(m, r, r + 1, recomputed));
  return most;
}
