// Declarations shared by pipeline_assign.c and pipeline.c.
#ifndef XLM_PASS_PIPELINE_PRIV_H
#define XLM_PASS_PIPELINE_PRIV_H

#include "compiler/pass/pass_priv.h"
#include "compiler/pass/pipeline.h"

// ANY: repeated where used. EVERYWHERE: on every stage. LATER: with the first reader, not known yet.
enum { XLM_PART_ANY = -1, XLM_PART_EVERYWHERE = -2, XLM_PART_LATER = INT32_MAX };

typedef struct xlm_crossing { // part `to` needs value `val`
  xlm_val val;
  int to;
  bool in_step; // only by its step: sent when the step reads it, since it belongs to no single microbatch
  uint32_t number; // among all, from 0
  struct xlm_crossing *next;
} xlm_crossing;

typedef struct xlm_round_readers { // of a node, in the forward
  bool any, others;                // others: outside of all rounds
  int32_t first;                   // round
} xlm_round_readers;

struct xlm_stages {
  const xlm_graph *g;
  xlm_pipeline p;
  int parts;
  int *part;                  // by node
  xlm_round_readers *readers; // by node; while parts are assigned
  xlm_node *updater;          // by value of a state: the node of the forward that updates it; 0: none
  int *home;                  // by value of a state: the part that updates it; ANY if none does
  xlm_crossing **crossings;   // by value
  uint32_t n_crossings;
  uint64_t *needed; // by node: a set of stages, `words` words long
  int words;
  struct xlm_stage_nodes { // by stage: the nodes at which it emits something, in order
    xlm_node *at;
    uint32_t n;
  } * nodes;
};

// Does the stage emit the node, or repeat it for its readers?
static inline bool xlm_stages_need(const xlm_stages *s, xlm_node n, int stage) {
  return s->needed[(size_t)n * (size_t)s->words + (size_t)stage / 64] >> stage % 64 & 1;
}

static inline bool xlm_part_is_on(const xlm_stages *s, int part, int stage) {
  return part == XLM_PART_EVERYWHERE || (part >= 0 && part % s->p.stages == stage);
}

// Is value v computed by a part other than `to`?
static inline bool xlm_part_is_remote(const xlm_stages *s, xlm_val v, int to) {
  xlm_node def = s->g->values[v].def;
  return !xlm_is_leaf(&s->g->nodes[def]) && s->part[def] >= 0 && s->part[def] != to;
}

static inline bool xlm_is_state(const xlm_node_info *n) {
  return xlm_op_is_state(n->op);
}
static inline bool xlm_is_additive(const xlm_node_info *n) { // each stage has a part of the sum
  return xlm_op_facts_of(n->op)->additive;
}
// Emitted with its readers, once for each of a stage's parts.
static inline bool xlm_is_repeated(const xlm_stages *s, xlm_node n) {
  const xlm_node_info *node = &s->g->nodes[n];
  return s->part[n] == XLM_PART_ANY && !xlm_is_leaf(node) && node->phase != XLM_PHASE_PROLOGUE;
}

#endif
