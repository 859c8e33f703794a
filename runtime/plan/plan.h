// The plan: the contract between compiler and runtime. The runtime executes what is in the plan and nothing
// else.
//
// A plan is plain data: tables of dimensions, tensors (with their offsets in the arena), instructions,
// segments, and the schedule, which gives the order in which segments run and for which microbatch. It may
// have several programs (xlm_program_id): a step of training is its schedule, each other program one segment.
// Programs share the states, by name. They never run at the same time and share the TEMP area, too: what one
// gave can be read until another runs. Ranks
// with the same local graph share one xlm_rank_plan. A plan is read-only after lowering. Its JSON form
// (json_write.c, json_read.c) is lossless.
#ifndef XLM_PLAN_PLAN_H
#define XLM_PLAN_PLAN_H

#include "runtime/base/arena.h"
#include "runtime/base/json.h"
#include "runtime/plan/code.h"
#include "runtime/plan/external.h"
#include "runtime/plan/op.h"
#include "runtime/plan/source.h"
#include "runtime/plan/span.h"
#include "runtime/plan/target.h"

XLM_C_BEGIN

// Categories of memory, kinds and variants of segments, roles: enum.def.
const char *xlm_category_name(xlm_category c);

// The parts of the arena, in order. A value that lives from one segment of a microbatch to another is in a
// slot; there is one slot per microbatch in flight, and it is held no longer than the schedule requires: FB
// from forward to backward, FW from forward and BW from backward to the gradients of weights (when these are
// separate). The other areas exist once.
typedef enum xlm_area {
  XLM_AREA_STATE,
  XLM_AREA_IO,
  XLM_AREA_FB,
  XLM_AREA_FW,
  XLM_AREA_BW,
  XLM_AREA_TEMP,
  XLM_AREAS
} xlm_area;
enum { XLM_SLOT_AREAS = 3, XLM_FIRST_SLOT_AREA = XLM_AREA_FB };
static inline bool xlm_area_has_slots(xlm_area a) {
  return a >= XLM_AREA_FB && a <= XLM_AREA_BW;
}

typedef struct xlm_slots { // of one area; chunks of a stage differ in size, and so do slots
  int32_t n;
  const uint64_t
      *at; // [n + 1] offset of each slot in its area, the largest slot first; the last entry: the end of all
} xlm_slots;

typedef struct xlm_tensor {
  const char *name; // for display; unique for states, inputs and outputs
  xlm_type type;
  xlm_category category;
  xlm_area area;
  uint64_t offset; // in its area, a multiple of target.align
  uint64_t bytes;
  uint32_t view_of; // tensor whose memory this shares (views, in-place results); 0 = has memory of its own
  uint32_t partial; // mesh axes over which the value is a partial sum
  uint32_t line;    // of the model text; 0 = none
} xlm_tensor;

typedef enum xlm_stream { XLM_STREAM_KERNELS, XLM_STREAM_COMM, XLM_STREAMS } xlm_stream; // see streams.h

typedef struct xlm_instr {
  xlm_op_id op;
  const char *variant; // which of the backend's kernels for the op; "" or NULL: there is only one
  xlm_stream stream;
  uint32_t after; // 1 + the instruction of the other stream, earlier in the segment, that must finish first;
                  // 0 = none
  uint16_t n_in, n_out;
  uint32_t line;            // of the model text
  const uint32_t *in, *out; // tensors
  xlm_attrs attrs;
  uint64_t workspace; // bytes, in the TEMP area
  uint64_t workspace_at;
  double flops, model_flops, bytes;
  const char *scope; // "layers.3.attention"
} xlm_instr;

const char *xlm_segment_name(xlm_segment_kind k);            // "F", "B", "W", "step", "eval", "prologue"
static inline bool xlm_segment_is_once(xlm_segment_kind k) { // runs once per step, not per microbatch
  return k >= XLM_SEG_STEP;
}
const char *xlm_program_name(xlm_program_id p); // "train", "eval", "prefill", "decode", "encode"
xlm_program_id xlm_segment_program(xlm_segment_kind k);

// Which microbatches of a step a segment runs for. Where microbatches differ, each kind and chunk has up to
// three segments on the same tensors: the first overwrites the sums over microbatches, the others add to
// them; the last also does what is done once for all microbatches (reducing gradients). There is no first or
// last where it would equal the middle one.
const char *xlm_variant_name(xlm_segment_variant v); // "only", "first", "middle", "last"

