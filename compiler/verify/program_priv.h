// State of the simulation of all ranks as one program, shared with the file that explains where it blocks.
#ifndef XLM_VERIFY_PROGRAM_PRIV_H
#define XLM_VERIFY_PROGRAM_PRIV_H

#include "compiler/verify/verify_plan_priv.h"

typedef struct shared_group { // all groups over `axes` whose members are of these kinds
  uint32_t axes;
  uint32_t *kinds, n, cap; // each kind once
  uint32_t arrived;        // number of kinds that wait for the others
} shared_group;

typedef struct message {
  uint32_t op; // of the sender's program
  const xlm_segment_run *run;
} message;

typedef struct channel { // from the ranks of one kind to the ranks of one stage
  uint32_t sender;       // kind
  int64_t stage, tag;
  message *at;
  uint32_t first, n, cap; // at[first .. n) are not received yet
  uint32_t waiter;        // kind + 1 that waits to receive; 0 = none
} channel;

typedef struct actor { // represents all ranks of a kind
  const xlm_rank_plan *plan;
  const comm_program *program;
  const xlm_segment_run *runs;
  uint32_t n_runs, run, op; // current position
  uint32_t *partner;        // [ops] the group or channel of each
  uint64_t *checked;        // [ops] the last meeting that was checked
} actor;

typedef struct program {
  verifier *v;
  const rank_kinds *kinds;
  actor *actors; // [kinds]
  shared_group *groups;
  channel *channels;
  uint32_t n_groups, cap_groups, n_channels, cap_channels;
  uint32_t *group_of[1 << XLM_MAX_AXES]; // by axes: [kinds] group + 1
  uint32_t *ready, n_ready;              // kinds that can proceed
  comm_entry *room;                      // scratch, as long as the largest group so far
  int64_t room_n;
} program;

// The communication instruction an actor has reached; NULL = it has ended.
const comm_op *xlm_verify_at(actor *a);
comm_entry xlm_verify_entry(const program *p, uint32_t kind, int64_t rank);
// The rank on stage `stage` of the pipeline whose other coordinates are those of `rank`.
int64_t xlm_verify_peer(const verifier *v, int64_t rank, int64_t stage);

// Called when the simulation blocks: records which ranks wait for which.
void xlm_verify_explain_wait(program *p);

#endif