typedef struct xlm_segment {
  xlm_segment_kind kind;
  int16_t stage, chunk;
  xlm_segment_variant variant;
  uint32_t first, n; // instructions
} xlm_segment;

typedef struct xlm_segment_run { // one entry of the schedule
  uint32_t segment;
  int32_t microbatch;           // -1 for prologue and step
  int32_t slot[XLM_SLOT_AREAS]; // in each area with slots; -1 = none
} xlm_segment_run;

typedef struct xlm_plan_state { // a value that persists between steps: parameter, optimizer moment,
                                // accumulator, ...; or between runs of a program: cache
  const char
      *name; // unique: "layers.0.attention.wq"; moments "adam.m/layers.0...", caches "cache/layers.0..."
  xlm_role role;
  xlm_init init;
  uint32_t tensor; // local shape; dims carry full sizes and offsets
  bool saved;      // is part of a checkpoint
} xlm_plan_state;

enum { XLM_MAX_SHIFT = 1024 }; // how far a sample may read beyond its window

typedef struct xlm_plan_input {
  const char *name; // "tokens", "targets", "lr"; of a whole step "step/targets"
  xlm_input_role role;
  const char *source; // data: which tensor of a sample; "" for scalars
  int64_t shift;      // data: offset in the sequence
  bool whole_step;    // data of all microbatches, filled before the first segment of a step
  uint32_t tensor[XLM_PROGRAMS]; // in each program; 0 = it does not have this input
  int64_t vocab;                 // exclusive upper bound on ids; 0 = not ids
  int16_t chunk; // with several microbatches in flight: the chunk whose slots hold it; -1 = it exists once
} xlm_plan_input;

static inline bool xlm_input_is_data(xlm_input_role r) { // part of a sample
  return r == XLM_INPUT_TOKENS || r == XLM_INPUT_RECORD;
}
static inline bool xlm_input_is_scalar(xlm_input_role r) { // of the step
  return r == XLM_INPUT_LR || r == XLM_INPUT_STEP;
}

typedef struct xlm_plan_output { // a value that can be read after a program has run
  const char *name; // "loss", "grad_norm", metric names; eval: "eval.loss"; others: "logits", ...
  xlm_output_role role;
  xlm_program_id program; // which gives it: one value of the model is an output of each of its programs
  uint32_t tensor;
} xlm_plan_output;

typedef struct xlm_plan_setting { // an option given to the compiler, as in a run file
  const char *key, *value;        // "train.zero", "1"; a list has one item per line
} xlm_plan_setting;

typedef struct xlm_mesh {
  uint8_t n;
  const char *axis[XLM_MAX_AXES]; // outermost first
  int32_t size[XLM_MAX_AXES];
} xlm_mesh;

typedef struct xlm_rank_plan {
  int32_t coord[XLM_MAX_AXES]; // of the first rank with this plan
  int16_t stage;
  uint32_t n_dims, n_tensors, n_instrs, n_segments, n_schedule; // entry 0 of dims and tensors is unused
  const xlm_dim_info *dims;
  const xlm_tensor *tensors;
  const xlm_instr *instrs;
  const xlm_segment *segments;
  const xlm_segment_run *schedule; // one training step: prologue, F, B, W per microbatch, then step
  int32_t segment_of[XLM_PROGRAMS]; // the segment of a program; -1 = none: train has the schedule
  uint32_t n_states, n_inputs, n_outputs;
  const xlm_plan_state *states;
  const xlm_plan_input *inputs;
  const xlm_plan_output *outputs;
  uint64_t area_begin[XLM_AREAS], area_bytes[XLM_AREAS];
  xlm_slots slots[XLM_SLOT_AREAS];         // fill their areas
  uint64_t arena_bytes;                    // exactly what the runtime allocates
  uint64_t category_bytes[XLM_CATEGORIES]; // at the peak; together with free_bytes they add up to arena_bytes
  uint64_t free_bytes;                     // holes at the peak
  uint32_t peak_instr;                     // the instruction at the peak
} xlm_rank_plan;

static inline bool xlm_plan_has(const xlm_rank_plan *r, xlm_program_id p) {
  return p == XLM_PROGRAM_TRAIN ? r->n_schedule > 0 : r->segment_of[p] >= 0;
}
// The program that a report is about where none is named: the first that the plan has.
xlm_program_id xlm_plan_main(const xlm_rank_plan *r);
// How often a segment runs in a training step; one of another program: 1.
int64_t xlm_plan_runs(const xlm_rank_plan *r, uint32_t segment);
// The variant of this segment that does everything any of its variants does; possibly the segment itself.
uint32_t xlm_plan_whole(const xlm_rank_plan *r, uint32_t segment);

typedef struct xlm_plan {
  const char *model, *preset, *source_path; // preset may be NULL
  const char *source_text;                  // of the model and the files that it uses; checkpoints store it
  const char *text_hash;                    // of the model text and settings, hexadecimal
  xlm_dtype dtype;                          // compute
  int64_t batch, seq, microbatches;         // batch: samples of one microbatch over the whole mesh
  int64_t chunk;                            // positions of every sequence in a run of prefill; 0 = none
  int64_t prefix;                           // places before the text, such as an image's, which prefill fills first
  xlm_target target;                        // the machine it was made for
  uint64_t seed;
  xlm_mesh mesh;
  uint32_t n_ranks, n_rank_plans;
  const uint32_t *rank_plan_of; // [n_ranks]
  xlm_rank_plan *const *rank_plans;
  double parameters;            // logical number of elements
  double model_flops_per_token; // forward and backward
  uint32_t n_weights, n_config, n_keys;
  const xlm_plan_weight *weights;
  const xlm_plan_config *config;
  const xlm_plan_key *keys; // they take precedence over public names
  uint32_t n_settings;      // those that affect the plan; checkpoints store them
  const xlm_plan_setting *settings;
  const char *weights_name; // "huggingface"; NULL without a weights section
} xlm_plan;

// The file and line of a line of source_text, as instructions and tensors have it.
xlm_model_line xlm_plan_model_line(const xlm_plan *p, uint32_t line);
const char *xlm_plan_where(const xlm_plan *p, uint32_t line, xlm_arena *a); // "models/llama.xlm:38"

// XXH64 of the plan's contents (of its JSON without the model's path and the memory limit), by which
// processes check that they run the same plan. places = false: of the computation alone, without the
// settings that it was made from and everything that depends only on the number of threads: offsets,
// workspaces, `after`, kernel variants. This alone needs memory, from `a`.
uint64_t xlm_plan_hash(const xlm_plan *p, bool places, xlm_arena *a);

enum { XLM_PLAN_FORMAT = 5 }; // of the JSON; the reader accepts no other
void xlm_plan_print_json(const xlm_plan *p, xlm_text *out);
// The same as members of an object that is already open; the reader ignores further members.
void xlm_plan_write_json(const xlm_plan *p, xlm_json *out);
// Its members `mesh` and `target`, for other pages that have them.
void xlm_plan_write_mesh(const xlm_mesh *m, xlm_json *out);
void xlm_plan_write_target(const xlm_target *t, xlm_json *out);
xlm_status xlm_plan_read_json(xlm_arena *a, const char *text, size_t n, const xlm_plan **out,
                              xlm_error *err) XLM_MUST_CHECK;

static inline uint64_t xlm_slot_bytes(const xlm_slots *s, int32_t slot) { // -1 or not there: none
  return slot < 0 || slot >= s->n ? 0 : s->at[slot + 1] - s->at[slot];
}

// Bytes in which a tensor of this area must lie: those of the area, or of its largest slot.
static inline uint64_t xlm_plan_room(const xlm_rank_plan *p, xlm_area area) {
  return xlm_area_has_slots(area) ? xlm_slot_bytes(&p->slots[area - XLM_FIRST_SLOT_AREA], 0)
                                  : p->area_bytes[area];
}

// Do the slots of every entry of the schedule hold what its segment reads, writes and is fed? *entry: the
// first whose do not; n_schedule: a segment of another program, which has none.
bool xlm_plan_slots_suffice(const xlm_rank_plan *p, uint32_t *entry);

// Where a tensor begins in the arena, with the slots of a schedule entry (xlm_segment_run.slot); NULL: the
// first.
static inline uint64_t xlm_plan_place(const xlm_rank_plan *p, const xlm_tensor *t, const int32_t *slot) {
  int32_t in = slot && xlm_area_has_slots(t->area) ? slot[t->area - XLM_FIRST_SLOT_AREA] : 0;
  return p->area_begin[t->area] + t->offset + (in > 0 ? p->slots[t->area - XLM_FIRST_SLOT_AREA].at[in] : 0);
}
static inline void *xlm_plan_address(const xlm_rank_plan *p, const xlm_tensor *t, void *base,
                                     const int32_t *slot) {
  return (char *)base + xlm_plan_place(p, t, slot);
}

XLM_C_END

#endif
